"""What decides the text of a program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stanpool.base.options import Parameterization
from stanpool.data.design.centers import uncentering_matrix
from stanpool.data.design.design import Design, FactorDesign, ParameterDesign
from stanpool.data.design.nesting import factors_within, outer_first
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import NORMAL, ModelSpec
from stanpool.language.prior import DISTRIBUTIONS
from stanpool.model.priors.defaults import correlated_factors
from stanpool.model.priors.in_force import PriorRow, class_of


@dataclass(frozen=True)
class FactorStructure:
    """What decides the program's text about a grouping factor.

    Attributes
    ----------
    correlated
        Whether its varying coefficients have a correlation matrix.
    membership
        Whether a row is a member of several groups.
    group_predictors
        Whether group-level predictors move the means of the groups' coefficients.
    integrated
        Whether its coefficients are integrated out: 1 for the first factor, 2 for the
        second, 0 for a factor that is sampled.
    recentered
        Whether coefficients are sampled with predictors centered, although their
        deviations are uncorrelated where predictors are 0.
    within
        The factors, counted from 0, in whose groups its groups lie, and at whose
        coefficients its own are centered in the adaptive form.
    known_covariance
        ``"matrix"`` or ``"ancestry"`` where there is a known covariance between the
        groups, by the kind of its root; else empty. Their coefficients are noncentered
        in programs of any form.
    population
        The distribution of the coefficients about their means. If it is not normal,
        they are noncentered in programs of any form, too.
    joint
        How the names of those factors end, of several parameters, whose coefficients
        are correlated with its own; they include its own. Empty where there are none.
    place
        Which of these it is, counted from 0. The first has all correlations.
    """

    correlated: bool = False
    membership: bool = False
    group_predictors: bool = False
    integrated: int = 0
    recentered: bool = False
    within: tuple[int, ...] = ()
    known_covariance: str = ""
    population: str = NORMAL
    joint: tuple[str, ...] = ()
    place: int = 0

    @property
    def has_Omega(self) -> bool:
        """Whether it has a correlation matrix."""
        return (self.correlated or bool(self.joint)) and not self.place

    @property
    def has_forms(self) -> bool:
        """Whether coefficients may be centered; else they are noncentered."""
        return not self.known_covariance and self.population == NORMAL


@dataclass(frozen=True)
class ParameterStructure:
    """What decides the program's text about a parameter with a formula.

    Attributes
    ----------
    parameter, link
        Its name, and the link to its linear predictor.
    intercept
        Whether there is a population intercept.
    factors
        The grouping factors over which its coefficients vary; they are noncentered.
    smooths, processes, monotonic
        Whether it has smooths, whether some are Gaussian processes, and whether there
        are monotonic effects.
    """

    parameter: str
    link: str
    intercept: bool
    factors: tuple[FactorStructure, ...] = ()
    smooths: bool = False
    processes: bool = False
    monotonic: bool = False

    @property
    def has_free(self) -> bool:
        """Whether only some coefficients are sampled themselves."""
        return self.smooths or self.monotonic


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
    smooths, processes, monotonic
        Whether the mean has smooths, whether some are Gaussian processes, and whether
        there are monotonic effects.
    special
        The kinds of other terms, as of ``SpecialTerm``.
    integrates_values
        Whether values of predictors that are not known are integrated out.
    means_of_values
        Whether there are predictors of their means.
    means_of_factors
        Whether there are predictors of scores or loadings on latent factors.
    parameters
        The family's parameters that have formulas.
    residual
        ``"free"`` or ``"pooled"`` where groups have residual scales of their own.
    residual_correlation
        How residuals are correlated within subjects, if they are.
    se
        ``"known"`` standard errors, or ``"added"`` to a residual scale.
    offset, weights, censored
        Whether the outcome has these parts.
    truncated
        ``"lower"``, ``"upper"`` or ``"both"``: where outcomes are truncated.
    compressed
        Whether the rows are reduced to fewer; those of the marginal form always are.
    crossproducts
        Whether crossproducts of the columns take the place of the rows.
    decoupled
        Whether the population's coefficients are sampled apart from each other, and
        from crossed groups', by ``z_theta``.
    standardized
        Whether coefficients and the residual scale are declared with offsets and
        multipliers from estimates and their standard errors.
    priors
        For each parameter class the distributions in use, such as
        ``(("beta", ("normal",)), ...)``.
    bounded
        The parameter classes that are declared between bounds that are data.
    """

    pooling: str
    family: str
    link: str
    intercept: bool
    parameterization: Parameterization | None = None
    factors: tuple[FactorStructure, ...] = ()
    smooths: bool = False
    processes: bool = False
    monotonic: bool = False
    special: tuple[str, ...] = ()
    integrates_values: bool = False
    means_of_values: bool = False
    means_of_factors: bool = False
    parameters: tuple[ParameterStructure, ...] = ()
    residual: str | None = None
    residual_correlation: str = ""
    se: str | None = None
    offset: bool = False
    weights: bool = False
    censored: bool = False
    truncated: str | None = None
    compressed: bool = False
    crossproducts: bool = False
    decoupled: bool = False
    standardized: bool = False
    priors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    bounded: tuple[str, ...] = ()

    def fixes(self, name: str) -> bool:
        """Whether members of a parameter class are constants."""
        return "constant" in dict(self.priors).get(name, ())

    def restricts(self, *names: str) -> bool:
        """Whether members of parameter classes are constants, or have own bounds."""
        return any(name in self.bounded or self.fixes(name) for name in names)

    @property
    def shrinks(self) -> bool:
        """Whether the population's coefficients have a horseshoe prior."""
        return "horseshoe" in dict(self.priors).get("beta", ())

    @property
    def samples_values(self) -> bool:
        """Whether values of predictors that are not known are sampled."""
        return "uncertain" in self.special and not self.integrates_values

    @property
    def is_categorical(self) -> bool:
        """Whether each category but one has a linear predictor of its own."""
        return FAMILIES[self.family].is_categorical

    @property
    def integrated(self) -> tuple[int, ...]:
        """Which factors are integrated out, counted from 0, in this order."""
        order = {each.integrated: n for n, each in enumerate(self.factors)}
        return tuple(order[place] for place in sorted(order.keys() - {0}))

    @property
    def within(self) -> tuple[tuple[int, ...], ...]:
        """For each factor those that it is within, as in ``FactorStructure``."""
        return tuple(factor.within for factor in self.factors)

    @property
    def outer_first(self) -> list[int]:
        """All factors, counted from 0: each after those that it is within."""
        return outer_first(self.within)

    def factors_of(self, parameter: str) -> tuple[FactorStructure, ...]:
        """Return what of the factors of a parameter decides the text."""
        if parameter == "mean":
            return self.factors
        for own in self.parameters:
            if own.parameter == parameter:
                return own.factors
        return (FactorStructure(),) if self.residual else ()

    def has_free(self, parameter: str = "mean") -> bool:
        """Whether only some coefficients of a parameter are sampled themselves."""
        if parameter == "mean":
            return self.smooths or self.monotonic
        return any(x.has_free for x in self.parameters if x.parameter == parameter)

    @property
    def by_row(self) -> frozenset[str]:
        """The parameters that have a value for each row."""
        return frozenset(own.parameter for own in self.parameters)

    @property
    def has_rows_of_numbers(self) -> bool:
        """Whether a function of ours is told numbers of the family for each row."""
        is_own = self.link in FAMILIES[self.family].own_functions
        return is_own and not self.by_row <= {"sigma"}

    def has_log_unit(self, parameter: str) -> bool:
        """Whether a parameter with a formula is in the units of the outcome.

        Programs may see outcomes in other units than users.
        """
        family = FAMILIES[self.family]
        in_units = family.residuals == "outcome" and self.link == "identity"
        return parameter == "sigma" and parameter in self.by_row and in_units

    def has_number(self, parameter: str) -> bool:
        """Whether a parameter of the family is one number, or varies about one."""
        known = dict(self.priors)
        return parameter in known and not (
            parameter == "sigma" and self.residual == "free"
        )

    def is_signed(self, number: int) -> bool:
        """Whether a factor's scales are sampled by roots with signs, counted from 1."""
        name = f"tau{suffix_of(number)}"
        if not self.factors[number - 1].integrated or name in self.bounded:
            return False
        return _OPEN_AT_ZERO.issuperset(dict(self.priors)[name])

    @property
    def has_cutpoints(self) -> bool:
        """Whether cutpoints are in the place of an intercept."""
        return FAMILIES[self.family].has_cutpoints

    @property
    def has_ordered_cutpoints(self) -> bool:
        """Whether the cutpoints ascend."""
        return FAMILIES[self.family].has_ordered_cutpoints

    @property
    def is_grouped_glm(self) -> bool:
        """Whether a ``grouped_..._glm`` is the likelihood of all rows and groups."""
        parts: tuple[object, ...] = (self.censored, self.truncated, self.special)
        parts += (self.se, self.parameters, self.residual_correlation)
        is_marginal = self.parameterization == "marginal"
        has_fewer_rows = self.compressed or self.crossproducts or is_marginal
        return (
            bool(self.factors)
            and bool(FAMILIES[self.family].compiled)
            and not (has_fewer_rows or any(parts))
        )

    @property
    def has_slopes_of_z(self) -> bool:
        """Whether groups' coefficients are sampled apart from the population's."""
        return self.decoupled and self.crossproducts

    @property
    def chooses_center(self) -> bool:
        """Whether factors may be centered at a mean that belongs to another."""
        several = len(self.factors) > 1
        return self.parameterization == "adaptive" and self.intercept and several

    @property
    def on_ridge(self) -> tuple[int, ...]:
        """Which factors may form a ridge with the intercept, counted from 0.

        The intercept, or the cutpoints, are then not sampled themselves, so that they
        cannot be declared between bounds. For categories nothing is gained by it. Where
        groups are sampled apart from the population, they form no ridge with it.
        """
        if self.parameterization != "adaptive" or self.is_categorical:
            return ()
        if self.has_slopes_of_z or not (self.has_cutpoints or self.chooses_center):
            return ()
        name = "cutpoint" if self.has_cutpoints else "Intercept"
        if self.restricts(name):
            return ()
        nested = {x for own in self.factors for x in own.within}
        nested |= {n for n, own in enumerate(self.factors) if own.within}
        nested |= {n for n, own in enumerate(self.factors) if not own.has_forms}
        return tuple(n for n in range(len(self.factors)) if n not in nested)


