"""What is fitted: models with their data, shipped or simulated with fixed seeds.

Simulated data come in blocks of rows, each from a generator of its own, so that ten
million rows are written to a file without ever being in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.system.files import writing
from stanpool.bench.goals import NEVER_SLOWER, Beats, BeatsPeers, Converges, Goal, Grows
from stanpool.data.datasets import load_dataset

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("auto", "interpreted", "centered", "noncentered", "adaptive")
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Work:
    """A model and its data.

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
        Whether the peers fit it by default.
    from_file
        Whether the data are a Parquet file, which is written once.
    """

    name: str
    about: str
    formula: str
    frames: Callable[[], Iterator[pd.DataFrame]]
    goals: tuple[Goal, ...]
    family: str = "gaussian"
    ours: tuple[str, ...] = FORMS
    peers: bool = True
    from_file: bool = False

    def prepare(self, folder: Path) -> None:
        """Write the file of a work whose data are one, unless it is there."""
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


def _shipped(name: str) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: iter([load_dataset(name)])


def _radon_all() -> Iterator[pd.DataFrame]:
    # As in posteriordb: by name only, of which one is empty.
    frame = load_dataset("radon_all")
    yield frame.assign(county=frame["county"].fillna("(none)"))


def _verbagg() -> Iterator[pd.DataFrame]:
    frame = load_dataset("verbagg")
    yield frame.assign(r2=(frame["r2"] == "Y").astype(int))


def simulated(
    sizes: np.ndarray,
    *,
    seed: int,
    beta: tuple[float, ...] = (),
    tau: tuple[float, ...] = (0.5,),
    sigma: float = 1.0,
    binary_outcome: bool = False,
    binary_predictors: bool = False,
) -> Iterator[pd.DataFrame]:
    """Simulate a hierarchical model: columns ``y``, ``x1``, ``x2``, ... and ``g``.

    Parameters
    ----------
    sizes
        Rows of each group, shape ``(J,)``; rows of all groups are mixed.
    seed
        Of the data, which are always the same.
    beta
        Population coefficients; the intercept is 1.
    tau
        Scales of the deviations of the groups' intercepts and first slopes.
    sigma
        Residual scale, of outcomes that are not binary.
    binary_outcome, binary_predictors
        Whether these are 0 or 1; normal otherwise.

    Examples
    --------
    >>> frame = next(simulated(np.array([2, 3]), seed=1, beta=(0.5,)))
    >>> frame.shape, list(frame.columns), sorted(frame["g"])
    ((5, 3), ['y', 'x1', 'g'], [0, 0, 1, 1, 1])
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    deviations = rng.normal(scale=tau, size=(len(sizes), len(tau)))
    groups = rng.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
    for start in range(0, len(groups), _BLOCK):
        g = groups[start : start + _BLOCK]
        rng = np.random.default_rng([seed, start])
        X = rng.normal(size=(len(g), len(beta)))
        if binary_predictors:
            X = (X > 0).astype(float)
        eta = 1.0 + X @ np.array(beta) + deviations[g, 0]
        for slope in range(1, len(tau)):
            eta += deviations[g, slope] * X[:, slope - 1]
        if binary_outcome:
            y: Any = rng.binomial(1, 1 / (1 + np.exp(-eta)))
        else:
            y = rng.normal(eta, sigma)
        columns = {f"x{k + 1}": X[:, k] for k in range(len(beta))}
        yield pd.DataFrame({"y": y, **columns, "g": g})


def _large(rows: int) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: simulated(
        np.full(1000, rows // 1000), seed=1, beta=(0.5, -0.3, 0.2), tau=(0.5, 0.3)
    )


def _mixed(*, binary: bool) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: simulated(
        np.repeat([500, 2], 50), seed=2, beta=(0.5,), binary_outcome=binary
    )


_LARGE = "y ~ x1 + x2 + x3 + (1 + x1 || g)"
_BY_COUNTY = "log_radon ~ floor + (1 + floor || county)"
_GROWS = Grows(1.3, "large_10k")

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        Work(
            "radon",
            "919 houses in 85 counties of Minnesota",
            _BY_COUNTY,
            _shipped("radon"),
            (BeatsPeers(2), NEVER_SLOWER),
        ),
        Work(
            "radon_all",
            "12,573 houses in 386 counties, by their names",
            _BY_COUNTY,
            _radon_all,
            (BeatsPeers(20), NEVER_SLOWER),
        ),
        Work(
            "sparse",
            "2000 groups of 2 rows, tau 0.1, sigma 1",
            "y ~ 1 + (1 | g)",
            lambda: simulated(np.full(2000, 2), seed=1, tau=(0.1,)),
            (Converges(1000), NEVER_SLOWER),
        ),
        Work(
            "large_10k",
            "10,000 rows of 1000 groups, 3 predictors",
            _LARGE,
            _large(10_000),
            (),
            ours=("auto",),
            peers=False,
        ),
        Work(
            "large",
            "100,000 rows of 1000 groups, 3 predictors",
            _LARGE,
            _large(100_000),
            (BeatsPeers(100), NEVER_SLOWER, _GROWS),
        ),
        Work(
            "large_1m",
            "1,000,000 rows of 1000 groups, 3 predictors, from Parquet",
            _LARGE,
            _large(1_000_000),
            (_GROWS,),
            ours=("auto",),
            peers=False,
            from_file=True,
        ),
        Work(
            "large_10m",
            "10,000,000 rows of 1000 groups, 3 predictors, from Parquet",
            _LARGE,
            _large(10_000_000),
            (Grows(1.3, "large_10k", build_seconds=60, build_megabytes=2000),),
            ours=("auto",),
            peers=False,
            from_file=True,
        ),
        Work(
            "bernoulli",
            "20,000 binary outcomes in 500 groups, 3 continuous predictors",
            "y ~ x1 + x2 + x3 + (1 | g)",
            lambda: simulated(
                np.full(500, 40), seed=1, beta=(0.5, -0.3, 0.2), binary_outcome=True
            ),
            (BeatsPeers(3), NEVER_SLOWER),
            family="bernoulli",
        ),
        Work(
            "binary",
            "1,000,000 binary outcomes in 500 groups, 2 binary predictors",
            "y ~ x1 + x2 + (1 | g)",
            lambda: simulated(
                np.full(500, 2000),
                seed=1,
                beta=(0.5, -0.3),
                binary_outcome=True,
                binary_predictors=True,
            ),
            (Beats("auto", ("cells",), 0.9),),
            family="bernoulli",
            ours=("auto", "cells"),
            peers=False,
        ),
        Work(
            "mixed",
            "50 groups of 500 rows and 50 of 2",
            "y ~ x1 + (1 | g)",
            _mixed(binary=False),
            (Beats("adaptive", ("centered", "noncentered")), NEVER_SLOWER),
        ),
        Work(
            "mixed_binary",
            "50 groups of 500 binary outcomes and 50 of 2",
            "y ~ x1 + (1 | g)",
            _mixed(binary=True),
            (Beats("adaptive", ("centered", "noncentered")), NEVER_SLOWER),
            family="bernoulli",
        ),
        Work(
            "scotssec",
            "3435 pupils of 148 primary and 19 secondary schools",
            "attain ~ verbal + (1 | primary) + (1 | second)",
            _shipped("scotssec"),
            (BeatsPeers(5), NEVER_SLOWER),
        ),
        Work(
            "verbagg",
            "7584 binary answers of 316 people to 24 items",
            "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)",
            _verbagg,
            (BeatsPeers(2), NEVER_SLOWER),
            family="bernoulli",
        ),
    )
}
