"""The model, stated without data: families, priors, group terms, the specification.

Standard library only. Everything here is a frozen value; changing a model is
``dataclasses.replace``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stanpool.base.arguments import check_fields, public
from stanpool.base.errors import (
    SpecError,
    check_choice,
    quote,
    quote_list,
    suggestion,
)
from stanpool.base.options import Link, Parameterization, Pooling
from stanpool.base.other_tools import advice_on_family
from stanpool.language.expression import parse, quote_name
from stanpool.language.family import FAMILIES, SIGMA, Family, FamilyParameter
from stanpool.language.formulas.residual_correlation import ResidualCorrelation
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.prior import Prior
from stanpool.language.special.latent_factors import LatentFactors
from stanpool.language.special.uncertain import (
    UncertainPredictor,
    ValuesFormula,
    uncertain_predictor,
)
from stanpool.language.vocabulary import is_smooth, is_uncertain

LARGEST_NUMBER = 1e150  # in data, and of drawn outcomes: sums of squares are finite


NORMAL = "normal"
POPULATIONS = (NORMAL, "student_t", "laplace")
"""The distributions that the coefficients of groups may have about their means."""


@public
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
        True for ``|``; False for ``||``: uncorrelated where predictors are 0.
    columns
        The columns whose combinations are the groups; empty for ``(factor,)``.
    membership
        Empty when a row belongs to one group; ``"labels"`` for ``mm(g1, g2)``, where
        each column names one group that the row belongs to; ``"matrix"`` for
        ``members(a, b, c)``, where each column is a group and holds 0 or 1, or a
        weight; ``"level"`` for ``gr(g, by=sex)``, where only rows of one level of
        ``sex`` belong to a group of the term.
    weights
        For ``"labels"``: the columns of the memberships' weights, taken as they are;
        empty for equal ones that sum to one, so that a row gets the mean of its
        groups' deviations.
    covariance
        The name of the known covariance between the groups; empty where they are
        independent. Of a structure, that of the neighbours.
    structure
        What determines the covariance instead, by its name in ``STRUCTURES``, such as
        ``"icar"`` or ``"rw1"``; else empty. The last column has the times of a series,
        and others say of which series a row is.
    population
        The distribution of the groups' coefficients: one of ``POPULATIONS``.
    id
        A name that the terms of several linear predictors share whose coefficients are
        correlated; empty where there is none.
    by, level
        A column each of whose levels has a population of groups of its own, and the
        level that this term is of. The level is empty until the data are known, and
        the term then stands for the terms of all levels.

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
    covariance: str = ""
    structure: str = ""
    population: str = NORMAL
    id: str = ""
    by: str = ""
    level: str = ""

    def __post_init__(self) -> None:
        """Check that each field is of its type."""
        check_fields(self)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that say which group a row belongs to."""
        return self.columns or (self.factor,)

    @property
    def is_related(self) -> bool:
        """Whether there is a known covariance between the groups."""
        return bool(self.covariance or self.structure)

    @property
    def is_of_times(self) -> bool:
        """Whether the last column has times, which are numbers."""
        return bool(self.structure) and STRUCTURES[self.structure].is_of_times

    @property
    def labelled(self) -> tuple[str, ...]:
        """The columns whose entries are labels, also where they are numbers."""
        if self.membership == "matrix":
            return ()
        key = self.key[:-1] if self.is_of_times else self.key
        return (*key, self.by) if self.by else key

    @property
    def predictors(self) -> tuple[str, ...]:
        """The terms whose values say how the groups' coefficients enter a row."""
        return (*self.terms, quote_name(self.by)) if self.by else self.terms

    @property
    def implied(self) -> tuple[str, ...]:
        """The population's terms that a formula has without writing them.

        A second-order random walk says nothing about a straight line, so that its slope
        is a coefficient of the population.
        """
        is_second = self.is_of_times and STRUCTURES[self.structure].order == 2
        return (quote_name(self.key[-1]),) if is_second else ()

    @property
    def of_a_row(self) -> str:
        """What a row gets of the deviations of the groups that it is a member of.

        Examples
        --------
        >>> GroupTerm("a+b", columns=("a", "b"), membership="labels").of_a_row
        "the mean of the deviations of its groups of 'a+b'"
        """
        if self.membership == "level":
            return (
                f"the deviation of its group of {quote(self.factor)} where "
                f"{quote(self.by)} is {quote(self.level)}, and elsewhere 0"
            )
        deviations = f"of the deviations of its groups of {quote(self.factor)}"
        if self.membership == "labels" and not self.weights:
            return f"the mean {deviations}"
        weights = quote_list(self.weights or self.key)
        return f"the sum {deviations}, with the weights in {weights}"