_VARIABLES: Mapping[str, tuple[str, str | None]] = {
    "Intercept": ("alpha_c", None),
    "beta": ("beta", "K"),
    "tau_s": ("tau_s", "S"),
    "lengthscale": ("lengthscale", "L"),
    "steps": ("steps", "n_steps"),
    "b": ("b_c", "Q"),
    "tau": ("tau", "Q"),
    "Omega": ("L_Omega", None),
    "nu_u": ("nu_u", None),
    "rho_u": ("rho_u", None),
    "loading_scale": ("loading_scale", None),
    "factor_scale": ("factor_scale", "R"),
    "beta_factors": ("beta_factors", "R * K_factors"),
    "mean_x": ("mean_x", "U"),
    "sd_x": ("sd_x", "U"),
    "beta_x": ("beta_x", "K_x"),
    "sigma": ("sigma", None),
    "residual_rho": ("residual_rho", None),
}


def stan_variables() -> dict[str, tuple[str, str | None]]:
    """Return the Stan variable of each parameter class, and its size.

    In the order in which programs declare them.
    """
    of_families = {
        own.name: (own.stan_variable, own.size)
        for family in FAMILIES.values()
        for own in family.parameters
    }
    of_formulas: dict[str, tuple[str, str | None]] = {}
    for own in (name for name, (_, size) in of_families.items() if size is None):
        of_formulas |= {
            f"Intercept_{own}": (f"alpha_c_{own}", None),
            f"beta_{own}": (f"beta_{own}", f"K_{own}"),
            f"tau_s_{own}": (f"tau_s_{own}", f"S_{own}"),
            f"lengthscale_{own}": (f"lengthscale_{own}", f"L_{own}"),
            f"steps_{own}": (f"steps_{own}", f"n_steps_{own}"),
            f"tau_{own}": (f"tau_{own}", f"Q_{own}"),
            f"Omega_{own}": (f"L_Omega_{own}", None),
            f"nu_u_{own}": (f"nu_u_{own}", None),
            f"rho_u_{own}": (f"rho_u_{own}", None),
        }
    return {**_VARIABLES, **of_formulas, **of_families}


