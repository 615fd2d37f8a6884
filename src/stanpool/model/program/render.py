"""Specification to Stan program, through the Jinja templates.

Structure is rendered; numbers are data. Equal structures give equal text: no dates,
versions, user names or numbers of the data are in the source that is hashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from stanpool.base.arguments import public
from stanpool.base.errors import check_choice
from stanpool.base.shipped_files import shipped_folder
from stanpool.engine.program import StanProgram
from stanpool.language.family import FAMILIES
from stanpool.model.program.prior_blocks import _prior_block
from stanpool.model.program.stan_format import _tidy
from stanpool.model.program.structure import (
    _GROUPED_GLMS,
    _WEIGHTED_GLMS,
    Structure,
    suffix_of,
)

_INVERSE_LINKS = {
    "identity": "",
    "log": "exp",
    "logit": "inv_logit",
    "probit": "Phi",
    "cloglog": "inv_cloglog",
}
# Stan has no such distributions, or none that is exact in the tails.
_OWN_DISTRIBUTIONS = ("bernoulli", "binomial")
_STAN_DISTRIBUTIONS = {"gaussian": "normal"}
# Functions that are compiled from C++, and the headers that have them.
_COMMON = ("lanes", "team")
_GROUPED = (*_COMMON, "grouped_glm")
_MARGINAL = (*_COMMON, "marginal_normal_id_glm")
HEADERS: Mapping[str, tuple[str, ...]] = {
    **{f"grouped_{family}_{link}_glm": _GROUPED for family, link in _GROUPED_GLMS},
    **{f"weighted_{family}_{link}_glm": _GROUPED for family, link in _WEIGHTED_GLMS},
    "marginal_normal_id_glm": _MARGINAL,
    "twice_marginal_normal_id_glm": (*_MARGINAL, "twice_marginal_normal_id_glm"),
}


@lru_cache(maxsize=256)
def render(structure: Structure) -> StanProgram:
    """Render the Stan program of a structure.

    Examples
    --------
    >>> program = render(Structure("complete", "bernoulli", "logit", True,
    ...     priors=(("Intercept", ("normal",)), ("beta", ("normal",)))))
    >>> program.name
    'complete_pooling_bernoulli'
    >>> print(program.source.splitlines()[0])
    // Complete pooling: one set of coefficients for every row.
    """
    blocks = {
        name: _prior_block(name, used, structure) for name, used in structure.priors
    }
    template = {"none": "no_pooling"}.get(
        structure.pooling, f"{structure.pooling}_pooling"
    )
    if structure.parameterization == "marginal":
        template = "partial_pooling_marginal"
    factors = [
        {
            "s": suffix_of(number),
            "correlated": factor.correlated,
            "membership": factor.membership,
            "group_predictors": factor.group_predictors,
            "integrated": factor.integrated,
            "moved": factor.moved,
            "signed": structure.is_signed(number),
        }
        for number, factor in enumerate(structure.factors, 1)
    ]
    chosen = dict(
        family_file=f"families/{structure.family}.stan.jinja",
        link=structure.link,
        inverse_link=_INVERSE_LINKS[structure.link],
        density="lpmf" if FAMILIES[structure.family].is_discrete else "lpdf",
        categories=structure.is_categorical,
        cutpoints=structure.has_cutpoints,
        intercept=structure.intercept,
        alpha=_alpha(structure),
        has_x_bar=structure.intercept or structure.has_cutpoints,
        offset="offsets" if structure.offset else "",
        se=structure.se,
        weights=structure.weights,
        censored=structure.censored,
        truncated=structure.truncated,
        compressed=structure.compressed,
        piloted=structure.piloted,
        parameterization=structure.parameterization,
        chooses_center=structure.chooses_center,
        factors=factors,
        latent=structure.latent,
        grouped=_grouped(structure),
        any_correlated=any(factor.correlated for factor in structure.factors),
        any_moved=any(factor.moved for factor in structure.factors),
        residual=structure.residual,
        theta=_theta(structure),
        bounds={name: block.bounds for name, block in blocks.items()},
        priors=[block for name, block in blocks.items() if name != "b"],
        coefficients=blocks.get("b"),
    )
    text = _environment().get_template(f"{template}.stan.jinja").render
    needed = _functions(structure)
    headers = [header for name in needed for header in HEADERS.get(name, ())]
    return StanProgram(
        _program_name(template, structure),
        _tidy(text(chosen, functions="\n".join(map(_function, needed)))),
        _tidy(text(chosen, functions="\n".join(map(_declaration, needed)))),
        "\n".join(map(_header, dict.fromkeys(headers))),
    )


def _program_name(template: str, structure: Structure) -> str:
    """Name a program for people; what tells programs apart is the digest."""
    family = FAMILIES[structure.family]
    parts = [
        template.removesuffix("_marginal"),
        structure.family,
        structure.link if structure.link != family.link else "",
        {"known": "se", "added": "se_sigma"}.get(structure.se or "", ""),
        "offset" if structure.offset else "",
        "weights" if structure.weights else "",
        "censored" if structure.censored else "",
        f"truncated_{structure.truncated}" if structure.truncated else "",
        "compressed" if structure.compressed else "",
        "piloted" if structure.piloted else "",
        structure.parameterization,
    ]
    for factor in structure.factors:
        marks = [
            "correlated" if factor.correlated else "",
            "membership" if factor.membership else "",
            "group_predictors" if factor.group_predictors else "",
            "integrated" if factor.integrated and len(structure.factors) > 1 else "",
            "moved" if factor.moved else "",
        ]
        described = "_".join(mark for mark in marks if mark)
        if len(structure.factors) > 1:
            described = described or "plain"
        parts.append(described)
    if structure.latent:
        parts.append("latent")
    if structure.residual:
        parts.append(f"{structure.residual}_sigma")
    if structure.pooling == "none":
        parts.append("common_intercept" if structure.intercept else "")
    elif not (structure.intercept or structure.has_cutpoints):
        parts.append("no_intercept")
    return "_".join(part for part in parts if part)


def _functions(structure: Structure) -> list[str]:
    """Name the shared Stan functions that a program calls."""
    needed = []
    correlated = [factor.correlated for factor in structure.factors]
    if structure.parameterization in ("centered", "adaptive") and any(correlated):
        needed.append("multi_normal_rows")
    if structure.parameterization == "adaptive":
        moved = [factor.moved for factor in structure.factors]
        if not all(moved):
            needed.append("partly_centered")
        if any(correlated):
            needed.append("partly_centered_correlated")
        if any(moved):
            needed.append("partly_centered_moved")
    if structure.parameterization == "marginal":
        twice = any(factor.integrated == 2 for factor in structure.factors)
        needed.append("twice_" * twice + "marginal_normal_id_glm")
        numbers = range(1, len(structure.factors) + 1)
        if any(structure.is_signed(number) for number in numbers):
            needed.append("scale_of_root")
    if any(each.group_predictors and not each.integrated for each in structure.factors):
        needed.append("group_level")
    used = {each for _, distributions in structure.priors for each in distributions}
    if "sqrt_inv_gamma" in used:
        needed.append("sqrt_inv_gamma")
    if "dirichlet" in used:
        needed.append(f"induced_dirichlet_{structure.link}")
    if structure.is_categorical and structure.factors:
        needed.insert(0, "population")
    if structure.family in _OWN_DISTRIBUTIONS and structure.link != "logit":
        needed.append(f"{structure.family}_{structure.link}")
    if structure.censored or structure.truncated == "both":
        distribution = _STAN_DISTRIBUTIONS.get(structure.family, structure.family)
        needed.append(f"{distribution}_interval")
    if structure.is_grouped_glm:
        needed += ["places", _grouped_glm(structure)]
    return needed


def _alpha(structure: Structure) -> str:
    """Write the intercept as it is added to the rows' linear predictors."""
    if not structure.intercept:
        return ""
    # A single row of intercepts is broadcast by the GLM of complete pooling only.
    if structure.is_categorical:
        return "rep_matrix(alpha_c, N)"
    return "alpha_c"


