"""The functions that formula text may use, and what to write in place of others.

This list is the whole of what a formula can call, besides a user's own functions that
are passed by name. It is checked before anything is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stanpool.base.errors import SpecError, quote, suggestion
from stanpool.language.expression import (
    Call,
    Chain,
    Listing,
    Name,
    Node,
    Number,
    Text,
    Unary,
    written,
)

MOST_COLUMNS = 100  # that one spline or polynomial may have

CONSTANTS = ("True", "False", "None", "np.pi", "np.e")
CONTRASTS: Mapping[str, tuple[str, ...]] = {
    "Treatment": ("reference",),
    "Sum": (),
    "Helmert": ("reverse", "scale"),
    "Diff": ("backward",),
    "Poly": ("scores",),
    "contr.treatment": ("base",),
    "contr.SAS": ("base",),
    "contr.sum": (),
    "contr.helmert": ("reverse", "scale"),
    "contr.diff": ("backward",),
    "contr.poly": ("scores",),
}


@dataclass(frozen=True)
class Function:
    """A function of the language.

    Attributes
    ----------
    kind
        ``"row"``: each row's value follows from that row; ``"taken"``: one number,
        taken from the rows of the fit; ``"frozen"``: a column that needs such numbers;
        ``"basis"``: several columns, and ``"levels"``: a category, which stand as
        terms of their own; ``"smooth"``: a term with which nothing interacts, such as
        curves, and predictors whose values are not all known.
    columns
        How many expressions of columns it takes.
    settings
        The names of what else it takes: numbers, texts and lists of these.
    """

    kind: str
    columns: int = 1
    settings: tuple[str, ...] = ()


_ROW = (
    "abs absolute fabs sign exp exp2 exp10 expm1 log log2 log10 log1p sqrt cbrt square "
    "reciprocal negative floor ceil trunc rint sin cos tan arcsin arccos arctan sinh "
    "cosh tanh arcsinh arccosh arctanh degrees radians deg2rad rad2deg isfinite isnan "
    "logical_not I"
)
_ROW_OF_TWO = (
    "maximum minimum fmax fmin hypot arctan2 power mod remainder fmod floor_divide add "
    "subtract multiply divide copysign logaddexp logical_and logical_or logical_xor"
)
_SPLINE = ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")

FUNCTIONS: Mapping[str, Function] = {
    **{name: Function("row") for name in _ROW.split()},
    **{name: Function("row", 2) for name in _ROW_OF_TWO.split()},
    "where": Function("row", 3),
    "clip": Function("row", 3),
    "round": Function("row", 1, ("decimals",)),
    "isin": Function("row", 1, ("values",)),
    **dict.fromkeys(("mean", "median", "min", "max", "sum", "ptp"), Function("taken")),
    **dict.fromkeys(("std", "var"), Function("taken", 1, ("ddof",))),
    "quantile": Function("taken", 1, ("q",)),
    "center": Function("frozen"),
    "scale": Function("frozen", 1, ("center", "scale", "ddof")),
    "standardize": Function("frozen", 1, ("center", "rescale", "ddof")),
    "poly": Function("basis", 1, ("degree", "raw")),
    "bs": Function(
        "basis",
        1,
        (
            *("df", "knots", "degree", "include_intercept"),
            *("lower_bound", "upper_bound", "extrapolation"),
        ),
    ),
    **dict.fromkeys(("cr", "cs", "cc"), Function("basis", 1, _SPLINE)),
    "C": Function("levels", 1, ("contrasts", "levels", "spans_intercept")),
    "s": Function("smooth", 1, ("k", "bs", "by")),
    "t2": Function("smooth", 2, ("k", "bs", "by")),
    "gp": Function("smooth", 1, ("k", "c", "cov", "by")),
    "mo": Function("smooth", 1),
    "me": Function("smooth", 2),
    "mi": Function("smooth", 1),
}
SMOOTH_BASES = ("tp", "cr", "cc", "ps")
COVARIANCES = ("exp_quad", "matern32", "matern52")  # of Gaussian processes
_NOT_OF_NUMPY = {"I", "center", "scale", "standardize", "poly", "bs", "cr", "cs", "cc"}
_NOT_OF_NUMPY |= {"C", "exp10", "s", "t2", "gp", "mo", "me", "mi"}
_UNCERTAIN = {
    "me": "me() takes a column and the standard deviations of its errors, as in "
    "me(x, sd), where sd is a column or a number",
    "mi": "mi() takes a column that has missing values, as in mi(x)",
}
_OTHER_BASES = {
    "re": "a random effect is a group term, (1 | g)",
    "fs": "a curve for each group is s(x, by=g), beside (1 | g)",
    "sz": "a curve for each level is s(x, by=f), beside f",
    "gp": "a Gaussian process is gp(x)",
}
_MOST_OF_SMOOTH = 1000  # dimensions of a space of curves
_MOST_C = 100
_SHIFTED = "formulas compute each row by itself; add the column to the data"
_IN_THE_DATA = "do so in the data, before the model sees them"
_INSTEAD = {
    **dict.fromkeys(("te", "ti"), "a smooth surface is t2(x, z)"),
    **dict.fromkeys(("pspline", "lo", "smooth"), "a smooth curve is s(x)"),
    **dict.fromkeys(
        ("ns", "rcs", "splines.ns"),
        "write cr(x, df=3, constraints='center') for natural cubic splines",
    ),
    **dict.fromkeys(
        ("factor", "as.factor", "ordered", "Categorical", "pd.Categorical", "category"),
        "write C(x) for a coefficient per level",
    ),
    **dict.fromkeys(("monotonic", "monotone"), "a monotonic effect is mo(x)"),
    **dict.fromkeys(
        ("lag", "lead", "shift", "diff", "cumsum", "ma", "arma"),
        _SHIFTED,
    ),
    **dict.fromkeys(("ar", "cor_ar"), "an autoregression of effects is ar1(t)"),
    "rank": "it depends on all rows; add data['x'].rank() to the data",
    **dict.fromkeys(("ifelse", "if_else", "case_when"), "write np.where(x > 0, a, b)"),
    "c": "write lists in brackets, [1, 2]",
    "sd": "write std(x, ddof=1)",
    "as.numeric": "columns of numbers need no conversion; convert others in the data",
    "as.integer": "write np.trunc(x)",
    "pow": "write x ** 2",
    "logit": "write log(x / (1 - x))",
    "inv_logit": "write 1 / (1 + exp(-x))",
    "expit": "write 1 / (1 + exp(-x))",
    "cut": _IN_THE_DATA,
    "relevel": "write C(x, Treatment('level'))",
    "Q": "write names of several words in backticks",
    "cbind": "write 'successes | trials(n) ~ ...'",
    "Surv": "write 'time | cens(1 - event) ~ ...'",
    "offset": "an offset is added as a term of its own, '+ offset(x)'",
    **dict.fromkeys(
        ("trials", "se", "exposure", "weights", "cens", "quantile"),
        "it is a part of the outcome, 'y | weights(w) ~ ...'",
    ),
    **dict.fromkeys(("factors", "mm", "members"), "it must be a term of its own"),
    "hashed": "write C(x)",
    **dict.fromkeys(("fillna", "dropna", "astype", "map", "apply"), _IN_THE_DATA),
}
_METHODS = {
    "mean": "center(x), or mean(x)",
    "std": "scale(x), or std(x, ddof=1)",
    "rank": "a column that has data['x'].rank()",
    "astype": "C(x) for levels",
    "isin": "np.isin(x, [1, 2])",
    "between": "(x >= a) & (x <= b)",
    "pow": "x ** 2",
}


def check(node: Node, functions: Collection[str] = ()) -> None:
    """Refuse what is not of the language, before anything is evaluated.

    Parameters
    ----------
    node
        An expression.
    functions
        The names of a user's own functions.

    Raises
    ------
    SpecError
        That points at it, and says what to write.

    Examples
    --------
    >>> from stanpool.language.expression import parse
    >>> check(parse("sd(x)"))
    Traceback (most recent call last):
    stanpool.base.errors.SpecError: formulas have no function 'sd': write std(x, \
ddof=1).
        sd(x)
        ^^^^^
    """
    match node:
        case Call():
            _check_call(node, functions)
        case Chain(signs=signs, operands=operands):
            if ":" in signs:
                raise node.at.error(
                    "':' is for interactions of terms, not for arithmetic; write '*'."
                )
            for each in operands:
                check(each, functions)
        case Unary(operand=operand):
            check(operand, functions)
        case Listing():
            raise node.at.error(
                "a list can only be an argument, as in np.isin(x, [1, 2])."
            )
        case Name(name=name, quoted=False) if "." in name and name not in CONSTANTS:
            raise node.at.error(_of_point(name))


def check_arithmetic(node: Node, functions: Collection[str] = ()) -> None:
    """Refuse what is not one column of numbers or conditions.

    Raises
    ------
    SpecError
        As ``check``; and if a function stands for several columns or levels.
    """
    check(node, functions)
    for each in calls(node):
        function = FUNCTIONS.get(each.function)
        if function is not None and function.kind in ("basis", "levels", "smooth"):
            raise each.at.error(
                f"{each.name}() makes several columns, so it must be a term of its "
                "own; arithmetic takes single columns."
            )


def calls(node: Node) -> Iterator[Call]:
    """Yield the calls of functions of columns in an expression."""
    match node:
        case Call():
            yield node
            below = columns_of(node)
        case Chain(operands=operands):
            below = operands
        case Unary(operand=operand):
            below = (operand,)
        case _:
            below = ()
    for each in below:
        yield from calls(each)


def names(node: Node) -> Iterator[Name]:
    """Yield the names in an expression that are columns, or may be."""
    match node:
        case Name():
            yield node
            below: tuple[Node, ...] = ()
        case Call():
            below = columns_of(node)
        case Chain(operands=operands):
            below = operands
        case Unary(operand=operand):
            below = (operand,)
        case _:
            below = ()
    for each in below:
        yield from names(each)


def columns_of(call: Call) -> tuple[Node, ...]:
    """Return the arguments of a call that are expressions of columns."""
    function = FUNCTIONS.get(call.function)
    if function is None:
        return call.arguments
    if function.kind == "smooth":  # whose options have names
        return (*call.arguments, *filter(None, [by_of(call)]))
    return call.arguments[: function.columns]


def by_of(call: Call) -> Node | None:
    """Return the expression that the curves of a smooth depend on."""
    return dict(call.settings).get("by")


def is_smooth(node: Node) -> bool:
    """Whether an expression is a smooth."""
    known = FUNCTIONS.get(node.function) if isinstance(node, Call) else None
    return known is not None and known.kind == "smooth"


def is_monotonic(node: Node) -> bool:
    """Whether an expression is a monotonic effect."""
    return is_smooth(node) and isinstance(node, Call) and node.function == "mo"


def is_uncertain(node: Node) -> bool:
    """Whether an expression is a predictor whose values are not all known."""
    return is_smooth(node) and isinstance(node, Call) and node.function in _UNCERTAIN


def depends_on_rows(node: Node) -> bool:
    """Whether an expression has something that is taken from all rows of the fit."""
    found = (FUNCTIONS.get(each.function) for each in calls(node))
    kinds = ("taken", "frozen", "basis", "smooth")
    return any(f is not None and f.kind in kinds for f in found)


def settings_of(call: Call) -> dict[str, object]:
    """Return what a call has besides columns, by name: numbers, texts, lists."""
    return {
        name: constant(value)
        for name, value in _others_of(call)
        if (name != "contrasts" or call.function != "C")
        and (name != "by" or not is_smooth(call))
    }


def contrasts_of(call: Call) -> Node | None:
    """Return the coding that ``C()`` is given."""
    return dict(_others_of(call)).get("contrasts")


def _others_of(call: Call) -> list[tuple[str, Node]]:
    """Return the arguments of a call that are not columns, by name."""
    function = FUNCTIONS.get(call.function)
    if function is None or function.kind == "smooth":
        return list(call.settings)
    others = call.arguments[function.columns :]
    return [*zip(function.settings, others, strict=False), *call.settings]


def constant(node: Node) -> object:
    """Return the value of a constant.

    Raises
    ------
    SpecError
        If it is none.
    """
    match node:
        case Number(value=value) | Text(value=value):
            return value
        case Unary(sign="-" | "+" as sign, operand=Number(value=value)):
            return -value if sign == "-" else value
        case Name(name="True" | "False" | "None" as word, quoted=False):
            return {"True": True, "False": False, "None": None}[word]
        case Listing(items=items) if not any(isinstance(i, Listing) for i in items):
            return [constant(each) for each in items]
    raise node.at.error(
        "a number, a string, True, False, None or a list of these is expected here."
    )


def _check_call(call: Call, functions: Collection[str]) -> None:
    """Refuse a function that is not known, and arguments that it does not take."""
    if call.name in functions:
        for each in call.arguments:
            check(each, functions)
        settings_of(call)
        return
    function = FUNCTIONS.get(call.function)
    of_numpy = call.name.startswith("np.")
    if function is None or (of_numpy and call.function in _NOT_OF_NUMPY):
        raise call.at.error(_unknown(call, functions))
    if function.kind == "smooth":
        _check_smooth(call, function.columns)
        function = replace(function, columns=len(call.arguments))
    count, least = len(call.arguments), function.columns
    most = least + len(function.settings)
    given = list(function.settings[: max(0, count - least)])
    for name, value in call.settings:
        if name not in function.settings or name in given:
            takes = ", ".join(function.settings) or "none ('==' compares)"
            raise value.at.error(
                f"{call.name}() does not take {name!r} here; its options: {takes}."
                + suggestion(name, function.settings)
            )
    if not least <= count <= most:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise call.at.error(f"{call.name}() takes {wanted} argument(s), got {count}.")
    for each in columns_of(call):
        check(each, functions)
    for name, value in _others_of(call):
        if call.function == "C" and name == "contrasts":
            _check_contrasts(value)
        elif name != "by" or function.kind != "smooth":
            _check_size(name, value)


def _check_smooth(call: Call, predictors: int) -> None:
    """Refuse a smooth that is written as others are, or of a basis that is not known.

    Raises
    ------
    SpecError
        That says what to write.
    """
    if call.function in _UNCERTAIN:
        _check_uncertain(call, predictors)
    if call.function == "gp":
        predictors = _check_process(call)
    if len(call.arguments) != predictors:
        raise call.at.error(
            f"{call.name}() takes {'one predictor' if predictors == 1 else 'two'}, and "
            "options by name: s(x, k=20) is a curve, t2(x, z) a surface, and "
            "s(x, by=f) has a curve for each level of f."
        )
    given = dict(call.settings)
    for each in (*call.arguments, *filter(None, [given.get("by")])):
        if isinstance(each, Text):
            raise each.at.error("a column is written without quotes, as in s(x, by=f).")
    if "bs" in given and (kind := constant(given["bs"])) not in SMOOTH_BASES:
        advice = _OTHER_BASES.get(str(kind), "choose one of these")
        raise given["bs"].at.error(
            f"bs={quote(kind)} is none of {', '.join(map(repr, SMOOTH_BASES))}: "
            f"{advice}."
        )
    if "k" in given:
        sizes = constant(given["k"])
        _check_dimensions(given["k"], sizes if isinstance(sizes, list) else [sizes])
        if isinstance(sizes, list) and len(sizes) != predictors:
            raise given["k"].at.error("k takes one number for each predictor here.")


def _check_uncertain(call: Call, arguments: int) -> None:
    """Refuse what is not ``me(x, sd)`` or ``mi(x)``, where x is a column."""
    usage = _UNCERTAIN[call.function]
    for name, node in call.settings:
        if name == "gr":
            raise node.at.error(
                "each row has a true value of its own: gr= is not offered. Where rows "
                "share one, fit a model of its own to the rows of x, with a group term."
            )
        raise node.at.error(f"{usage}; it has no option {name!r}.")
    if len(call.arguments) != arguments:
        raise call.at.error(f"{usage}.")
    if not isinstance(call.arguments[0], Name):
        raise call.arguments[0].at.error(
            f"{usage}. Add what you compute of columns to the data, such as a column "
            "log_x."
        )


def _check_process(call: Call) -> int:
    """Refuse a process that is written as others are; return how many predictors."""
    if not 1 <= len(call.arguments) <= 2:
        raise call.at.error(
            "gp() takes one predictor or two, and options by name: gp(x, k=30) is a "
            "curve, gp(x, z) a surface, and gp(x, by=f) has a curve for each level of "
            "f."
        )
    given = dict(call.settings)
    if "cov" in given and (kind := constant(given["cov"])) not in COVARIANCES:
        raise given["cov"].at.error(
            f"cov={quote(kind)} is none of {', '.join(map(repr, COVARIANCES))}."
        )
    if "c" in given:
        c = constant(given["c"])
        is_number = isinstance(c, int | float) and not isinstance(c, bool)
        if not is_number or not 1 < float(str(c)) <= _MOST_C:
            raise given["c"].at.error(
                "c says where the process ends, in half ranges of the predictor from "
                f"its middle: a number above 1, and at most {_MOST_C}."
            )
    return len(call.arguments)


def _check_dimensions(node: Node, sizes: list[Any]) -> None:
    """Refuse what is no number of dimensions."""
    for size in sizes:
        is_whole = isinstance(size, int) and not isinstance(size, bool)
        if not is_whole or not 3 <= size <= _MOST_OF_SMOOTH:
            raise node.at.error(
                "k says of how many dimensions the curves are, a whole number from 3 "
                f"to {_MOST_OF_SMOOTH}; t2(x, z) and gp(x, z) take one, or a list of "
                "two."
            )


def _check_size(name: str, node: Node) -> None:
    """Refuse what is not a constant, and more columns than anybody needs."""
    value = constant(node)
    if name not in ("df", "degree", "knots"):
        return
    size = len(value) if isinstance(value, list) else value
    if isinstance(size, int | float) and not 0 <= size <= MOST_COLUMNS:
        raise node.at.error(f"{name} must be between 0 and {MOST_COLUMNS} here.")


def _check_contrasts(node: Node) -> None:
    """Refuse what is not one of the known codings of levels."""
    match node:
        case Name(name=name, quoted=False) if name in CONTRASTS or name == "None":
            return
        case Call(name=name, arguments=given, settings=settings) if name in CONTRASTS:
            known = CONTRASTS[name]
            names = [*known[: len(given)], *(key for key, _ in settings)]
            if len(given) <= len(known) and set(names) <= set(known):
                for each in (*given, *(value for _, value in settings)):
                    constant(each)
                return
    raise node.at.error(
        f"{quote(written(node))} is not a coding of levels; write one of "
        f"{', '.join(list(CONTRASTS)[:5])}, or Treatment('level')."
    )


def _unknown(call: Call, functions: Collection[str]) -> str:
    """Say what to write in the place of a function that is not known."""
    name = call.name
    column, point, method = name.rpartition(".")
    said = f"formulas have no function {quote(name)}"
    known_as = name if name in _INSTEAD else method if point else ""
    if known_as in _INSTEAD and column in ("", "np", "pd", "as", "splines", "mgcv"):
        x = written(call.arguments[0])[:60] if call.arguments else "x"
        return f"{said}: {_INSTEAD[known_as].replace('(x', f'({x}')}."
    if point and column not in ("np", "contr", "pd"):
        return _of_point(name)
    return (
        f"{said}.{suggestion(method or name, [*FUNCTIONS, *functions])} There are "
        "NumPy's elementwise functions (exp, log, where, ...), mean, std, min, max, "
        "center, scale, poly, bs, cr, C and I. Pass your own as functions={'f': f}."
    )


def _of_point(name: str) -> str:
    """Say what to write in the place of ``x.mean()``."""
    column, _, method = name.rpartition(".")
    if method in _METHODS:
        instead = f"write {_METHODS[method]}"
    elif method in FUNCTIONS:
        instead = f"write {method}(x)"
    elif method in _INSTEAD:
        instead = _INSTEAD[method]
    else:
        instead = "add a column to the data"
    return (
        f"columns have no attributes or methods, so {quote(column)} cannot be followed "
        f"by a point: {instead}. (If a column is called {quote(name)}, write its name "
        "in backticks.)"
    )


def as_functions(
    functions: Mapping[str, Callable[..., Any]] | None,
) -> tuple[tuple[str, Callable[..., Any]], ...]:
    """Turn what a user passes as ``functions=`` into sorted pairs.

    Raises
    ------
    SpecError
        If they are no mapping of plain names to functions, or one is in the language.
    """
    if functions is None:
        return ()
    if not isinstance(functions, Mapping):
        raise SpecError(
            f"functions={quote(functions)} must be a mapping; write "
            "functions={'f': f}."
        )
    for name, function in functions.items():
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise SpecError(
                f"functions has {quote(name)}, which must be a plain identifier."
            )
        if name in FUNCTIONS or name in CONTRASTS or name in CONSTANTS:
            raise SpecError(
                f"functions has {quote(name)}, which formulas have already; give "
                "yours another name."
            )
        if not callable(function):
            raise SpecError(f"functions[{quote(name)}] must be a function.")
    return tuple(sorted(functions.items(), key=lambda pair: pair[0]))