# Priors that let a scale be 0, where the likelihood is smooth in its square.
_OPEN_AT_ZERO = {"normal", "student_t", "cauchy", "exponential"}

# Forms whose parameters are groups' coefficients, at least in groups with much data.
_SAMPLED_CENTERED = ("centered", "adaptive")


def structure_of(
    spec: ModelSpec,
    design: Design,
    priors: Iterable[PriorRow],
    parameterization: Parameterization | None,
    *,
    integrated: Sequence[int] = (),
    compressed: bool = False,
    crossproducts: bool = False,
    decoupled: bool = False,
    many_rows: bool = False,
    within: Sequence[tuple[int, ...]] | None = None,
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
    compressed, crossproducts
        Whether the rows are reduced to fewer, or replaced by crossproducts.
    decoupled
        Whether the population's coefficients are to be sampled apart from the groups'
        in an adaptive program.
    many_rows
        Whether the marginal program has so many rows that shared parameters are known
        very precisely.
    within
        For each factor of an adaptive program those that it is within, where a model of
        more rows says so; else it is found in the data.
    """
    if parameterization != "adaptive":
        within = ((),) * len(design.factors)
    elif within is None:
        within = factors_within(design)
    priors = tuple(priors)
    uses: dict[str, tuple[str, ...]] = {"beta": ()}
    uses |= {f"beta_{own.parameter}": () for own in design.formulas}
    for row in priors:
        seen = uses.get(row.parameter_class, ())
        uses[row.parameter_class] = tuple(
            dict.fromkeys((*seen, row.prior.canonical.distribution))
        )
    ordered = tuple(
        (name, tuple(d for d in DISTRIBUTIONS if d in uses[name]) or ("normal",))
        for name in sorted(uses, key=_block_order)
    )
    bounded = {row.parameter_class for row in priors if row.prior.is_bounded}
    bounded -= {name for name in bounded if _ends_with_its_class(name, uses[name])}
    restricted = bounded | {
        name for name in uses if {"constant", "horseshoe"}.intersection(uses[name])
    }
    is_adaptive = parameterization == "adaptive"
    decoupled = (
        decoupled
        and (is_adaptive or parameterization == "marginal")
        and not FAMILIES[spec.family].is_categorical
        and not (any(within) or design.smooths)
        and (not crossproducts or all(factor.has_forms for factor in design.factors))
        and not restricted & {"Intercept", "beta"}
    )
    pooled = "pooled" if spec.pooling == "partial" else "free"
    order = {number: place for place, number in enumerate(integrated, 1)}
    structure = Structure(
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
                recentered=parameterization in _SAMPLED_CENTERED
                and factor.has_forms
                and uncentering_matrix(factor, dict(design.centers)) is not None,
                within=within[number],
                known_covariance=""
                if factor.root is None or number in order
                else factor.root.kind,
                population=factor.population,
                **_joint(factor),
            )
            for number, (factor, correlated) in enumerate(
                zip(design.factors, correlated_factors(spec, design), strict=True)
            )
        ),
        smooths=bool(design.mean.scaled),
        processes=bool(design.mean.processes),
        monotonic=bool(design.mean.monotonic),
        special=tuple(term.kind for term in design.special),
        integrates_values=spec.integrates_values,
        means_of_values=any(each.terms for each in spec.uncertain),
        means_of_factors=any(term.has_means for term in design.special),
        parameters=tuple(map(_structure_of_parameter, design.formulas)),
        residual=pooled if design.residual is not None else None,
        residual_correlation=design.residual_correlation.kind.name
        if design.residual_correlation is not None
        else "",
        se=None if spec.se is None else "added" if spec.se_sigma else "known",
        offset=design.offset is not None,
        weights=design.weights is not None,
        censored=design.censored is not None,
        truncated=_truncated(design),
        compressed=compressed,
        crossproducts=crossproducts,
        decoupled=decoupled,
        standardized=many_rows
        and design.residual is None
        and spec.se is None
        and not restricted & {"beta", "sigma"},
        priors=ordered,
        bounded=tuple(name for name, _ in ordered if name in bounded),
    )
    # The intercept is either part of theta, or made of what is off the ridges.
    is_off_ridges = structure.intercept and bool(structure.on_ridge)
    return replace(structure, decoupled=decoupled and not is_off_ridges)


def _joint(factor: FactorDesign) -> dict[str, Any]:
    """Return how the names of those end that share a factor's correlations."""
    if factor.joint is None:
        return {}
    parts = tuple(
        suffix_of(part.number + 1, part.parameter) for part in factor.joint.parts
    )
    return {"joint": parts, "place": factor.joint.place}


def _structure_of_parameter(own: ParameterDesign) -> ParameterStructure:
    """Reduce the linear predictor of a formula to what decides the text."""
    return ParameterStructure(
        own.parameter,
        own.link,
        own.intercept,
        tuple(
            FactorStructure(
                correlated=factor.is_correlated,
                membership=factor.weights is not None,
                known_covariance="" if factor.root is None else factor.root.kind,
                population=factor.population,
                **_joint(factor),
            )
            for factor in own.factors
        ),
        bool(own.scaled),
        bool(own.processes),
        bool(own.monotonic),
    )


def _truncated(design: Design) -> str | None:
    """Say where outcomes are truncated."""
    if design.lower is not None and design.upper is not None:
        return "both"
    if design.lower is not None:
        return "lower"
    return "upper" if design.upper is not None else None


def suffix_of(number: int, parameter: str = "mean") -> str:
    """Return how names of a factor end, counted from 1: ``"_2"``, or ``"_sigma"``."""
    own = "" if parameter == "mean" else f"_{parameter}"
    return own + (f"_{number}" if number > 1 else "")


def _block_order(name: str) -> tuple[int, str]:
    """Order blocks of priors as the program declares their parameters."""
    base, number = base_and_number(name)
    return list(stan_variables()).index(base), number.rjust(9)


def base_and_number(name: str) -> tuple[str, str]:
    """Split ``tau_2`` into ``tau`` and ``_2``."""
    match = re.fullmatch(r"(\w+?)(_\d+)?", name)
    assert match is not None
    return match.group(1), match.group(2) or ""


def _ends_with_its_class(name: str, distributions: tuple[str, ...]) -> bool:
    """Whether the priors of a class end where its parameters always do."""
    return class_of(name).support == "unit" and distributions == ("beta",)