def _theta(structure: Structure) -> str:
    """Write the coefficients of the turned rows: population, then other factors."""
    theta = "append_row(alpha_c - y_bar, beta)" if structure.intercept else "beta"
    for number, factor in enumerate(structure.factors, 1):
        if not (factor.integrated or structure.compressed):
            suffix = suffix_of(number)
            theta = f"append_row({theta}, to_vector(u{suffix}'))"
    return theta


def _grouped_glm(structure: Structure) -> str:
    """Name the likelihood of all rows and groups."""
    kind = "weighted" if structure.weights else "grouped"
    return f"{kind}_{structure.family}_{structure.link}_glm"


def _grouped(structure: Structure) -> dict[str, str] | None:
    """Write what the likelihood of all rows and groups is told, if there is one."""
    if not structure.is_grouped_glm:
        return None
    endings = [suffix_of(number) for number in range(1, len(structure.factors) + 1)]
    several = len(endings) > 1
    own, effects = ("Z_c", "b_c") if structure.pooling == "none" else ("Z", "u")
    arguments = (
        "X_c",
        "alpha_c" if structure.intercept else "0",
        "append_row(beta, 1)" if structure.offset else "beta",
        "W" if several else own,
        "place",
        _joined("append_row", [f"to_vector({effects}{s})" for s in endings]),
    )
    befores = [
        " + ".join(f"J{s} * Q{s}" for s in endings[:number]) or "0"
        for number in range(len(endings))
    ]
    places = [
        f"places(group{s}, J{s}, Q{s}, {before})"
        for s, before in zip(endings, befores, strict=True)
    ]
    return {
        "name": _grouped_glm(structure),
        "weights": "weights, " if structure.weights else "",
        "arguments": ", ".join(arguments),
        "width": " + ".join(f"Q{s}" for s in endings),
        "W": _joined("append_col", [f"Z{s}" for s in endings]) if several else "",
        "place": _joined("append_array", places),
    }


