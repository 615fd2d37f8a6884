"""Arguments of public functions, checked where they come in.

The annotation of an argument says what it takes, and its name within which bounds:
``seed: int | None`` and ``prob: float`` mean the same everywhere. ``public`` reads
both, so that a new public function is checked without a line of its own.
"""

from __future__ import annotations

import ast
import inspect
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from itertools import repeat
from numbers import Real
from operator import index
from typing import Any, TypeVar, cast, get_args

from stanpool.base import options
from stanpool.base.errors import (
    ArgumentError,
    OutOfMemoryError,
    SpecError,
    StanpoolError,
    StorageError,
    check_choice,
    quote,
    quote_list,
    suggestion,
)
from stanpool.base.other_tools import advice_on_argument
from stanpool.base.system.executors.chosen import EXECUTORS, library_of

Thing = TypeVar("Thing", bound=Callable[..., Any])

_REFUSED = object()

# Whole numbers go to Stan and NumPy as 32 bits; from 1, where no other bound is here.
# Ten million iterations are an hour of the simplest sampler; nothing needs more chains
# or threads than there are processors in a large cluster or machine.
_LARGEST = 2**31 - 1
_BOUNDS = {
    "seed": (0, 2**32 - 1),
    "draws": (1, 10_000_000),
    "warmup": (0, 10_000_000),
    "thin": (1, 10_000_000),
    "chains": (1, 10_000),
    "parallel_chains": (1, 10_000),
    "max_treedepth": (1, 30),  # a trajectory of a billion steps
    "threads_per_chain": (1, 1_000),
    "verbose": (0, 2),
    "trials": (0, _LARGEST),
}
_BETWEEN_0_AND_1 = {"prob", "level", "adapt_delta"}
_POSITIVE = {
    *("a", "b", "shape", "rate", "tau", "alpha", "beta", "exposure", "new_se"),
    *("scale", "factor", "tolerance"),
}

# The functions themselves check these, and can say more of what is wrong.
_CHECKED_LATER = {
    *("family", "link"),
    *("priors", "fixed", "folds", "sample", "simulations", "trunc", "rank"),
    *("outcome", "predictors", "varying", "group_predictors"),
}
# Fields that their classes check, for the same reason.
_FIELDS_CHECKED_LATER = {"family", "link", "trunc", "rank"}
_NOT_EMPTY = {"var_names", "quantities", "hypotheses"}
_ALIASES = {
    "GroupTerms": "Sequence[str] | Mapping[str, Any]",
    "AnyFit": "FitResult",
}
_ANY = {"Any", "Bounds", "GroupLike", "Array", "Level", "Event"}

# What protocols ask for, and what stands in for a class of others.
_LIKE = {
    "HasPosterior": "posterior",
    "UnderSeveralPriors": "parameter",
    "Ranked": "ranks",
    "Designs": "goal",
}
_SEQUENCES = {"Sequence", "Collection", "Iterable", "tuple"}
_MADE_BY = {
    "Fit": "model.fit()",
    "FitResult": "model.fit()",
    "HasPosterior": "model.fit()",
    "Model": "sp.Model(formula, data)",
    "PreparedModel": "sp.Model(formula, data)",
    "CrossValidation": "fit.loo() or fit.kfold()",
    "Calibration": "sp.sbc(model)",
    "Ranked": "sp.sbc(model)",
    "UnderSeveralPriors": "sp.compare_scale_priors(model)",
    "Designs": "sp.design(model, goal=...)",
    "PoolingComparison": "sp.compare_pooling(model)",
    "ScalePriorComparison": "sp.compare_scale_priors(model)",
    "ExactDraws": "an exact sampler's draw()",
    "Generator": "numpy.random.default_rng(seed)",
}
_SHOWN = {
    "FitResult": "Fit",
    "HasPosterior": "Fit",
    "PreparedModel": "Model",
    "UnderSeveralPriors": "ScalePriorComparison",
    "Ranked": "Calibration",
    "Designs": "DesignAnalysis",
    "Generator": "numpy.random.Generator",
}


