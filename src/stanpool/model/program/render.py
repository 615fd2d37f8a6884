"""Specification to Stan program, through the Jinja templates.

Structure is rendered; numbers are data. Equal structures give equal text: no dates,
versions, user names or numbers of the data are in the source that is hashed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from stanpool.base.arguments import public
from stanpool.base.system.files import shipped_folder
from stanpool.engine.values.program import LONGEST_NAME, StanProgram
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import NORMAL
from stanpool.model.program.facts.structure_facts import facts_of, grouped_glm
from stanpool.model.program.stan_format import tidy
from stanpool.model.program.structure import Structure

# Functions that are compiled from C++, and the headers that have them: likelihoods, and
# what makes deviations of groups, or their density.
_COMMON = ("lanes", "team")
_GROUPED = (*_COMMON, "special_functions", "grouped_glm")
_MARGINAL = (*_COMMON, "marginal_normal_id_glm")
LIKELIHOODS: Mapping[str, tuple[str, ...]] = {
    **{
        f"{kind}_{family.name}_{link}_glm": (*_GROUPED, f"grouped_{family.compiled}")
        for family in FAMILIES.values()
        for link in family.links
        for kind in ("grouped", "weighted")
        if family.compiled
    },
    "normal_crossproducts": ("lanes", "normal_crossproducts"),
    "marginal_normal_id_glm": _MARGINAL,
    "twice_marginal_normal_id_glm": (*_MARGINAL, "twice_marginal_normal_id_glm"),
}
HEADERS: Mapping[str, tuple[str, ...]] = {
    **LIKELIHOODS,
    "partly_centered": ("lanes", "partly_centered"),
    "partly_centered_correlated": ("lanes", "partly_centered"),
    "partly_centered_recentered": ("lanes", "partly_centered"),
    "multi_normal_rows": ("lanes", "partly_centered"),
}


@lru_cache(maxsize=1024)
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
    template = {"none": "no_pooling"}.get(
        structure.pooling, f"{structure.pooling}_pooling"
    )
    if structure.parameterization == "marginal":
        template = "partial_pooling_marginal"
    facts = facts_of(structure)
    facts |= {"forms": _Macros("parameterizations", facts)}
    facts |= {"kinds": _kinds(facts)}
    text = template_environment().get_template(f"{template}.stan.jinja").render
    needed = _functions(structure)
    functions = {name: _function(name) for name in needed}
    if structure.is_grouped_glm:
        functions |= _grouped_function(structure, facts)
    headers = [header for name in functions for header in HEADERS.get(name, ())]
    declared = [_declared(name, each) for name, each in functions.items()]
    return StanProgram(
        _program_name(template, structure),
        tidy(text(facts, functions="\n".join(functions.values()))),
        tidy(text(facts, functions="\n".join(declared))),
        _headers(*dict.fromkeys(headers)),
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
        f"residual_{structure.residual_correlation}"
        if structure.residual_correlation
        else "",
        "compressed" if structure.compressed else "",
        "crossproducts" if structure.crossproducts else "",
        "decoupled" if structure.decoupled else "",
        "standardized" if structure.standardized else "",
        structure.parameterization,
    ]
    for factor in structure.factors:
        marks = [
            "correlated" if factor.correlated else "",
            "membership" if factor.membership else "",
            "group_predictors" if factor.group_predictors else "",
            "integrated" if factor.integrated and len(structure.factors) > 1 else "",
            "recentered" if factor.recentered else "",
            "nested" if factor.within else "",
            {"matrix": "covariance"}.get(
                factor.known_covariance, factor.known_covariance
            ),
            "" if factor.population == NORMAL else factor.population,
            "joint" if factor.joint else "",
        ]
        described = "_".join(mark for mark in marks if mark)
        if len(structure.factors) > 1:
            described = described or "plain"
        parts.append(described)
    parts.append("smooths" if structure.smooths else "")
    parts.append("processes" if structure.processes else "")
    parts.append("monotonic" if structure.monotonic else "")
    parts += structure.special
    parts.append("sampled" if structure.samples_values else "")
    parts.append("means" if structure.means_of_values else "")
    parts.append("predicted" if structure.means_of_factors else "")
    for own in structure.parameters:
        parts.append(f"{own.parameter}_formula")
        parts.append("smooths" if own.smooths else "")
        parts.append("processes" if own.processes else "")
        parts.append("monotonic" if own.monotonic else "")
        for each in own.factors:
            name = "group" + "_correlated" * each.correlated
            parts.append(name + "_joint" * bool(each.joint))
        parts += [x.population for x in own.factors if x.population != NORMAL]
        parts.append("" if own.intercept else f"no_{own.parameter}_intercept")
    if structure.residual:
        parts.append(f"{structure.residual}_sigma")
    if structure.pooling == "none":
        parts.append("common_intercept" if structure.intercept else "")
    elif not (structure.intercept or structure.has_cutpoints):
        parts.append("no_intercept")
    return "_".join(part for part in parts if part)[:LONGEST_NAME]


def _functions(structure: Structure) -> list[str]:
    """Name the shared Stan functions that a program calls."""
    needed = []
    if structure.processes or any(own.processes for own in structure.parameters):
        needed.append("log_spectral_sd")
    if structure.monotonic or any(own.monotonic for own in structure.parameters):
        needed.append("departures")
    correlated = [factor.correlated for factor in structure.factors]
    if structure.parameterization in ("centered", "adaptive") and any(correlated):
        needed.append("multi_normal_rows")
    if structure.parameterization == "adaptive":
        recentered = [factor.recentered for factor in structure.factors]
        if not all(recentered):
            needed.append("partly_centered")
        if any(correlated):
            needed.append("partly_centered_correlated")
        if any(recentered):
            needed += ["cholesky_at_centers", "partly_centered_recentered"]
        if any(factor.within for factor in structure.factors):
            needed.append("of_outer_groups")
        if structure.on_ridge:
            needed.append("along_ridge")
    if structure.parameterization == "marginal":
        twice = any(factor.integrated == 2 for factor in structure.factors)
        needed.append("twice_" * twice + "marginal_normal_id_glm")
        numbers = range(1, len(structure.factors) + 1)
        if any(structure.is_signed(number) for number in numbers):
            needed.append("scale_from_root")
    if any(each.group_predictors and not each.integrated for each in structure.factors):
        needed.append("effects_of_U")
    of_formulas = [each for own in structure.parameters for each in own.factors]
    every = (*structure.factors, *of_formulas)
    if any(each.known_covariance == "ancestry" for each in every):
        needed.append("inherited")
    of_rho = {each.known_covariance for each in every} & {"ar1", "bym2", "car"}
    needed += sorted(of_rho)
    if any(each.place for each in every):
        needed.append("correlated_with")
        is_made_of_z = structure.parameterization == "noncentered"
        if not is_made_of_z and any(each.joint for each in structure.factors):
            needed.append("standardized")
    if any(each.population == "student_t" for each in every):
        needed.append("spherical_student_t")
    used = {each for _, distributions in structure.priors for each in distributions}
    if structure.residual_correlation:
        needed.append(f"residual_{structure.residual_correlation}")
        if structure.has_number("nu"):
            needed.append("wider_given_earlier")
    if "sqrt_inv_gamma" in used:
        needed.append("sqrt_inv_gamma")
    if "horseshoe" in used:
        needed.append("horseshoe")
    if "dirichlet" in used:
        needed.append(f"induced_dirichlet_{structure.link}")
    if structure.is_categorical and structure.factors:
        needed.insert(0, "category_means")
    family = FAMILIES[structure.family]
    if family.has_own_zeros:
        needed.append("rows_where_zero" + "_of_reals" * (not family.is_discrete))
    if family.outcome == "share":
        needed.append("rows_at_ends")
    if family.steps and structure.link in FAMILIES[family.steps].own_functions:
        needed.append(f"{family.steps}_{structure.link}")
    if structure.link in family.own_functions:
        by_row = "_by_row" * (structure.has_rows_of_numbers and not structure.weights)
        needed.append(f"{structure.family}_{structure.link}{by_row}")
    # Of counts Stan has no tails by the logarithm of the mean.
    has_own_tails = structure.truncated is not None and family.is_discrete
    if structure.censored or structure.truncated == "both" or has_own_tails:
        needed.append(f"{family.stan_distribution}_interval")
    if structure.crossproducts:
        needed.append("normal_crossproducts")
    if structure.is_grouped_glm:
        needed.append("u_positions")
        if any(factor.membership for factor in structure.factors):
            needed.append("membership_Z")
    return needed


def functions_in_cpp(program: StanProgram) -> list[str]:
    """Name the functions of a program that are C++ where it is compiled."""
    if not program.header:
        return []
    source = program.source
    return [name for name in HEADERS if re.search(rf" {name}(_l|\()", source)]


@public
def neals_funnel(
    parameterization: Literal["centered", "noncentered"] = "centered",
) -> StanProgram:
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
    template = template_environment().get_template("neals_funnel.stan.jinja")
    source = template.render(parameterization=parameterization)
    return StanProgram(f"neals_funnel_{parameterization}", tidy(source))


@lru_cache(maxsize=1)
def template_environment() -> Any:
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


class _Macros(dict[str, Any]):
    """The macros of each file of a folder, by the file's name, read when they are used.

    With facts of its own for a parameter that has a formula: the macros of a term of
    ``sigma`` are those of ``"group of sigma"``.
    """

    def __init__(self, folder: str, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.folder = folder
        self.facts = {"": facts}

    def __missing__(self, key: str) -> Any:
        name, _, own = key.partition(" of ")
        path = f"{self.folder}/{name}.stan.jinja"
        template = template_environment().get_template(path)
        self[key] = template.make_module(self.facts[own])
        return self[key]


def _kinds(facts: Mapping[str, Any]) -> _Macros:
    """Return the macros of each kind of term, of the mean and of other parameters."""
    kinds = _Macros("terms", facts)
    for own in facts["formulas"]:
        of_own = {**facts, **own.changed}
        of_own["forms"] = _Macros("parameterizations", of_own)
        kinds.facts[own.name] = of_own
    return kinds


@lru_cache
def _function(name: str) -> str:
    """Read a shared Stan function."""
    path = shipped_folder("stan_templates") / "functions" / f"{name}.stanfunctions"
    return path.read_text("utf-8").rstrip("\n")


def _grouped_function(structure: Structure, facts: Mapping[str, Any]) -> dict[str, str]:
    """Render the likelihood of all rows and groups in Stan, by its name."""
    template = template_environment().get_template("grouped_glm.stan.jinja")
    return {grouped_glm(structure): template.render(facts).rstrip("\n")}


def _declared(name: str, function: str) -> str:
    """Return a Stan function; where C++ has it, its comment and signature."""
    return f"{function.partition(' {')[0]};" if name in HEADERS else function


@lru_cache
def _headers(*names: str) -> str:
    """Read functions in C++, one text for all programs that have the same ones."""
    return "\n".join(map(_header, names))


def _header(name: str) -> str:
    """Read functions in C++, which may be met twice where programs share a file."""
    path = shipped_folder("stan_templates") / "cpp" / f"{name}.hpp"
    guard = f"STANPOOL_{name.upper()}_HPP"
    text = path.read_text("utf-8")
    return f"#ifndef {guard}\n#define {guard}\n{text}#endif\n"
