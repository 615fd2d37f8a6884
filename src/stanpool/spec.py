"""The model, stated without data: families, priors, group terms, the specification.

Standard library only. Everything here is a frozen value; changing a model is
``dataclasses.replace``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from stanpool.errors import SpecError, listed, shorten, suggestion

POOLINGS = ("complete", "none", "partial")
PARAMETERIZATIONS = ("auto", "centered", "noncentered")


@dataclass(frozen=True)
class Distribution:
    """A distribution that priors may use: arguments in Stan's order, and support."""

    name: str
    arguments: tuple[str, ...]
    support: str

    @property
    def positive_arguments(self) -> tuple[str, ...]:
        """The arguments that must be positive: all but locations."""
        return tuple(name for name in self.arguments if name != "location")


DISTRIBUTIONS: Mapping[str, Distribution] = {
    each.name: each
    for each in (
        Distribution("normal", ("location", "scale"), "real"),
        Distribution("student_t", ("df", "location", "scale"), "real"),
        Distribution("cauchy", ("location", "scale"), "real"),
        Distribution("exponential", ("rate",), "positive"),
        Distribution("gamma", ("shape", "rate"), "positive"),
        Distribution("inv_gamma", ("shape", "scale"), "positive"),
        Distribution("lognormal", ("location", "scale"), "positive"),
        Distribution("lkj", ("shape",), "correlation"),
    )
}

_PRIOR = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*")


@dataclass(frozen=True)
class Prior:
    """A prior distribution with numbers for its arguments, in Stan's order.

    Parameters
    ----------
    distribution
        One of ``normal(location, scale)``, ``student_t(df, location, scale)``,
        ``cauchy(location, scale)``, ``exponential(rate)``, ``gamma(shape, rate)``,
        ``inv_gamma(shape, scale)``, ``lognormal(location, scale)``, ``lkj(shape)``.
        On a positive parameter the first three are their half forms.
    arguments
        The numbers.

    Raises
    ------
    SpecError
        For an unknown distribution, a wrong count of arguments, or a scale, rate,
        shape or df that is not positive and finite.

    Examples
    --------
    >>> Prior("normal", (0, 2.5))
    Prior('normal(0, 2.5)')
    >>> Prior.parse("exponential(1)").arguments
    (1.0,)
    """

    distribution: str
    arguments: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the name and the numbers."""
        if str(self.distribution) not in DISTRIBUTIONS:
            raise SpecError(
                f"unknown prior distribution {shorten(self.distribution)}; known are "
                f"{', '.join(DISTRIBUTIONS)}."
                + suggestion(str(self.distribution), DISTRIBUTIONS)
            )
        known = DISTRIBUTIONS[self.distribution]
        usage = f"{known.name}({', '.join(known.arguments)})"
        try:
            numbers = tuple(float(value) for value in self.arguments)
        except (TypeError, ValueError):
            raise SpecError(
                f"the arguments of a prior are numbers, got "
                f"{shorten(self.arguments)}; write {usage}."
            ) from None
        object.__setattr__(self, "arguments", numbers)
        if len(numbers) != len(known.arguments):
            raise SpecError(
                f"prior {self}: {known.name} takes {len(known.arguments)} "
                f"argument(s), got {len(numbers)}; write {usage}."
            )
        for name, value in zip(known.arguments, numbers, strict=True):
            if not math.isfinite(value):
                raise SpecError(
                    f"prior {self}: its {name} must be finite; write {usage}."
                )
            if name in known.positive_arguments and value <= 0:
                raise SpecError(
                    f"prior {self}: its {name} must be positive, got {value:g}; "
                    f"write {usage}."
                )

    def __str__(self) -> str:
        """Return the text that ``parse`` reads."""
        numbers = ", ".join(repr(value).removesuffix(".0") for value in self.arguments)
        return f"{self.distribution}({numbers})"

    def __repr__(self) -> str:
        """Return a short, readable form."""
        return f"Prior({str(self)!r})"

    @property
    def named_arguments(self) -> dict[str, float]:
        """The arguments by name, such as ``{"location": 0.0, "scale": 2.5}``."""
        names = DISTRIBUTIONS[self.distribution].arguments
        return dict(zip(names, self.arguments, strict=True))

    @property
    def support(self) -> str:
        """Where it lives: ``"real"``, ``"positive"`` or ``"correlation"``."""
        return DISTRIBUTIONS[self.distribution].support

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read ``"normal(0, 2.5)"``.

        Raises
        ------
        SpecError
            If the text is not a distribution with numbers in parentheses.
        """
        match = _PRIOR.fullmatch(text)
        if match is None:
            raise SpecError(
                f"cannot read the prior {shorten(text)}; write a distribution with "
                "numbers, such as 'normal(0, 2.5)' or 'exponential(1)'."
            )
        name, inside = match.groups()
        pieces = (
            [piece.strip() for piece in inside.split(",")] if inside.strip() else []
        )
        return cls(name, tuple(pieces))  # type: ignore[arg-type]


