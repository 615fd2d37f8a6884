"""Correlations of residuals within subjects, as a model states them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stanpool.base.arguments import check_fields


@dataclass(frozen=True)
class ResidualStructure:
    """How the residuals of the rows of one subject are correlated.

    Attributes
    ----------
    name
        How formulas call it.
    example
        How a formula writes it.
    parameter
        The class of its parameter.
    times
        What tells the rows of a subject apart: ``"steps"`` of time, which are whole
        numbers, or ``"visits"``, which are labels.
    needs_times
        Whether a formula must name the column of these.
    """

    name: str
    example: str
    parameter: str
    times: str
    needs_times: bool = True

    @property
    def is_of_times(self) -> bool:
        """Whether the correlation of two rows depends on the time between them."""
        return self.times == "steps"

    @property
    def is_exchangeable(self) -> bool:
        """Whether all rows of a subject are equally correlated."""
        return self.name == "cs"


RESIDUAL_STRUCTURES: Mapping[str, ResidualStructure] = {
    each.name: each
    for each in (
        ResidualStructure("ar1", "ar1(time | subject)", "residual_rho", "steps"),
        ResidualStructure("cs", "cs(subject)", "residual_rho", "visits", False),
    )
}


@dataclass(frozen=True)
class ResidualCorrelation:
    """Residuals that are correlated within subjects: ``residual(ar1(time | g))``.

    Attributes
    ----------
    structure
        A name in ``RESIDUAL_STRUCTURES``.
    subject
        The column of the subjects, or the columns whose combinations they are.
    time
        The column that tells the rows of a subject apart, if there is one.
    """

    structure: str
    subject: tuple[str, ...]
    time: str | None = None

    def __post_init__(self) -> None:
        """Check that each field is of its type."""
        check_fields(self)

    @property
    def kind(self) -> ResidualStructure:
        """What kind of structure it is."""
        return RESIDUAL_STRUCTURES[self.structure]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return (*self.subject, *(() if self.time is None else (self.time,)))

    @property
    def name(self) -> str:
        """The subjects, as messages and labels call them."""
        return ":".join(self.subject)

    def written(self, quoted: Callable[[str], str]) -> str:
        """Return how a formula writes it.

        Parameters
        ----------
        quoted
            How a formula writes the name of a column.
        """
        subject = ":".join(map(quoted, self.subject))
        inside = subject if self.time is None else f"{quoted(self.time)} | {subject}"
        return f"residual({self.structure}({inside}))"

    def __str__(self) -> str:
        """Return how a formula writes it, for messages."""
        return self.written(str)
