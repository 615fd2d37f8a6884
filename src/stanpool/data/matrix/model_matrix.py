"""Terms of a formula to a design matrix, and the recipe to build it for new rows."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import check_memory
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.columns import names_in_terms
from stanpool.data.design.rank import check_known
from stanpool.data.entries import refuse_rows
from stanpool.data.matrix.evaluation import (
    Functions,
    Recipe,
    evaluated,
    evaluated_again,
    is_category,
    smooth_again,
)
from stanpool.data.matrix.smooths.monotonic import Monotonic
from stanpool.data.matrix.smooths.process import Process
from stanpool.data.matrix.smooths.smooth import Smooth
from stanpool.data.matrix.term_matrix import SmoothScale, TermMatrix
from stanpool.data.matrix.uncertain import Uncertain
from stanpool.language.expression import Call, Chain, Name, Node, Number, parse, written
from stanpool.language.model_spec import LARGEST_NUMBER
from stanpool.language.terms import factors, read_arithmetic, read_term, with_aliases
from stanpool.language.vocabulary import (
    calls,
    depends_on_rows,
    is_monotonic,
    is_smooth,
    is_uncertain,
)

_REPEATS = 8  # rows for each combination of levels
_TRIED_ROWS = 1000


@dataclass(frozen=True)
class Column:
    """An expression of one column, and how to evaluate it again for new rows.

    Attributes
    ----------
    values
        Floats, shape ``(N,)``; or a categorical, if the expression is a column of it.
    recipe
        What was taken from the rows of the fit.
    """

    values: Any
    recipe: Recipe

    def of(self, frame: pd.DataFrame) -> Any:
        """Return the values for new rows."""
        return _finite(self.recipe, evaluated_again(self.recipe, frame))


def column_of(text: str, frame: pd.DataFrame, functions: Functions) -> Column:
    """Evaluate an expression of one column for the rows of the fit.

    Raises
    ------
    SpecError
        If it is not an expression of one column.
    DataError
        If its values are not finite.
    """
    found = evaluated(read_arithmetic(text, functions), frame, functions)
    return Column(_finite(found[1], found[0]), found[1])


def _finite(recipe: Recipe, values: Any) -> Any:
    """Refuse values that are not finite; columns themselves were looked at."""
    if is_category(values):
        return values
    values = np.asarray(values, dtype=float)
    if not isinstance(recipe.node, Name):
        _refuse_infinite(values[:, None], [written(recipe.node, bare=True)])
    return values


def rebuild(matrix: TermMatrix, frame: pd.DataFrame) -> np.ndarray:
    """Build a design matrix for new rows, with the levels and knots first seen.

    Raises
    ------
    DataError
        If an ordinary factor has a level that the model has not seen, or a value is
        not finite.
    """
    values = _rebuild_plain(matrix, frame)
    if matrix.smooths:
        parts = [smooth_again(own, frame) for own in matrix.smooths]
        free, penalised = zip(*parts, strict=True)
        values = np.concatenate([values, *free, *penalised], axis=1)
    return values if matrix.left_out is None else check_known(values, matrix.left_out)


def _rebuild_plain(matrix: TermMatrix, frame: pd.DataFrame) -> np.ndarray:
    """Build the columns that are not of smooths for new rows."""
    labels = matrix.all_labels
    labels = labels[: len(labels) - matrix.of_smooths]
    if matrix.recipe is None:
        return np.ones((len(frame), len(labels)))
    columns = {
        alias: _handed_over(evaluated_again(recipe, frame))
        for alias, recipe in matrix.factors.items()
    }
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            built = matrix.recipe.get_model_matrix(
                pd.DataFrame(index=pd.RangeIndex(len(frame))), context=columns
            )
    except Exception as problem:
        names = _relabel(str(problem), matrix.factors)
        raise DataError(f"new rows do not fit the model: {names}") from None
    values = np.asarray(built, dtype=float)
    _refuse_infinite(values, labels)
    return values


def term_matrix(
    intercept: bool,
    terms: Sequence[str],
    frame: pd.DataFrame,
    functions: Functions,
    *,
    full_rank: bool = True,
    known: Mapping[str, Any] | None = None,
) -> TermMatrix:
    """Build a design matrix, with the user's labels.

    Parameters
    ----------
    intercept, terms
        Whether there is an intercept, and the other terms.
    frame
        The columns that the model uses.
    functions
        A user's own functions.
    full_rank
        Whether levels whose columns follow from others are left out.
    known
        Smooths that are not built anew, by their texts.
    """
    read = [(text, _read(text, functions)) for text in terms]
    plain = [text for text, node in read if not is_smooth(node)]
    matrix = _plain_matrix(intercept, plain, frame, functions, full_rank=full_rank)
    smooths = {written(node): node for _, node in read if is_smooth(node)}
    for node in sorted(smooths.values(), key=_place_of_smooth):
        matrix = _with_smooth(matrix, *evaluated(node, frame, functions, known))
    return matrix


def _place_of_smooth(node: Node) -> int:
    """Return what sorts smooths: the last are monotonic effects."""
    return 0 if is_uncertain(node) else 1 + is_monotonic(node)


def _with_smooth(matrix: TermMatrix, columns: Any, recipe: Recipe) -> TermMatrix:
    """Add a smooth to a matrix: its penalised columns come last."""
    smooth: Smooth | Process | Monotonic | Uncertain = recipe.taken[
        written(recipe.node)
    ]
    first, last = np.split(
        matrix.values, [matrix.values.shape[1] - matrix.penalised], 1
    )
    of_first = matrix.labels[: first.shape[1]]
    free, penalised = np.split(columns, [len(smooth.free)], axis=1)
    own = [
        label
        for name, count, *_ in smooth.scales
        for label in SmoothScale(name, count).labels
    ]
    return replace(
        matrix,
        values=np.concatenate([first, free, last, penalised], axis=1),
        labels=(*of_first, *smooth.free, *matrix.labels[first.shape[1] :], *own),
        smooths=(*matrix.smooths, recipe),
    )


def _plain_matrix(
    intercept: bool,
    terms: Sequence[str],
    frame: pd.DataFrame,
    functions: Functions,
    *,
    full_rank: bool,
) -> TermMatrix:
    """Build a design matrix without smooths through formulaic.

    formulaic sees each factor as a column under an alias, and evaluates nothing.
    Without ``full_rank`` there is a column for each level of every factor, none is a
    reference, so that a level more is a column more and changes no other.
    """
    if not terms:
        values = np.ones((len(frame), int(intercept)))
        return TermMatrix(values, ("Intercept",) if intercept else (), None, {})
    signed = [
        ("-" if text.startswith("-") else "+", _read(text, functions)) for text in terms
    ]
    nodes = {written(each): each for _, term in signed for each in factors(term)}
    if full_rank and intercept:
        _refuse_free_splines(term for sign, term in signed if sign == "+")
    stem = _unused(_texts_in(frame, terms))
    aliases = {text: f"{stem}{number}_" for number, text in enumerate(nodes)}
    found = {
        aliases[text]: evaluated(node, frame, functions) for text, node in nodes.items()
    }
    recipes = {alias: recipe for alias, (_, recipe) in found.items()}
    text = str(int(intercept)) + "".join(
        f" {sign} {with_aliases(term, aliases)}" for sign, term in signed
    )
    columns = {alias: _handed_over(value) for alias, (value, _) in found.items()}
    shown = quote(" + ".join(terms))
    widths = {text: _width_of(columns[alias]) for text, alias in aliases.items()}
    width = sum(_width(term, widths) for sign, term in signed if sign == "+")
    check_memory(
        f"the terms {shown} have {width:,} columns, which in {len(frame):,} rows",
        width * len(frame),
        "Let coefficients vary over factors of many levels, as in (1 | a:b).",
    )
    matrix = _materialized(text, shown, columns, recipes, len(frame), full_rank)
    # Beside an intercept the column of a boolean is called as the boolean is.
    true = {
        f"{alias}[T.True]": alias
        for alias, (value, _) in found.items()
        if isinstance(value, np.ndarray) and value.dtype == bool
    }
    labels = tuple(
        _relabel(":".join(true.get(each, each) for each in name.split(":")), recipes)
        for name in matrix.model_spec.column_names
    )
    values = np.asarray(matrix, dtype=float)
    _refuse_infinite(values, labels)
    return TermMatrix(values, labels, matrix.model_spec, recipes)


def _materialized(
    text: str,
    shown: str,
    columns: Mapping[str, Any],
    recipes: Mapping[str, Recipe],
    rows: int,
    full_rank: bool,
) -> Any:
    """Let formulaic join and code columns; a text with aliases for their names."""
    from formulaic import Formula
    from formulaic.parser import DefaultFormulaParser

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            formula = Formula(
                text, _parser=DefaultFormulaParser(include_intercept=False)
            )
            _refuse_python(formula)
            matrix = formula.get_model_matrix(
                pd.DataFrame(index=pd.RangeIndex(rows)),
                context=columns,
                na_action="ignore",
                output="numpy",
                ensure_full_rank=full_rank,
            )
    except SpecError:
        raise
    except Exception as problem:
        message = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(problem))
        reason = " ".join(_relabel(message, recipes).split())
        raise SpecError(f"cannot read the terms {shown}: {reason}") from None
    empty = [
        _relabel(str(term), recipes)
        for term, own in matrix.model_spec.term_indices.items()
        if not own
    ]
    if empty:
        raise DataError(
            f"predictor(s) {quote_list(empty)} have one level only: they cannot be "
            "told from the intercept. Drop them."
        )
    return matrix


def _refuse_python(formula: Any) -> None:
    """Make sure that formulaic has nothing to evaluate."""
    for term in formula:
        for factor in term.factors:
            if factor.eval_method.value not in ("lookup", "literal"):
                raise SpecError(f"cannot read the term {quote(str(term))}.")


def _width_of(column: Any) -> int:
    """Count the columns of a factor of the terms: levels, or those of a spline."""
    if isinstance(column, Mapping):
        return len(column)
    if isinstance(getattr(column, "dtype", None), pd.CategoricalDtype):
        return len(column.dtype.categories)
    return int(np.shape(column)[1]) if np.ndim(column) == 2 else 1


def _width(term: Node, widths: Mapping[str, int]) -> int:
    """Count the columns of a term, but for some that full rank leaves out."""
    match term:
        case Chain(signs=("**",), operands=(Chain() as base, Number(value=power))):
            most = min(int(power), len(base.operands))
            columns = [1] + [0] * most  # by the number of factors multiplied
            for own in (_width(each, widths) for each in base.operands):
                without = [0, *columns[:-1]]
                columns = [a + own * b for a, b in zip(columns, without, strict=True)]
            return sum(columns[1:])
        case Chain(signs=signs, operands=operands):
            each = [_width(own, widths) for own in operands]
            return sum(each) if set(signs) <= {"+", "-"} else math.prod(each)
        case Name() | Call():
            return widths[written(term)]
    return 1


def _read(text: str, functions: Functions) -> Node:
    """Read a term without its sign."""
    return read_term(text.removeprefix("-").strip(), functions)


def _handed_over(value: Any) -> Any:
    """Return a column as formulaic takes it; booleans are a factor, as in R."""
    if isinstance(value, np.ndarray) and value.dtype == bool:
        value = pd.Categorical(value, categories=[False, True])
    return pd.Series(value) if is_category(value) else value


def _refuse_free_splines(terms: Iterator[Node]) -> None:
    """Refuse splines whose columns add up to the intercept."""
    for term in terms:
        if isinstance(term, Call) and term.name in ("cr", "cs", "cc"):
            given = {name for name, _ in term.settings}
            if "constraints" not in given and len(term.arguments) < 6:
                inside = written(term).removesuffix(")")
                raise term.at.error(
                    "the columns of this spline add up to 1, and cannot be told from "
                    f"the intercept. Write {inside}, constraints='center')."
                )


def _unused(texts: Iterator[str]) -> str:
    """Return the beginning of aliases that occur in no text."""
    stem = "_factor"
    for text in texts:
        while f"{stem}_" in text:
            stem += "_"
    return f"{stem}_"


def _refuse_infinite(values: np.ndarray, labels: Sequence[str]) -> None:
    """Refuse columns with infinite or missing values, by name and rows."""
    for label, column in zip(labels, values.T, strict=True):
        refuse_rows(column, ~np.isfinite(column), f"{quote(label)} must be finite")
        beyond = np.abs(column) > LARGEST_NUMBER
        refuse_rows(column, beyond, f"{quote(label)} must be within {LARGEST_NUMBER:g}")


def _texts_in(frame: pd.DataFrame, terms: Sequence[str]) -> Iterator[str]:
    """Yield the texts that can become parts of labels: terms, and levels."""
    yield from terms
    for name in dict.fromkeys(names_in_terms(terms, set(frame.columns))):
        column = frame.get(name)
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
            yield from map(str, column.cat.categories)


def _relabel(label: str, recipes: Mapping[str, Recipe]) -> str:
    """Put the user's names back in the place of aliases."""

    def shown(match: re.Match[str]) -> str:
        found = recipes.get(match.group())
        return match.group() if found is None else written(found.node, bare=True)

    return re.sub(r"_factor_+\d+_", shown, label)