@dataclass(frozen=True)
class Kind:
    """What an argument may be.

    Attributes
    ----------
    words
        As in "must be ...".
    read
        Returns a value as Python's own type, or ``_REFUSED``.
    choices
        The words that it may be, if it must be one of a few.
    """

    words: str
    read: Callable[[Any], Any]
    choices: tuple[str, ...] = ()


def public(thing: Thing) -> Thing:
    """Check the arguments of a function, or of each public method of a dataclass.

    Raises
    ------
    ArgumentError
        When the function is called, if it has no such argument, with its own name of
        what other tools call so.
    SpecError
        If a value is not what the annotation and the name of the argument say.

    Examples
    --------
    >>> @public
    ... def draw(*, seed: int | None = None) -> None: ...
    >>> draw(random_seed=1)
    Traceback (most recent call last):
    stanpool.base.errors.ArgumentError: draw() has no argument 'random_seed'; \
write seed=.
    >>> draw(seed=-1)
    Traceback (most recent call last):
    stanpool.base.errors.SpecError: seed=-1 must be a whole number from 0 to \
4,294,967,295 or None.
    """
    if not inspect.isclass(thing):
        return cast(Thing, _checked(thing))
    # The fields of a dataclass are checked after its constructor, where they must be.
    is_generated = getattr(thing, "__dataclass_params__").init  # noqa: B009
    for name, member in list(vars(thing).items()):
        if name == "__init__":
            init = _checked(member, thing.__name__, values=not is_generated)
            setattr(thing, name, init)
        elif isinstance(member, classmethod) and not name.startswith("_"):
            setattr(thing, name, classmethod(_checked(member.__func__)))
        elif inspect.isfunction(member) and not name.startswith("_"):
            setattr(thing, name, _checked(inspect.unwrap(member), name))
    return cast(Thing, thing)


def check_fields(value: Any) -> None:
    """Check the fields of a frozen dataclass as ``public`` checks arguments."""
    for field in fields(value):
        if field.name not in _FIELDS_CHECKED_LATER:
            given = _read(field.name, field.type, getattr(value, field.name))
            object.__setattr__(value, field.name, given)


def _checked(
    function: Callable[..., Any], name: str = "", *, values: bool = True
) -> Any:
    """Return a function that checks its call, and its arguments' values."""
    signature = inspect.signature(function)
    called = name or function.__name__

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            own = list(signature.parameters)
            left = own[len(args) :]
            raise _wrong_call(called, own, left, kwargs, error) from None
        if values:
            for key, value in bound.arguments.items():
                bound.arguments[key] = _argument(signature.parameters[key], value)
        try:
            return function(*bound.args, **bound.kwargs)
        except StanpoolError:
            raise
        except MemoryError as error:
            raise OutOfMemoryError(
                f"{called}() needs more memory than there is: {error}. Ask for fewer "
                "draws, or pass fewer rows."
            ) from error
        except OSError as error:
            raise StorageError(f"{called}(): {_in_words(error)}") from error

    return checked


def _in_words(error: OSError) -> str:
    """Say what the operating system refused, and what to look at."""
    if not error.filename:
        return str(error)
    return (
        f"{error.strerror}: {str(error.filename)!r}. See whether this path exists, and "
        "whether you may read it and write to it."
    )


def _argument(parameter: inspect.Parameter, value: Any) -> Any:
    """Return an argument as its function wants it, or refuse it."""
    name, annotation = parameter.name, parameter.annotation
    if value is parameter.default or parameter.kind is parameter.VAR_KEYWORD:
        return value
    if name in _CHECKED_LATER:
        return value
    read = _read(name, annotation, value)
    if name in _NOT_EMPTY and isinstance(read, list | tuple) and not read:
        raise SpecError(f"{name}={value!r} is empty; leave it out for all.")
    return read


