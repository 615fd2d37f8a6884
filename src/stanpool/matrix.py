"""Terms of a formula to a design matrix, and the recipe to build it for new rows."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.columns import names_in_terms
from stanpool.entries import all_whole, refuse_rows
from stanpool.errors import DataError, SpecError, listed, shorten
from stanpool.formula import alias_quoted_names, pointed_error

_REPEATS = 8  # rows for each combination of levels


@dataclass(frozen=True)
class TermMatrix:
    """A design matrix and what it takes to build it again for new data.

    Attributes
    ----------
    values
        Shape ``(N, columns)``.
    labels
        The user's name of each column, such as ``floor`` or ``sex[T.M]``.
    recipe
        formulaic's specification: levels, knots and centers as first seen.
    aliases
        Which column each alias in the recipe stands for.
    """

    values: np.ndarray
    labels: tuple[str, ...]
    recipe: Any
    aliases: tuple[tuple[str, str], ...]


def rebuild(matrix: TermMatrix, frame: pd.DataFrame) -> np.ndarray:
    """Build a design matrix for new rows, with the levels and knots first seen.

    Raises
    ------
    DataError
        If an ordinary factor has a level that the model has not seen, or a value is
        not finite.
    """
    if matrix.recipe is None:
        return np.ones((len(frame), len(matrix.labels)))
    from formulaic.errors import DataMismatchWarning

    data = frame.rename(columns={name: alias for alias, name in matrix.aliases})
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DataMismatchWarning)
            built = matrix.recipe.get_model_matrix(data, context={}, na_action="ignore")
    except DataMismatchWarning as problem:
        unseen = re.sub(r"np\.\w+\(([^()]*)\)", r"\1", str(problem).partition("{")[2])
        raise DataError(
            f"new rows have levels that the model has not seen: "
            f"{unseen.partition('}')[0]}. It knows nothing of them; drop these rows."
        ) from None
    except Exception as problem:
        names = _relabel(str(problem), dict(matrix.aliases))
        raise DataError(f"new rows do not fit the model: {names}") from None
    values = np.asarray(built, dtype=float)
    _refuse_infinite(values, matrix.labels)
    return values


def term_matrix(
    intercept: bool,
    terms: Sequence[str],
    frame: pd.DataFrame,
    *,
    full_rank: bool = True,
) -> TermMatrix:
    """Build a design matrix through formulaic, with the user's labels.

    Without ``full_rank`` there is a column for each level of every factor, none is a
    reference, so that a level more is a column more and changes no other.
    """
    if not terms:
        values = np.ones((len(frame), int(intercept)))
        return TermMatrix(values, ("Intercept",) if intercept else (), None, ())
    from formulaic import Formula
    from formulaic.errors import FormulaicError
    from formulaic.parser import DefaultFormulaParser

    replaced, aliases = alias_quoted_names(terms, _texts_in(frame))
    text = "1" if intercept else "0"
    text += "".join(
        f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in replaced
    )
    shown = shorten(" + ".join(terms))
    data = frame.rename(columns={name: alias for alias, name in aliases.items()})
    if full_rank:
        data = data.assign(**_whole_codes(replaced, data))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            matrix = Formula(
                text, _parser=DefaultFormulaParser(include_intercept=False)
            ).get_model_matrix(
                data,
                context={},
                na_action="ignore",
                output="numpy",
                ensure_full_rank=full_rank,
            )
    except (FormulaicError, SyntaxError, AttributeError) as problem:
        raise _formula_error(shown, str(problem), aliases) from None
    except Exception as problem:
        raise DataError(
            f"evaluating {shown} failed: {type(problem).__name__}: {problem}"
        ) from problem
    empty = [
        _relabel(str(term), aliases)
        for term, columns in matrix.model_spec.term_indices.items()
        if not columns
    ]
    if empty:
        raise DataError(
            f"predictor(s) {listed(empty)} have one level only: they cannot be told "
            "from the intercept. Drop them."
        )
    labels = tuple(
        _relabel(str(name), aliases) for name in matrix.model_spec.column_names
    )
    values = np.asarray(matrix, dtype=float)
    _refuse_infinite(values, labels)
    return TermMatrix(values, labels, matrix.model_spec, tuple(aliases.items()))


def _refuse_infinite(values: np.ndarray, labels: Sequence[str]) -> None:
    """Refuse columns with infinite or missing values, by name and rows."""
    for label, column in zip(labels, values.T, strict=True):
        refuse_rows(column, ~np.isfinite(column), f"{shorten(label)} must be finite")


def _texts_in(frame: pd.DataFrame) -> Iterator[str]:
    """Yield the texts that can become parts of labels: columns' names and levels."""
    for name, column in frame.items():
        yield str(name)
        if isinstance(column.dtype, pd.CategoricalDtype):
            yield from map(str, column.cat.categories)


