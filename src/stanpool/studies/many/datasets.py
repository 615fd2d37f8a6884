"""What ``fit_many`` is to fit: pairs of a label and a model that is yet to be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stanpool.api.facade import Model
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.columns import as_frame, column_named
from stanpool.sampling.refit import spec_to_refit
from stanpool.studies.many.folder import plain_label

Label = Any
"""A text, a number, or a tuple of these: what one of many fits is called."""

Statement = str | Sequence[str] | Model
Key = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Statements:
    """What all data sets have in common: formulas or models, by their names.

    Attributes
    ----------
    by_name
        A formula, a list of two, or a model, which gives its specification and priors.
    options
        Options of ``Model``, for formulas.
    """

    by_name: Mapping[Key, Statement]
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ModelToBuild:
    """A model that a worker builds from the data that it is sent.

    Attributes
    ----------
    name
        Which of the statements it is of.
    data
        The rows, or a model that has its own.
    """

    name: Key
    data: Any

    def build(self, statements: Statements) -> Model:
        """Return the model.

        Raises
        ------
        SpecError, DataError
            If the model cannot be built of these data.
        """
        if isinstance(self.data, Model):
            return self.data
        stated = statements.by_name[self.name]
        if isinstance(stated, Model):
            return Model.from_spec(spec_to_refit(stated), self.data, strict=False)
        return Model(stated, self.data, **statements.options)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The models to fit, by their labels.

    Attributes
    ----------
    statements
        What they have in common.
    models
        What is to be built, by label.
    names
        What the parts of a label are called.
    """

    statements: Statements
    models: Mapping[Label, ModelToBuild]
    names: tuple[str, ...]


def labelled_models(
    stated: Any, data: Any, by: Sequence[str], options: Mapping[str, Any]
) -> Labelled:
    """Name each model by its formula and its data set, where there are several.

    Parameters
    ----------
    stated, data, by, options
        As for ``fit_many``; ``options`` are those of ``Model``.

    Raises
    ------
    SpecError, DataError
        If the arguments contradict each other, or nothing is left to fit.
    """
    statements, of_statements = _named_statements(stated)
    data_sets, of_data, are_alike = _named_data(data, by)
    names = (*of_statements, *of_data)
    if not names:
        raise SpecError(
            "this is one model of one data set, for which Model and fit() are enough. "
            "Pass by=, several data sets, or a mapping of formulas."
        )
    models: dict[Label, ModelToBuild] = {}
    shared: dict[Key, Statement] = {}
    for name, each in statements.items():
        if isinstance(each, Model) and options:
            raise SpecError(
                f"{quote_list(options)} are options of a formula, and {each!r} has its "
                "own. Change it by model.with_()."
            )
        if are_alike and not isinstance(each, Model):
            # Data sets of the same rows share the priors that the first gets.
            each = Model(each, next(iter(data_sets.values())), **options)
        for place, rows in data_sets.items():
            if rows is not None:
                shared[name] = each
            elif not isinstance(each, Model):
                raise DataError("data is None; pass a data frame, or several.")
            own = each if rows is None else rows
            models[_joined(*name, *place)] = ModelToBuild(name, own)
    return Labelled(Statements(shared, options), models, names)


def _joined(*parts: Any) -> Label:
    """Return a label of its parts: a tuple, if there are several."""
    return parts[0] if len(parts) == 1 else parts


def _named_statements(stated: Any) -> tuple[dict[Key, Statement], list[str]]:
    """Return formulas or models by their names, and what a name is called."""
    if not isinstance(stated, Mapping):
        return {(): stated}, []
    if not stated:
        raise SpecError("there are no formulas or models to fit: the mapping is empty.")
    return {(plain_label(name),): each for name, each in stated.items()}, ["model"]


def _named_data(data: Any, by: Sequence[str]) -> tuple[dict[Key, Any], list[str], bool]:
    """Return data sets by their labels, what these are called, and if all are alike."""
    if by:
        return dict(_segments(as_frame(data), by)), list(by), False
    if isinstance(data, Mapping) and any(map(_is_table, data.values())):
        named = {(plain_label(name),): each for name, each in data.items()}
        return named, ["data"], False
    if isinstance(data, Sequence) and not isinstance(data, str):
        if not data:
            raise DataError("there are no data sets to fit: the list is empty.")
        numbered = {(number,): each for number, each in enumerate(data, start=1)}
        return numbered, ["data"], True
    return {(): data}, [], False


def _is_table(value: Any) -> bool:
    """Whether a value of a mapping is a data set, and not a column."""
    return isinstance(value, pd.DataFrame | Mapping) or hasattr(value, "to_pandas")


def segments(frame: pd.DataFrame, by: Sequence[str]) -> dict[Label, pd.DataFrame]:
    """Split rows by the values of columns, in the order of these values.

    Raises
    ------
    DataError
        If there are no rows, or some belong to no segment.
    """
    return {_joined(*key): rows for key, rows in _segments(frame, by)}


def _segments(
    frame: pd.DataFrame, by: Sequence[str]
) -> Iterator[tuple[Key, pd.DataFrame]]:
    for name in by:
        if list(by).count(name) > 1:
            raise SpecError(f"by= names {quote(name)} more than once; name it once.")
        missing = int(column_named(name, frame).isna().sum())
        if missing:
            raise DataError(
                f"column {quote(name)}, which by= names, is missing in {missing:,} of "
                f"{len(frame):,} rows, so that they belong to no segment. Leave them "
                "out, or give them a name."
            )
    if not len(frame):
        raise DataError("the data have no rows, so that there are no segments.")
    for key, rows in frame.groupby(list(by), observed=True, sort=True):
        yield plain_label(key), rows
