"""Values from JSON as frozen dataclasses, checked by their annotations.

Unknown fields are refused, and so are missing fields that have no default. Fields with
a default may be missing, because older files do not have them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stanpool.base.errors import DataError, StanpoolError, quote, quote_list, suggestion

Record = TypeVar("Record")
Readers = Mapping[type, Callable[[Any], Any]]

_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


def read_record(
    cls: type[Record], value: Any, where: str, readers: Readers | None = None
) -> Record:
    """Read a dataclass from a mapping of JSON with its fields.

    Parameters
    ----------
    cls
        The class.
    value
        The value that was read from JSON.
    where
        Its name in messages.
    readers
        Functions that read classes that are written in another form.

    Raises
    ------
    DataError
        If a field is unknown or missing, has another type, or is refused by the class.

    Examples
    --------
    >>> from stanpool.language.model_spec import GroupTerm
    >>> found = {"factor": "county", "terms": ["floor"]}
    >>> read_record(GroupTerm, found, "groups[0]").terms
    ('floor',)
    >>> read_record(GroupTerm, {"factor": "county", "terms": "floor"}, "groups[0]")
    Traceback (most recent call last):
    stanpool.base.errors.DataError: groups[0].terms is 'floor' and must be a list.
    """
    if not isinstance(value, Mapping):
        raise _misfit(where, value, "must be a mapping")
    hints = get_type_hints(cls)
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise DataError(
            f"{where} has unknown fields: {quote_list(unknown)}."
            + suggestion(str(unknown[0]), known)
        )
    found: dict[str, Any] = {}
    for name, field in known.items():
        if name in value:
            part = f"{where}.{name}"
            found[name] = _read(hints[name], value[name], part, readers or {})
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{where} has no field {name!r}.")
    try:
        return cls(**found)
    except StanpoolError as problem:
        raise DataError(f"{where} is not valid: {problem}") from None


def _read(hint: Any, value: Any, where: str, readers: Readers) -> Any:
    """Read a value of a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if hint in readers:
        try:
            return readers[hint](value)
        except (StanpoolError, TypeError, KeyError, AttributeError) as problem:
            raise _misfit(where, value, f"cannot be read ({problem})") from None
    if is_dataclass(hint) and isinstance(hint, type):
        return read_record(hint, value, where, readers)
    if origin in (Union, types.UnionType):
        return _read_one_of(arguments, value, where, readers)
    if origin is Literal:
        if value not in arguments:
            raise _misfit(where, value, f"must be one of {quote_list(arguments)}")
        return value
    if origin is tuple:
        return _read_tuple(arguments, value, where, readers)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _misfit(where, value, "must be a mapping")
        part = arguments[1]
        return {k: _read(part, v, f"{where}[{k!r}]", readers) for k, v in value.items()}
    allowed = (int, float) if hint is float else hint
    if not isinstance(value, allowed) or (hint is not bool and isinstance(value, bool)):
        raise _misfit(where, value, f"must be {_NAMES.get(hint, 'null')}")
    return float(value) if hint is float else value


def _read_one_of(
    hints: tuple[Any, ...], value: Any, where: str, readers: Readers
) -> Any:
    """Read a value of the first type that it fits; None goes first."""
    if value is None and type(None) in hints:
        return None
    problem: DataError | None = None
    for hint in hints:
        if hint is not type(None):
            try:
                return _read(hint, value, where, readers)
            except DataError as misfit:
                problem = problem or misfit
    assert problem is not None
    raise problem


def _read_tuple(
    hints: tuple[Any, ...], value: Any, where: str, readers: Readers
) -> tuple[Any, ...]:
    """Read a tuple, of any length or of a certain one."""
    if not isinstance(value, list):
        raise _misfit(where, value, "must be a list")
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(value)
    if len(hints) != len(value):
        raise _misfit(where, value, f"must have {len(hints)} members")
    return tuple(
        _read(hint, each, f"{where}[{at}]", readers)
        for at, (hint, each) in enumerate(zip(hints, value, strict=True))
    )


def _misfit(where: str, value: Any, rule: str) -> DataError:
    return DataError(f"{where} is {quote(value)} and {rule}.")