@dataclass(frozen=True)
class ParameterClass:
    """A class of parameters that priors are set on.

    Attributes
    ----------
    name
        Its name in the posterior and in ``priors=``.
    support
        What a prior on it must cover: ``"real"``, ``"positive"``, ``"correlation"``.
    indexed
        What its members are: ``"coefficient"`` (of the population), ``"varying"``
        (of a group), or None for a single number or matrix.
    """

    name: str
    support: str
    indexed: str | None = None


PARAMETER_CLASSES: Mapping[str, ParameterClass] = {
    each.name: each
    for each in (
        ParameterClass("Intercept", "real"),
        ParameterClass("beta", "real", "coefficient"),
        ParameterClass("b", "real", "varying"),
        ParameterClass("tau", "positive", "varying"),
        ParameterClass("Omega", "correlation"),
        ParameterClass("sigma", "positive"),
        ParameterClass("tau_sigma", "positive"),
    )
}


@dataclass(frozen=True)
class Family:
    """How an outcome arises from the linear predictor ``eta``.

    Attributes
    ----------
    name
        As users write it.
    links
        Its links, the default first.
    outcome
        What values the outcome takes: ``"real"``, ``"binary"`` or ``"count"``.
    parameters
        The classes of its parameters besides the linear predictor, such as ``sigma``.
    needs_trials
        Whether the outcome is a count out of a known number of trials.
    """

    name: str
    links: tuple[str, ...]
    outcome: str
    parameters: tuple[str, ...] = ()
    needs_trials: bool = False

    @property
    def link(self) -> str:
        """The default link."""
        return self.links[0]


FAMILIES: Mapping[str, Family] = {
    each.name: each
    for each in (
        Family("gaussian", ("identity",), "real", ("sigma",)),
        Family("bernoulli", ("logit",), "binary"),
        Family("binomial", ("logit",), "count", needs_trials=True),
        Family("poisson", ("log",), "count"),
    )
}