def without_values(matrix: TermMatrix) -> TermMatrix:
    """Keep the recipe of a matrix only."""
    return replace(matrix, values=np.empty((0, 0)))


def wide_matrix(
    terms: Sequence[str], frame: pd.DataFrame, functions: Functions
) -> TermMatrix:
    """Build a matrix of an intercept and all that terms can be made of."""
    kept = [term for term in terms if not term.startswith("-")]
    return term_matrix(True, kept, frame, functions, full_rank=False)


def wide_columns(
    terms: Sequence[str], frame: pd.DataFrame, functions: Functions
) -> dict[str, np.ndarray]:
    """Return the columns of ``wide_matrix`` by their labels.

    Numeric columns that are terms by themselves are handed on as they are.
    """
    found, others = {}, []
    for text in terms:
        node = parse(text.removeprefix("-"))
        column = frame.get(node.name) if isinstance(node, Name) else None
        if column is None or column.dtype != np.float64:
            others.append(text)
        elif not text.startswith("-"):
            found[written(node, bare=True)] = column.to_numpy()
    if not others:
        return {"Intercept": np.ones(len(frame))} | found
    wide = wide_matrix(others, frame, functions)
    return dict(zip(wide.labels, wide.values.T, strict=True)) | found


def refuse_dependent(texts: Sequence[str]) -> None:
    """Refuse expressions whose value in one row depends on other rows.

    Raises
    ------
    SpecError
        If there are any; they are named.
    """
    found = {
        written(each): None
        for text in texts
        for each in factors(parse(text.removeprefix("-")))
        if depends_on_rows(each)
    }
    if found:
        raise SpecError(
            f"{quote_list(found)} depends in each row on all others, and data in "
            "chunks are never in memory together. Add a column with its values to the "
            "data; predictors need no centering or scaling, which the model does by "
            "itself."
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
    if matrix.left_out is not None:
        whole = replace(matrix, labels=matrix.all_labels, left_out=None)
        return translation(whole, wide, frame)[:, matrix.left_out.kept]
    place = {label: at for at, label in enumerate(wide.labels)}
    result = np.zeros((len(wide.labels), len(matrix.labels)))
    for at, label in enumerate(matrix.labels):
        if label in place:
            result[place[label], at] = 1.0
    if matrix.recipe is None:
        return result
    assert wide.recipe is not None
    columns_of = {
        frozenset(_factors_of(term, wide)): columns
        for term, columns in wide.recipe.term_indices.items()
    }
    for term, columns in matrix.recipe.term_indices.items():
        if any(matrix.labels[column] not in place for column in columns):
            found = _factors_of(term, matrix)
            own = columns_of[frozenset(found)]
            probe = _combinations(found.values(), frame)
            result[np.ix_(own, columns)] = _solved(matrix, wide, columns, own, probe)
    return result


def _factors_of(term: Any, matrix: TermMatrix) -> dict[str, Node]:
    """Return the factors of a term of formulaic's by their texts."""
    nodes = (
        matrix.factors[str(each)].node for each in term.factors if str(each) != "1"
    )
    return {written(node): node for node in nodes}


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
            f"cannot read {quote_list([matrix.labels[each] for each in columns])} in "
            "chunks. Add columns of numbers for these terms to the data."
        )
    rounded = np.round(found)
    return np.where(np.abs(found - rounded) < 1e-9, rounded, found)


