"""What the suite asks of a benchmark, and whether it is reached."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from stanpool.bench.results import Standing

OURS = "auto"
"""The tool that goals are for: stanpool with its defaults."""

INTERPRETED = "interpreted"
"""The same model, run by the other engine."""

Standings = Mapping[tuple[str, str], Standing]


@dataclass(frozen=True)
class Verdict:
    """Whether a goal was reached.

    Attributes
    ----------
    goal
        The goal.
    found
        The result.
    reached
        None if it is unknown, because a tool was not run or no tool converged.
    """

    goal: str
    found: str
    reached: bool | None


class Goal(Protocol):
    """Judges a benchmark."""

    def judge(
        self, benchmark: str, standings: Standings, peers: Collection[str]
    ) -> Verdict:
        """Say whether the goal was reached.

        Parameters
        ----------
        benchmark
            Its name.
        standings
            All of the run.
        peers
            Names of the tools that are not stanpool's.
        """


def best(
    benchmark: str, standings: Standings, tools: Collection[str]
) -> Standing | None:
    """Return the standing of the fastest of the tools that converged."""
    found = [
        standing
        for (of, tool), standing in standings.items()
        if of == benchmark and tool in tools and standing.ess_per_cpu_second > 0
    ]
    return max(found, key=lambda each: each.ess_per_cpu_second, default=None)


def _not_run(goal: str, tool: str) -> Verdict:
    return Verdict(goal, f"there is no fit of {tool}", None)


@dataclass(frozen=True)
class BeatsPeers:
    """At least a given multiple of the ESS per CPU second of the best peer."""

    times: float

    def judge(
        self, benchmark: str, standings: Standings, peers: Collection[str]
    ) -> Verdict:
        """Compare with the best peer that converged."""
        goal = f"at least {self.times:g} x the best peer"
        ours = standings.get((benchmark, OURS))
        if ours is None:
            return _not_run(goal, OURS)
        rival = best(benchmark, standings, peers)
        if rival is None:
            ran = any(
                of == benchmark and tool in peers and standing.fitted
                for (of, tool), standing in standings.items()
            )
            return Verdict(goal, f"no peer {'converged' if ran else 'was run'}", None)
        ratio = ours.ess_per_cpu_second / rival.ess_per_cpu_second
        return Verdict(
            goal, f"{_times(ratio)} {rival.tool}", reached=ratio >= self.times
        )


@dataclass(frozen=True)
class Converges:
    """All fits converge, without divergences, in the CPU time of the fastest peer."""

    ess: float

    def judge(
        self, benchmark: str, standings: Standings, peers: Collection[str]
    ) -> Verdict:
        """Check all seeds, and compare with all peers, converged or not."""
        goal = (
            f"R-hat below 1.01, no divergence, ESS above {self.ess:g}, in the CPU "
            "time of the fastest peer"
        )
        ours = standings.get((benchmark, OURS))
        if ours is None or ours.cpu_seconds is None or ours.ess is None:
            return _not_run(goal, OURS)
        times = [
            (standing.cpu_seconds, tool)
            for (of, tool), standing in standings.items()
            if of == benchmark and tool in peers and standing.cpu_seconds is not None
            if not standing.is_point
        ]
        found = (
            f"{ours.converged} of {len(ours.cells)} converged, {ours.divergences} "
            f"divergences, ESS {ours.ess:.0f}, {ours.cpu_seconds:.1f} s"
        )
        sound = (
            ours.converged == len(ours.cells)
            and not ours.divergences
            and ours.ess > self.ess
        )
        if not times:
            return Verdict(goal, f"{found}; no peer finished", None if sound else False)
        fastest, tool = min(times)
        found += f"; {tool} took {fastest:.1f} s"
        return Verdict(goal, found, sound and ours.cpu_seconds <= fastest)


@dataclass(frozen=True)
class Grows:
    """The CPU time of a fit does not grow with the rows, and reading them is bounded.

    Attributes
    ----------
    times, than
        The largest multiple of the CPU seconds of another benchmark.
    build_seconds, build_megabytes
        Limits for reading and compressing the rows, or None.
    """

    times: float
    than: str
    build_seconds: float | None = None
    build_megabytes: float | None = None

    def judge(
        self, benchmark: str, standings: Standings, peers: Collection[str]
    ) -> Verdict:
        """Compare the CPU seconds of fits, and check those of building."""
        goal = f"fits in at most {self.times:g} x the CPU time of {self.than}"
        if self.build_seconds is not None:
            goal += f", built in {self.build_seconds:g} s and {self.build_megabytes} MB"
        ours, other = (standings.get((each, OURS)) for each in (benchmark, self.than))
        if ours is None or ours.cpu_seconds is None or ours.build_seconds is None:
            return _not_run(goal, OURS)
        if other is None or other.cpu_seconds is None:
            return _not_run(goal, self.than)
        ratio = ours.cpu_seconds / other.cpu_seconds
        memory = max(cell.build_megabytes or 0.0 for cell in ours.fitted)
        found = (
            f"{_times(ratio)}, built in {ours.build_seconds:.1f} s and {memory:.0f} MB"
        )
        reached = ratio <= self.times
        if self.build_seconds is not None and self.build_megabytes is not None:
            reached &= ours.build_seconds <= self.build_seconds
            reached &= memory <= self.build_megabytes
        return Verdict(goal, found, reached)


@dataclass(frozen=True)
class Beats:
    """One tool has a given multiple of the rate of each of some others."""

    tool: str
    others: tuple[str, ...]
    times: float = 1.0

    def judge(
        self, benchmark: str, standings: Standings, peers: Collection[str]
    ) -> Verdict:
        """Compare with the best of the others that converged."""
        several = "the better of " if len(self.others) > 1 else ""
        goal = f"{self.tool} at least {self.times:g} x {several}"
        goal += " and ".join(self.others)
        ours = standings.get((benchmark, self.tool))
        if ours is None or not ours.fitted:
            return _not_run(goal, self.tool)
        run = [standings.get((benchmark, other)) for other in self.others]
        if not all(each is not None and each.cells for each in run):
            return _not_run(goal, " or ".join(self.others))
        rival = best(benchmark, standings, self.others)
        if rival is None:
            converged = ours.ess_per_cpu_second > 0
            found = f"{self.tool} converged: {_yes(converged)}; nothing else did"
            return Verdict(goal, found, converged or None)
        ratio = ours.ess_per_cpu_second / rival.ess_per_cpu_second
        return Verdict(goal, f"{_times(ratio)} {rival.tool}", ratio >= self.times)


NEVER_SLOWER = Beats(OURS, ("centered", "noncentered"), 0.9)
"""The goals of every benchmark whose conditional forms were run."""


def _times(ratio: float) -> str:
    return f"{ratio:.3g} x" if ratio < 1000 else f"{ratio:.0f} x"


def _yes(it: bool) -> str:
    return "yes" if it else "no"
