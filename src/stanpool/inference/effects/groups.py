"""Which group effects enter what a model expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.base.options import EffectGroups, NewGroups
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel

_WITHOUT = "; or pass groups='population', the average over new groups, or 'none'"


@dataclass(frozen=True)
class GroupEffects:
    """Which group effects enter expected outcomes.

    Attributes
    ----------
    of
        By grouping factor, ``"fitted"``, ``"population"`` or ``"none"``.
    new
        How groups that are not in the fit are drawn, as ``new_groups`` of ``predict``.
    """

    of: Mapping[str, EffectGroups]
    new: NewGroups

    @property
    def words(self) -> str:
        """What a table says about them."""
        drawn = "" if self.new == "error" else f" (new groups: {self.new})"
        said = {
            name: f"fitted{drawn}" if each == "fitted" else each
            for name, each in self.of.items()
        }
        if len({*said.values()}) <= 1:
            return next(iter(said.values()), "none")
        return ", ".join(f"{name}: {each}" for name, each in said.items())


def group_effects(
    model: PreparedModel,
    groups: EffectGroups | Mapping[str, EffectGroups] | None,
    new_groups: NewGroups,
    columns: Sequence[Any],
    parameter: str = "mean",
) -> GroupEffects:
    """Find which group effects enter, and refuse what a model cannot do.

    Parameters
    ----------
    model
        The model.
    groups
        One word for all grouping factors, or one for each; by default ``"fitted"``
        where the rows name their groups, and else ``"population"``, or ``"none"`` if
        the average over new groups is infinite.
    new_groups
        As for ``predict``.
    columns
        The columns of the rows.
    parameter
        What is expected: ``"mean"`` for outcomes, or a parameter of the family.
    """
    own = columns_of_groups(model, parameter)
    if groups is None:
        is_named = all(name in columns for key in own.values() for name in key)
        groups = "fitted" if is_named else "population"
        if model.spec.pooling == "none":
            groups = "fitted"
        elif not is_named and any(_without_mean(model, parameter)):
            groups = "none"
    words = ("fitted", "population", "none")
    chosen = dict(groups) if isinstance(groups, Mapping) else dict.fromkeys(own, groups)
    for name, word in chosen.items():
        if name not in own:
            raise SpecError(
                f"groups has {quote(name)}, which is not a grouping factor of "
                f"{model!r}; its grouping factors are {quote_list(own) or 'none'}."
                + suggestion(str(name), own)
            )
        if word not in words:
            raise SpecError(
                f"groups has {quote(word)} for {quote(name)}, which is not one of "
                f"{quote_list(words)}.{suggestion(str(word), words)}"
            )
    of = {name: chosen.get(name, "fitted") for name in own}
    _check_possible(model, of, parameter)
    for name, key in own.items():
        missing = [each for each in key if each not in columns]
        if missing and of[name] == "fitted":
            without = "" if model.spec.pooling == "none" else _WITHOUT
            raise DataError(
                f"the rows have no column {quote(missing[0])}, a grouping factor whose "
                "effects enter with groups='fitted'. Add the column, as in newdata="
                f"fit.datagrid({{{quote(missing[0])}: 'all'}}){without}."
            )
    return GroupEffects(of, new_groups)


def columns_of_groups(
    model: PreparedModel, parameter: str
) -> dict[str, tuple[str, ...]]:
    """Return the columns that name the groups of what is expected, by factor.

    Parameters
    ----------
    model, parameter
        As for ``other_factors``.
    """
    own: dict[str, tuple[str, ...]] = {}
    if parameter == "mean":
        factors = zip(model.design.factors, model.spec.groups, strict=False)
        own = {each.factor: term.key for each, term in factors}
    for _, name, key in other_factors(model, parameter):
        own.setdefault(name, key)
    for term in model.design.special if parameter == "mean" else ():
        for side in term.sides:
            own.setdefault(side.column, (side.column,))
    return own


def other_factors(
    model: PreparedModel, parameter: str
) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield factors that parameters besides the mean vary over, of what is expected.

    Parameters
    ----------
    model
        The model.
    parameter
        What is expected: ``"mean"`` for outcomes, or a parameter of the family.

    Yields
    ------
    str, str, tuple of str
        The parameter, the factor, and the columns that say which group a row is of.
    """
    keys = {term.factor: term.key for term in model.spec.all_groups}
    in_mean = FAMILIES[model.spec.family].in_mean
    entering = in_mean if parameter == "mean" else {parameter}
    for own in model.design.parameters:
        if own.parameter in entering:
            for factor in own.factors:
                name = factor.factor
                yield own.parameter, name, keys.get(name, (name,))


def _check_possible(
    model: PreparedModel, of: Mapping[str, EffectGroups], parameter: str
) -> None:
    others = {name: word for name, word in of.items() if word != "fitted"}
    if others and model.spec.pooling == "none":
        name, word = next(iter(others.items()))
        raise SpecError(
            f"groups={quote(word)} needs a population, which a model without pooling "
            f"does not have. Fit with pooling='partial', or pass rows with the column "
            f"{quote(name)} and groups='fitted'."
        )
    what = "outcome" if parameter == "mean" else parameter
    for names, reason in _without_mean(model, parameter):
        if all(of[name] == "population" for name in names):
            raise SpecError(
                f"the expected {what} of new groups of {quote_list(names)} is "
                f"{reason}. Pass groups='none' for an average group, "
                f"or groups={{{quote(names[0])}: 'fitted'}} for those of the fit."
            )


def _without_mean(
    model: PreparedModel, parameter: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield factors of which new groups have no expected outcome, and why."""
    spec, design = model.spec, model.design
    is_of_logs = FAMILIES[spec.family].is_of_logs
    for own, name, _ in other_factors(model, parameter):
        reason = f"not known in closed form, since {own} varies over them"
        if own == "sigma" and parameter == "mean":
            reason = "infinite, since residual scales of groups are lognormal"
        yield (name,), reason
    if parameter != "mean":
        return
    if is_of_logs or spec.link_name == "log":
        for term in (each for each in design.special if each.sides):
            columns = [side.column for side in term.sides]
            reason = "infinite, since products of what is new have heavy tails"
            yield from ((names, reason) for names in combinations(columns, 2))
