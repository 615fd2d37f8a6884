"""The draws of a model, with how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol, Self

from stanpool.base.arguments import public
from stanpool.engine.program import StanProgram
from stanpool.model.prepared_model import PreparedModel

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.engine.settings import SampleSettings


LOG_DENSITY = "log density"
"""Under which key of ``FitResult.engine`` it says how the log density was checked."""


class HasPosterior(Protocol):
    """What tables and figures of a posterior need: fits and exact draws have it."""

    @property
    def model(self) -> PreparedModel | None:
        """What was fitted, where it is a model."""

    @property
    def tree(self) -> xr.DataTree:
        """Groups ``posterior``, with dimensions ``(chain, draw, ...)``, and others."""

    @property
    def posterior(self) -> xr.Dataset:
        """The draws of the parameters."""

    @property
    def sample_stats(self) -> xr.Dataset:
        """The sampler's statistics of each draw."""


@public
@dataclass(frozen=True, repr=False, eq=False)
class FitResult:
    """The draws of a model, labelled, with how they were made.

    Attributes
    ----------
    model
        What was fitted.
    tree
        The draws: groups ``posterior``, ``sample_stats``, ``observed_data``.
    settings
        Chains, draws, seed and the rest.
    seconds
        Wall time of sampling and reading the draws; compiling is not in it.
    prior_only
        Whether the draws are from the prior.
    engine
        What ran the program, ``"cmdstan"`` or ``"stanli"`` as ``name``, and versions.
    program
        The Stan program that was fitted.
    rejections
        Why Stan could not evaluate the log density at proposals, which it then
        rejected, and how often after warm-up.
    """

    model: PreparedModel
    tree: xr.DataTree
    settings: SampleSettings
    seconds: float
    prior_only: bool
    engine: Mapping[str, str]
    program: StanProgram
    rejections: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, result: FitResult) -> Self:
        """Return a result as one of this class."""
        return cls(**{each.name: getattr(result, each.name) for each in fields(result)})

    @property
    def posterior(self) -> xr.Dataset:
        """The draws of the parameters."""
        return self.tree["posterior"].to_dataset()

    @property
    def sample_stats(self) -> xr.Dataset:
        """The sampler's statistics of each draw: divergences, energy, tree depth."""
        return self.tree["sample_stats"].to_dataset()

    def __repr__(self) -> str:
        """Describe the fit in one line."""
        return (
            f"Fit({self.model!r}, {self.settings.chains} chains of "
            f"{self.settings.draws} draws, seed {self.settings.seed})"
        )
