"""From formulas to the specification of a model, and back to the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stanpool.base.errors import SpecError, quote
from stanpool.base.options import Pooling
from stanpool.language.formulas.formula import Formula, quote_name
from stanpool.language.formulas.of_parameters import parse_formulas
from stanpool.language.model_spec import (
    NORMAL,
    GroupTerm,
    ModelSpec,
    ParameterFormula,
)
from stanpool.language.vocabulary import as_functions


def spec_of(
    formula: str | Sequence[str] | Mapping[str, str],
    *,
    residual: str | None,
    functions: Mapping[str, Callable[..., Any]] | None,
    pooling: Pooling | None = None,
    **options: Any,
) -> ModelSpec:
    """State a model by a formula and the options of ``Model``.

    Raises
    ------
    SpecError
        If the formula or an option is wrong, or they contradict each other.

    Examples
    --------
    >>> spec_of("y ~ x + (1 | g)", residual="g", functions=None).residual
    'g'
    """
    own = as_functions(functions)
    parsed, group = parse_formulas(formula, dict(own))
    if residual is not None and group not in (None, residual):
        raise SpecError(
            f"residual={quote(residual)} and 'sigma ~ (1 | {group})' contradict "
            "each other; pass one of them."
        )
    residual = residual if group is None else group
    return ModelSpec(
        **vars(parsed),
        pooling=pooling_of(parsed, residual, pooling),
        residual=residual,
        functions=own,
        **options,
    )


def pooling_of(
    formula: Formula, residual: str | None, given: Pooling | None
) -> Pooling:
    """Return the pooling that is given, or else partial pooling if groups differ.

    Parameters
    ----------
    formula, residual
        What ``parse_formulas`` returns, or another column of residual scales.
    given
        The pooling; with None it is complete for a formula without groups.

    Examples
    --------
    >>> pooling_of(Formula("y", terms=("x",)), residual=None, given=None)
    'complete'
    """
    if given is not None:
        return given
    of_others = any(each.groups for each in formula.formulas)
    differs = formula.groups or formula.latent or residual or of_others
    return "partial" if differs else "complete"


def formula_of(spec: ModelSpec) -> str:
    """Write a specification as the formula that states it.

    Examples
    --------
    >>> formula_of(ModelSpec("y", terms=("x",), groups=(GroupTerm("my group"),)))
    'y ~ 1 + x + (1 | `my group`)'
    """
    outcome = spec.outcome
    given = list(_outcome_parts(spec))
    if given:
        outcome += " | " + " + ".join(given)
    terms = _predictor(spec)
    for special in spec.special_terms:
        terms += f" + {special.written(map(quote_name, special.columns))}"
    terms += "".join(f" + offset({offset})" for offset in spec.offsets)
    return f"{outcome} ~ {terms}"


def formulas_of(spec: ModelSpec) -> list[str]:
    """Write the formula of the outcome, and those of other parameters.

    Examples
    --------
    >>> formulas_of(ModelSpec("y", pooling="complete",
    ...                       formulas=(ParameterFormula("sigma", terms=("z",)),)))
    ['y ~ 1', 'sigma ~ 1 + z']
    """
    others = [f"{each.parameter} ~ {_predictor(each)}" for each in spec.formulas]
    others += [" + ".join((f"{each.of} ~ 1", *each.terms)) for each in spec.values]
    return [formula_of(spec), *others]


def stated(spec: ModelSpec) -> str:
    """Write the formula of the outcome and those of other parameters in one line.

    Examples
    --------
    >>> stated(ModelSpec("y", pooling="complete",
    ...                  formulas=(ParameterFormula("sigma", terms=("z",)),)))
    'y ~ 1; sigma ~ 1 + z'
    """
    return "; ".join(formulas_of(spec))


def _predictor(spec: ModelSpec | ParameterFormula) -> str:
    """Write the terms of a linear predictor: the population's, then of groups."""
    terms = _sum(spec.intercept, spec.terms)
    for group in _as_written(spec.groups):
        if group.structure:
            *series, column = map(quote_name, group.key)
            of_each = f" | {':'.join(series)}" if series else ""
            known = f", {group.covariance}" if group.covariance else ""
            terms += f" + {group.structure}({column}{of_each}{known})"
            continue
        bar = "|" if group.correlated else "||"
        bar = f"|{group.id}|" if group.id else bar
        inside = _sum(group.intercept, group.terms)
        terms += f" + ({inside} {bar} {factor_text(group)})"
    return terms


def _as_written(groups: Sequence[GroupTerm]) -> list[GroupTerm]:
    """Return each term once, where it stands for the terms of several levels."""
    whole = (replace(each, factor="", level="") if each.by else each for each in groups)
    return list(dict.fromkeys(whole))


def _outcome_parts(spec: ModelSpec) -> Iterator[str]:
    """Write the parts of an outcome as a formula has them."""
    if spec.trials is not None:
        yield f"trials({spec.trials})"
    if spec.se is not None:
        yield f"se({spec.se}{', sigma=True' if spec.se_sigma else ''})"
    if spec.exposure is not None:
        yield f"exposure({spec.exposure})"
    if spec.weights is not None:
        yield f"weights({spec.weights})"
    if spec.cens is not None:
        columns = [each for each in (spec.cens, spec.cens_upper) if each is not None]
        yield f"cens({', '.join(columns)})"
    if spec.trunc is not None:
        bounds = zip(("lower", "upper"), spec.trunc, strict=True)
        texts = [
            f"{side}={bound if isinstance(bound, str) else repr(bound)}"
            for side, bound in bounds
            if bound is not None
        ]
        yield f"trunc({', '.join(texts)})"
    if spec.quantile is not None:
        yield f"quantile({spec.quantile!r})"
    if spec.residual_correlation is not None:
        yield spec.residual_correlation.written(quote_name)


def factor_text(group: GroupTerm) -> str:
    """Write a grouping factor as a formula has it."""
    columns = [quote_name(column) for column in group.key]
    if group.covariance:
        return f"gr({columns[0]}, cov={group.covariance})"
    said = [columns[0], *([f"by={quote_name(group.by)}"] if group.by else [])]
    if group.population != NORMAL:
        said.append(f'dist="{group.population}"')
    if len(said) > 1:
        return f"gr({', '.join(said)})"
    if not group.membership:
        return ":".join(columns)
    if group.weights:
        weights = ", ".join(quote_name(column) for column in group.weights)
        columns.append(f"weights=({weights})")
    call = "mm" if group.membership == "labels" else "members"
    return f"{call}({', '.join(columns)})"


def _sum(intercept: bool, terms: Sequence[str]) -> str:
    """Write an intercept and terms as a sum."""
    text = "1" if intercept else "0"
    for term in terms:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text
