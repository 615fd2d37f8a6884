"""What a design analysis found, for each size of the study."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SamplingError, quote
from stanpool.posterior.convergence import R_HAT_OF_REFITS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WIDTH = 88
_FEW = 10  # results from which a ratio is an average of something


@dataclass(frozen=True)
class Simulated:
    """What one simulated study found.

    Attributes
    ----------
    groups, rows, simulation
        The size of the study, and its number.
    truth, estimate, low, high
        The true value, the posterior mean, and the ends of the interval.
    reached
        Whether the goal was reached.
    divergences, r_hat, seconds
        How the fit was sampled.
    failure
        Why there is no fit; empty if there is one.
    """

    groups: int | None
    rows: int | None
    simulation: int
    truth: float = np.nan
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    reached: bool = False
    divergences: int = 0
    r_hat: float = np.nan
    seconds: float = np.nan
    failure: str = ""


@public
@dataclass(frozen=True, eq=False, repr=False)
class DesignAnalysis:
    """What studies of several sizes would find.

    Attributes
    ----------
    goal, truth
        What is to be found, and its true value.
    prob
        The probability of the interval, or of the hypothesis.
    is_interval
        Whether the goal is that the interval excludes 0.
    table
        A row for each design. ``power`` is the share of fits that reach the goal;
        ``power_low`` and ``power_high`` are the ends of Wilson's 95 % interval for it,
        which count studies without a fit as failures and as successes. ``width`` is the
        mean width of the interval, ``coverage`` how often it has the true value,
        ``bias`` the mean error of the estimate. Of the studies that reach the goal,
        ``right_sign`` is the share with the sign of the truth (1 minus the type S
        error), and ``exaggeration`` the mean of the estimate over the truth, both
        without signs (the type M error). Columns that end with ``_mcse`` are Monte
        Carlo standard errors. ``failed`` studies have no fit; fits that are ``poor``
        have divergences, or an R-hat of the log density above 1.05.
    fits
        A row for each simulation.
    """

    goal: str
    truth: float
    prob: float
    is_interval: bool
    table: pd.DataFrame
    fits: pd.DataFrame

    @property
    def failures(self) -> pd.DataFrame:
        """The simulations that could not be fitted, with the reason of each."""
        failed = self.fits[self.fits["failure"] != ""]
        return failed[["groups", "rows", "simulation", "failure"]]

    def plot(self, *, measure: str = "power") -> Figure:
        """Draw a measure along the sizes. See ``stanpool.plots.plot_design``."""
        from stanpool.plots import plot_design

        return plot_design(self, measure=measure)

    def __str__(self) -> str:
        """Write the goal, the table, and what was wrong with fits."""
        table = self._cells().to_string(index=False)
        lines = [
            line
            for sentence in self._sentences()
            for line in textwrap.wrap(sentence, _WIDTH)
        ]
        goal = "\n".join(textwrap.wrap(self._goal, _WIDTH))
        return "\n".join([goal, "", table, "", *lines]).rstrip()

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        said = "".join(f"<li>{escape(each)}</li>" for each in self._sentences())
        table = self._cells().to_html(index=False, border=0)
        return f"<p><b>{escape(self._goal)}</b></p>{table}<ul>{said}</ul>"

    @property
    def _goal(self) -> str:
        """The goal in a sentence."""
        if self.is_interval:
            said = f"the central {self.prob:.4g} interval of {self.goal} excludes 0"
        else:
            said = f"{self.goal} with posterior probability {self.prob:.4g} or more"
        return f"Goal: {said}. Its true value is {self.truth:.4g}." + (
            "" if self.is_interval else " (That is the left side minus the right.)"
        )

    def _cells(self) -> pd.DataFrame:
        """Return what is shown of the table, as texts."""
        import pandas as pd

        cells: dict[str, list[str]] = {}
        for size in ("groups", "rows"):
            if self.table[size].notna().any():
                cells[size] = [f"{x:,}" for x in self.table[size]]
        rows: list[Any] = list(self.table.itertuples())
        cells["power"] = [_share(each.power) for each in rows]
        cells["(95 %)"] = [f"{x.power_low:.2f} to {x.power_high:.2f}" for x in rows]
        cells["width"] = [_with_error(x.width, x.width_mcse) for x in rows]
        cells["right sign"] = [_share(each.right_sign) for each in rows]
        cells["exaggeration"] = [
            _with_error(x.exaggeration, x.exaggeration_mcse) for x in rows
        ]
        cells["coverage"] = [_share(each.coverage) for each in rows]
        cells["failed"] = [f"{x.failed} of {x.simulations}" for x in rows]
        return pd.DataFrame(cells)

    def _sentences(self) -> list[str]:
        """Say what was wrong with fits, and what few results cannot say."""
        said = []
        failed, total = len(self.failures), len(self.fits)
        if failed:
            first = self.failures.iloc[0]["failure"]
            said.append(
                f"{failed:,} of {total:,} simulated studies could not be fitted, which "
                "power_low counts as failures and power_high as successes; the first: "
                f"{quote(first, 200)}. See .failures."
            )
        poor = int(self.table["poor"].sum())
        if poor:
            said.append(
                f"Fits with divergences or an R-hat above {R_HAT_OF_REFITS}, whose "
                f"results are less certain: {poor:,} of {total:,}. Try more draws, or "
                "adapt_delta=0.99."
            )
        if (self.table["reached"] < _FEW).any() and self.truth != 0:
            said.append(
                f"Where fewer than {_FEW} studies reach the goal, exaggeration and the "
                "share of right signs rest on few results."
            )
        if self.truth == 0:
            said.append(
                "The true value is 0, so that power is the rate of false positives."
            )
        return said


def analysis_of(
    goal: str,
    truth: float,
    prob: float,
    found: Sequence[Simulated],
    *,
    is_interval: bool,
) -> DesignAnalysis:
    """Summarize simulations.

    Parameters
    ----------
    goal, truth, prob, is_interval
        As ``DesignAnalysis`` has them.
    found
        What the simulated studies found.

    Raises
    ------
    SamplingError
        If none could be fitted.
    """
    import pandas as pd

    if all(each.failure for each in found):
        raise SamplingError(
            f"none of {len(found):,} simulated studies could be fitted; the first: "
            f"{found[0].failure}"
        )
    whole = {"groups": "Int64", "rows": "Int64"}
    fits = pd.DataFrame([asdict(each) for each in found]).astype(whole)
    rows = [
        dict(zip(whole, size, strict=True)) | _summarized(own)
        for size, own in fits.groupby(list(whole), sort=False, dropna=False)
    ]
    table = pd.DataFrame(rows).astype(whole)
    return DesignAnalysis(goal, truth, prob, is_interval, table, fits)


def _summarized(fits: pd.DataFrame) -> dict[str, Any]:
    """Summarize the simulations of one design."""
    done = fits[fits["failure"] == ""]
    count, total, failed = len(done), len(fits), len(fits) - len(done)
    reached = done[done["reached"]]
    error = done["estimate"] - done["truth"]
    covers = (done["low"] <= done["truth"]) & (done["truth"] <= done["high"])
    has_sign = reached[reached["truth"] != 0]
    right = has_sign["estimate"] * has_sign["truth"] > 0
    ratio = (has_sign["estimate"] / has_sign["truth"]).abs()
    poor = (done["divergences"] > 0) | (done["r_hat"] > R_HAT_OF_REFITS)
    return {
        "simulations": total,
        "failed": failed,
        "poor": int(poor.sum()),
        "reached": len(reached),
        "power": len(reached) / count if count else np.nan,
        "power_low": _wilson(len(reached), total)[0],
        "power_high": _wilson(len(reached) + failed, total)[1],
        **_mean("width", done["high"] - done["low"]),
        **_mean("right_sign", right),
        **_mean("exaggeration", ratio),
        **_mean("bias", error),
        **_mean("coverage", covers),
        "seconds": done["seconds"].mean(),
    }


def _mean(name: str, column: pd.Series[Any]) -> dict[str, float]:
    """Return a mean and its Monte Carlo standard error."""
    values = np.asarray(column, dtype=float)
    count = len(values)
    error = np.std(values, ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return {name: values.mean() if count else np.nan, f"{name}_mcse": error}


def _wilson(successes: int, total: int) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a probability.

    Examples
    --------
    >>> [round(x, 3) for x in _wilson(81, 263)]  # Newcombe (1998), table I
    [0.255, 0.366]
    """
    from scipy import stats  # type: ignore[import-untyped]

    found = stats.binomtest(successes, total).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _share(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _with_error(value: float, error: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.3g}" if np.isnan(error) else f"{value:.3g} ± {error:.1g}"
