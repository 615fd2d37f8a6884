"""The data sets that stanpool ships, each with a SOURCE.md on where it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stanpool.errors import SpecError, shorten, suggestion
from stanpool.resources import resource

if TYPE_CHECKING:
    import pandas as pd


def list_datasets() -> tuple[str, ...]:
    """Return the names that ``load_dataset`` knows.

    Examples
    --------
    >>> "radon" in list_datasets()
    True
    """
    folders = resource("data").iterdir()
    return tuple(sorted(each.name for each in folders if each.is_dir()))


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

    known = list_datasets()
    if name not in known:
        raise SpecError(
            f"no data set {shorten(name)}; there are {', '.join(known)}."
            + suggestion(str(name), known)
        )
    return pd.read_csv(resource("data") / name / f"{name}.csv")
