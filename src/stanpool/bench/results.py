"""The results of fits, and their medians over seeds.

A fit has converged if all its R-hat are at most 1.01. Otherwise its ESS per CPU second
counts as 0 in the median, since effective sample sizes are then meaningless.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from stanpool.base.system.files import write_text
from stanpool.base.table_files import as_json
from stanpool.posterior.convergence import R_HAT

FITTED, OVER, FAILED, MISSING, SKIPPED = (
    "fitted",
    "over the time limit",
    "failed",
    "not installed",
    "not run",
)


@dataclass(frozen=True)
class Cell:
    """One benchmark, fitted by one tool with one seed.

    Attributes
    ----------
    benchmark, tool, seed
        The names, and the seed.
    status
        ``"fitted"``, ``"over the time limit"``, ``"failed"``, ``"not installed"`` or
        ``"not run"``; ``message`` says more.
    form
        What the tool chose, such as a parameterization.
    engine
        What ran the program, of stanpool's own tools.
    build_seconds, build_megabytes
        The time from the data to a model that can be compiled, and the peak memory.
    compile_seconds
        The time of compilation, with a first short run if the tool needs one.
    compile_cpu_seconds
        The CPU time of that.
    seconds
        The time from calling fit to labelled draws, without compilation.
    cpu_seconds
        The CPU time of that, by which tools are compared: it hardly depends on what
        else the machine does.
    gradients, warmup_gradients
        How many gradients all chains computed, and how many of these during the
        warm-up; None if the tool does not say.
    megabytes
        The peak memory of the process and of the largest one that it started.
    ess, ess_of
        The smallest bulk ESS, and the label of its quantity.
    r_hat, r_hat_of
        The largest R-hat, and the label of its quantity; None if a chain did not move.
    divergences
        The number of divergences after warm-up, in all chains.
    scalars
        The number of scalars that ``ess`` and ``r_hat`` are taken over.
    estimates
        The mean of each population parameter, and its Monte Carlo error.
    load
        The load average of the machine when the fit began.
    versions
        The versions of the packages that were used.
    sampling
        The numbers of chains, draws, warm-up iterations and cores.
    """

    benchmark: str
    tool: str
    seed: int
    status: str = FITTED
    message: str = ""
    form: str = ""
    engine: str = ""
    build_seconds: float | None = None
    build_megabytes: float | None = None
    compile_seconds: float | None = None
    compile_cpu_seconds: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    gradients: int | None = None
    warmup_gradients: int | None = None
    megabytes: float | None = None
    ess: float | None = None
    ess_of: str = ""
    r_hat: float | None = None
    r_hat_of: str = ""
    divergences: int | None = None
    scalars: int | None = None
    estimates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    load: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    sampling: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{self.benchmark}--{self.tool}--{self.seed}"

    @property
    def converged(self) -> bool:
        """Whether every R-hat is at most 1.01."""
        return self.r_hat is not None and self.r_hat <= R_HAT

    @property
    def ess_per_cpu_second(self) -> float | None:
        """ESS per CPU second, 0 if the fit did not converge; None if there is none."""
        if self.ess is None or self.cpu_seconds is None:
            return None
        return self.ess / self.cpu_seconds if self.converged else 0.0

    @property
    def gradient_milliseconds(self) -> float | None:
        """The CPU time of a fit for each of its gradients."""
        if not self.gradients or self.cpu_seconds is None:
            return None
        return 1000 * self.cpu_seconds / self.gradients

    @property
    def warmup_share(self) -> float | None:
        """The share of gradients that the warm-up took."""
        if not self.gradients or self.warmup_gradients is None:
            return None
        return self.warmup_gradients / self.gradients

    @property
    def is_point(self) -> bool:
        """Whether it is a point estimate, without draws."""
        return self.status == FITTED and self.ess is None

    def save(self, path: Path) -> None:
        """Write the cell as JSON, completely or not at all."""
        write_text(path, as_json(asdict(self)))

    @classmethod
    def load_from(cls, path: Path) -> Cell:
        """Read a cell."""
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        values["estimates"] = {
            name: (float(mean), float(error))
            for name, (mean, error) in values["estimates"].items()
        }
        return cls(**values)


@dataclass(frozen=True)
class Standing:
    """All seeds of one benchmark and tool.

    Examples
    --------
    >>> cells = tuple(
    ...     Cell("radon", "auto", seed, cpu_seconds=2.0, ess=ess, r_hat=r_hat)
    ...     for seed, ess, r_hat in ((1, 100.0, 1.0), (2, 300.0, 1.0), (3, 9.0, 1.7))
    ... )
    >>> # The median of 50, 150 and 0:
    >>> Standing("radon", "auto", cells).ess_per_cpu_second
    50.0
    """

    benchmark: str
    tool: str
    cells: tuple[Cell, ...]

    @property
    def fitted(self) -> tuple[Cell, ...]:
        """The cells whose fits ended."""
        return tuple(cell for cell in self.cells if cell.status == FITTED)

    @property
    def converged(self) -> int:
        """How many fits converged."""
        return sum(cell.converged for cell in self.fitted)

    @property
    def ess_per_cpu_second(self) -> float:
        """The median; 0 if most fits did not converge or there is none."""
        return self._median("ess_per_cpu_second") or 0.0

    @property
    def gradient_milliseconds(self) -> float | None:
        """The median CPU time of a gradient."""
        return self._median("gradient_milliseconds")

    @property
    def warmup_share(self) -> float | None:
        """The median share of gradients that the warm-up took."""
        return self._median("warmup_share")

    @property
    def megabytes(self) -> float | None:
        """The largest peak memory."""
        return self._largest("megabytes")

    @property
    def is_point(self) -> bool:
        """Whether all its fits are point estimates."""
        return bool(self.fitted) and all(cell.is_point for cell in self.fitted)

    @property
    def seconds(self) -> float | None:
        """The median of the seconds of a fit, converged or not."""
        return self._median("seconds")

    @property
    def cpu_seconds(self) -> float | None:
        """The median CPU time."""
        return self._median("cpu_seconds")

    @property
    def build_seconds(self) -> float | None:
        """The median time of building a model."""
        return self._median("build_seconds")

    @property
    def compile_seconds(self) -> float | None:
        """The longest time of compilation: later seeds find what is compiled."""
        return self._largest("compile_seconds")

    @property
    def compile_cpu_seconds(self) -> float | None:
        """The longest CPU time of compilation."""
        return self._largest("compile_cpu_seconds")

    @property
    def ess(self) -> float | None:
        """The median of the smallest ESS."""
        return self._median("ess")

    @property
    def r_hat(self) -> float | None:
        """The largest R-hat of all seeds."""
        return max((c.r_hat for c in self.fitted if c.r_hat is not None), default=None)

    @property
    def divergences(self) -> int | None:
        """The largest number of divergences of all seeds."""
        return max(
            (c.divergences for c in self.fitted if c.divergences is not None),
            default=None,
        )

    @property
    def form(self) -> str:
        """What the tool chose."""
        return next((cell.form for cell in self.fitted if cell.form), "")

    @property
    def engine(self) -> str:
        """What ran the program."""
        return next((cell.engine for cell in self.fitted if cell.engine), "")

    @property
    def trouble(self) -> Cell | None:
        """The first cell whose fit did not end."""
        return next((cell for cell in self.cells if cell.status != FITTED), None)

    def _largest(self, name: str) -> float | None:
        return max(self._known(name), default=None)

    def _median(self, name: str) -> float | None:
        known = self._known(name)
        return median(known) if known else None

    def _known(self, name: str) -> list[float]:
        values = [getattr(cell, name) for cell in self.fitted]
        return [value for value in values if value is not None]


def standings(cells: Iterable[Cell]) -> dict[tuple[str, str], Standing]:
    """Collect cells by benchmark and tool, in the order in which these first appear."""
    grouped: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.benchmark, cell.tool), []).append(cell)
    return {
        (benchmark, tool): Standing(
            benchmark, tool, tuple(sorted(own, key=lambda c: c.seed))
        )
        for (benchmark, tool), own in grouped.items()
    }


def furthest_apart(one: Cell, other: Cell) -> tuple[str, float]:
    """Return the parameter whose means differ most, in Monte Carlo errors.

    Tools with the same model agree within a few of these; a difference of five is a
    sign that the models differ, or that one of the fits did not converge.

    Examples
    --------
    >>> one = Cell("radon", "auto", 1, estimates={"sigma": (0.72, 0.003)})
    >>> other = Cell("radon", "nutpie", 1, estimates={"sigma": (0.77, 0.004)})
    >>> furthest_apart(one, other)
    ('sigma', 10.0)
    """
    apart = {
        name: abs(mean - other.estimates[name][0])
        / (error**2 + other.estimates[name][1] ** 2) ** 0.5
        for name, (mean, error) in one.estimates.items()
        if name in other.estimates
    }
    if not apart:
        return "", 0.0
    name = max(apart, key=apart.__getitem__)
    return name, round(apart[name], 6)