def _combinations(nodes: Iterable[Node], frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows with all combinations of the levels that parts of a term have."""
    levels: dict[str, Any] = {}
    for node in nodes:
        for name in names_in_terms([written(node)], set(frame.columns)):
            column = frame[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                levels[name] = column.cat.categories
            elif column.dtype == bool:
                levels[name] = pd.Index([False, True])
            elif any(call.name == "C" for call in calls(node)):
                levels[name] = pd.Index(column.unique())
    sizes = [len(each) for each in levels.values()]
    count = int(np.prod(sizes, dtype=np.int64))
    rng = np.random.default_rng(1)
    # All rows there are, too, where what is compared may be true in few of them.
    some = np.arange(min(len(frame), _TRIED_ROWS))
    rows = np.append(some, rng.integers(0, len(frame), _REPEATS * count))
    at = np.unravel_index(np.arange(len(rows)) % count, sizes or (1,))
    probe = frame.iloc[rows].reset_index(drop=True)
    for (name, known), codes in zip(levels.items(), at, strict=bool(sizes)):
        dtype, values = frame[name].dtype, known.take(codes)
        if isinstance(dtype, pd.CategoricalDtype):
            values = pd.Categorical.from_codes(codes, dtype=dtype)
        probe[name] = values
    return probe
