"""Specification to Stan program, through the Jinja templates.

Structure is rendered; numbers are data. Equal structures give equal text: no dates,
versions, user names or numbers of the data are in the source that is hashed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from stanpool.arguments import public
from stanpool.design import Design
from stanpool.errors import check_choice
from stanpool.origins import matrix_to_zero
from stanpool.priors import PriorRow, class_of, correlated_factors
from stanpool.resources import resource
from stanpool.spec import DISTRIBUTIONS, FAMILIES, ModelSpec

_LINE_WIDTH = 78


@dataclass(frozen=True)
class StanProgram:
    """A Stan program: a name for people, and its source.

    Attributes
    ----------
    name
        What files are called.
    source
        The program, complete in itself.
    compiled
        The same with some functions declared only: what is compiled, with ``header``.
    header
        These functions in C++, with analytic gradients; empty if there are none.
    """

    name: str
    source: str
    compiled: str = field(default="", compare=False, repr=False)
    header: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the source where nothing else is given."""
        object.__setattr__(self, "compiled", self.compiled or self.source)

    @property
    def digest(self) -> str:
        """SHA-256 of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()


@dataclass(frozen=True)
class FactorStructure:
    """What of a grouping factor decides a program's text.

    Attributes
    ----------
    correlated
        Whether its varying coefficients have a correlation matrix.
    membership
        Whether a row is a member of several groups.
    group_predictors
        Whether group-level predictors move the means of the groups' coefficients.
    integrated
        Whether its coefficients are integrated out: 1 if first, 2 if after these.
    moved
        Whether coefficients are sampled where predictors are at their origins, and
        drawn independently where predictors are 0.
    """

    correlated: bool = False
    membership: bool = False
    group_predictors: bool = False
    integrated: int = 0
    moved: bool = False


@dataclass(frozen=True)
class Structure:
    """All that decides a program's text.

    Attributes
    ----------
    pooling
        ``"complete"``, ``"none"`` or ``"partial"``: which template.
    family, link
        The name of a family file, and the link.
    intercept
        Whether there is a population intercept.
    parameterization
        ``"centered"``, ``"noncentered"``, ``"adaptive"`` or ``"marginal"``; None
        unless pooling is partial.
    factors
        The grouping factors.
    latent
        Whether there are latent factors.
    residual
        ``"free"`` or ``"pooled"`` where groups have residual scales of their own.
    se
        ``"known"`` standard errors, or ``"added"`` to a residual scale.
    offset, weights, censored
        Whether the outcome has these parts.
    truncated
        ``"lower"``, ``"upper"`` or ``"both"``: where outcomes are truncated.
    compressed
        Whether the rows are turned into fewer; those of the marginal form always are.
    piloted
        Whether coefficients and the residual scale are in units of their errors.
    priors
        For each parameter class the distributions in use, such as
        ``(("beta", ("normal",)), ...)``.
    """

    pooling: str
    family: str
    link: str
    intercept: bool
    parameterization: str | None = None
    factors: tuple[FactorStructure, ...] = ()
    latent: bool = False
    residual: str | None = None
    se: str | None = None
    offset: bool = False
    weights: bool = False
    censored: bool = False
    truncated: str | None = None
    compressed: bool = False
    piloted: bool = False
    priors: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def is_categorical(self) -> bool:
        """Whether each category but one has a linear predictor of its own."""
        return FAMILIES[self.family].outcome == "categories"

    @property
    def integrated(self) -> tuple[int, ...]:
        """Which factors are integrated out, counted from 0, in this order."""
        order = {each.integrated: n for n, each in enumerate(self.factors)}
        return tuple(order[place] for place in sorted(order.keys() - {0}))

    def is_signed(self, number: int) -> bool:
        """Whether a factor's scales are sampled by roots with signs, counted from 1."""
        name = f"tau{suffix_of(number)}"
        return self.factors[number - 1].integrated > 0 and _OPEN_AT_ZERO.issuperset(
            dict(self.priors)[name]
        )

    @property
    def has_cutpoints(self) -> bool:
        """Whether cutpoints are in the place of an intercept."""
        return "cutpoint" in FAMILIES[self.family].parameters

    @property
    def is_grouped_glm(self) -> bool:
        """Whether a ``grouped_..._glm`` is the likelihood of all rows and groups."""
        parts = self.censored, self.truncated, self.latent, self.residual, self.se
        able = _WEIGHTED_GLMS if self.weights else _GROUPED_GLMS
        return (
            bool(self.factors)
            and (self.family, self.link) in able
            and not any(parts)
            and not any(factor.membership for factor in self.factors)
        )

    @property
    def chooses_center(self) -> bool:
        """Whether factors may be centered about a mean that belongs to another."""
        several = len(self.factors) > 1
        return self.parameterization == "adaptive" and self.intercept and several


