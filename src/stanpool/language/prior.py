"""Prior distributions, as text and as values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, suggestion
from stanpool.base.other_tools import advice_on_distribution
from stanpool.language.family import FAMILIES


@dataclass(frozen=True)
class Distribution:
    """A distribution that priors may use: arguments in Stan's order, and support.

    Attributes
    ----------
    name, arguments
        As users write them.
    support
        ``"real"``, ``"positive"``, ``"bounded"`` on both sides, ``"correlation"``,
        ``"simplex"``, the probabilities of an ordinal outcome's categories,
        ``"point"``, a single number, or ``"shrinkage"``, all coefficients of the
        population together.
    half_of
        The distribution about 0 that a half form is the positive half of.
    """

    name: str
    arguments: tuple[str, ...]
    support: str
    half_of: str | None = None

    @property
    def usage(self) -> str:
        """How it is written: ``normal(location, scale)``."""
        return f"{self.name}({', '.join(self.arguments)})"

    @property
    def positive_arguments(self) -> tuple[str, ...]:
        """The arguments that must be positive: all but locations and bounds."""
        anywhere = ("location", "lower", "upper", "value")
        return tuple(name for name in self.arguments if name not in anywhere)


DISTRIBUTIONS: Mapping[str, Distribution] = {
    each.name: each
    for each in (
        Distribution("normal", ("location", "scale"), "real"),
        Distribution("student_t", ("df", "location", "scale"), "real"),
        Distribution("cauchy", ("location", "scale"), "real"),
        Distribution("exponential", ("rate",), "positive"),
        Distribution("gamma", ("shape", "rate"), "positive"),
        Distribution("inv_gamma", ("shape", "scale"), "positive"),
        Distribution("sqrt_inv_gamma", ("shape", "scale"), "positive"),
        Distribution("lognormal", ("location", "scale"), "positive"),
        Distribution("half_normal", ("scale",), "positive", "normal"),
        Distribution("half_student_t", ("df", "scale"), "positive", "student_t"),
        Distribution("half_cauchy", ("scale",), "positive", "cauchy"),
        Distribution("uniform", ("lower", "upper"), "bounded"),
        Distribution("beta", ("a", "b"), "bounded"),
        Distribution("flat", (), "real"),
        Distribution("constant", ("value",), "point"),
        Distribution(
            "horseshoe", ("global_scale", "slab_df", "slab_scale"), "shrinkage"
        ),
        Distribution("lkj", ("shape",), "correlation"),
        Distribution("dirichlet", ("concentration",), "simplex"),
    )
}


_PRIOR = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*")


_FLAT = re.compile(r"\s*flat\s*")
_BOUND = re.compile(r"(lb|ub)\s*=\s*(.*)")


@public
@dataclass(frozen=True)
class Prior:
    """A prior distribution with numbers for its arguments, in Stan's order.

    Parameters
    ----------
    distribution
        One of ``normal(location, scale)``, ``student_t(df, location, scale)``,
        ``cauchy(location, scale)``, ``exponential(rate)``, ``gamma(shape, rate)``,
        ``inv_gamma(shape, scale)``, ``lognormal(location, scale)``,
        ``uniform(lower, upper)``, ``beta(a, b)``, ``half_normal(scale)``,
        ``half_student_t(df, scale)``, ``half_cauchy(scale)``, ``lkj(shape)``;
        ``sqrt_inv_gamma(shape, scale)``, whose square is ``inv_gamma``;
        ``dirichlet(concentration)``, on cutpoints: of the probabilities of an ordinal
        outcome's categories at the predictors' means; ``flat()``, which is improper;
        ``constant(value)``, which fixes a parameter at a number; and
        ``horseshoe(global_scale, slab_df, slab_scale)``, on all coefficients together.
        On a positive parameter the first three are their half forms.
    arguments
        The numbers.
    lb, ub
        Bounds at which the distribution is cut off, and its parameter with it; None
        where it goes on.

    Raises
    ------
    SpecError
        For an unknown distribution, a wrong number of arguments, a scale, rate, shape
        or df that is not positive and finite, or bounds with nothing between them.

    Examples
    --------
    >>> Prior("normal", (0, 2.5))
    Prior('normal(0, 2.5)')
    >>> Prior.parse("exponential(1)").arguments
    (1.0,)
    >>> Prior.parse("normal(0, 1, lb=0)").bounds
    (0.0, inf)
    """

    distribution: str
    arguments: tuple[float, ...]
    lb: float | None = None
    ub: float | None = None

    def __post_init__(self) -> None:
        """Check the name and the numbers."""
        given = self.distribution
        if not isinstance(given, str) or given not in DISTRIBUTIONS:
            usages = {name: each.usage for name, each in DISTRIBUTIONS.items()}
            name = given if isinstance(given, str) else type(given).__name__
            raise SpecError(
                f"unknown prior distribution {quote(given)}; known are "
                f"{', '.join(DISTRIBUTIONS)}."
                + (
                    advice_on_distribution(name, usages)
                    or suggestion(name, DISTRIBUTIONS)
                )
            )
        known = DISTRIBUTIONS[given]
        usage = known.usage
        try:
            if isinstance(self.arguments, str | bytes):
                raise TypeError
            numbers = tuple(float(value) for value in self.arguments)
        except (TypeError, ValueError, OverflowError):
            raise SpecError(
                f"the arguments of a prior are numbers, got "
                f"{quote(self.arguments)}; write {usage}."
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
        if self.distribution == "uniform" and numbers[0] >= numbers[1]:
            raise SpecError(
                f"prior {self}: its lower bound must be less than its upper one; "
                f"write {usage}."
            )
        self._check_bounds(known)

    def _check_bounds(self, known: Distribution) -> None:
        """Refuse bounds that are not numbers, or between which nothing is."""
        stated = {"lb": self.lb, "ub": self.ub}
        for name in (name for name, bound in stated.items() if bound is not None):
            try:
                bound = float(stated[name])  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                bound = math.nan
            if not math.isfinite(bound):
                raise SpecError(
                    f"prior {known.name} with {name}={quote(stated[name])}: a bound "
                    "must be a finite number; leave it out where there is none."
                )
            if known.support not in ("real", "positive"):
                raise SpecError(
                    f"prior {known.name} with {name}={bound:g}: {known.usage} takes no "
                    "further bounds."
                )
            object.__setattr__(self, name, bound)
        if self.lb is not None and known.support == "positive" and self.lb < 0:
            raise SpecError(
                f"prior {self}: the values of {known.name} are positive, and "
                f"lb={self.lb:g} is below them; leave it out."
            )
        lower, upper = self.bounds
        if lower >= upper and known.support != "point":
            raise SpecError(
                f"prior {self}: it has no values between {lower:g} and {upper:g}. A "
                "lower bound must be less than the upper one."
            )

    def __str__(self) -> str:
        """Return the text that ``parse`` reads."""
        numbers = [_written(value) for value in self.arguments]
        stated = (("lb", self.lb), ("ub", self.ub))
        numbers += [f"{name}={_written(at)}" for name, at in stated if at is not None]
        return f"{self.distribution}({', '.join(numbers)})"

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
        """The values that it can have, as ``Distribution.support`` names them."""
        return DISTRIBUTIONS[self.distribution].support

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest value; infinite where there is no bound."""
        if self.distribution == "uniform":
            return self.arguments[0], self.arguments[1]
        if self.is_constant:
            return self.arguments[0], self.arguments[0]
        lower = 0.0 if self.support in ("positive", "bounded") else -math.inf
        upper = 1.0 if self.distribution == "beta" else math.inf
        return (
            lower if self.lb is None else max(lower, self.lb),
            upper if self.ub is None else min(upper, self.ub),
        )

    @property
    def is_constant(self) -> bool:
        """Whether it fixes its parameter at a number."""
        return self.distribution == "constant"

    @property
    def is_cut(self) -> bool:
        """Whether its distribution is cut off at bounds."""
        return not (self.lb is None and self.ub is None)

    @property
    def is_bounded(self) -> bool:
        """Whether it ends where its parameter would go on."""
        return self.support == "bounded" or self.is_cut

    @property
    def canonical(self) -> Prior:
        """The prior as a program states it: a half form is its whole, cut at 0.

        Examples
        --------
        >>> Prior.parse("half_cauchy(25)").canonical
        Prior('cauchy(0, 25)')
        """
        whole = DISTRIBUTIONS[self.distribution].half_of
        if whole is None:
            return self
        arguments = (*self.arguments[:-1], 0.0, self.arguments[-1])
        return replace(self, distribution=whole, arguments=arguments)

    def scaled(self, factor: float) -> Prior | None:
        """Return the prior of ``factor`` times the parameter; None if it has no name.

        Examples
        --------
        >>> Prior.parse("gamma(2, 1)").scaled(10)
        Prior('gamma(2, 0.1)')
        """
        if factor == 1.0:
            return self
        if self.distribution == "beta":
            return None
        scaled = {
            "location": lambda value: value * factor,
            "scale": lambda value: value * factor,
            "global_scale": lambda value: value * factor,
            "slab_scale": lambda value: value * factor,
            "lower": lambda value: value * factor,
            "upper": lambda value: value * factor,
            "rate": lambda value: value / factor,
            "value": lambda value: value * factor,
        }
        if self.distribution == "lognormal":
            scaled = {"location": lambda value: value + math.log(factor)}
        elif self.distribution == "sqrt_inv_gamma":
            scaled = {"scale": lambda value: value * factor**2}
        unchanged = float
        return Prior(
            self.distribution,
            tuple(
                scaled.get(name, unchanged)(value)
                for name, value in self.named_arguments.items()
            ),
            None if self.lb is None else self.lb * factor,
            None if self.ub is None else self.ub * factor,
        )

    @classmethod
    def parse(cls, text: str) -> Prior:
        """Read ``"normal(0, 2.5)"``, or ``"normal(0, 2.5, lb=0)"``.

        Raises
        ------
        SpecError
            If the text is not a distribution with numbers in parentheses.
        """
        if _FLAT.fullmatch(text):
            return cls("flat", ())
        match = _PRIOR.fullmatch(text)
        if match is None:
            raise SpecError(
                f"cannot read the prior {quote(text)}; write a distribution with "
                "numbers, such as 'normal(0, 2.5)' or 'exponential(1)'."
            )
        name, inside = match.groups()
        pieces = (
            [piece.strip() for piece in inside.split(",")] if inside.strip() else []
        )
        bounds: dict[str, str] = {}
        while pieces and (bound := _BOUND.fullmatch(pieces[-1])):
            bounds.setdefault(bound[1], bound[2])
            pieces.pop()
        return cls(name, tuple(pieces), **bounds)  # type: ignore[arg-type]


