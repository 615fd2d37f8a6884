"""Where divergences are, and how informative the data of groups are.

A hierarchical prior is a funnel: where the scale ``tau`` of a coefficient is small, the
coefficients of all groups must be close to the population mean. In the centered form
the sampler has to enter that neck with the step size of the wide part, and diverges
there, or, worse, never gets there. In the noncentered form it is the opposite: in
groups with informative data, ``tau`` and the standardized coefficients trade off.

References
----------
.. [1] Betancourt and Girolami (2015). Hamiltonian Monte Carlo for hierarchical models.
   In Current Trends in Bayesian Methodology with Applications. arXiv:1312.0906.
.. [2] Papaspiliopoulos, Roberts and Sköld (2007). A general framework for the
   parametrization of hierarchical models. Statistical Science 22(1), 59-73.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.inference.diagnostics.diagnosis import Finding
from stanpool.model.program.population_means import group_means
from stanpool.model.terms.names import GroupNames
from stanpool.posterior.convergence import blockwise, mean_ranks
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design, FactorDesign

BREAK_EVEN = 0.5
WELL_INFORMED = 0.6  # above one half, so that the advice does not alternate
FEWEST_DIVERGENCES = 5
LARGEST_P = 0.05
LOW_AUC = 0.35
NAMED_GROUPS = 5
INEFFICIENT = 0.25
TRADE_OFF = -0.7

_SOURCE = "Betancourt and Girolami 2015"
_SHIFTS = 1999
_TAILS = (0.15, 0.85)
_KNOWS_LITTLE = 0.25
_KNOWS_MUCH = 0.75


@dataclass(frozen=True, eq=False)
class Location:
    """Where divergent draws lie on a quantity, compared with all other draws.

    Parameters
    ----------
    auc
        The probability that the quantity is larger at a divergent draw than at another
        draw (the Mann-Whitney statistic): with 0 it is always smaller, with 0.5 there
        is no difference, and with 1 it is always larger.
    p_value
        The two-sided p-value of the hypothesis that it is 0.5.
    divergent, other
        The medians of the quantity at divergent and at other draws.
    """

    auc: float
    p_value: float
    divergent: float
    other: float

    @property
    def is_low(self) -> bool:
        """Whether divergences are where the quantity is small."""
        return self.p_value <= LARGEST_P and self.auc <= LOW_AUC

    @property
    def is_high(self) -> bool:
        """Whether divergences are where the quantity is large."""
        return self.p_value <= LARGEST_P and self.auc >= 1 - LOW_AUC


@dataclass(frozen=True, eq=False)
class Funnel:
    """The geometry of one coefficient that varies over the groups of a factor.

    Parameters
    ----------
    factor, coefficient
        The names, such as ``"county"`` and ``"floor"``.
    tau
        The label of its scale, such as ``"tau_county[floor]"``.
    information
        For each group, the share of the information about its coefficient that comes
        from its own data: about 0 if it comes from the population, about 1 if it comes
        from the data. The shape is ``(group,)``.
    location
        Where divergences are on ``log tau``; None if there are too few.
    nearest
        Labels of the groups whose coefficients are closest to the population mean at
        divergent draws, closest first; empty unless divergences are at small ``tau``.
    has_forms
        Whether programs of other forms have it differently: not if there is a known
        covariance between groups, which are noncentered in all of them.
    """

    factor: str
    coefficient: str
    tau: str
    information: Array
    location: Location | None
    nearest: tuple[str, ...]
    has_forms: bool = True

    @property
    def has_neck(self) -> bool:
        """Whether divergences are at small ``tau``."""
        return self.location is not None and self.location.is_low

    @property
    def groups_differ(self) -> bool:
        """Whether the data of some groups are informative, and those of others not."""
        low, high = np.quantile(self.information, _TAILS)
        return bool(low < _KNOWS_LITTLE and high > _KNOWS_MUCH)

    @property
    def median_information(self) -> float:
        """The median of the shares of information."""
        return float(np.median(self.information))


def measure_funnels(
    posterior: xr.Dataset, diverging: NDArray[np.bool_], *, design: Design
) -> tuple[Funnel, ...]:
    """Measure the geometry of each coefficient that varies over a factor.

    Parameters
    ----------
    posterior
        The draws of a partially pooled fit.
    diverging
        Whether each transition diverged, shape ``(chain, draw)``.
    design
        The data of the fit.
    """
    return tuple(
        _measure_funnel(posterior, diverging, design, factor, coefficient)
        for factor in design.factors
        for coefficient in factor.coefficients
    )


def _measure_funnel(
    posterior: xr.Dataset,
    diverging: NDArray[np.bool_],
    design: Design,
    factor: FactorDesign,
    coefficient: str,
) -> Funnel:
    names = GroupNames.of(factor.factor)
    at = {names.coefficient: coefficient}
    tau = posterior[names.tau].sel(at).to_numpy()
    b = posterior[names.b].sel(at).transpose("chain", "draw", ...).to_numpy()
    mean = group_mean(posterior, design, factor, coefficient)
    if mean.ndim == 3:
        b, mean = b - mean, np.zeros(tau.shape)
    location = None
    if min(diverging.sum(), (~diverging).sum()) >= FEWEST_DIVERGENCES:
        with np.errstate(divide="ignore"):
            location = locate(np.log(tau), diverging)
    nearest = _nearest(b, mean, diverging) if location and location.is_low else ()
    return Funnel(
        factor=factor.factor,
        coefficient=coefficient,
        tau=f"{names.tau}[{coefficient}]",
        information=_information(b, mean, tau),
        location=location,
        nearest=tuple(str(factor.labels[index]) for index in nearest),
        has_forms=factor.has_forms,
    )


def population_mean(posterior: xr.Dataset, coefficient: str) -> Array:
    """Return the draws of a population coefficient, shape ``(chain, draw)``.

    They are 0 if the population has no such coefficient.
    """
    if coefficient == "Intercept" and "Intercept" in posterior:
        mean: Array = posterior["Intercept"].to_numpy()
    elif "beta" in posterior and coefficient in posterior["coefficient"].to_numpy():
        mean = posterior["beta"].sel(coefficient=coefficient).to_numpy()
    else:
        mean = np.zeros((posterior.sizes["chain"], posterior.sizes["draw"]))
    return mean


def of_predictor(
    posterior: xr.Dataset, factor: FactorDesign, coefficient: str
) -> tuple[xr.Dataset, str]:
    """Return the linear predictor that a group's coefficient is part of.

    Categorical outcomes have several: ``"blue, floor"`` is ``floor`` in that of blue.
    """
    if not factor.predictors_of:
        return posterior, coefficient
    place = factor.coefficients.index(coefficient)
    number, at = divmod(place, len(factor.varying))
    return posterior.sel(category=factor.predictors_of[number]), factor.varying[at]


def group_mean(
    posterior: xr.Dataset, design: Design, factor: FactorDesign, coefficient: str
) -> Array:
    """Return the mean of the population distribution of the groups' coefficients.

    Returns
    -------
    numpy.ndarray
        The shape is ``(chain, draw)``, or ``(chain, draw, group)`` if there are
        group-level predictors.
    """
    dims = ("chain", "draw", "category")
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    predictors = max(len(factor.predictors_of), 1)
    shape = (chains, draws, predictors)
    alpha = None
    if design.intercept:
        intercept = posterior["Intercept"].transpose(*dims, missing_dims="ignore")
        alpha = intercept.to_numpy().reshape(shape)
    beta = np.zeros((*shape, 0))
    if design.mean.free:
        drawn = posterior["beta"].transpose(*dims, "coefficient", missing_dims="ignore")
        beta = drawn.to_numpy().reshape(*shape, -1)
    number = [each.factor for each in design.factors].index(factor.factor)
    d, q = divmod(factor.coefficients.index(coefficient), len(factor.varying))
    means: Array = group_means(design, number, alpha, beta)[..., d, q]
    moves = factor.effect_of is not None and bool(factor.effect_of[:, q].any())
    return means if moves else means[..., 0]


def locate(values: Array, diverging: NDArray[np.bool_]) -> Location:
    """Compare a quantity at divergent draws with its other draws, by ranks.

    Draws are autocorrelated and divergences come in bursts, so that the usual standard
    error of the Mann-Whitney statistic is far too small. The p-value here comes from
    circular shifts of the divergences along each chain: both keep their
    autocorrelation, and only the dependence between them is removed.

    Parameters
    ----------
    values, diverging
        The quantity and whether each transition diverged, shape ``(chain, draw)``.

    Examples
    --------
    >>> values = np.random.default_rng(1).normal(size=(4, 500))
    >>> locate(values, values < -1).auc
    0.0
    """
    ranks = mean_ranks(values.reshape(1, -1)).reshape(values.shape)
    count = int(diverging.sum())
    others = diverging.size - count
    # Rank sums under every shift of one chain, by a circular cross-correlation.
    spectrum = np.fft.rfft(ranks, axis=1)
    spectrum *= np.conj(np.fft.rfft(diverging.astype(float), axis=1))
    shifted = np.fft.irfft(spectrum, n=diverging.shape[1], axis=1)
    chosen = np.random.default_rng(0).integers(
        shifted.shape[1], size=(len(shifted), _SHIFTS)
    )
    sums = np.take_along_axis(shifted, chosen, axis=1).sum(axis=0)
    rank_sum = (ranks * diverging).sum()
    rounding = 1e-6 * diverging.size
    lower = (sums <= rank_sum + rounding).sum()
    upper = (sums >= rank_sum - rounding).sum()
    return Location(
        auc=float((rank_sum - count * (count + 1) / 2) / (count * others)),
        p_value=min(1.0, 2 * float(1 + min(lower, upper)) / (1 + _SHIFTS)),
        divergent=float(np.median(values[diverging])),
        other=float(np.median(values[~diverging])),
    )


def check_funnels(
    funnels: Sequence[Funnel], *, divergences: int
) -> tuple[Finding, ...]:
    """Say for each varying coefficient where divergences are."""
    if not funnels or not divergences:
        return ()
    if divergences < FEWEST_DIVERGENCES:
        sentence = "Divergences are too few to say where they are."
        return (Finding("funnel", "note", divergences, 0, _SOURCE, sentence),)
    return tuple(_check_funnel(each) for each in funnels)


def _check_funnel(funnel: Funnel) -> Finding:
    tau = short_label(funnel.tau)
    where = funnel.location
    if where is None or not (where.is_low or where.is_high):
        sentence = f"Divergences do not depend on {tau}."
        auc = float("nan") if where is None else where.auc
        return Finding("funnel", "note", auc, LOW_AUC, _SOURCE, sentence)
    sentence = (
        f"Divergences are at {'small' if where.is_low else 'large'} {tau}: its median "
        f"is {np.exp(where.divergent):.2g} there and {np.exp(where.other):.2g} "
        "elsewhere."
    )
    if where.is_low:
        names = ", ".join(short_label(name) for name in funnel.nearest)
        sentence += (
            " This is the neck of a funnel, where the groups' coefficients are close "
            f"to their mean, and closest for {names}."
        )
    return Finding(
        "funnel",
        "problem",
        where.auc,
        LOW_AUC if where.is_low else 1 - LOW_AUC,
        _SOURCE,
        sentence,
        parameters=(funnel.tau,),
        groups=funnel.nearest,
    )


def check_form(
    funnels: Sequence[Funnel], *, parameterization: str | None, ess_per_draw: float
) -> tuple[Finding, ...]:
    """Note a form that does not suit the data, and is slow for that reason."""
    # The other forms suit all data.
    if parameterization not in ("centered", "noncentered"):
        return ()
    funnels = [each for each in funnels if each.has_forms]
    if not funnels or ess_per_draw >= INEFFICIENT:
        return ()
    least = min(funnels, key=lambda each: each.median_information)
    share = least.median_information
    suits = share > 0.25 if parameterization == "centered" else share < 0.75
    if suits:
        return ()
    sentence = (
        f"The {parameterization} form is slow here, {ess_per_draw:.2f} effective draws "
        f"per draw: {describe_information(least)}."
    )
    return (
        Finding(
            "efficiency",
            "note",
            share,
            BREAK_EVEN,
            "Papaspiliopoulos et al. 2007",
            sentence,
            parameters=(least.tau,),
        ),
    )


def describe_information(funnel: Funnel) -> str:
    """Say how informative the data of the median group are."""
    return (
        f"for the median {short_label(funnel.factor)}, "
        f"{funnel.median_information:.0%} of the information about its "
        f"{short_label(funnel.coefficient)} comes from its own data"
    )


def scales_trade_off(posterior: xr.Dataset, *, design: Design) -> bool:
    """Whether the data hardly distinguish a scale of groups from the residual one."""
    if "sigma" not in posterior:
        return False
    rows = [posterior["sigma"].to_numpy().reshape(1, -1)]
    for factor in design.factors:
        tau = posterior[GroupNames.of(factor.factor).tau]
        rows.append(
            tau.transpose(..., "chain", "draw").to_numpy().reshape(-1, rows[0].size)
        )
    ranks = mean_ranks(np.vstack(rows))
    with np.errstate(invalid="ignore"):
        correlations = np.asarray(np.corrcoef(ranks))
    return bool((correlations[0, 1:] < TRADE_OFF).any())


def _information(b: Array, mean: Array, tau: Array) -> Array:
    """Return one minus the posterior variance of ``(b - mean) / tau``, per group.

    Given the hyperparameters, that variance is ``1 / (1 + I tau^2)`` for a group whose
    data have Fisher information ``I``, so that this is ``I tau^2 / (1 + I tau^2)``,
    which decides between the two forms [2]_.
    """

    def information(block: Array) -> dict[str, Array]:
        return {"information": 1 - ((block - mean) / tau).var(axis=(1, 2))}

    share = blockwise(information, b)["information"]
    return np.clip(np.nan_to_num(share), 0, 1)


def _nearest(b: Array, mean: Array, diverging: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Find the groups that are closest to the mean at divergences, by mean rank."""
    flat = diverging.ravel()

    def rank(block: Array) -> dict[str, Array]:
        distance = np.abs(block - mean).reshape(len(block), -1)
        return {"rank": mean_ranks(distance)[:, flat].mean(axis=1)}

    ranks = blockwise(rank, b)["rank"]
    return np.argsort(ranks, kind="stable")[:NAMED_GROUPS]
