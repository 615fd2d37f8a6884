"""The draws of a model, with how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.options import Method
from stanpool.engine.values.program import StanProgram
from stanpool.model.draws_tree import DrawsTree
from stanpool.model.prepared_model import PreparedModel

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.engine.values.settings import SampleSettings


LOG_DENSITY = "log density"
"""Under which key of ``FitResult.engine`` it says how the log density was checked."""

OWN_GROUPS = ("mode", "sampler_state")
"""Groups of ``FitResult.tree`` that ArviZ knows nothing of."""


@dataclass(frozen=True)
class Approximation:
    """How well an approximation stands for the posterior.

    Its draws are weighted by the ratio of the two densities. How heavy the tail of
    these importance ratios is, Pareto k-hat, says whether that can correct it [1]_.

    Attributes
    ----------
    method
        ``"pathfinder"``, ``"laplace"`` or ``"optimize"``.
    pareto_k
        The shape of the tail of the importance ratios.
    limit
        The largest k-hat for which so many draws can be relied upon.
    proposals
        How many draws of the approximation were weighted.
    effective
        How many draws of the posterior the weighted ones are worth.
    is_weighted
        Whether the draws of the fit were chosen by their weights. Where k-hat is too
        large, and for ``"optimize"``, they are those of the approximation.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. Journal of Machine Learning Research 25(72), 1-58.
    """

    method: Method
    pareto_k: float
    limit: float
    proposals: int
    effective: float
    is_weighted: bool

    @property
    def is_good(self) -> bool:
        """Whether importance sampling can correct the approximation."""
        return self.pareto_k <= self.limit

    @property
    def named(self) -> str:
        """What the draws are: ``"laplace approximation"``."""
        if self.method == "optimize":
            return "normal approximation at the posterior mode"
        return f"{self.method} approximation"


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

    @property
    def described(self) -> dict[str, dict[Any, Array]]:
        """Statistics of the draws of each variable, once they have been computed."""


@public
@dataclass(frozen=True, repr=False, eq=False)
class FitResult(DrawsTree):
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
        What ran the program: ``engine["name"]`` is ``"cmdstan"`` or ``"stanli"``,
        ``engine["log density"]`` says how its log density was checked, and the other
        keys give versions.
    program
        The Stan program that was fitted.
    rejections
        Why Stan could not evaluate the log density at proposals, which it then
        rejected, and how often after warm-up.
    approximation
        What the draws are of, unless they were sampled with NUTS.
    """

    model: PreparedModel
    tree: xr.DataTree
    settings: SampleSettings
    seconds: float
    prior_only: bool
    engine: Mapping[str, str]
    program: StanProgram
    rejections: Mapping[str, int] = field(default_factory=dict)
    approximation: Approximation | None = None

    @classmethod
    def of(cls, result: FitResult) -> Self:
        """Return a result as one of this class."""
        return cls(**{each.name: getattr(result, each.name) for each in fields(result)})

    def __repr__(self) -> str:
        """Describe the fit in one line."""
        drawn = f"{self.settings.chains} chains of {self.settings.draws} draws"
        if self.approximation is not None:
            drawn = (
                f"{self.settings.draws} draws of a {self.approximation.named}, Pareto "
                f"k-hat {self.approximation.pareto_k:.2f}"
            )
        return f"Fit({self.model!r}, {drawn}, seed {self.settings.seed})"


def diverging(fit: HasPosterior) -> NDArray[np.bool_]:
    """Return which transitions diverged, ``(chain, draw)``.

    None did where draws are independent, exact ones or those of an approximation.

    Parameters
    ----------
    fit
        A fit, or exact draws.
    """
    stats, sizes = fit.sample_stats, fit.posterior.sizes
    if "diverging" not in stats:
        return np.zeros((sizes["chain"], sizes["draw"]), dtype=bool)
    return np.asarray(stats["diverging"].to_numpy())
