"""A benchmark of the suite: a model and its data, and how they are sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stanpool.base.system.files import writing
from stanpool.bench.goals import Goal

if TYPE_CHECKING:
    import pandas as pd

OURS = ("auto", "interpreted")
FORMS = (*OURS, "centered", "noncentered", "adaptive")
"""The tools of stanpool where its forms are compared, too."""

PEERS = ("nutpie", "numpyro", "brms-stanli", "lme4")
LOW_RANK = ("nutpie", "nutpie-low-rank", *PEERS[1:])
"""The peers where posteriors are strongly correlated; compiling takes long."""


@dataclass(frozen=True)
class Sampling:
    """The settings that all tools share; the others are each tool's own defaults.

    Attributes
    ----------
    chains, draws
        The number of chains, and of draws of each.
    warmup
        The warm-up iterations of each chain; None for the default of each tool.
    cores
        The number of cores that a fit is bound to.
    """

    chains: int = 4
    draws: int = 1000
    warmup: int | None = None
    cores: int = 2


@dataclass(frozen=True)
class Benchmark:
    """A model and its data, and what is asked of fits of it.

    Attributes
    ----------
    name, about
        A name, and what the data are.
    formula, family
        The model; its priors are stanpool's defaults, for all tools.
    frames
        Returns the rows, as data frames one after the other.
    goals
        What is asked of it.
    ours
        The tools of stanpool that fit it by default.
    peers
        The peers that fit it by default.
    expert
        The form of the groups' coefficients in which an expert would write the model by
        hand: ``"centered"`` around the population where groups have many rows, and
        ``"noncentered"`` where they have few.
    sampling
        How it is sampled, if its fits are so long that fewer draws have to do.
    from_file
        Whether the data are a Parquet file, which is written once.
    """

    name: str
    about: str
    formula: str
    frames: Callable[[], Iterator[pd.DataFrame]]
    goals: tuple[Goal, ...]
    family: str = "gaussian"
    ours: tuple[str, ...] = OURS
    peers: tuple[str, ...] = PEERS
    expert: Literal["centered", "noncentered"] = "noncentered"
    sampling: Sampling | None = None
    from_file: bool = False

    def prepare(self, folder: Path) -> None:
        """Write the file of a benchmark whose data are one, unless it is there."""
        path = self._path(folder)
        if not self.from_file or path.exists():
            return
        import pyarrow as pa
        from pyarrow import parquet

        with writing(path) as file:
            writer = None
            for frame in self.frames():
                table = pa.Table.from_pandas(frame, preserve_index=False)
                writer = writer or parquet.ParquetWriter(file, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.close()

    def read(self, folder: Path) -> pd.DataFrame | Path:
        """Return the data, or the file that has them."""
        return self._path(folder) if self.from_file else self.frame()

    def frame(self) -> pd.DataFrame:
        """Return all rows as one data frame."""
        import pandas as pd

        frames = list(self.frames())
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def _path(self, folder: Path) -> Path:
        return folder / "data" / f"{self.name}.parquet"
