"""The data sets that stanpool ships, each with a SOURCE.md on where it is from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, suggestion
from stanpool.base.system.files import shipped_folder

if TYPE_CHECKING:
    import pandas as pd


@public
def list_datasets() -> tuple[str, ...]:
    """Return the names that ``load_dataset`` knows.

    Examples
    --------
    >>> "radon" in list_datasets()
    True
    """
    folders = shipped_folder("data").iterdir()
    return tuple(sorted(each.name for each in folders if each.is_dir()))


@public
def load_dataset(name: str) -> pd.DataFrame:
    """Load a data set that comes with stanpool.

    Parameters
    ----------
    name
        One of ``list_datasets()``; its ``SOURCE.md`` describes the columns.

    Raises
    ------
    SpecError
        If there is no such data set.

    Examples
    --------
    >>> load_dataset("radon").shape
    (919, 9)
    """
    import pandas as pd

    return pd.read_csv(_folder(name) / f"{name}.csv")


def describe_dataset(name: str) -> str:
    """Return what is known of a data set: columns, source, licence, checks.

    Parameters
    ----------
    name
        One of ``list_datasets()``.

    Raises
    ------
    SpecError
        If there is no such data set.

    Examples
    --------
    >>> describe_dataset("eight_schools").splitlines()[2]
    'Coaching effects on SAT-V in eight schools.'
    """
    return (_folder(name) / "SOURCE.md").read_text("utf-8")


def _folder(name: str) -> Path:
    """Find a data set, or say which there are."""
    known = list_datasets()
    if name not in known:
        raise SpecError(
            f"no data set {quote(name)}; there are {', '.join(known)}."
            + suggestion(str(name), known)
        )
    return shipped_folder("data") / name