@dataclass(frozen=True)
class GroupTerm:
    """Coefficients that vary over the groups of one factor: ``(1 + x | g)``.

    Attributes
    ----------
    factor
        The factor's name: a column, or ``school:classroom`` for combinations.
    intercept
        Whether the intercept varies.
    terms
        The other varying terms, in formula notation.
    correlated
        True for ``|``, False for ``||``.
    columns
        The columns whose combinations are the groups; empty for ``(factor,)``.
    membership
        Empty when a row belongs to one group; ``"labels"`` for ``mm(g1, g2)``, where
        each column names one group that the row belongs to; ``"matrix"`` for
        ``members(a, b, c)``, where each column is a group and holds 0 or 1, or a
        weight.
    weights
        For ``"labels"``: the columns of the memberships' weights; empty for ones.

    Examples
    --------
    >>> GroupTerm("county").key
    ('county',)
    """

    factor: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    correlated: bool = True
    columns: tuple[str, ...] = ()
    membership: str = ""
    weights: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that say which group a row belongs to."""
        return self.columns or (self.factor,)


@dataclass(frozen=True)
class ModelSpec:
    """A hierarchical regression, stated without data.

    Attributes
    ----------
    outcome
        The left-hand side: a column or an expression of columns.
    intercept, terms
        The population part: whether it has an intercept, and its other terms in
        formula notation.
    groups
        The varying coefficients of each grouping factor, in the order written. When
        several factors vary a coefficient, its population mean belongs to the first
        and the others vary around zero.
    family
        A name in ``FAMILIES``.
    pooling
        ``"complete"``: one set of coefficients, group terms are dropped;
        ``"none"``: each group has its own, under fixed independent priors;
        ``"partial"``: the groups' coefficients are drawn from a population whose
        mean, scales and correlations are learned.
    parameterization
        ``"auto"``, ``"centered"`` or ``"noncentered"``; matters for partial pooling.
    trials, se
        The columns of the binomial's trials, and of known standard errors.
    residual
        The column of the groups that have residual scales of their own: free under
        no pooling, pooled on the log scale under partial pooling.
    group_predictors
        Predictors that must be constant within groups. Others that are constant are
        recognised from the data.
    priors
        What the user set, by the names of the posterior, sorted by name.
    center_predictors
        Whether the prior on the intercept refers to the predictors' means (True)
        or to zero (False).

    Raises
    ------
    SpecError
        If an option is not one of its choices or the options contradict each other.
    """

    outcome: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    groups: tuple[GroupTerm, ...] = ()
    family: str = "gaussian"
    pooling: str = "partial"
    parameterization: str = "auto"
    trials: str | None = None
    se: str | None = None
    residual: str | None = None
    group_predictors: tuple[str, ...] = ()
    priors: tuple[tuple[str, Prior], ...] = ()
    center_predictors: bool = True

    @property
    def group(self) -> GroupTerm | None:
        """The first group term, or None."""
        return self.groups[0] if self.groups else None

    def __post_init__(self) -> None:
        """Check each choice, and that the choices fit together."""
        _one_of("family", self.family, FAMILIES)
        _one_of("pooling", self.pooling, POOLINGS)
        _one_of("parameterization", self.parameterization, PARAMETERIZATIONS)
        family = FAMILIES[self.family]
        if self.pooling != "complete" and not self.groups:
            raise SpecError(
                f"pooling={self.pooling!r} needs groups, and the model has none. Add a "
                "group term such as (1 | county) to the formula, or pass "
                "pooling='complete'."
            )
        if family.needs_trials and self.trials is None:
            raise SpecError(
                f"family={family.name!r} needs the number of trials of each row. Write "
                "'successes | trials(n) ~ ...', or pass trials='n'."
            )
        if self.trials is not None and not family.needs_trials:
            raise SpecError(
                f"trials={shorten(self.trials)} goes with family='binomial', "
                f"not with {family.name!r}."
            )
        if self.se is not None and family.name != "gaussian":
            raise SpecError(
                f"se={shorten(self.se)}, known standard errors, go with "
                f"family='gaussian', not with {family.name!r}."
            )
        if self.pooling == "none" and len(self.groups) > 1:
            raise SpecError(
                "pooling='none' is for one grouping factor, the model has "
                f"{listed(group.factor for group in self.groups)}: coefficients of "
                "crossed or nested groups cannot be told apart without pooling. Keep "
                "one group term, or pass pooling='partial'."
            )
        if self.residual is not None and (
            "sigma" not in family.parameters or self.se is not None
        ):
            raise SpecError(
                f"residual={shorten(self.residual)} needs a residual scale to learn, "
                f"which family={family.name!r}"
                + (" with se" if self.se else "")
                + " does not have."
            )
        names = [group.factor for group in self.groups]
        if len(set(names)) < len(names):
            raise SpecError(f"the grouping factors {listed(names)} are not distinct.")
        groups = self.groups and self.pooling != "complete"
        if not (self.intercept or self.terms or groups):
            raise SpecError(
                f"with pooling={self.pooling!r} the model has nothing to estimate: no "
                "intercept, no predictor and no group term. Write at least 'y ~ 1'."
            )


def _one_of(
    option: str, given: object, known: Mapping[str, object] | tuple[str, ...]
) -> None:
    """Refuse a choice that is not known, with the nearest one that is."""
    if not isinstance(given, str) or given not in known:
        raise SpecError(
            f"{option}={shorten(given)} is not one of {listed(known, limit=20)}."
            + suggestion(str(given), known)
        )


def as_priors(
    priors: Mapping[str, str | Prior] | None,
) -> tuple[tuple[str, Prior], ...]:
    """Turn what a user passes as ``priors=`` into sorted ``(name, Prior)`` pairs.

    Examples
    --------
    >>> as_priors({"tau": "exponential(1)", "Intercept": Prior("normal", (0, 1))})
    (('Intercept', Prior('normal(0, 1)')), ('tau', Prior('exponential(1)')))
    """
    if priors is None:
        return ()
    if not isinstance(priors, Mapping):
        raise SpecError(
            f"priors={shorten(priors)} is not a mapping; write "
            "priors={'Intercept': 'normal(0, 10)'}."
        )
    read: dict[str, Prior] = {}
    for name, prior in priors.items():
        if isinstance(prior, str):
            prior = Prior.parse(prior)
        if not (isinstance(name, str) and isinstance(prior, Prior)):
            raise SpecError(
                f"priors has {shorten(name)}: {shorten(prior)}; a name of the "
                "posterior goes with a text such as 'normal(0, 1)' or a Prior."
            )
        read[name] = prior
    return tuple(sorted(read.items()))