def _wrong_call(
    name: str,
    own: Sequence[str],
    left: Sequence[str],
    given: Mapping[str, Any],
    error: TypeError,
) -> ArgumentError:
    """Say which argument there is not, and what to write instead, of those left."""
    unknown = [each for each in given if each not in own]
    if not unknown:
        named = ", ".join(f"{each}=" for each in left[:20]) or "given already"
        return ArgumentError(f"{name}(): {error}; its arguments are {named}.")
    said = advice_on_argument(unknown[0], own)
    if not said:
        has = f"; it has {', '.join(left[:20])}." if left else "; it has no others."
        said = f".{suggestion(unknown[0], left)}".removesuffix(".") or has
    return ArgumentError(f"{name}() has no argument {quote(unknown[0])}{said}")


def _read(name: str, annotation: Any, value: Any) -> Any:
    """Return a value as its annotation wants it, or refuse it."""
    if not isinstance(annotation, str):
        return value
    kind = _kind_of(annotation, name)
    read = kind.read(value)
    if read is not _REFUSED:
        return read
    if isinstance(value, str) and "list of" in kind.words:
        given = quote(value)
        raise SpecError(f"{name}={given} is a single string; write a list, [{given}].")
    if kind.choices:
        check_choice(name, value, kind.choices)
    raise SpecError(f"{name}={quote(value)} must be {kind.words}.")


@cache
def _kind_of(annotation: str, name: str) -> Kind:
    """Return what an annotation means for an argument of that name."""
    if "PathLike" in annotation:
        path = Kind("a path, as text or pathlib.Path", _path)
        return _either(path, _NONE) if "None" in annotation else path
    return _kind_of_node(ast.parse(annotation, mode="eval").body, name)


def _kind_of_node(node: ast.expr, name: str) -> Kind:
    if isinstance(node, ast.BinOp):
        return _either(_kind_of_node(node.left, name), _kind_of_node(node.right, name))
    if isinstance(node, ast.Constant):
        return _NONE if node.value is None else _REST
    if isinstance(node, ast.Subscript):
        own = _last_name(node.value)
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if own == "Literal":
            return _one_of(tuple(ast.literal_eval(each) for each in inner))
        members = [_kind_of_node(each, name) for each in inner]
        # In a list of options the function itself finds the one that is wrong.
        members = [_TEXT if each.choices else each for each in members]
        if own == "Mapping":
            return _mapping(*members)
        return _sequence(members, own) if own in _SEQUENCES else _ANYTHING
    return _plain(_last_name(node), name)


def _plain(type_name: str, name: str) -> Kind:
    """Return the kind of a type without parameters."""
    if type_name in _ANY:
        return _ANYTHING
    if hasattr(options, type_name):
        return _one_of(get_args(getattr(options, type_name)))
    if type_name in _ALIASES:
        return _kind_of(_ALIASES[type_name], name)
    if type_name == "int":
        return _whole(*_BOUNDS.get(name, (1, _LARGEST)))
    if type_name == "float":
        return _number(name)
    known = {
        "bool": _FLAG,
        "str": _TEXT,
        "ArrayLike": _NUMBERS,
        "AnyExecutor": _EXECUTOR,
    }
    return known[type_name] if type_name in known else _made_by(type_name)