@dataclass(frozen=True)
class ParameterFormula:
    """The linear predictor of a family's own parameter: ``sigma ~ z + (1 | g)``.

    Attributes
    ----------
    parameter
        The parameter, as the table of families calls it.
    intercept, terms, groups
        Its terms, as of ``ModelSpec``.
    """

    parameter: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    groups: tuple[GroupTerm, ...] = ()

    def __post_init__(self) -> None:
        """Check that each field is of its type."""
        check_fields(self)


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
    latent
        Latent factors, or None; complete pooling drops them, as it does group terms.
    formulas
        The linear predictors of the family's own parameters; those without are one
        number.
    values
        The formulas of predictors whose values are not all known.
    family, link
        A name in ``FAMILIES``, and one of its links; None is its default.
    pooling
        ``"complete"``: one set of coefficients, group terms are dropped;
        ``"none"``: each group has its own, under fixed independent priors;
        ``"partial"``: the groups' coefficients are drawn from a population whose
        mean, scales and correlations are estimated.
    parameterization
        ``"auto"``, ``"centered"``, ``"noncentered"``, ``"adaptive"`` or
        ``"marginal"``; matters for partial pooling.
    trials
        The binomial's trials. Like all that follows up to ``trunc``, it is an
        expression of columns; a name of several words stands in backticks.
    se, se_sigma
        Known standard errors, and whether a residual scale is estimated besides.
    exposure, offsets
        A column whose log is added to the linear predictor, and columns that are added
        as they are.
    weights
        Weights that multiply the rows' log likelihood.
    cens, cens_upper
        Which outcomes are censored, and how; and the upper ends of those that are
        known to lie in an interval.
    trunc
        Between which bounds outcomes could be observed at all: expressions, numbers
        or None, lower and upper.
    quantile
        Which quantile of asymmetric_laplace outcomes the linear predictor is; None is
        the median.
    residual_correlation
        How residuals are correlated within subjects, or None where rows are
        independent.
    residual
        The column of the groups that have residual scales of their own: free under
        no pooling, pooled on the log scale under partial pooling.
    group_predictors
        Predictors that must be constant within groups. Others that are constant are
        recognised from the data.
    priors
        What the user set, by the names of the posterior, sorted by name.
    fixed
        Hyperparameters that are fixed numbers, for pooling="none", sorted
        by name: the groups' coefficients are drawn from a population that is known.
    center_predictors
        Whether the prior on the intercept refers to predictors at their means, and
        those on varying coefficients to predictors at their centers, which are 0
        unless 0 is far from the data. If False, both refer to predictors at 0.
    compress
        Whether the rows are reduced to fewer with the same likelihood: True, False, or
        None to reduce them where that saves time.
    functions
        The user's own functions in terms, by name. Two specifications are equal if the
        names are, whatever the functions.
    covariances
        Known covariances between groups, by the names that group terms call them. They
        are data, and not compared.
    smooths
        The smooths of a fit that was saved, by their texts: they are not built anew
        from its data, which other machines do differently. Not compared.

    Raises
    ------
    SpecError
        If an option is not one of its choices or the options contradict each other.
    """

    outcome: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    groups: tuple[GroupTerm, ...] = ()
    latent: LatentFactors | None = None
    formulas: tuple[ParameterFormula, ...] = ()
    values: tuple[ValuesFormula, ...] = ()
    family: str = "gaussian"
    link: Link | None = None
    pooling: Pooling = "partial"
    parameterization: Parameterization = "auto"
    trials: str | None = None
    se: str | None = None
    se_sigma: bool = False
    exposure: str | None = None
    offsets: tuple[str, ...] = ()
    weights: str | None = None
    cens: str | None = None
    cens_upper: str | None = None
    trunc: tuple[str | float | None, str | float | None] | None = None
    quantile: float | None = None
    residual_correlation: ResidualCorrelation | None = None
    residual: str | None = None
    group_predictors: tuple[str, ...] = ()
    priors: tuple[tuple[str, Prior], ...] = ()
    fixed: tuple[tuple[str, float], ...] = ()
    center_predictors: bool = True
    compress: bool | None = None
    functions: tuple[tuple[str, Callable[..., Any]], ...] = field(
        default=(), compare=False
    )
    covariances: tuple[tuple[str, Any], ...] = field(default=(), compare=False)
    smooths: tuple[tuple[str, Any], ...] = field(default=(), compare=False)

    @property
    def group(self) -> GroupTerm | None:
        """The first group term, or None."""
        return self.groups[0] if self.groups else None

    @property
    def special_terms(self) -> tuple[LatentFactors, ...]:
        """The terms that are neither the population's nor of a grouping factor."""
        return () if self.latent is None else (self.latent,)

    @property
    def uncertain(self) -> tuple[UncertainPredictor, ...]:
        """The predictors whose values are not all known, in the order written."""
        of_each = {each.of: each.terms for each in self.values}
        read = (uncertain_predictor(text) for text in self.terms)
        found = {each.text: each for each in read if each is not None}
        return tuple(
            replace(each, terms=of_each.get(text, ())) for text, each in found.items()
        )

    @property
    def integrates_values(self) -> bool:
        """Whether values of predictors that are not known are integrated out.

        They are normal, and so are outcomes about a linear function of them.
        """
        parts = (self.weights, self.cens, self.trunc, self.se)
        is_linear = self.is_gaussian and self.link_name == "identity"
        return bool(self.uncertain) and is_linear and not any(parts)

    @property
    def smooth_terms(self) -> tuple[str, ...]:
        """The smooths of all linear predictors, as they are written."""
        return tuple(each for each in self.all_terms if _is_smooth(each))

    @property
    def link_name(self) -> str:
        """The link: the one that was set, or the family's default."""
        return self.link or FAMILIES[self.family].link

    @property
    def known_numbers(self) -> dict[str, float]:
        """What the family is told besides its parameters, the same of all rows."""
        if not FAMILIES[self.family].is_of_quantiles:
            return {}
        return {"quantile": 0.5 if self.quantile is None else self.quantile}

    @property
    def is_linear_gaussian(self) -> bool:
        """Whether rows are gaussian around a linear predictor, as they were seen.

        Without offset, weights, censoring, truncation and correlated residuals;
        standard errors may be known.
        """
        parts: tuple[object, ...] = (self.weights, self.cens, self.trunc)
        parts += (self.residual_correlation, *self.offsets, *self.formulas)
        is_linear = self.is_gaussian and self.link_name == "identity"
        return is_linear and all(part is None for part in parts)

    @property
    def is_gaussian(self) -> bool:
        """Whether outcomes are normal about their mean."""
        return FAMILIES[self.family].is_gaussian

    @property
    def is_categorical(self) -> bool:
        """Whether each category but the first has a linear predictor of its own."""
        return FAMILIES[self.family].is_categorical

    @property
    def has_sigma(self) -> bool:
        """Whether there is a residual scale to estimate."""
        known = self.se is not None and not self.se_sigma
        return FAMILIES[self.family].has_sigma and not known

    @property
    def shrinks(self) -> bool:
        """Whether a prior on all coefficients tells predictors apart."""
        return any(prior.support == "shrinkage" for _, prior in self.priors)

    @property
    def numbers(self) -> tuple[FamilyParameter, ...]:
        """The parameters that are a single number unless they have a formula."""
        return tuple(
            each
            for each in FAMILIES[self.family].numbers
            if each != SIGMA or self.has_sigma
        )

    @property
    def all_terms(self) -> tuple[str, ...]:
        """The terms of the population, of all grouping factors and of latent ones."""
        of_groups = [text for group in self.all_groups for text in group.predictors]
        of_groups += [text for term in self.special_terms for text in term.terms]
        of_others = [text for formula in self.formulas for text in formula.terms]
        of_others += [text for formula in self.values for text in formula.terms]
        return tuple(dict.fromkeys((*self.terms, *of_others, *of_groups)))

    @property
    def all_groups(self) -> tuple[GroupTerm, ...]:
        """The group terms of the mean and of the other parameters."""
        of_others = (group for formula in self.formulas for group in formula.groups)
        return (*self.groups, *of_others)

    @property
    def predictors(self) -> tuple[tuple[str, tuple[GroupTerm, ...]], ...]:
        """The parameters that have formulas, the mean first, and their group terms."""
        others = ((each.parameter, each.groups) for each in self.formulas)
        return (("mean", self.groups), *others)

    @property
    def shared_ids(self) -> frozenset[str]:
        """The ids of group terms that several linear predictors share."""
        own = [{term.id for term in groups} for _, groups in self.predictors]
        counts = Counter(each for ids in own for each in ids)
        return frozenset(each for each, count in counts.items() if each and count > 1)

    @property
    def all_expressions(self) -> tuple[str, ...]:
        """The outcome, the offsets and all that parts of the outcome are given."""
        given = (self.trials, self.se, self.exposure, self.weights, self.cens)
        others = (*given, self.cens_upper, *(self.trunc or ()))
        texts = (each for each in others if isinstance(each, str))
        return tuple(dict.fromkeys((self.outcome, *self.offsets, *texts)))

    def __post_init__(self) -> None:
        """Check each choice, and that the choices fit together."""
        check_fields(self)
        advice = advice_on_family(self.family, FAMILIES)
        check_choice("family", self.family, FAMILIES, advice)
        family = FAMILIES[self.family]
        self._check_options(family)
        for formula in self.formulas:
            self._check_parameter(formula.parameter, family)
        self._check_pooling()
        self._check_outcome_parts(family)
        self._check_residual_correlation(family)
        self._check_parameters(family)

    def _check_options(self, family: Family) -> None:
        """Check how the rows are treated, and the link."""
        if self.compress not in (True, False, None):
            raise SpecError(
                f"compress={quote(self.compress)} is not one of True, False, None."
            )
        if self.link is not None:
            check_choice(f"family={family.name!r}: link", self.link, family.links)

    def _check_pooling(self) -> None:
        """Check that the pooling goes with the grouping factors."""
        if self.pooling != "complete" and not self.groups:
            others = [each.parameter for each in self.formulas if each.groups]
            if others:
                raise SpecError(
                    f"the formula of {quote(others[0])} has group terms, and that of "
                    "the outcome has none. Give it one as well, such as (1 | g), or "
                    f"write the groups as predictors, '{others[0]} ~ C(g)'."
                )
            raise SpecError(
                f"pooling={self.pooling!r} needs groups, and the model has none. Add a "
                "group term such as (1 | county) to the formula, or pass "
                "pooling='complete'."
            )
        if self.pooling == "none" and len(self.groups) > 1:
            raise SpecError(
                "pooling='none' is for one grouping factor, and the model has "
                f"{quote_list(group.factor for group in self.groups)}: coefficients of "
                "crossed or nested groups cannot be told apart without pooling. Keep "
                "one group term, or pass pooling='partial'."
            )
        if self.pooling == "none" and self.groups[0].is_related:
            own = self.groups[0]
            what = quote(own.covariance) if own.covariance else f"of {own.structure}()"
            raise SpecError(
                "pooling='none' takes the groups' coefficients as independent, and "
                f"those of {quote(own.key[0])} have the known covariance {what}. Pass "
                "pooling='partial'."
            )
        if self.pooling == "none" and self.groups[0].population != NORMAL:
            own = self.groups[0]
            raise SpecError(
                "pooling='none' gives groups no population, and the formula states "
                f"that of {quote(own.factor)}, dist={quote(own.population)}. Write "
                f"(1 | {own.factor}), or pass pooling='partial'."
            )
        if self.pooling == "none" and self.groups[0].by:
            own = self.groups[0]
            raise SpecError(
                "pooling='none' gives groups no population, and the formula states "
                f"one for each level of {quote(own.by)}. Write (1 | {own.key[0]}), or "
                "pass pooling='partial'."
            )
        if self.pooling == "none" and self.groups[0].membership:
            raise SpecError(
                "pooling='none' fits each group to rows of its own, and a row of "
                f"{self.groups[0].factor} belongs to several groups. Pass "
                "pooling='partial'."
            )

    def _check_parameters(self, family: Family) -> None:
        """Check that the terms go with the family, and that something is estimated."""
        for term in self.special_terms:
            if self.pooling == "none":
                raise SpecError(
                    f"{term} is estimated from all groups together, which "
                    "pooling='none' forbids. Drop it, or pass pooling='partial'."
                )
            if family.is_categorical:
                raise SpecError(
                    f"{term} does not go with family={family.name!r}, which has a "
                    "linear predictor for each category. Drop it."
                )
        self._check_uncertain(family)
        for text in self.smooth_terms[:1]:
            if self.pooling == "none":
                raise SpecError(
                    f"{text} has a scale that all rows tell together, and each group "
                    "is by itself with pooling='none'. Drop it, write bs(x, df=5) for "
                    "a curve without a penalty, or pass pooling='partial'."
                )
            if family.is_categorical:
                raise SpecError(
                    f"{text} does not go with family={family.name!r}, which has a "
                    "linear predictor for each category. Write bs(x, df=5), a curve "
                    "without a penalty."
                )
        if family.has_cutpoints and not self.intercept:
            raise SpecError(
                "family='ordinal' has cutpoints in place of an intercept, so there is "
                "no intercept to leave out; drop '0 +' from the formula."
            )
        if self.residual is not None and not self.has_sigma:
            raise SpecError(
                f"residual={quote(self.residual)} needs a residual scale to estimate, "
                f"which family={family.name!r}"
                + (" with se" if self.se else "")
                + " does not have."
                + (" Write se(column, sigma=True)." if self.se else "")
            )
        self._check_formulas(family)
        for own in sorted(self.shared_ids):
            self._check_id(own)
        names = [group.factor for group in self.groups]
        if len(set(names)) < len(names):
            raise SpecError(
                f"the grouping factors {quote_list(names)} are not distinct."
            )
        groups = self.groups and self.pooling != "complete"
        if not (self.intercept or self.terms or groups):
            raise SpecError(
                f"with pooling={self.pooling!r} the model has nothing to estimate: no "
                "intercept, no predictor and no group term. Write at least 'y ~ 1'."
            )

    def _check_formulas(self, family: Family) -> None:
        """Check that each parameter has one formula, and one that can be estimated."""
        seen: set[str] = {"sigma"} if self.residual is not None else set()
        for formula in self.formulas:
            name = formula.parameter
            if name in seen:
                raise SpecError(
                    f"the parameter {quote(name)} is stated twice. State it once, by "
                    "a formula or, for residual scales of groups, by residual."
                )
            seen.add(name)
            if not (formula.intercept or formula.terms or formula.groups):
                raise SpecError(
                    f"the formula of {quote(name)} has nothing to estimate: no "
                    f"intercept, no predictor and no group term. Write '{name} ~ 1'."
                )
            if formula.groups and self.pooling == "none":
                raise SpecError(
                    f"pooling='none' does not go with group terms in the formula of "
                    f"{quote(name)}, here of "
                    f"{quote_list(each.factor for each in formula.groups)}. Leave "
                    "them out, or pass pooling='partial'."
                )

    def _check_id(self, own: str) -> None:
        """Check that the terms that share an id are of groups that can be joined."""
        found: dict[str, dict[str, GroupTerm]] = {}
        for name, groups in self.predictors:
            terms = {each.factor: each for each in groups if each.id == own}
            found |= {name: terms} if terms else {}
        (first, known), *others = found.items()
        for term in known.values():
            if term.is_related or term.population != NORMAL or not term.correlated:
                raise SpecError(
                    f"the id {quote(own)} correlates coefficients of groups that are "
                    "independent of each other and normal, and the term of "
                    f"{quote(term.factor)} states something else. Leave out the id, or "
                    f"write (1 |{own}| {term.key[0]})."
                )
        for name, terms in others:
            same = terms.keys() == known.keys() and all(
                replace(each, intercept=True, terms=())
                == replace(known[each.factor], intercept=True, terms=())
                for each in terms.values()
            )
            if not same:
                raise SpecError(
                    f"the id {quote(own)} is of the groups of {quote_list(known)} in "
                    f"the formula of {_called(first)}, and of those of "
                    f"{quote_list(terms)} in that of {_called(name)}. Coefficients are "
                    "correlated within the same groups: name the same groups, with the "
                    "same weights, in both; or give the terms different ids."
                )

    def _check_parameter(self, name: str, family: Family) -> None:
        """Refuse a formula of what is no parameter of the family."""
        own = [each.name for each in self.numbers]
        if name == "sigma" and family.has_sigma and not self.has_sigma:
            raise SpecError(
                "the formula of 'sigma' needs a residual scale to estimate, and "
                "with se all scales are known. Write se(column, sigma=True)."
            )
        if name not in own:
            has = quote_list(own) if own else "none besides its mean"
            others = [
                each.name
                for each in FAMILIES.values()
                if name in (number.name for number in each.numbers)
            ]
            advice = suggestion(name, own)
            if others:
                advice = f" Families with {quote(name)}: {quote_list(others)}."
            elif not advice:
                advice = (
                    " The first formula is that of the outcome, and each of the others "
                    "of a parameter of its distribution."
                )
            raise SpecError(
                f"family={family.name!r} has no parameter {quote(name)} to write a "
                f"formula of; it has {has}.{advice}"
            )

    def _check_uncertain(self, family: Family) -> None:
        """Check the predictors whose values are not all known, and their formulas."""
        names = [each.text for each in self.uncertain]
        for formula in self.values:
            if formula.of not in names or [*self.values].count(formula) > 1:
                raise SpecError(
                    f"there is a formula of {quote(formula.of)}, and the formula of "
                    f"the outcome has {quote_list(names) or 'no such predictor'}. "
                    f"Write '... ~ {formula.of} + ...', and one formula of it."
                )
        for name in names[:1]:
            if self.pooling == "none":
                raise SpecError(
                    f"the values of {name} come from one population, and each group is "
                    "by itself with pooling='none'. Pass pooling='partial'."
                )
            if family.is_categorical:
                raise SpecError(
                    f"{name} does not go with family={family.name!r}, which has a "
                    "linear predictor for each category. Drop it."
                )
        columns = [each.column for each in self.uncertain]
        for column in columns:
            if columns.count(column) > 1:
                raise SpecError(
                    f"the formula has {quote(column)} in two of {quote_list(names)}. "
                    "Keep one of them."
                )

    def _check_outcome_parts(self, family: Family) -> None:
        """Check that the parts of the outcome go with the family and each other."""
        given = {
            "trials": self.trials,
            "se": self.se,
            "exposure": self.exposure,
            "cens": self.cens,
            "trunc": self.trunc,
            "quantile": self.quantile,
        }
        for part, value in given.items():
            if value is not None and part not in family.parts:
                fitting = [
                    each.name for each in FAMILIES.values() if part in each.parts
                ]
                raise SpecError(
                    f"{part}={quote(value)} does not go with "
                    f"family={family.name!r}; {part} goes with "
                    f"{quote_list(fitting, limit=10)}."
                )
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise SpecError(
                f"quantile={self.quantile!r} is not between 0 and 1. The median is "
                "quantile(0.5), and 'y | quantile(0.9) ~ ...' models what nine tenths "
                "of the outcomes are below."
            )
        if "trials" in family.parts and self.trials is None:
            raise SpecError(
                f"family={family.name!r} needs the number of trials of each row. Write "
                "'successes | trials(n) ~ ...', or pass trials='n'. Outcomes of 0 and "
                "1, one trial a row, are family='bernoulli'."
            )
        if self.se_sigma and self.se is None:
            raise SpecError(
                "se_sigma=True estimates a residual scale besides known standard "
                "errors, and there are none: pass se='column', too."
            )
        if self.offsets and family.is_categorical:
            raise SpecError(
                f"offset {quote(self.offsets[0])} does not go with "
                "family='categorical', which has a linear predictor for each category. "
                "Drop it."
            )
        if self.cens_upper is not None and self.cens is None:
            raise SpecError(
                f"cens_upper={quote(self.cens_upper)} needs cens='column', which "
                "says which outcomes lie in an interval."
            )
        if self.cens is not None and self.trunc is not None:
            raise SpecError(
                "an outcome that is censored and truncated at once is not supported; "
                "state cens or trunc."
            )
        if self.trunc is not None:
            _check_bounds(self.trunc)

    def _check_residual_correlation(self, family: Family) -> None:
        """Check that residuals can be correlated, and that this can be estimated."""
        own = self.residual_correlation
        if own is None:
            return
        can = [each.name for each in FAMILIES.values() if each.has_joint_residuals]
        if not family.has_joint_residuals or self.link_name != "identity":
            raise SpecError(
                f"{own} correlates residuals, which have a joint distribution for "
                f"{quote_list(can)} with the link 'identity', and not for "
                f"family={family.name!r} with link={self.link_name!r}. A group term "
                f"such as (1 | {own.name}) correlates the rows of a subject in any "
                "family."
            )
        others = {"se": self.se, "weights": self.weights, "cens": self.cens}
        for part, value in {**others, "trunc": self.trunc}.items():
            if value is not None:
                raise SpecError(
                    f"{own} makes the rows of a subject one joint observation, which "
                    f"does not go with {part}={quote(value)} of single rows. Drop one "
                    "of them."
                )
        for predictor in self.uncertain:
            raise SpecError(
                f"{own} does not go with {predictor}, whose values are averaged over "
                "row by row. Drop one of them."
            )
        for formula in self.formulas:
            if formula.parameter != "sigma":
                raise SpecError(
                    f"with {own} the rows of a subject share {formula.parameter!r}, "
                    "which cannot have a formula. Drop it; sigma may have one."
                )
        if self.pooling == "none":
            raise SpecError(
                f"{own} is estimated from all subjects together, which pooling='none' "
                "forbids. Drop it, or pass pooling='partial'."
            )
        self._refuse_intercepts_of_subjects(own)

    def _refuse_intercepts_of_subjects(self, own: ResidualCorrelation) -> None:
        """Refuse intercepts of subjects that residuals say already."""
        if own.kind.is_of_times or self.pooling == "complete":
            return
        for group in self.groups:
            if group.key == own.subject and group.intercept and not group.is_related:
                raise SpecError(
                    f"{own} and the intercepts of {quote(own.name)} say the same: rows "
                    "of a subject are alike. Keep one of them; the residuals may also "
                    "be negatively correlated, and a group term says how far each "
                    "subject is from the mean."
                )


