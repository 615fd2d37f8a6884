"""The values that a diagnosis consists of, and how they are displayed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

Level = Literal["passed", "note", "problem", "n/a"]

_WIDTH = 88
_ORDER: tuple[Level, ...] = ("problem", "note", "passed", "n/a")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Parameters
    ----------
    check
        The name of the check, such as ``"r_hat"``.
    level
        ``"passed"``, ``"note"`` (which affects speed and not correctness),
        ``"problem"``, or ``"n/a"`` if it does not apply.
    measured
        The worst value.
    threshold
        The limit for it.
    source
        The publication that the limit is from.
    sentence
        The result in words.
    parameters
        Labels of the quantities that did not pass, worst first.
    groups
        Labels of the groups that did not pass, worst first.
    """

    check: str
    level: Level
    measured: float
    threshold: float
    source: str
    sentence: str
    parameters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Advice:
    """One piece of advice, in words and as arguments.

    Parameters
    ----------
    action
        What to do, in a few words.
    reason
        The reason for it.
    arguments
        The keyword arguments that do it: ``parameterization`` is an argument of
        ``Model.with_``, all others are arguments of ``Model.fit``. Empty if the
        decision is the user's.
    """

    action: str
    reason: str
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The diagnosis of a fit: the results of all checks, and advice.

    Parameters
    ----------
    subject
        A short description of the fit.
    checks
        The results of all checks.
    advice
        What to do, the most useful first.
    not_seen
        What the checks do not cover.

    Examples
    --------
    >>> chains = Finding("chains", "passed", 4, 4, "Vehtari et al. (2021)", "4 chains.")
    >>> print(Diagnosis("Complete pooling", (chains,), ()))
    Complete pooling: no problem found.
    <BLANKLINE>
      passed   4 chains. [Vehtari et al. (2021)]
    """

    subject: str
    checks: tuple[Finding, ...]
    advice: tuple[Advice, ...]
    not_seen: str = ""

    @property
    def ok(self) -> bool:
        """Whether no check found a problem."""
        return not any(each.level == "problem" for each in self.checks)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checks that did not pass: problems first, and then notes."""
        return tuple(
            each
            for level in ("problem", "note")
            for each in self.checks
            if each.level == level
        )

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        problems = sum(each.level == "problem" for each in self.checks)
        count = ("no problem", "1 problem")[problems] if problems < 2 else None
        return f"{self.subject}: {count or f'{problems} problems'} found."

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def __str__(self) -> str:
        """Write the verdict, the checks and the advice as plain text."""
        lines = [self.verdict, ""]
        for each in self._ordered():
            lines.append(
                _hanging(f"{each.level:9}", f"{each.sentence} [{each.source}]")
            )
        if self.advice:
            lines += ["", "What to do:"]
        for number, each_advice in enumerate(self.advice, start=1):
            lines.append(_hanging(f"{number}. ", _advice_text(each_advice)))
        if self.not_seen:
            lines += ["", textwrap.fill(self.not_seen, _WIDTH)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        rows = "".join(
            f"<tr><td><b>{each.level}</b></td>"
            f"<td style='text-align:left'>{escape(each.sentence)} "
            f"<small>[{escape(each.source)}]</small></td></tr>"
            for each in self._ordered()
        )
        steps = "".join(
            f"<li>{escape(_advice_text(each))}</li>" for each in self.advice
        )
        advice = f"<p>What to do:</p><ol>{steps}</ol>" if steps else ""
        not_seen = f"<p>{escape(self.not_seen)}</p>" if self.not_seen else ""
        table = f"<table>{rows}</table>"
        return f"<p><b>{escape(self.verdict)}</b></p>{table}{advice}{not_seen}"

    def _ordered(self) -> tuple[Finding, ...]:
        return in_order(self.checks)


def in_order(checks: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return problems first, then notes, what passed, and what does not apply."""
    return tuple(each for level in _ORDER for each in checks if each.level == level)


def _advice_text(advice: Advice) -> str:
    arguments = ", ".join(
        f"{name}={value!r}" for name, value in advice.arguments.items()
    )
    in_code = f" ({arguments})" if arguments else ""
    return f"{advice.action}{in_code}: {advice.reason}"


def _hanging(head: str, text: str) -> str:
    margin = " " * (2 + len(head))
    return textwrap.fill(
        text, _WIDTH, initial_indent=f"  {head}", subsequent_indent=margin
    )