def _joined(function: str, parts: Sequence[str]) -> str:
    """Write how a Stan function of two arguments joins several."""
    first, *rest = parts
    return f"{function}({first}, {_joined(function, rest)})" if rest else first


@public
def neals_funnel(parameterization: str = "centered") -> StanProgram:
    """Return Neal's funnel, the geometry that hierarchical models are notorious for.

    Its data are ``{"D": 9, "scale": 3}``; ``v`` is the log variance of ``x[D]``.

    Parameters
    ----------
    parameterization
        ``"centered"``, which no fixed step size can explore, or ``"noncentered"``.

    Raises
    ------
    SpecError
        For any other parameterization.

    References
    ----------
    .. [1] Neal (2003). Slice sampling. Annals of Statistics 31(3), section 8.

    Examples
    --------
    >>> neals_funnel("noncentered").name
    'neals_funnel_noncentered'
    """
    check_choice("parameterization", parameterization, ("centered", "noncentered"))
    template = _environment().get_template("neals_funnel.stan.jinja")
    source = template.render(parameterization=parameterization)
    return StanProgram(f"neals_funnel_{parameterization}", _tidy(source))


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Return Jinja with the white space done by the environment, not the author."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped_folder("stan_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _function(name: str) -> str:
    """Read a shared Stan function."""
    path = shipped_folder("stan_templates") / "functions" / f"{name}.stanfunctions"
    return path.read_text().rstrip("\n")


def _declaration(name: str) -> str:
    """Read a shared Stan function; where C++ has it, its comment and signature."""
    text = _function(name)
    return f"{text.partition(' {')[0]};" if name in HEADERS else text


def _header(name: str) -> str:
    """Read functions in C++, which may be met twice where programs share a file."""
    path = shipped_folder("stan_templates") / "cpp" / f"{name}.hpp"
    guard = f"STANPOOL_{name.upper()}_HPP"
    text = path.read_text("utf-8")
    return f"#ifndef {guard}\n#define {guard}\n{text}#endif\n"