def _called(parameter: str) -> str:
    """Name a linear predictor by what a user's formula has on its left side."""
    return "the outcome" if parameter == "mean" else quote(parameter)


def _is_smooth(text: str) -> bool:
    """Whether a term is a smooth; what is no term at all is refused when it is read."""
    try:
        node = parse(text)
    except SpecError:
        return False
    return is_smooth(node) and not is_uncertain(node)


def _check_bounds(trunc: object) -> None:
    """Refuse bounds that are not a pair of ordered finite numbers, or both absent."""
    usage = "write trunc=(lower, upper), each a column, a number or None"
    if not isinstance(trunc, tuple) or len(trunc) != 2:
        raise SpecError(f"trunc={quote(trunc)} is not a pair of bounds; {usage}.")
    numbers = []
    for bound in trunc:
        if isinstance(bound, bool) or not isinstance(bound, str | int | float | None):
            raise SpecError(f"trunc has the bound {quote(bound)}; {usage}.")
        if isinstance(bound, int | float):
            if not math.isfinite(bound):
                raise SpecError(
                    f"trunc has the bound {bound!r}, which must be finite; pass None "
                    "for a side without a bound."
                )
            numbers.append(bound)
    if trunc == (None, None):
        raise SpecError(f"trunc has no bound; {usage}.")
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise SpecError(
            f"trunc={trunc!r}: its lower bound must be less than its upper one."
        )


def as_names(option: str, columns: Collection[str]) -> tuple[str, ...]:
    """Return columns' names as a tuple; refuse one text, which is a sequence, too.

    Examples
    --------
    >>> as_names("predictors", ["floor", "log_uranium"])
    ('floor', 'log_uranium')
    """
    if isinstance(columns, str):
        raise SpecError(
            f"{option}={quote(columns)} is a single string; write a list, "
            f"[{columns!r}]."
        )
    is_list = isinstance(columns, Collection) and getattr(columns, "ndim", 1) == 1
    if not is_list or isinstance(columns, bytes | Mapping):
        raise SpecError(
            f"{option}={quote(columns)} must be a list of columns' names, ['x']."
        )
    return tuple(columns)