@dataclass(frozen=True)
class _Argument:
    """A number (or vector of numbers) of a prior, as Stan data."""

    name: str
    type: str


@dataclass(frozen=True)
class _Use:
    """One distribution on a parameter class, or on some of its members."""

    distribution: str
    arguments: tuple[_Argument, ...]
    count: str | None = None
    at: str | None = None

    @property
    def index(self) -> str:
        return f"[{self.at}]" if self.at else ""

    @property
    def call(self) -> str:
        return ", ".join(argument.name for argument in self.arguments)

    def call_at(self, index: str) -> str:
        return ", ".join(f"{argument.name}[{index}]" for argument in self.arguments)


@dataclass(frozen=True)
class _PriorBlock:
    """How a parameter class stands in a program.

    ``bounds`` are those it is declared with; where they are data, ``bounds_type`` is
    their type.
    """

    name: str
    variable: str
    size: str | None
    uses: tuple[_Use, ...]
    bounds: str = ""
    bounds_type: str | None = None


_VARIABLES: Mapping[str, tuple[str, str | None]] = {
    "Intercept": ("alpha_c", None),
    "beta": ("beta", "K"),
    "b": ("b_c", "Q"),
    "tau": ("tau", "Q"),
    "Omega": ("L_Omega", None),
    "loading_scale": ("loading_scale", None),
    "sigma": ("sigma", None),
    "tau_sigma": ("tau_sigma", None),
    "nu": ("nu", None),
    "shape": ("shape", None),
    "phi": ("phi", None),
    "cutpoint": ("cutpoint_c", "C - 1"),
}
# Where there is a linear predictor for each of C - 1 categories.
_CATEGORICAL_VARIABLES: Mapping[str, tuple[str, str | None]] = {
    "Intercept": ("alpha_c", "C - 1"),
    "beta": ("to_vector(beta)", "K * (C - 1)"),
    "b": ("b_c", "Q * (C - 1)"),
    "tau": ("tau", "Q * (C - 1)"),
}
_INVERSE_LINKS = {
    "identity": "",
    "log": "exp",
    "logit": "inv_logit",
    "probit": "Phi",
    "cloglog": "inv_cloglog",
}
# Priors that let a scale be 0, where the likelihood is smooth in its square.
_OPEN_AT_ZERO = {"normal", "student_t", "cauchy", "exponential"}
# Stan has no such distributions, or none that is exact in the tails.
_OWN_DISTRIBUTIONS = ("bernoulli", "binomial")
_STAN_DISTRIBUTIONS = {"gaussian": "normal"}
# Families and links whose rows have a likelihood in C++, with weights or not.
_WEIGHTED_GLMS = {("bernoulli", "logit"), ("binomial", "logit"), ("poisson", "log")}
_GROUPED_GLMS = _WEIGHTED_GLMS | {
    *(("negative_binomial", "log"), ("gamma", "log")),
    *(("student_t", "identity"), ("lognormal", "identity")),
}
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
# Forms whose parameters are groups' coefficients, which the data say much of.
_SAMPLED_AT_ORIGINS = ("centered", "adaptive")
# Constant where their parameter is declared.
UNSTATED = ("uniform", "flat")
_STAN_NAMES = {"lkj": "lkj_corr_cholesky", "dirichlet": "induced_dirichlet"}