def _written(value: float) -> str:
    """Write a number, without decimals where it has none."""
    return repr(value).removesuffix(".0")


@dataclass(frozen=True)
class ParameterClass:
    """A class of parameters that priors are set on.

    Attributes
    ----------
    name
        Its name in the posterior and in ``priors=``.
    support
        Where the parameter lives: ``"real"``, ``"positive"``, ``"unit"`` (between 0
        and 1), ``"signed"`` (between -1 and 1), ``"correlation"``.
    indexed
        What its members are: ``"coefficient"`` (of the population), ``"varying"``
        (of a group), ``"cutpoint"``, or None for a single number or matrix;
        ``"population"`` of a number that each factor's groups have; ``"latent"`` of
        what there is of each latent factor.
    lower
        Where the parameter, and so its prior, is cut off below: 1 for ``nu``.
    of_formula
        Whether only models have it in which a parameter of the family has a formula.
    """

    name: str
    support: str
    indexed: str | None = None
    lower: float | None = None
    of_formula: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which values a parameter is, whatever its prior."""
        if self.support == "unit":
            return 0.0, 1.0
        if self.support == "signed":
            return -1.0, 1.0
        is_positive = self.support == "positive"
        return (self.lower or 0.0) if is_positive else -math.inf, math.inf


_OF_EVERY_FAMILY: Mapping[str, ParameterClass] = {
    each.name: each
    for each in (
        ParameterClass("Intercept", "real"),
        ParameterClass("beta", "real", "coefficient"),
        ParameterClass("b", "real", "varying"),
        ParameterClass("tau", "positive", "varying"),
        ParameterClass("tau_s", "positive", "smooth"),
        ParameterClass("lengthscale", "positive", "smooth"),
        ParameterClass("steps", "positive", "smooth"),
        ParameterClass("Omega", "correlation"),
        ParameterClass("nu_u", "positive", "population", 1.0),
        ParameterClass("rho_u", "unit", "population"),
        ParameterClass("loading_scale", "positive"),
        ParameterClass("factor_scale", "positive", "latent"),
        ParameterClass("beta_factors", "real", "latent"),
        ParameterClass("tau_sigma", "positive"),
        ParameterClass("mean_x", "real", "uncertain"),
        ParameterClass("sd_x", "positive", "uncertain"),
        ParameterClass("beta_x", "real", "uncertain"),
        ParameterClass("residual_rho", "signed"),
    )
}


# Classes that each parameter with a formula has: ``beta_sigma``, ``tau_sigma``, ...
OF_PREDICTORS = (
    "Intercept",
    "beta",
    "tau",
    "tau_s",
    "lengthscale",
    "steps",
    "Omega",
    "nu_u",
    "rho_u",
)


def parameter_classes() -> Mapping[str, ParameterClass]:
    """Return the classes of parameters by name, those of families among them.

    Examples
    --------
    >>> parameter_classes()["nu"].lower
    1.0
    """
    return _classes_with(tuple(FAMILIES))


@cache
def _classes_with(_: tuple[str, ...]) -> Mapping[str, ParameterClass]:
    """Return the classes of parameters, given the names of all families."""
    of_families = {
        own.name: ParameterClass(
            own.name, own.support, own.name if own.size else None, own.lower
        )
        for family in FAMILIES.values()
        for own in family.parameters
    }
    numbers = {own.name for family in FAMILIES.values() for own in family.numbers}
    of_formulas = {
        f"{name}_{own}": replace(known, name=f"{name}_{own}", of_formula=True)
        for own in sorted(numbers)
        for name, known in _OF_EVERY_FAMILY.items()
        if name in OF_PREDICTORS
    }
    return {**of_formulas, **_OF_EVERY_FAMILY, **of_families}


def as_fixed(fixed: Mapping[str, float] | None) -> tuple[tuple[str, float], ...]:
    """Turn what a user passes as ``fixed=`` into sorted ``(name, number)`` pairs.

    Raises
    ------
    SpecError
        If it is not a mapping of names to finite numbers, or a scale is not positive.
    """
    if not isinstance(fixed, Mapping | None):
        raise SpecError(
            f"fixed={quote(fixed)} is not a mapping such as {{'Intercept': 0, "
            "'tau_county': 1}."
        )
    found = []
    for name, value in (fixed or {}).items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise SpecError(
                f"fixed[{quote(name)}] = {quote(value)} must be a finite number."
            )
        if str(name).startswith("tau") and value <= 0:
            raise SpecError(
                f"fixed[{quote(name)}] = {value:g}: a population scale is positive."
            )
        found.append((str(name), float(value)))
    return tuple(sorted(found))


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
            f"priors={quote(priors)} is not a mapping; write "
            "priors={'Intercept': 'normal(0, 10)'}."
        )
    read: dict[str, Prior] = {}
    for name, prior in priors.items():
        if isinstance(prior, str):
            prior = Prior.parse(prior)
        if not (isinstance(name, str) and isinstance(prior, Prior)):
            raise SpecError(
                f"priors has {quote(name)}: {quote(prior)}. Each entry is the name of "
                "a parameter with a prior, which is a string such as 'normal(0, 1)' or "
                "a Prior."
            )
        read[name] = prior
    return tuple(sorted(read.items()))
