"""Arrays: their types for annotations, and how large they may be."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.errors import OutOfMemoryError
from stanpool.base.system.platforms import physical_memory

Array = NDArray[np.float64]
"""Real numbers."""

Indices = NDArray[np.integer[Any]]
"""Places, such as the rows of the data or the group of each row, counted from 0."""

# How large is large, in numbers of 8 bytes. A laptop has 8 to 16 GB of memory, and a
# computation holds two to four arrays of the size of its result at once.
LARGEST_ARRAY = 2**28
"""2 GB: larger results are refused, and the message says what to ask for instead. Work
on more draws of rows than this takes minutes: reports leave it out, and verbs announce
it."""

LARGE_ARRAY = 2**25
"""256 MB: arrays that users have not asked for themselves stay below this, such as the
outcomes that a figure draws. What they have asked for is announced if it is larger."""

BLOCK = 2**20
"""8 MB: draws of rows or of groups that are worked on at a time, so that memory does
not depend on how many there are, and a block stays in the processor's cache."""


@cache
def keep_freed_memory() -> None:
    """Let the memory of one block be used again for the next one.

    The GNU C library returns arrays to the system as soon as they are freed, and the
    system clears their pages before it hands them out again, which takes longer than
    most of what is computed from a block. The library keeps those that are no larger
    than the largest array freed so far, up to 32 MB. Hence one of almost this size is
    freed here, which nothing is written to.
    """
    np.empty(2**25 - 2**16, dtype=np.uint8)


def gigabytes(numbers: float) -> str:
    """Say how much memory numbers take.

    Examples
    --------
    >>> gigabytes(2**28)
    '2.0 GB'
    """
    return f"{numbers * 8 / 2**30:,.1f} GB"


def check_memory(what: str, numbers: int, advice: str) -> None:
    """Refuse what cannot fit into memory, before any of it is computed.

    Parameters
    ----------
    what
        What it is, as the subject of a sentence: ``"the draws of 4 chains"``.
    numbers
        How many numbers it has at least.
    advice
        What to ask for instead, as a sentence.

    Raises
    ------
    OutOfMemoryError
        If they take more than this process may have.

    Examples
    --------
    >>> check_memory("a table of 10 rows", 10, "Pass fewer rows.")
    """
    available = memory() // 8
    if numbers > available:
        raise OutOfMemoryError(
            f"{what} would take {gigabytes(numbers)} of memory, and this process "
            f"may use {gigabytes(available)}. {advice}"
        )


@cache
def memory() -> int:
    """Return the bytes that this process may have: the machine's, or its limit's."""
    found = [physical_memory() or sys.maxsize]
    with suppress(ImportError):  # Windows sets no limits
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit

        found += [each for each in getrlimit(RLIMIT_AS)[:1] if each != RLIM_INFINITY]
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # of containers
        with suppress(OSError, ValueError):
            found.append(int(Path("/sys/fs/cgroup", limit).read_text("utf-8")))
    return min(found)


def without_nan(values: object) -> Array:
    """Return the numbers of a column that are not missing.

    Examples
    --------
    >>> without_nan([1.0, np.nan, 3.0])
    array([1., 3.])
    """
    numbers = np.asarray(values, dtype=float)
    return np.asarray(numbers[~np.isnan(numbers)])