def _one_of(choices: tuple[str, ...]) -> Kind:
    """Return the kind of an option that is one of a few words."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return _REFUSED
        value = options.FORMER_WORDS.get(value, value)
        return value if value in choices else _REFUSED

    return Kind(f"one of {quote_list(choices, limit=20)}", read, choices)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ast.unparse(node)


def _whole(low: int, high: int) -> Kind:
    def read(value: Any) -> Any:
        try:
            number = index(value)
        except TypeError:
            return _REFUSED
        return number if low <= number <= high and not _is_flag(value) else _REFUSED

    bounds = f", {low} or more" if high == _LARGEST else f" from {low} to {high:,}"
    return Kind(f"a whole number{bounds}", read)


def _number(name: str) -> Kind:
    inside, above = name in _BETWEEN_0_AND_1, name in _POSITIVE
    low = 0.0 if inside or above else -math.inf
    high = 1.0 if inside else math.inf

    def read(value: Any) -> Any:
        if _is_flag(value) or not isinstance(value, Real):
            return _REFUSED
        try:
            return float(value) if low < float(value) < high else _REFUSED
        except OverflowError:
            return _REFUSED

    words = "positive and finite" if above else "a finite number"
    return Kind("a number between 0 and 1" if inside else words, read)


def _is_flag(value: Any) -> bool:
    """Whether a value is True or False, of Python's or NumPy's."""
    own = type(value)
    return own is bool or (own.__module__ == "numpy" and own.__name__ == "bool")


def _as_numbers(value: Any) -> Any:
    import numpy as np

    try:
        found = np.asarray(value)
        return found.astype(float) if found.dtype.kind in "iuf" else _REFUSED
    except (TypeError, ValueError, OverflowError):
        return _REFUSED


def _path(value: Any) -> Any:
    try:
        text = os.fspath(value)
    except TypeError:
        return _REFUSED
    return value if isinstance(text, str) and "\0" not in text else _REFUSED


def _sequence(members: list[Kind], own: str) -> Kind:
    """Return the kind of a list: never a text, which is a list of letters."""
    is_fixed = own == "tuple" and len(members) > 1 and members[-1] is not _REST

    def read(value: Any) -> Any:
        is_one = isinstance(value, str | bytes | bytearray | Mapping)
        if is_one or getattr(value, "ndim", 1) != 1:
            return _REFUSED
        if not isinstance(value, Collection):
            is_iterated = own == "Iterable" and isinstance(value, Iterable)
            return value if is_iterated else _REFUSED
        if is_fixed and len(value) != len(members):
            return _REFUSED
        kinds = iter(members) if is_fixed else repeat(members[0])
        found = [next(kinds).read(each) for each in value]
        if any(each is _REFUSED for each in found):
            return _REFUSED
        return tuple(found) if own == "tuple" or isinstance(value, tuple) else found

    if is_fixed:
        return Kind(f"{len(members)} values, as in (a, b)", read)
    of = members[0].words.removeprefix("a ").removeprefix("an ")
    return Kind(f"a list of {of}s" if of else "a list", read)


def _mapping(key: Kind, member: Kind) -> Kind:
    def read(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return _REFUSED
        pairs = [(key.read(name), member.read(each)) for name, each in value.items()]
        wrong = any(each is _REFUSED for pair in pairs for each in pair)
        return _REFUSED if wrong else value

    return Kind(f"a mapping from {key.words} to {member.words or 'values'}", read)


def _made_by(type_name: str) -> Kind:
    """Return the kind of a class, known by its name, so that it is not imported."""

    def read(value: Any) -> Any:
        named = any(each.__name__ == type_name for each in type(value).__mro__)
        is_like = type_name in _LIKE and hasattr(value, _LIKE[type_name])
        return value if named or is_like else _REFUSED

    shown = _SHOWN.get(type_name, type_name)
    article = "an" if shown[0] in "AEIOU" else "a"
    made = f", as {_MADE_BY[type_name]} returns" if type_name in _MADE_BY else ""
    return Kind(f"{article} {shown}{made}", read)


def _either(*kinds: Kind) -> Kind:
    def read(value: Any) -> Any:
        found = (kind.read(value) for kind in kinds)
        return next((each for each in found if each is not _REFUSED), _REFUSED)

    others = [kind for kind in kinds if kind is not _NONE]
    choices = others[0].choices if len(others) == 1 else ()
    return Kind(" or ".join(kind.words for kind in kinds), read, choices)


_NONE = Kind("None", lambda value: None if value is None else _REFUSED)
_ANYTHING = Kind("", lambda value: value)
_REST = Kind("...", lambda value: value)
_FLAG = Kind(
    "True or False", lambda value: bool(value) if _is_flag(value) else _REFUSED
)
_TEXT = Kind("text", lambda value: value if isinstance(value, str) else _REFUSED)
_EXECUTOR = Kind(
    EXECUTORS, lambda value: _REFUSED if library_of(value) is None else value
)
_NUMBERS = Kind("a number, or an array of numbers", _as_numbers)
