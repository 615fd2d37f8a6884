"""Data frame and specification to the arrays that Stan sees, with the user's labels.

Population matrices come from formulaic; the group side is an index per row, never a
dense matrix. Nothing of the user's frame is kept by reference.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.errors import DataError, SpecError, listed, shorten, suggestion
from stanpool.formula import alias_quoted_names, pointed_error, unquote_name
from stanpool.spec import FAMILIES, Family, GroupTerm, ModelSpec

_CONSTANTS = {"True", "False", "None", "np", "contr"}
_COLLINEAR = 1e-8
_CENSORING = {"none": 0, "left": -1, "right": 1, "interval": 2}
_OTHER_FAMILY = "Correct or drop these rows, or choose another family."


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


@dataclass(frozen=True)
class FactorDesign:
    """The group side of one grouping factor: an index per row, never a dense matrix.

    Attributes
    ----------
    factor
        The factor's name.
    labels
        The user's names of its J groups.
    index
        The group of each row, counted from 0: shape ``(N,)``, or ``(N, M)`` where a
        row is a member of up to M groups.
    Z
        Predictors of the varying coefficients, shape ``(N, Q)``; an intercept is a
        column of ones. ``varying`` has their labels.
    z_bar
        Where the priors on intercepts apply, shape ``(Q,)``.
    weights
        The weights of the memberships, shape ``(N, M)``, or None.
    U
        Group-level predictors, shape ``(J, P)``: they move the mean of the groups'
        coefficients.
    effect_of
        Which population coefficient (counted from 1; 0: none) is the effect of each
        group-level predictor on each varying coefficient, shape ``(P, Q)``.
    predictors_of
        The categories that have linear predictors of their own, for categorical
        outcomes; else empty.
    """

    factor: str
    labels: tuple[Any, ...]
    index: np.ndarray
    Z: np.ndarray
    varying: tuple[str, ...]
    z_bar: np.ndarray
    weights: np.ndarray | None = None
    U: np.ndarray | None = None
    effect_of: np.ndarray | None = None
    predictors_of: tuple[Any, ...] = ()

    @property
    def coefficients(self) -> tuple[str, ...]:
        """The labels of a group's coefficients: ``varying``, once for each category."""
        if not self.predictors_of:
            return self.varying
        return tuple(
            f"{category}, {label}"
            for category in self.predictors_of
            for label in self.varying
        )

    @property
    def sizes(self) -> np.ndarray:
        """Rows per group, shape ``(J,)``."""
        members = self.index if self.weights is None else self.index[self.weights > 0]
        return np.bincount(members, minlength=len(self.labels))

    def take(self, rows: np.ndarray) -> FactorDesign:
        """Return the group side of some rows, with all groups."""
        per_row = ("index", "Z", "weights")
        return replace(
            self, **{name: _taken(getattr(self, name), rows) for name in per_row}
        )