def _whole_codes(terms: Sequence[str], data: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return as integers what ``C(x)`` makes levels of: 1, not 1.0."""
    names = set(re.findall(r"\bC\(\s*(\w+)", " ".join(terms))) & set(data.columns)
    numbers = {n: data[n].to_numpy() for n in names if data[n].dtype.kind == "f"}
    return {n: x.astype(np.int64) for n, x in numbers.items() if all_whole(x)}


def _formula_error(shown: str, message: str, aliases: dict[str, str]) -> SpecError:
    """Say what formulaic refuses; the stretch that it marks gets carets."""
    message = _relabel(re.sub(r"\x1b\[[0-9;]*m", "", message), aliases)
    reason, _, marked = message.partition("\n\n")
    said = f"cannot evaluate {shown}: {' '.join(reason.split())}"
    before, bracket, rest = marked.partition("⧛")
    inside, _, after = rest.partition("⧚")
    if not bracket:
        return SpecError(said)
    start, stop = len(before), len(before) + len(inside)
    return pointed_error(said, before + inside + after, start, stop)


def _relabel(label: str, aliases: dict[str, str]) -> str:
    """Put the user's names back in the place of aliases."""
    return re.sub(
        r"_column_+\d+_", lambda match: aliases.get(match.group(), match.group()), label
    )


def without_values(matrix: TermMatrix) -> TermMatrix:
    """Keep the recipe of a matrix only."""
    return TermMatrix(np.empty((0, 0)), matrix.labels, matrix.recipe, matrix.aliases)


def wide_matrix(terms: Sequence[str], frame: pd.DataFrame) -> TermMatrix:
    """Build a matrix of an intercept and all that terms can be made of."""
    kept = [term for term in terms if not term.startswith("-")]
    return term_matrix(True, kept, frame, full_rank=False)


def refuse_dependent(matrix: TermMatrix, frame: pd.DataFrame) -> None:
    """Refuse terms whose value in one row depends on other rows.

    Parameters
    ----------
    matrix, frame
        A matrix with its values, and the rows that it was built from.

    Raises
    ------
    SpecError
        If there are any: the term is named if it says so itself, as splines do, else
        it is found out by leaving rows away.
    """
    if matrix.recipe is None:
        return
    stateful = [
        _relabel(str(each), dict(matrix.aliases))
        for each, state in matrix.recipe.transform_state.items()
        if state
    ]
    if not stateful:
        later = slice(len(frame) // 2, None)
        whole = matrix.values[later]
        again = rebuild(matrix, frame.iloc[later])
        same = np.isclose(whole, again, rtol=1e-9, atol=0).all(axis=0)
        stateful = [
            label for label, fine in zip(matrix.labels, same, strict=True) if not fine
        ]
    if stateful:
        raise SpecError(
            f"{listed(stateful)} depends in each row on all others, and data in chunks "
            "are never seen together. Add a column that has it to the data; predictors "
            "need no centering or scaling, which the model does by itself."
        )


def translation(
    matrix: TermMatrix, wide: TermMatrix, frame: pd.DataFrame
) -> np.ndarray:
    """Return how a design matrix follows from a wide one: what to multiply it by.

    Parameters
    ----------
    matrix, wide
        Of the same terms, or some of them, and the same levels.
    frame
        Rows in which all levels occur.

    Returns
    -------
    numpy.ndarray
        Shape ``(columns of wide, columns of matrix)``.
    """
    place = {label: at for at, label in enumerate(wide.labels)}
    result = np.zeros((len(wide.labels), len(matrix.labels)))
    for at, label in enumerate(matrix.labels):
        if label in place:
            result[place[label], at] = 1.0
    if matrix.recipe is None:
        return result
    columns_of = {
        frozenset(map(str, term.factors)): columns
        for term, columns in wide.recipe.term_indices.items()
    }
    for term, columns in matrix.recipe.term_indices.items():
        if any(matrix.labels[column] not in place for column in columns):
            factors = [str(factor) for factor in term.factors]
            own = columns_of[frozenset(factors)]
            result[np.ix_(own, columns)] = _solved(
                matrix, wide, columns, own, _combinations(factors, matrix, frame)
            )
    return result


def _solved(
    matrix: TermMatrix,
    wide: TermMatrix,
    columns: Sequence[int],
    own: Sequence[int],
    probe: pd.DataFrame,
) -> np.ndarray:
    """Find how the columns of a term follow from all of its levels' columns."""
    given, wanted = rebuild(wide, probe)[:, own], rebuild(matrix, probe)[:, columns]
    found, _, rank, _ = np.linalg.lstsq(given, wanted, rcond=None)
    if rank < len(own) or not np.allclose(given @ found, wanted, rtol=1e-9, atol=1e-9):
        raise SpecError(
            f"cannot read {listed([matrix.labels[each] for each in columns])} in "
            "chunks. Add columns of numbers for them to the data."
        )
    rounded = np.round(found)
    return np.where(np.abs(found - rounded) < 1e-9, rounded, found)


def _combinations(
    factors: Sequence[str], matrix: TermMatrix, frame: pd.DataFrame
) -> pd.DataFrame:
    """Return rows with all combinations of the levels that parts of a term have."""
    aliases = dict(matrix.aliases)
    levels: dict[str, Any] = {}
    for factor in factors:
        for name in names_in_terms([factor], set(frame.columns) | set(aliases)):
            name = aliases.get(name, name)
            column = frame[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                levels[name] = column.cat.categories
            elif factor.startswith("C("):
                levels[name] = pd.Index(column.unique())
    sizes = [len(each) for each in levels.values()]
    count = int(np.prod(sizes, dtype=np.int64))
    rng = np.random.default_rng(1)
    rows = rng.integers(0, len(frame), _REPEATS * count)
    at = np.unravel_index(np.arange(len(rows)) % count, sizes or (1,))
    probe = frame.iloc[rows].reset_index(drop=True)
    for (name, known), codes in zip(levels.items(), at, strict=bool(sizes)):
        dtype, values = frame[name].dtype, known.take(codes)
        if isinstance(dtype, pd.CategoricalDtype):
            values = pd.Categorical.from_codes(codes, dtype=dtype)
        probe[name] = values
    return probe