def structure_of(
    spec: ModelSpec,
    design: Design,
    priors: Iterable[PriorRow],
    parameterization: str | None,
    *,
    integrated: Sequence[int] = (),
    compressed: bool = False,
    many_rows: bool = False,
) -> Structure:
    """Reduce a model to what decides its program's text.

    Parameters
    ----------
    spec, design, priors
        The model, its data and the priors in force.
    parameterization
        ``"centered"``, ``"noncentered"``, ``"adaptive"`` or ``"marginal"`` for partial
        pooling, else None.
    integrated
        Which factors the marginal program integrates out, counted from 0.
    compressed
        Whether the rows are turned into fewer.
    many_rows
        Whether rows of the marginal program are so many that they leave little to
        learn of what they all have in common.
    """
    uses: dict[str, tuple[str, ...]] = {"beta": ()}
    for row in priors:
        seen = uses.get(row.parameter_class, ())
        uses[row.parameter_class] = tuple(
            dict.fromkeys((*seen, row.prior.canonical.distribution))
        )
    ordered = tuple(
        (name, tuple(d for d in DISTRIBUTIONS if d in uses[name]) or ("normal",))
        for name in sorted(uses, key=_block_order)
    )
    pooled = "pooled" if spec.pooling == "partial" else "free"
    order = {number: place for place, number in enumerate(integrated, 1)}
    return Structure(
        pooling=spec.pooling,
        family=spec.family,
        link=spec.link_name,
        intercept=design.intercept,
        parameterization=parameterization,
        factors=tuple(
            FactorStructure(
                correlated=correlated,
                membership=factor.weights is not None,
                group_predictors=factor.U is not None,
                integrated=order.get(number, 0),
                moved=parameterization in _SAMPLED_AT_ORIGINS
                and matrix_to_zero(factor, dict(design.origins)) is not None,
            )
            for number, (factor, correlated) in enumerate(
                zip(design.factors, correlated_factors(spec, design), strict=True)
            )
        ),
        latent=design.latent is not None,
        residual=pooled if design.residual is not None else None,
        se=None if spec.se is None else "added" if spec.se_sigma else "known",
        offset=design.offset is not None,
        weights=design.weights is not None,
        censored=design.censored is not None,
        truncated=_truncated(design),
        compressed=compressed,
        piloted=many_rows
        and design.residual is None
        and spec.se is None
        and not any(is_bounded(dict(ordered).get(x, ())) for x in ("beta", "sigma")),
        priors=ordered,
    )


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


def _truncated(design: Design) -> str | None:
    """Say where outcomes are truncated."""
    if design.lower is not None and design.upper is not None:
        return "both"
    if design.lower is not None:
        return "lower"
    return "upper" if design.upper is not None else None


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


def suffix_of(number: int) -> str:
    """Return how names of a factor end, counted from 1."""
    return f"_{number}" if number > 1 else ""


def variable_of(name: str, structure: Structure) -> tuple[str, str | None]:
    """Return the Stan variable of a parameter class, and its size."""
    base, _ = _base_and_number(name)
    if structure.is_categorical and base in _CATEGORICAL_VARIABLES:
        return _CATEGORICAL_VARIABLES[base]
    return _VARIABLES[base]


def _block_order(name: str) -> tuple[int, str]:
    """Order blocks of priors as the program declares their parameters."""
    base, number = _base_and_number(name)
    return list(_VARIABLES).index(base), number.rjust(9)


def _base_and_number(name: str) -> tuple[str, str]:
    """Split ``tau_2`` into ``tau`` and ``_2``."""
    match = re.fullmatch(r"(\w+?)(_\d+)?", name)
    assert match is not None
    return match.group(1), match.group(2) or ""


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


