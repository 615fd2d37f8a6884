"""Files in which executables of ours write draws as they are in memory.

Their format is described in ``driver/draws_file.hpp``. Text takes ten times as long to
write and to read. Users who name a folder for their CSV files get all draws there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.engine.values.draws import Columns

_SUFFIX = ".draws"
_BUFFER = 2**23  # numbers that are read at once


def writes_draws_files(made_with: Mapping[str, str]) -> bool:
    """Whether an executable has our driver, by what it was made with."""
    return made_with.get("engine") == "embedded"


def with_draws_file(command: Sequence[str], passing: Collection[str]) -> list[str]:
    """Return the command of a chain that writes a file of draws beside its CSV file.

    Parameters
    ----------
    command
        As cmdstanpy gives it.
    passing
        Variables of which the last draw is all that is needed.
    """
    at = command.index("output") + 1
    csv_file = next(
        word.removeprefix("file=") for word in command[at:] if word.startswith("file=")
    )
    ours = [f"draws_file={_beside(csv_file)}"]
    ours += [f"passing={','.join(passing)}"] if passing else []
    return [*command[:at], *ours, *command[at:]]


def of_csv(
    array: np.ndarray, sampler: Mapping[str, Any], program: Mapping[str, Any]
) -> tuple[Columns, Columns]:
    """Return what cmdstanpy has read, whose first columns are the sampler's."""
    first = max((each.end_idx for each in sampler.values()), default=0)
    return Columns(array[:, :, :first], sampler), Columns(array, program)


def read_draws_files(
    csv_files: Sequence[str], draws: int
) -> tuple[Columns, Columns | None]:
    """Read the files of draws beside CSV files, one of each chain.

    Parameters
    ----------
    csv_files
        The CSV files of the chains.
    draws
        How many draws each should have.

    Returns
    -------
    tuple
        The variables of the program; and those of which there is the last draw only.

    Raises
    ------
    ValueError
        If there are others.
    """
    found = [_Opened(_beside(each)) for each in csv_files]
    kept, passing = found[0].kept, found[0].passing
    array = np.empty((draws, len(found), len(kept)), order="F")
    last = np.empty((1, len(found), len(passing)), order="F")
    for chain, each in enumerate(found):
        each.read(array[:, chain], last[0, chain])
    others = Columns.named(last, passing) if passing else None
    return Columns.named(array, kept), others


class _Opened:
    """A file of draws, and the names of its columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self.kept, self.passing = (_names(file.readline()) for _ in range(2))
            self._start = file.tell()

    def read(self, draws: np.ndarray, last: np.ndarray) -> None:
        """Read ``(draw, column)``, and the last draw of what is not kept."""
        numbers = draws.size + last.size
        if self._path.stat().st_size != self._start + 8 * numbers:
            raise ValueError(f"{self._path.name} does not have {len(draws)} draws")
        step = max(1, _BUFFER // max(1, draws.shape[1]))
        with self._path.open("rb") as file:
            file.seek(self._start)
            for start in range(0, len(draws), step):
                some = draws[start : start + step]
                some[:] = np.fromfile(file, count=some.size).reshape(some.shape)
            last[:] = np.fromfile(file, count=last.size)
        self._path.unlink()


def _names(line: bytes) -> list[str]:
    return line.decode().rstrip(",\n").split(",") if line != b"\n" else []


def _beside(csv_file: str) -> Path:
    return Path(csv_file).with_suffix(_SUFFIX)
