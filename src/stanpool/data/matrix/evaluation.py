"""Expressions to columns: a tree is walked, and nothing but its functions is called.

What an expression takes from all rows, such as a mean, the knots of a spline or the
levels of ``C()``, is taken once, from the rows of the fit, and kept under the text of
the call. New rows get what was taken then.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.entries import all_whole, refuse_rows
from stanpool.data.matrix.smooths.monotonic import build_monotonic
from stanpool.data.matrix.smooths.process import build_process
from stanpool.data.matrix.smooths.smooth import build_smooth
from stanpool.data.matrix.uncertain import build_uncertain
from stanpool.language.expression import (
    Call,
    Chain,
    Name,
    Node,
    Number,
    Text,
    Unary,
    written,
)
from stanpool.language.vocabulary import (
    FUNCTIONS,
    by_of,
    columns_of,
    constant,
    contrasts_of,
    is_uncertain,
    settings_of,
)

Functions = Mapping[str, Callable[..., Any]]
Taken = Mapping[str, Any]

_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
}
_COMPARISON: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OWN: Mapping[str, Callable[..., Any]] = {
    "I": lambda x: x,
    "exp10": lambda x: np.power(10.0, x),
}
_LOGICAL = ("logical_not", "logical_and", "logical_or", "logical_xor")


@dataclass(frozen=True)
class Recipe:
    """An expression, and what it took from the rows of the fit.

    Attributes
    ----------
    node
        The expression.
    functions
        The user's own functions.
    taken
        By the text of each call: a number, the state of a transform, or levels.
    """

    node: Node
    functions: Functions = field(default_factory=dict)
    taken: Taken = field(default_factory=dict)


def evaluated(
    node: Node, frame: pd.DataFrame, functions: Functions, known: Taken | None = None
) -> tuple[Any, Recipe]:
    """Evaluate an expression for the rows of the fit.

    Parameters
    ----------
    node
        An expression that was checked.
    frame
        Columns of floats or categoricals.
    functions
        The user's own functions by name.
    known
        What was taken before, and is not taken anew: the smooths of a saved fit.

    Returns
    -------
    tuple
        A column: floats or booleans of shape ``(N,)``, a categorical, or what formulaic
        encodes;
        and how to evaluate the same for other rows.

    Raises
    ------
    DataError
        If the columns cannot be what the expression needs.
    """
    walk = _Walk(frame, functions, dict(known or {}), is_fit=True)
    return walk.column(node), Recipe(node, functions, walk.taken)


def evaluated_again(recipe: Recipe, frame: pd.DataFrame) -> Any:
    """Evaluate an expression for other rows, with what was taken at the fit."""
    walk = _Walk(frame, recipe.functions, dict(recipe.taken), is_fit=False)
    return walk.column(recipe.node)


def smooth_again(recipe: Recipe, frame: pd.DataFrame) -> tuple[Any, Any]:
    """Return the free and the penalised columns of a smooth for other rows."""
    walk = _Walk(frame, recipe.functions, dict(recipe.taken), is_fit=False)
    assert isinstance(recipe.node, Call)
    return walk.smooth(recipe.node)


def is_category(value: object) -> bool:
    """Whether a value is a column of categories."""
    return isinstance(value, pd.Categorical)


@dataclass(frozen=True)
class _Walk:
    """A walk through the trees of expressions with the columns of one frame."""

    frame: pd.DataFrame
    functions: Functions
    taken: dict[str, Any]
    is_fit: bool

    def column(self, node: Node) -> Any:
        """Return the value of an expression for each row."""
        value = self.value(node)
        if is_category(value) or hasattr(value, "__formulaic_metadata__"):
            return value
        if not isinstance(value, np.ndarray | np.generic):
            raise node.at.error(f"{quote(written(node))} is not a column.")
        if value.ndim == 2:
            return value
        kind = bool if self._is_truth(node) else float
        return np.array(np.broadcast_to(value, len(self.frame)), dtype=kind)

    def _is_truth(self, node: Node) -> bool:
        """Whether an expression is true or false: a factor of two levels as a term."""
        if isinstance(node, Call) and node.name == "I" and "I" not in self.functions:
            return self._is_truth(node.arguments[0])
        if isinstance(node, Name) and node.name in self.frame.columns:
            return bool(self.frame[node.name].dtype == bool)
        value = self.value(node)
        return isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "b"

    def value(self, node: Node) -> Any:
        """Return the value of an expression."""
        match node:
            case Number(value=value):
                return np.float64(value)
            case Text(value=value):
                return value
            case Name():
                return self._name(node)
            case Unary(sign="not", operand=operand):
                return np.logical_not(self._condition(operand))
            case Unary(sign=sign, operand=operand):
                numbers = self._numbers(operand)
                return np.negative(numbers) if sign == "-" else numbers
            case Chain(signs=("and" | "or", *_)):
                return self._joined(node)
            case Chain(signs=signs) if signs[0] in _COMPARISON:
                return self._compared(node)
            case Chain(signs=signs, operands=operands):
                found = self._numbers(operands[0])
                with np.errstate(all="ignore"):
                    for sign, each in zip(signs, operands[1:], strict=True):
                        found = _ARITHMETIC[sign](found, self._numbers(each))
                return found
            case Call():
                return _guarded(node, self._called)
        raise node.at.error(f"{quote(written(node))} cannot be evaluated here.")

    def _name(self, node: Name) -> Any:
        if node.name in self.frame.columns:
            column = self.frame[node.name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                return column.array
            return column.to_numpy(dtype=float)
        if node.name in ("np.pi", "np.e"):
            return np.float64(np.pi if node.name == "np.pi" else np.e)
        if node.name in ("True", "False"):
            return np.bool_(node.name == "True")
        raise node.at.error(f"{quote(node.name)} is not a column of the data.")

    def _numbers(self, node: Node) -> Any:
        """Return numbers; categories that are whole numbers count as such."""
        value = self.value(node)
        if is_category(value):
            levels = value.categories
            if not pd.api.types.is_numeric_dtype(levels.dtype):
                raise DataError(
                    node.at.pointed(
                        f"{quote(written(node))} is not a number but a category, with "
                        f"levels {quote_list(levels, 3)}; compare it by ==, or write "
                        "C()."
                    )
                )
            return levels.to_numpy(dtype=float)[value.codes]
        if not isinstance(value, np.ndarray | np.generic):
            raise node.at.error(f"{quote(written(node))} must be a number.")
        return np.asarray(value, dtype=float)

    def _condition(self, node: Node) -> Any:
        """Return what is true or false."""
        numbers = self._numbers(node)
        if not np.isin(numbers, (0.0, 1.0)).all():
            raise DataError(
                node.at.pointed(
                    f"{quote(written(node))} must be a condition, true or false."
                )
            )
        return numbers == 1.0

    def _joined(self, node: Chain) -> Any:
        found = self._condition(node.operands[0])
        for sign, each in zip(node.signs, node.operands[1:], strict=True):
            join = np.logical_and if sign == "and" else np.logical_or
            found = join(found, self._condition(each))
        return found

    def _compared(self, node: Chain) -> Any:
        """Compare neighbours, as in ``0 < x < 1``."""
        found: Any = np.bool_(True)
        pairs = zip(node.operands, node.operands[1:], strict=False)
        for sign, (left, right) in zip(node.signs, pairs, strict=True):
            texts = self._texts(left), self._texts(right)
            if all(each is None for each in texts):
                a, b = self._numbers(left), self._numbers(right)
            elif any(each is None for each in texts) or sign not in ("==", "!="):
                raise DataError(
                    node.at.pointed(
                        "categories can only be compared with strings and with each "
                        "other, by == and !=."
                    )
                )
            else:
                a, b = texts
            found = np.logical_and(found, _COMPARISON[sign](a, b))
        return found

    def _texts(self, node: Node) -> Any:
        """Return texts, of the levels where it is a category; None if numbers."""
        value = self.value(node)
        if isinstance(value, str):
            return value
        if is_category(value) and not pd.api.types.is_numeric_dtype(
            value.categories.dtype
        ):
            return np.array(list(map(str, value.categories)), dtype=object)[value.codes]
        return None

    def _called(self, call: Call) -> Any:
        """Call a function of the language, or one of the user's."""
        if call.name in self.functions:
            return self._of_user(call)
        function, kind = call.function, FUNCTIONS[call.function].kind
        if kind == "smooth":
            return np.concatenate(self.smooth(call), axis=1)
        if kind in ("taken", "frozen", "basis", "levels"):
            return self._with_state(call, kind)
        settings = settings_of(call)
        if function == "isin":
            return self._isin(call, settings)
        read = self._condition if function in _LOGICAL else self._numbers
        arguments: list[Any] = [read(each) for each in columns_of(call)]
        if function == "where":
            arguments[0] = self._condition(columns_of(call)[0])
        with np.errstate(all="ignore"):
            apply = _OWN.get(function) or getattr(np, function)
            return apply(*arguments, **settings)

    def smooth(self, call: Call) -> tuple[Any, Any]:
        """Return the free and the penalised columns of a smooth."""
        if call.function == "mo":
            return self._monotonic(call)
        if is_uncertain(call):
            return self._uncertain(call)
        key, depends_on, rows = written(call), by_of(call), len(self.frame)
        own = call.arguments
        x = [np.broadcast_to(self._numbers(each), rows) for each in own]
        names = [written(each, bare=True) for each in own]
        by: Any = None
        if depends_on is not None:
            by = self.value(depends_on)
            if not is_category(by):
                by = np.broadcast_to(by, rows).astype(float)
                if self._is_truth(depends_on):
                    by = pd.Categorical(by == 1.0)
        for each, values in zip([*names, "by"], [*x, by], strict=True):
            if isinstance(values, np.ndarray):
                said = f"{quote(each)} in {quote(key)} must be finite"
                refuse_rows(values, ~np.isfinite(values), said)
        if key not in self.taken:
            settings: dict[str, Any] = settings_of(call)
            inside = ", ".join(names)
            if depends_on is not None:
                inside += f", by={written(depends_on, bare=True)}"
            name, size = f"{call.name}({inside})", settings.pop("k", None)
            if call.function == "gp":
                self.taken[key] = build_process(
                    name,
                    names,
                    x,
                    covariance=settings.get("cov", "exp_quad"),
                    size=size,
                    c=settings.get("c"),
                    by=by,
                )
            else:
                kind = settings.get("bs", "tp")
                self.taken[key] = build_smooth(
                    name, names, x, kind=kind, size=size, by=by
                )
        found: tuple[Any, Any] = self.taken[key].columns(x, by)
        return found

    def _monotonic(self, call: Call) -> tuple[Any, Any]:
        """Return the free column of a monotonic effect, and those of inner levels."""
        key, (node,) = written(call), call.arguments
        x = self.value(node)
        if not is_category(x):
            x = np.broadcast_to(x, len(self.frame)).astype(float)
            said = f"{quote(written(node, bare=True))} in {quote(key)} must be finite"
            refuse_rows(x, ~np.isfinite(x), said)
        if key not in self.taken:
            name = written(node, bare=True)
            self.taken[key] = build_monotonic(f"mo({name})", name, x)
        found: tuple[Any, Any] = self.taken[key].columns([x])
        return found

    def _uncertain(self, call: Call) -> tuple[Any, Any]:
        """Return the column of what was observed of a predictor, and no others."""
        key, node = written(call), call.arguments[0]
        x = np.asarray(self._numbers(node), dtype=float)
        if key not in self.taken:
            name = written(node, bare=True)
            self.taken[key] = build_uncertain(written(call, bare=True), name, x)
        found: tuple[Any, Any] = self.taken[key].columns([x])
        return found

    def _isin(self, call: Call, settings: Mapping[str, Any]) -> Any:
        values = settings.get("values")
        if not isinstance(values, list):
            raise call.at.error("isin() takes a column and a list, as in isin(x, [1]).")
        texts = self._texts(call.arguments[0])
        column = self._numbers(call.arguments[0]) if texts is None else texts
        kind = str if texts is not None else int | float
        if not all(isinstance(each, kind) for each in values):
            raise DataError(
                call.at.pointed(
                    "the list and the column are not both numbers or both strings."
                )
            )
        return np.isin(column, values)

    def _with_state(self, call: Call, kind: str) -> Any:
        """Call a function that needs what was taken at the fit."""
        key, settings = written(call), settings_of(call)
        if kind == "taken":
            if key not in self.taken:
                numbers = np.broadcast_to(
                    self._numbers(call.arguments[0]), len(self.frame)
                )
                with np.errstate(all="ignore"):
                    found = getattr(np, call.function)(numbers, **settings)
                self.taken[key] = float(found)
            return np.float64(self.taken[key])
        if kind == "levels":
            return self._levels(call, key, settings)
        numbers = np.broadcast_to(self._numbers(call.arguments[0]), len(self.frame))
        state = dict(self.taken.get(key, {}))
        transform = _transform(call.function)
        with np.errstate(all="ignore"):
            found = transform(numbers.copy(), **settings, _state=state)
        self.taken.setdefault(key, state)
        return np.asarray(found, dtype=float) if kind == "frozen" else found

    def _levels(self, call: Call, key: str, settings: dict[str, Any]) -> Any:
        """Mark a column as one of categories, whose levels are those of the fit."""
        from formulaic.transforms import C

        value = self.value(call.arguments[0])
        if not is_category(value):
            value = np.broadcast_to(np.asarray(value), len(self.frame))
            if value.dtype.kind == "f":
                inside = quote(written(call.arguments[0], bare=True))
                refuse_rows(value, ~np.isfinite(value), f"{inside} must be finite")
            if value.dtype.kind == "f" and all_whole(value):
                value = value.astype(np.int64)
            levels, codes = np.unique(value, return_inverse=True)
            value = pd.Categorical.from_codes(codes, categories=pd.Index(levels))
        if isinstance(settings.get("levels"), list):
            known = settings["levels"]
        else:
            known = self.taken.setdefault(key, value.categories.tolist())
        unseen = list(set(value.categories) - set(known))
        rows = np.flatnonzero(value.isin(unseen))
        if len(rows):
            raise DataError(
                f"{key} has levels that "
                f"{'the model has not seen' if not self.is_fit else 'are not listed'}: "
                f"{quote_list(unseen)} (rows {quote_list(rows.tolist())}, counted from "
                f"0). Known levels are {quote_list(known)}. Drop these rows."
            )
        coding = contrasts_of(call)
        if coding is not None:
            settings["contrasts"] = _contrasts(coding)
        series = pd.Series(pd.Categorical(value, categories=known))
        return C(series, **settings)

    def _of_user(self, call: Call) -> Any:
        """Call a user's function, with columns that are copies."""
        values = [self.value(each) for each in call.arguments]
        settings = settings_of(call)
        function = self.functions[call.name]

        def of_rows(rows: slice) -> np.ndarray:
            some = [
                np.array(each[rows], copy=True)
                if isinstance(each, np.ndarray) and each.ndim
                else each[rows]
                if is_category(each)
                else each
                for each in values
            ]
            count = len(range(len(self.frame))[rows])
            found = function(*some, **settings)
            try:
                return np.array(np.broadcast_to(np.asarray(found, dtype=float), count))
            except (TypeError, ValueError):
                raise DataError(
                    call.at.pointed(
                        f"{call.name}() returned {quote(found)}, not a number for "
                        f"each of {count} rows."
                    )
                ) from None

        found = of_rows(slice(None))
        later = slice(len(found) // 2, None)
        if self.is_fit and not np.allclose(
            of_rows(later), found[later], rtol=1e-9, atol=0, equal_nan=True
        ):
            raise call.at.error(
                f"what {call.name}() returns for a row depends on other rows, and new "
                "rows would get another value. Add the column to the data; or pass a "
                "function of single rows, and take means by mean(x)."
            )
        return found


def _guarded(call: Call, evaluate: Callable[[Call], Any]) -> Any:
    """Evaluate a call; whatever goes wrong says where."""
    try:
        return evaluate(call)
    except (DataError, SpecError):
        raise
    except Exception as problem:
        reason = " ".join(str(problem).split())
        raise DataError(
            call.at.pointed(
                f"evaluating {quote(written(call))} failed: "
                f"{type(problem).__name__}: {reason}"
            )
        ) from problem


def _contrasts(node: Node) -> Any:
    """Return a coding of levels."""
    from formulaic import transforms

    if not isinstance(node, Name | Call) or node == Name(node.at, "None"):
        return None
    _, _, word = node.name.rpartition("contr.")
    owner: Any = transforms.ContrastsRegistry
    if "." not in node.name:
        owner = transforms.TRANSFORMS
        function = owner[word]
    else:
        function = getattr(owner, word)
    given = node.arguments if isinstance(node, Call) else ()
    settings = node.settings if isinstance(node, Call) else ()
    return function(*map(constant, given), **{k: constant(v) for k, v in settings})


def _transform(name: str) -> Callable[..., Any]:
    """Return one of formulaic's stateful transforms."""
    from formulaic.transforms import TRANSFORMS

    found: Callable[..., Any] = TRANSFORMS[name]
    return found