def _prior_block(
    name: str, distributions: tuple[str, ...], structure: Structure
) -> _PriorBlock:
    """Lay out the data and the statement of a parameter class's priors."""
    base, number = _base_and_number(name)
    variable, size = variable_of(name, structure)
    variable = f"{variable}{number}"
    if size is not None and number:
        size = size.replace("Q", f"Q{number}")
    if base == "sigma" and structure.residual == "free":
        variable = "sigma_j"
    uses = []
    for distribution in distributions:
        if distribution in UNSTATED:
            continue
        split = len(distributions) > 1
        stem = f"{name}_{distribution}" if split else name
        length = f"n_{stem}" if split else size
        if distribution == "dirichlet":
            length = None  # one number for all cutpoints
        known = DISTRIBUTIONS[distribution]
        arguments = tuple(
            _Argument(
                f"prior_{stem}_{argument}",
                ("vector" if length else "real")
                + ("<lower=0>" if argument in known.positive_arguments else "")
                + (f"[{length}]" if length else ""),
            )
            for argument in known.arguments
        )
        uses.append(
            _Use(
                _STAN_NAMES.get(distribution, distribution),
                arguments,
                count=f"n_{stem}" if split else None,
                at=f"at_{stem}" if split else None,
            )
        )
    return _PriorBlock(
        name,
        variable,
        size,
        tuple(uses),
        bounds=_declared_bounds(name, distributions),
        bounds_type=_bounds_type(name, size) if is_bounded(distributions) else None,
    )


def is_bounded(distributions: tuple[str, ...]) -> bool:
    """Whether some members of a class are declared between bounds that are data."""
    return any(DISTRIBUTIONS[each].support == "bounded" for each in distributions)


def _bounds_type(name: str, size: str | None) -> str:
    """Return the type of the bounds of a class: as many as it has members."""
    if size is None:
        return "real"
    return f"matrix[J, {size}]" if name == "b" else f"vector[{size}]"


def _declared_bounds(name: str, distributions: tuple[str, ...]) -> str:
    """Write the bounds with which a class of parameters is declared."""
    if is_bounded(distributions):
        return f"<lower=lower_{name}, upper=upper_{name}>"
    known = class_of(name)
    if known.support != "positive":
        return ""
    return f"<lower={known.lower or 0:g}>"


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Return Jinja with the white space done by the environment, not the author."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("stan_templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _function(name: str) -> str:
    """Read a shared Stan function."""
    path = resource("stan_templates") / "functions" / f"{name}.stanfunctions"
    return path.read_text().rstrip("\n")


def _declaration(name: str) -> str:
    """Read a shared Stan function; where C++ has it, its comment and signature."""
    text = _function(name)
    return f"{text.partition(' {')[0]};" if name in HEADERS else text


def _header(name: str) -> str:
    """Read functions in C++, which may be met twice where programs share a file."""
    path = resource("stan_templates") / "functions" / f"{name}.hpp"
    guard = f"STANPOOL_{name.upper()}_HPP"
    text = path.read_text("utf-8")
    return f"#ifndef {guard}\n#define {guard}\n{text}#endif\n"


def _tidy(source: str) -> str:
    """Drop the blank lines that empty macros leave, and break long statements."""
    lines = [line.rstrip() for line in source.splitlines()]
    return "\n".join(_wrap(line) for line in lines if line) + "\n"


def _wrap(line: str) -> str:
    """Break a statement that is too long as stanc does: fill the lines.

    A product is broken before its sign, a call between its arguments; a line that
    ends in a comma is shorter by one.
    """
    if len(line) <= _LINE_WIDTH or not line.endswith(");"):
        return line
    lines = []
    if "target += " in line and "weights[n] * " in line:
        indent = line.index("target += ") + len("target += ")
        head, line = line.split(" * ", 1)
        line = f"{' ' * indent}* {line}"
        lines.append(head)
    call = _outermost_call(line)
    if len(line) <= _LINE_WIDTH or call is None:
        return "\n".join([*lines, line])
    # "y | " belongs to the first argument
    head, *rest = _arguments(line[call:])
    filled = [line[:call] + head]
    for argument in rest:
        if len(filled[-1]) + len(argument) < _LINE_WIDTH - argument.endswith(","):
            filled[-1] += f" {argument}"
        else:
            filled.append(" " * call + argument)
    return "\n".join(lines + filled)


def _outermost_call(line: str) -> int | None:
    """Return where the arguments of the call start that ends a statement."""
    depth = 0
    for position in range(len(line) - 2, -1, -1):
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(line[position], 0)
        if depth == 0:
            return position + 1
    return None


def _arguments(text: str) -> list[str]:
    """Split at the commas outside brackets; each piece keeps its comma."""
    pieces, start, depth = [], 0, 0
    for position, char in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            pieces.append(text[start : position + 1])
            start = position + 2
    return [*pieces, text[start:]]