@dataclass(frozen=True)
class Design:
    """The data that a model sees, with labels. All arrays are read-only copies.

    Attributes
    ----------
    y
        Outcome, shape ``(N,)``: float for real outcomes, int for counts and for
        categories, which are counted from 0.
    X
        Population predictors without the intercept, shape ``(N, K)``, and
        ``coefficients``, their labels.
    intercept
        Whether there is a population intercept.
    x_bar
        Where the prior on the intercept applies, shape ``(K,)``.
    factors
        The grouping factors, in the order of the formula.
    trials, se, weights
        Known number of trials, known standard errors, and weights of the log
        likelihood per row, or None.
    offset
        What is added to the linear predictor, shape ``(N,)``, or None: the offsets
        and the log of the exposure.
    censored
        How each outcome is censored: 0 not, -1 left, 1 right, 2 in an interval from
        ``y`` to ``y_upper``; or None.
    y_upper
        Upper ends of the intervals; NaN in other rows; or None.
    lower, upper
        Bounds of truncation per row, or None.
    categories
        The levels of an ordinal or categorical outcome; else empty.
    residual
        The factor whose groups have residual scales of their own, as
        ``(name, labels, index)``, or None.
    recipes
        How to build the matrices again for new rows: ``population``, then one for
        each factor.
    """

    y: np.ndarray
    X: np.ndarray
    coefficients: tuple[str, ...]
    intercept: bool
    x_bar: np.ndarray
    factors: tuple[FactorDesign, ...] = ()
    trials: np.ndarray | None = None
    se: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    censored: np.ndarray | None = None
    y_upper: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    categories: tuple[Any, ...] = ()
    residual: tuple[str, tuple[Any, ...], np.ndarray] | None = None
    recipes: tuple[tuple[str, TermMatrix], ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows, N."""
        return len(self.y)

    def take(self, rows: np.ndarray) -> Design:
        """Return the design of some rows, with all groups, levels and centers.

        Parameters
        ----------
        rows
            Which rows, counted from 0. Groups may be left without rows.
        """
        per_row = ["y", "X", "trials", "se", "weights", "offset", "censored"]
        per_row += ["y_upper", "lower", "upper"]
        residual = self.residual
        if residual is not None:
            residual = (*residual[:2], _frozen(residual[2][rows]))
        return replace(
            self,
            **{name: _taken(getattr(self, name), rows) for name in per_row},
            factors=tuple(factor.take(rows) for factor in self.factors),
            residual=residual,
        )

    @property
    def factor(self) -> str | None:
        """The name of the first grouping factor, or None."""
        return self.factors[0].factor if self.factors else None

    @property
    def varying(self) -> tuple[str, ...]:
        """The labels of the coefficients that vary over the first factor."""
        return self.factors[0].varying if self.factors else ()

    @property
    def group_labels(self) -> tuple[Any, ...]:
        """The groups of the first factor."""
        return self.factors[0].labels if self.factors else ()

    @property
    def group_index(self) -> np.ndarray | None:
        """The group of each row in the first factor."""
        return self.factors[0].index if self.factors else None

    @property
    def group_sizes(self) -> np.ndarray:
        """Rows per group of the first factor, shape ``(J,)``."""
        return self.factors[0].sizes if self.factors else np.array([self.rows])


def build_design(spec: ModelSpec, frame: pd.DataFrame) -> Design:
    """Build the arrays of a model from a frame that ``used_columns`` has cleaned.

    Parameters
    ----------
    spec
        The model.
    frame
        The columns that the model uses, as ``used_columns`` returns them.

    Raises
    ------
    DataError
        If the data cannot serve the model: outside the family's support, a constant
        or collinear predictor, a single group, a group-level predictor that varies
        within groups.
    """
    family = FAMILIES[spec.family]
    y, categories = _outcome(spec, frame)
    population = _term_matrix(spec.intercept, spec.terms, frame)
    x, labels = population.values, population.labels
    if spec.intercept:
        x, labels = x[:, 1:], labels[1:]
    _refuse_redundant(x, labels, spec.intercept)
    pooled = () if spec.pooling == "complete" else spec.groups
    factors = [_build_factor(spec, term, frame, labels) for term in pooled]
    recipes = [("population", _without_values(population))]
    recipes += [(factor.factor, _without_values(matrix)) for factor, matrix in factors]
    built = [factor for factor, _ in factors]
    center = spec.center_predictors
    has_cutpoints = family.outcome == "ordered"
    intercept = spec.intercept and not has_cutpoints
    own_intercepts = False
    if spec.pooling == "none":
        # What the groups' own coefficients can express is not estimated once more.
        own = built[0]
        kept = [not _is_expressed(column, own) for column in x.T]
        x, labels = x[:, kept], tuple(np.array(labels, dtype=object)[kept])
        intercept = intercept and not _is_expressed(np.ones(len(y)), own)
        own_intercepts = not intercept and own.varying[0] == "Intercept"
        if own_intercepts and center:
            z_bar = own.Z.mean(axis=0)
            z_bar[0] = 0.0
            built[0] = replace(own, z_bar=_frozen(z_bar))
    if spec.pooling == "partial":
        built = _with_group_predictors(spec, built, x, labels, frame)
    if family.outcome == "categories":
        built = [replace(each, predictors_of=categories[1:]) for each in built]
    censored, y_upper = _censoring(spec, frame, y)
    lower, upper = _truncation(spec, frame, y)
    return Design(
        y=_frozen(y),
        X=_frozen(x),
        coefficients=labels,
        intercept=intercept,
        x_bar=_frozen(
            _means(x, center and (intercept or own_intercepts or has_cutpoints))
        ),
        factors=tuple(built),
        trials=_frozen(_trials(spec, frame, y)),
        se=_frozen(_standard_errors(spec, frame)),
        weights=_frozen(_likelihood_weights(spec, frame)),
        offset=_frozen(_offset(spec, frame)),
        censored=_frozen(censored),
        y_upper=_frozen(y_upper),
        lower=_frozen(lower),
        upper=_frozen(upper),
        categories=categories,
        residual=_residual_groups(spec, frame),
        recipes=tuple(recipes),
    )


def used_columns(spec: ModelSpec, data: Any) -> pd.DataFrame:
    """Copy the columns that a model uses, as floats and categoricals, and check them.

    Parameters
    ----------
    spec
        The model.
    data
        A pandas data frame, a mapping of columns, or anything with ``to_pandas()``.

    Returns
    -------
    pandas.DataFrame
        One column for each name in the model: numbers and booleans as float64, all
        else as categoricals whose levels occur; the rows are numbered from 0.

    Raises
    ------
    DataError
        If there are no rows, a column is missing or doubled, or has missing or
        infinite values.
    """
    frame = _as_frame(data)
    if len(frame) == 0:
        raise DataError(
            "the data have no rows, and a model needs some. See what emptied them."
        )
    keys = {spec.residual}
    if FAMILIES[spec.family].outcome == "categories":
        keys.add(unquote_name(spec.outcome))
    for term in spec.groups:
        keys |= set(() if term.membership == "matrix" else term.key)
    clean: dict[str, Any] = {}
    for name in _names_in(spec, set(frame.columns)):
        if name not in frame.columns:
            raise DataError(
                f"the data have no column {shorten(name)}."
                + suggestion(name, [str(column) for column in frame.columns])
                + f" Columns: {listed(frame.columns, limit=10)}."
            )
        column = frame[name]
        if isinstance(column, pd.DataFrame):
            raise DataError(
                f"the data have {column.shape[1]} columns named {shorten(name)}; "
                "rename or drop all but one."
            )
        clean[name] = _clean_column(
            name,
            column,
            is_factor=name in keys,
            may_miss=name == spec.cens_upper,
        )
    return pd.DataFrame(clean, index=pd.RangeIndex(len(frame)), copy=True)


def rebuild(matrix: TermMatrix, frame: pd.DataFrame) -> np.ndarray:
    """Build a design matrix for new rows, with the levels and knots first seen.

    Raises
    ------
    DataError
        If an ordinary factor has a level that the model has not seen.
    """
    data = frame.rename(columns={name: alias for alias, name in matrix.aliases})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            built = matrix.recipe.get_model_matrix(data, context={})
        except Warning as problem:
            raise DataError(f"new rows do not fit the model: {problem}") from None
    return np.asarray(built, dtype=float)


def _as_frame(data: Any) -> pd.DataFrame:
    """Return the user's data as a pandas frame, without copying."""
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        return pd.DataFrame(data.to_pandas())
    try:
        return pd.DataFrame(data)
    except (TypeError, ValueError) as problem:
        raise DataError(
            f"cannot read data of type {type(data).__name__!r} as a table ({problem}); "
            "pass a pandas DataFrame or a mapping of columns."
        ) from None


def _names_in(spec: ModelSpec, columns: set[Any]) -> list[str]:
    """List the columns that a model names, in order, without repeats."""
    texts = [spec.outcome, *spec.terms, *spec.offsets]
    names = []
    for term in spec.groups:
        # Also under complete pooling, so that every pooling sees the same rows.
        texts += term.terms
        names += [*term.key, *term.weights]
    optional = (
        spec.trials,
        spec.se,
        spec.exposure,
        spec.weights,
        spec.cens,
        spec.cens_upper,
        *(spec.trunc or ()),
        spec.residual,
    )
    names += [name for name in optional if isinstance(name, str)]
    replaced, aliases = alias_quoted_names(texts)
    for text in replaced:
        names += [aliases.get(name, name) for name in _variables(text, columns)]
    return list(dict.fromkeys(names))


def _variables(text: str, columns: set[Any]) -> list[str]:
    """List the names in a term that are data: no functions, attributes, keywords."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text.lstrip("-")).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    found = []
    for position, token in enumerate(tokens[:-1]):
        if token.type != tokenize.NAME:
            continue
        name, after = token.string, tokens[position + 1].string
        before = tokens[position - 1].string if position else ""
        is_other = (
            before == "."
            or after in ("(", "=")
            or keyword.iskeyword(name)
            or name in _CONSTANTS
        )
        if name in columns and before != "." and after not in ("(", "="):
            found.append(name)
        elif not is_other:
            found.append(name)
    return found


def _clean_column(
    name: str, column: pd.Series[Any], *, is_factor: bool, may_miss: bool = False
) -> Any:
    """Return a column as float64 or categorical, with nothing missing or infinite."""
    missing = np.flatnonzero(column.isna().to_numpy())
    if missing.size and not (may_miss and pd.api.types.is_numeric_dtype(column)):
        raise DataError(
            f"column {shorten(name)} has {missing.size} missing value(s) (rows "
            f"{listed(missing.tolist())}, counted from 0). Rows are not dropped "
            f"silently: call data.dropna(subset=[{shorten(name)}]) or impute first."
        )
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_factor or is_categorical or not _is_numeric(name, column):
        return _as_categorical(name, column)
    values = column.to_numpy(dtype=float)
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise DataError(
            f"column {shorten(name)} has {infinite.size} infinite value(s) (rows "
            f"{listed(infinite.tolist())}, counted from 0); numbers must be finite. "
            "Correct or drop these rows."
        )
    return values


def _is_numeric(name: str, column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers or booleans; refuse times and complex numbers."""
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind.startswith(("datetime", "timedelta", "date", "time", "period", "complex")):
        raise DataError(
            f"column {shorten(name)} holds values of type {kind!r}; make it a number "
            "or a category first."
        )
    return kind in ("floating", "integer", "mixed-integer-float", "decimal", "boolean")


def _as_categorical(name: str, column: pd.Series[Any]) -> pd.Categorical:
    """Return a categorical of whole numbers or text whose levels all occur."""
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_categorical:
        values = pd.Categorical(column.cat.remove_unused_categories())
        codes, found = values.codes, values.categories.to_numpy()
    else:
        try:
            codes, found = pd.factorize(column.to_numpy(), sort=True)
        except TypeError as problem:
            raise DataError(
                f"column {shorten(name)} mixes types that cannot be ordered "
                f"({problem}); make them text: data[{shorten(name)}].astype(str)."
            ) from None
    whole = found.dtype.kind == "f" and _all_whole(found)
    levels = pd.Index(found.astype(np.int64) if whole else found)
    if not pd.api.types.is_integer_dtype(levels.dtype):
        levels = pd.Index([str(level) for level in levels], dtype=object)
    if not levels.is_unique:
        raise DataError(
            f"levels of column {shorten(name)} differ in type only, such as "
            f"{listed(levels[levels.duplicated()], limit=3)}; make them text first: "
            f"data[{shorten(name)}].astype(str)."
        )
    ordered = is_categorical and bool(column.cat.ordered)
    return pd.Categorical.from_codes(codes, categories=levels, ordered=ordered)


def _outcome(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Evaluate the left-hand side, check it against the family's support.

    Returns the outcome, and the categories that its numbers count, if any.
    """
    family = FAMILIES[spec.family]
    named = unquote_name(spec.outcome)
    what = f"outcome {shorten(named or spec.outcome)}"
    if family.outcome in ("ordered", "categories"):
        return _categories(family, what, named, frame)
    matrix = _term_matrix(False, (spec.outcome,), frame)
    if named is not None and isinstance(frame[named].dtype, pd.CategoricalDtype):
        levels = list(frame[named].cat.categories)
        example = (
            f"(data[{shorten(named)}] == {shorten(levels[-1])}).astype(int)"
            if len(levels) == 2
            else f"pd.to_numeric(data[{shorten(named)}])"
        )
        raise DataError(
            f"{what} is not numeric: its values are {listed(levels)}. Make it a "
            f"number first, for example by {example}."
        )
    if matrix.values.shape[1] != 1:
        raise DataError(f"{what} must be one column of numbers.")
    y = matrix.values[:, 0]
    bad, must = {
        "real": (np.zeros(len(y), dtype=bool), ""),
        "positive": (y <= 0, "positive"),
        "proportion": ((y <= 0) | (y >= 1), "between 0 and 1, and neither,"),
        "binary": (~np.isin(y, (0, 1)), "0 or 1"),
        "count": (
            ~np.isclose(y, np.round(y), rtol=0, atol=1e-9) | (y < 0),
            "whole numbers, 0 or more,",
        ),
    }[family.outcome]
    _refuse_rows(y, bad, f"{what} must be {must} for {family.name!r}", _OTHER_FAMILY)
    return (np.round(y).astype(np.int64) if family.is_discrete else y), ()


def _categories(
    family: Family, what: str, named: str | None, frame: pd.DataFrame
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return an outcome's categories as numbers from 0, and their levels in order."""
    if named is None:
        raise DataError(
            f"{what} is an expression; {family.name!r} takes a column of categories."
        )
    column = frame[named]
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        levels = tuple(column.cat.categories.tolist())
        if family.outcome == "ordered" and not column.cat.ordered:
            raise DataError(
                f"{what} has the values {listed(levels)}, in no order that "
                f"{family.name!r} could go by. Make it an ordered categorical, by "
                f"pd.Categorical(data[{shorten(named)}], categories=[lowest, ..., "
                "highest], ordered=True), or whole numbers."
            )
    else:
        values = column.to_numpy()
        _refuse_rows(
            values,
            values != np.round(values),
            f"{what} must be whole numbers or an ordered categorical for "
            f"{family.name!r}",
            _OTHER_FAMILY,
        )
        found, codes = np.unique(values.astype(np.int64), return_inverse=True)
        levels = tuple(found.tolist())
    if len(levels) < 2:
        raise DataError(
            f"{what} has one category, {listed(levels)}; {family.name!r} needs two or "
            "more."
        )
    return codes.astype(np.int64), levels


def _trials(spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray) -> np.ndarray | None:
    """Return the binomial's trials, checked against the outcome."""
    if spec.trials is None:
        return None
    trials = _numeric_column(frame, spec.trials, "trials")
    what = f"trials {shorten(spec.trials)}"
    bad = (trials != np.round(trials)) | (trials < 0)
    _refuse_rows(trials, bad, f"{what} must be whole numbers, 0 or more")
    _refuse_rows(y, y > trials, f"successes must be at most {what}")
    return trials.astype(np.int64)


def _standard_errors(spec: ModelSpec, frame: pd.DataFrame) -> np.ndarray | None:
    """Return the known standard errors, all positive."""
    if spec.se is None:
        return None
    errors = _numeric_column(frame, spec.se, "se")
    _refuse_rows(errors, errors <= 0, f"se {shorten(spec.se)} must be positive")
    return errors


def _likelihood_weights(spec: ModelSpec, frame: pd.DataFrame) -> np.ndarray | None:
    """Return the weights of the rows' log likelihood, none negative."""
    if spec.weights is None:
        return None
    return _weights_column(frame, spec.weights, "weights")


def _offset(spec: ModelSpec, frame: pd.DataFrame) -> np.ndarray | None:
    """Return what is added to the linear predictor: offsets and log exposure."""
    parts = []
    for text in spec.offsets:
        matrix = _term_matrix(False, (text,), frame)
        if matrix.values.shape[1] != 1 or _is_category(text, frame):
            raise DataError(f"offset({text}) must be one column of numbers.")
        parts.append(matrix.values[:, 0])
    if spec.exposure is not None:
        exposure = _numeric_column(frame, spec.exposure, "exposure")
        rule = f"exposure {shorten(spec.exposure)} must be positive"
        _refuse_rows(exposure, exposure <= 0, rule)
        parts.append(np.log(exposure))
    return np.sum(parts, axis=0) if parts else None


def _is_category(text: str, frame: pd.DataFrame) -> bool:
    """Whether a term is a column of categories."""
    name = unquote_name(text)
    return name is not None and isinstance(frame[name].dtype, pd.CategoricalDtype)


def _censoring(
    spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return how each outcome is censored, and the upper ends of intervals."""
    if spec.cens is None:
        return None, None
    column = frame[spec.cens]
    what = f"cens {shorten(spec.cens)}"
    if isinstance(column.dtype, pd.CategoricalDtype):
        unknown = [each for each in column.cat.categories if each not in _CENSORING]
        if unknown:
            raise DataError(
                f"{what} has {listed(unknown)}; its values are "
                f"{listed(_CENSORING)}, or -1, 0, 1 and 2 for these."
            )
        values = column.map(_CENSORING).to_numpy(dtype=float)
    else:
        values = column.to_numpy()
        rule = f"{what} must be -1 (left), 0 (none), 1 (right) or 2 (interval)"
        _refuse_rows(values, ~np.isin(values, (-1, 0, 1, 2)), rule)
    codes = values.astype(np.int64)
    in_interval = codes == 2
    if spec.cens_upper is None:
        if in_interval.any():
            raise DataError(
                f"{what} has intervals (rows "
                f"{listed(np.flatnonzero(in_interval).tolist())}, counted from 0), "
                "whose upper ends are not known. Write cens(column, upper), or pass "
                "cens_upper='upper'."
            )
        return codes, None
    upper = _numeric_column(frame, spec.cens_upper, "cens_upper")
    _refuse_rows(
        upper,
        in_interval & ~(upper > y),
        f"cens_upper {shorten(spec.cens_upper)} must be greater than the outcome, the "
        "lower end, where it lies in an interval",
    )
    return codes, np.where(in_interval, upper, np.nan)


def _truncation(
    spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the bounds of truncation; every outcome lies between them."""
    bounds: list[np.ndarray | None] = []
    for side, bound in zip(("lower", "upper"), spec.trunc or (None, None), strict=True):
        if bound is None:
            bounds.append(None)
            continue
        values = (
            _numeric_column(frame, bound, "trunc")
            if isinstance(bound, str)
            else np.full(len(y), float(bound))
        )
        outside = y < values if side == "lower" else y > values
        rule = f"the outcome must not be {'below' if side == 'lower' else 'above'} "
        rule += f"its {side} bound of truncation, {shorten(bound)}"
        _refuse_rows(y, outside, rule)
        bounds.append(values)
    lower, upper = bounds
    if lower is not None and upper is not None:
        rule = "the lower bound of truncation must be less than the upper one"
        _refuse_rows(lower, lower >= upper, rule)
    return lower, upper


def _numeric_column(frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column of numbers, or say that it is none."""
    if isinstance(frame[name].dtype, pd.CategoricalDtype):
        raise DataError(
            f"{role} column {shorten(name)} is not numeric: its values are "
            f"{listed(frame[name].cat.categories)}. Make it a number first, for "
            f"example by pd.to_numeric(data[{shorten(name)}])."
        )
    return frame[name].to_numpy(dtype=float)


def _refuse_rows(
    values: np.ndarray,
    bad: np.ndarray,
    rule: str,
    advice: str = "Correct or drop these rows.",
) -> None:
    """Raise if any row breaks a rule, naming rows and values."""
    rows = np.flatnonzero(bad)
    if rows.size:
        shown = [f"row {row} has {values[row]:g}" for row in rows[:5].tolist()]
        more = f" and {rows.size - 5} more" if rows.size > 5 else ""
        raise DataError(
            f"{rule}; not so in {rows.size} row(s), counted from 0: "
            f"{', '.join(shown)}{more}. {advice}"
        )


def _build_factor(
    spec: ModelSpec, term: GroupTerm, frame: pd.DataFrame, labels: tuple[str, ...]
) -> tuple[FactorDesign, TermMatrix]:
    """Build the group side of one factor, and the recipe of its matrix.

    ``labels`` are those of the population's predictors: the same interaction is
    written the same way on both sides.
    """
    matrix = _term_matrix(term.intercept, term.terms, frame)
    varying = _in_same_order(matrix.labels, labels)
    own = int(term.intercept)
    _refuse_redundant(matrix.values[:, own:], varying[own:], term.intercept)
    weights = None
    if term.membership == "matrix":
        groups, index, weights = _members_of_matrix(term, frame)
    elif term.membership == "labels":
        groups, index, weights = _members_of_labels(term, frame)
    else:
        groups, index = _groups(term.key, frame)
    if spec.pooling == "partial" and len(groups) < 2:
        raise DataError(
            f"column {shorten(term.factor)} has one group, {listed(groups)}: "
            "partial pooling learns how groups differ and needs two or more. Pass "
            "pooling='complete'."
        )
    factor = FactorDesign(
        factor=term.factor,
        labels=groups,
        index=_frozen(index),
        Z=_frozen(matrix.values),
        varying=varying,
        z_bar=_frozen(np.zeros(len(varying))),
        weights=_frozen(weights),
    )
    return factor, matrix


def _groups(
    key: Sequence[str], frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return the labels of the groups and the index of each row's group.

    Combinations of columns are numbered in the order of their levels, and labelled
    ``school:classroom``; only those that occur are groups.
    """
    first = frame[key[0]].cat
    labels = tuple(first.categories.tolist())
    index = first.codes.to_numpy().astype(np.int64)
    for name in key[1:]:
        column = frame[name].cat
        inner = column.categories
        combined = index * len(inner) + column.codes.to_numpy()
        occurring, index = np.unique(combined, return_inverse=True)
        labels = tuple(
            f"{labels[code // len(inner)]}:{inner[code % len(inner)]}"
            for code in occurring.tolist()
        )
    return labels, index


def _members_of_labels(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Return groups, indices and weights where each column names a membership."""
    columns = [frame[name].cat for name in term.key]
    levels = columns[0].categories
    for column in columns[1:]:
        if column.categories.dtype != levels.dtype:
            raise DataError(
                f"the memberships {listed(term.key)} hold labels of different types; "
                "make them all text or all whole numbers."
            )
        levels = levels.union(column.categories)
    index = np.column_stack(
        [levels.get_indexer(column.categories)[column.codes] for column in columns]
    )
    weights = np.ones(index.shape)
    if term.weights:
        weights = np.column_stack(
            [_weights_column(frame, name, "weights") for name in term.weights]
        )
    return tuple(levels.tolist()), index, weights


def _members_of_matrix(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Return groups, indices and weights where each column is a group."""
    matrix = np.column_stack(
        [_weights_column(frame, name, "membership") for name in term.key]
    )
    member = matrix > 0
    _refuse_rows(
        member.sum(axis=1),
        np.logical_not(member.any(axis=1)),
        f"every row must be a member of one of {listed(term.key)} or more",
    )
    most = int(member.sum(axis=1).max())
    # Members first, in their order; the rest of a row has weight 0.
    index = np.argsort(~member, axis=1, kind="stable")[:, :most]
    return term.key, index, np.take_along_axis(matrix, index, axis=1)


def _weights_column(frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column of weights, none negative."""
    values = _numeric_column(frame, name, role)
    _refuse_rows(values, values < 0, f"{role} {shorten(name)} must not be negative")
    return values


def _residual_groups(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[str, tuple[Any, ...], np.ndarray] | None:
    """Return the groups that have residual scales of their own."""
    if spec.residual is None or spec.pooling == "complete":
        return None
    labels, index = _groups((spec.residual,), frame)
    return spec.residual, labels, _frozen(index)


def _with_group_predictors(
    spec: ModelSpec,
    factors: list[FactorDesign],
    x: np.ndarray,
    labels: tuple[str, ...],
    frame: pd.DataFrame,
) -> list[FactorDesign]:
    """Give each factor the population predictors that are constant in its groups.

    A predictor belongs to the first factor in whose groups it is constant: it moves
    the mean of that factor's intercepts. An interaction ``x:u`` of a varying ``x``
    with such a ``u`` moves the mean of the slopes of ``x``.
    """
    for name in spec.group_predictors:
        _refuse_varying_within_groups(name, factors, frame)
    taken: set[int] = set()
    result = []
    for factor in factors:
        found: list[tuple[np.ndarray, int, int]] = []
        if factor.weights is None:
            for k, label in enumerate(labels):
                place = _effect_on(label, x[:, k], factor, frame)
                if k not in taken and place is not None:
                    taken.add(k)
                    found.append((place[0], place[1], k + 1))
        if found:
            effect_of = np.zeros((len(found), len(factor.varying)), dtype=np.int64)
            for p, (_, q, k) in enumerate(found):
                effect_of[p, q] = k
            values = np.column_stack([u for u, _, _ in found])
            factor = replace(factor, U=_frozen(values), effect_of=_frozen(effect_of))
        result.append(factor)
    return result


def _effect_on(
    label: str, column: np.ndarray, factor: FactorDesign, frame: pd.DataFrame
) -> tuple[np.ndarray, int] | None:
    """Return the groups' values of a predictor and the coefficient that it moves."""
    if label in factor.varying:
        return None  # its effect is in the groups' own coefficients
    if "Intercept" in factor.varying:
        values = _group_values(column, factor)
        if values is not None:
            return values, factor.varying.index("Intercept")
    parts = label.split(":")
    for q, slope in enumerate(factor.varying):
        others = [part for part in parts if part != slope]
        if len(parts) == 1 or len(others) != len(parts) - 1:
            continue
        names = [name for name in others if name in frame.columns]
        if len(names) < len(others) or any(
            isinstance(frame[name].dtype, pd.CategoricalDtype) for name in names
        ):
            continue
        values = _group_values(frame[names].prod(axis=1).to_numpy(), factor)
        if values is not None:
            return values, q
    return None


def _group_values(column: np.ndarray, factor: FactorDesign) -> np.ndarray | None:
    """Return a column's value in each group, shape ``(J,)``, or None if it varies."""
    values = np.empty(len(factor.labels))
    values[factor.index] = column
    return values if np.array_equal(values[factor.index], column) else None


def _refuse_varying_within_groups(
    name: str, factors: list[FactorDesign], frame: pd.DataFrame
) -> None:
    """Refuse a predictor that is named group-level and varies within groups."""
    if name not in frame.columns:
        raise SpecError(
            f"group_predictors has {shorten(name)}, which is no predictor of the model."
            + suggestion(name, [str(column) for column in frame.columns])
        )
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.codes
    values = column.to_numpy(dtype=float)
    single = [factor for factor in factors if factor.weights is None]
    if single and all(_group_values(values, factor) is None for factor in single):
        factor = single[0]
        first = np.empty(len(factor.labels))
        first[factor.index[::-1]] = values[::-1]
        rows = np.flatnonzero(first[factor.index] != values)
        groups = dict.fromkeys(factor.labels[g] for g in factor.index[rows].tolist())
        raise DataError(
            f"group_predictors has {shorten(name)}, which varies within groups of "
            f"{shorten(factor.factor)} (rows {listed(rows.tolist())}, counted from 0; "
            f"groups {listed(groups)}). Use it as an ordinary predictor."
        )


def _is_expressed(column: np.ndarray, factor: FactorDesign) -> bool:
    """Whether groups with coefficients of their own can reproduce a column."""
    groups, z = factor.index, factor.Z
    if factor.varying[0] == "Intercept":
        # Only the variation counts: a column of large mean and small spread is not
        # a constant.
        column = column - column.mean()
        z = z - np.append(0.0, z[:, 1:].mean(axis=0))
    size = np.sqrt(np.mean(z**2, axis=0))
    z = z / np.where(size > 0, size, 1.0)  # units do not matter
    gram = np.zeros((len(factor.labels), z.shape[1], z.shape[1]))
    cross = np.zeros((len(factor.labels), z.shape[1]))
    for a in range(z.shape[1]):
        cross[:, a] = np.bincount(groups, z[:, a] * column, len(factor.labels))
        for b in range(z.shape[1]):
            gram[:, a, b] = np.bincount(groups, z[:, a] * z[:, b], len(factor.labels))
    coefficients = np.einsum("jab,jb->ja", np.linalg.pinv(gram, hermitian=True), cross)
    left = column - np.einsum("nq,nq->n", z, coefficients[groups])
    return float(left @ left) <= _COLLINEAR * float(column @ column)


def _term_matrix(
    intercept: bool, terms: Sequence[str], frame: pd.DataFrame
) -> TermMatrix:
    """Build a design matrix through formulaic, with the user's labels."""
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
    data = data.assign(**_whole_codes(replaced, data))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            matrix = Formula(
                text, _parser=DefaultFormulaParser(include_intercept=False)
            ).get_model_matrix(data, context={}, na_action="ignore", output="numpy")
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
    for label, column in zip(labels, values.T, strict=True):
        _refuse_rows(
            column,
            ~np.isfinite(column),
            f"{shorten(label)} must be finite",
        )
    return TermMatrix(values, labels, matrix.model_spec, tuple(aliases.items()))


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
    return {n: x.astype(np.int64) for n, x in numbers.items() if _all_whole(x)}


def _all_whole(values: np.ndarray) -> bool:
    """Whether all are whole numbers that integers hold exactly."""
    return bool(np.all((values == np.round(values)) & (np.abs(values) < 2**53)))


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


def _in_same_order(labels: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Write interactions as other labels do: ``a:b`` and ``b:a`` are one."""
    known = {tuple(sorted(other.split(":"))): other for other in others}
    return tuple(known.get(tuple(sorted(each.split(":"))), each) for each in labels)


def _without_values(matrix: TermMatrix) -> TermMatrix:
    """Keep the recipe of a matrix only."""
    return TermMatrix(np.empty((0, 0)), matrix.labels, matrix.recipe, matrix.aliases)


def _refuse_redundant(x: np.ndarray, labels: Sequence[str], intercept: bool) -> None:
    """Refuse constant predictors beside an intercept, and collinear ones, by name."""
    if "Intercept" in labels:
        raise DataError(
            "a predictor is named 'Intercept', which is the intercept's own name; "
            "rename the column."
        )
    doubled = {label for label in labels if labels.count(label) > 1}
    if doubled:
        raise DataError(f"predictors {listed(sorted(doubled))} are given twice.")
    constant = [
        label for label, flat in zip(labels, _is_constant(x), strict=True) if flat
    ]
    if intercept and constant:
        raise DataError(
            f"predictor(s) {listed(constant)} are constant: they cannot be told from "
            "the intercept. Drop them, or the intercept with '0 + ...'."
        )
    basis = x - x.mean(axis=0) if intercept else x
    kept: list[int] = []
    gram = _correlations(basis)
    for column in range(x.shape[1]):
        if kept and _residual(gram, kept, column) < _COLLINEAR:
            weights = np.linalg.lstsq(
                gram[np.ix_(kept, kept)], gram[kept, column], rcond=None
            )[0]
            others = [
                labels[k] for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6
            ]
            raise DataError(
                f"predictor {shorten(labels[column])} is an exact linear combination "
                f"of {listed(others)}{' and the intercept' if intercept else ''}. "
                "Drop one of them."
            )
        kept.append(column)


def _is_constant(x: np.ndarray) -> Any:
    """Whether each column is constant, but for rounding."""
    spread = x.max(axis=0) - x.min(axis=0)
    return spread <= 1e-12 * np.maximum(np.abs(x).max(axis=0), np.finfo(float).tiny)


def _correlations(x: np.ndarray) -> np.ndarray:
    """Return the cross-products of columns scaled to unit length."""
    norms = np.sqrt(np.einsum("ij,ij->j", x, x))
    scaled = x / np.where(norms > 0, norms, 1.0)
    return np.asarray(scaled.T @ scaled)


def _residual(gram: np.ndarray, kept: list[int], column: int) -> float:
    """Return the share of a column's length that the kept columns leave over."""
    weights = np.linalg.lstsq(gram[np.ix_(kept, kept)], gram[kept, column], rcond=None)[
        0
    ]
    return float(gram[column, column] - gram[kept, column] @ weights)


def _means(x: np.ndarray, centered: bool) -> np.ndarray:
    """Return the columns' means, or zeros."""
    return x.mean(axis=0) if centered else np.zeros(x.shape[1])


def _taken(values: np.ndarray | None, rows: np.ndarray) -> Any:
    """Return some rows of an array, read-only."""
    return None if values is None else _frozen(values[rows])


def _frozen(values: Any) -> Any:
    """Make an array read-only."""
    if values is not None:
        values = np.ascontiguousarray(values)
        values.setflags(write=False)
    return values
