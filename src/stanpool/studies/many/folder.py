"""The folder of many fits, to which more are added, and which survives a crash.

::

    states/
    ├── fits.json                    format, and what a label is called
    ├── 5ad1a0c3f7e24b11.fit/        a saved fit
    └── 5ad1a0c3f7e24b11.json        its label, and how it went; or why it failed

Names are digests of labels, which may be any text. Each fit is written when it is done,
and its record after it, so that whatever ends the process, every record is of a
complete fit, and processes on several machines can write at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.base.errors import DataError, NoFitError, PathTakenError, quote
from stanpool.base.system.files import explained, write_text
from stanpool.base.table_files import as_json

_FORMAT = 1
_INDEX = "fits.json"


def plain_label(label: Any) -> Any:
    """Return a label as text or a number of Python's own, or a tuple of these.

    Examples
    --------
    >>> plain_label((2.0, "a"))
    (2, 'a')
    """
    if isinstance(label, tuple):
        return tuple(map(plain_label, label))
    if hasattr(label, "item"):
        label = label.item()
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label if isinstance(label, str | int | float) else str(label)


def digest_of(label: Any) -> bytes:
    """Return the SHA-256 of a label, which names its fit and makes its seed."""
    text = json.dumps(plain_label(label), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Record:
    """How one of many fits went.

    Attributes
    ----------
    label
        What it is called: a text or a number, or a tuple of these.
    failure
        Why there is no fit; empty if there is one.
    seconds
        The wall time of sampling.
    divergences, max_r_hat, min_ess_bulk, min_ess_tail
        The worst values of the diagnosis; NaN where they do not apply.
    problems, finding
        How many problems the diagnosis found, and the first sentence about them.
    """

    label: Any
    failure: str = ""
    seconds: float = np.nan
    divergences: float = np.nan
    max_r_hat: float = np.nan
    min_ess_bulk: float = np.nan
    min_ess_tail: float = np.nan
    problems: int = 0
    finding: str = ""


@dataclass(frozen=True)
class FitsFolder:
    """A folder of fits.

    Attributes
    ----------
    path
        The folder.
    names
        What the parts of a label are called.
    """

    path: Path
    names: tuple[str, ...]

    @classmethod
    def opened(cls, path: Path, names: tuple[str, ...]) -> FitsFolder:
        """Make a folder, or take one that has fits with such labels.

        Raises
        ------
        PathTakenError
            If the path is anything else.
        DataError
            If the labels of its fits are other ones.
        StorageError
            If it cannot be written to.
        """
        folder = cls(path, names)
        if not (path / _INDEX).exists():
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise PathTakenError(
                    f"{str(path)!r} exists, and does not hold fits of fit_many(). Pass "
                    "another folder, or one that is empty."
                )
            with explained(f"write fits to {str(path)!r}", path):
                path.mkdir(parents=True, exist_ok=True)
            facts = {"format": _FORMAT, "names": list(names)}
            write_text(path / _INDEX, as_json(facts))
        found = cls.read(path)
        if found.names != names:
            raise DataError(
                f"the fits in {str(path)!r} are labelled by {_said(found.names)}, and "
                f"these by {_said(names)}. Pass another folder."
            )
        return folder

    @classmethod
    def read(cls, path: Path) -> FitsFolder:
        """Return a folder of fits that is there.

        Raises
        ------
        NoFitError
            If there is none.
        DataError
            If it is damaged, or a newer stanpool wrote it.
        """
        index = path / _INDEX
        if not index.is_file():
            raise NoFitError(f"there are no fits of fit_many() in {str(path)!r}.")
        facts = _json_in(index)
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
            raise DataError(
                f"{str(index)!r} is damaged, or a newer stanpool wrote it: this one "
                f"reads format {_FORMAT}."
            )
        return cls(path, tuple(map(str, facts.get("names", ()))))

    def place_of(self, label: Any) -> Path:
        """Return the folder of the fit with a label."""
        return self.path / f"{digest_of(label).hex()[:16]}.fit"

    def write(self, record: Record) -> None:
        """Write how a fit went, beside it."""
        write_text(self._place_of_record(record.label), as_json(asdict(record)))

    def has_record(self, label: Any) -> bool:
        """Whether it is written here how the fit with a label went."""
        return self._place_of_record(label).is_file()

    def _place_of_record(self, label: Any) -> Path:
        return self.place_of(label).with_suffix(".json")

    def records(self) -> Iterator[Record]:
        """Read how the fits went, in the order of their labels.

        Raises
        ------
        DataError
            If a file is damaged.
        """
        found = []
        for place in self.path.glob("*.json"):
            if place.name == _INDEX:
                continue
            values = _json_in(place)
            try:
                values["label"] = _as_label(values["label"])
                numbers = {k: np.nan for k, v in values.items() if v is None}
                found.append(Record(**(values | numbers)))
            except (KeyError, TypeError) as problem:
                raise DataError(f"{str(place)!r} is damaged: {problem}.") from None
        yield from sorted(found, key=lambda each: _sorted_by(each.label))


def _as_label(value: Any) -> Any:
    """Return a label as it was: JSON writes tuples as lists."""
    return tuple(value) if isinstance(value, list) else value


def _sorted_by(label: Any) -> list[tuple[bool, Any]]:
    """Return what sorts labels: numbers by their size, and before texts."""
    parts = label if isinstance(label, tuple) else (label,)
    return [(isinstance(part, str), part) for part in parts]


def _said(names: tuple[str, ...]) -> str:
    return " and ".join(quote(name) for name in names) or "nothing"


def _json_in(path: Path) -> Any:
    """Read a file of JSON."""
    with explained(f"read {str(path)!r}", path):
        text = path.read_text("utf-8")
    try:
        return json.loads(text)
    except ValueError as problem:
        raise DataError(f"{str(path)!r} is damaged: {problem}.") from None
