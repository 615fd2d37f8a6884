r"""Default priors of the length scales of Gaussian processes.

A length scale below the distance of neighbouring values, or above the range of the
predictor, changes nothing about the curve at the data, so that the likelihood is flat
there and chains would wander off. An inverse gamma prior with 1% of its probability
beyond each of these ends keeps them away [1]_. The lower end is no less than a
twentieth of the range. The prior does not depend on how the process is approximated, so
that length scales that its functions do not show are seen, and diagnosed.

References
----------
.. [1] Betancourt (2020). Robust Gaussian process modeling (case study).
"""

from __future__ import annotations

from collections.abc import Iterator

from stanpool.data.design.design import ParameterDesign
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import DefaultPrior

_BEYOND = 0.01  # the probability beyond each end
_RULE = "default: 1% below {:.3g}, and 1% above {:.3g}, the range ({})"
_BETANCOURT = "Betancourt 2020"


def lengthscales_with_defaults(
    own: ParameterDesign, end: str
) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule.

    Parameters
    ----------
    own
        The linear predictor.
    end
        How names of its parameters end.
    """
    name = f"lengthscale{end}"
    for each in own.smooths:
        if each.spectrum is None:
            continue
        for label, axis in zip(
            each.spectrum.lengthscales, each.spectrum.axes, strict=True
        ):
            least, most = axis.between()
            rule = _RULE.format(least, most, _BETANCOURT)
            yield name, label, [f"{name}[{label}]", name], between(least, most), rule


def between(least: float, most: float) -> Prior:
    """Return an inverse gamma prior with 1% below one number and 1% above another.

    Examples
    --------
    >>> between(1.0, 10.0)
    Prior('inv_gamma(4.63, 11)')
    """
    # Loaded here: SciPy takes long, and to build other models needs none of it.
    from scipy.optimize import brentq  # type: ignore[import-untyped]
    from scipy.special import gammaincinv  # type: ignore[import-untyped]

    def quantiles(shape: float) -> tuple[float, float]:
        """Return the ends of the gamma distribution that an inverse has."""
        low, high = gammaincinv(shape, [_BEYOND, 1.0 - _BEYOND])
        return float(low), float(high)

    def excess(shape: float) -> float:
        low, high = quantiles(shape)
        return high / low - most / least

    shape = brentq(excess, 0.05, 1e4)
    scale = least * quantiles(shape)[1]
    return Prior("inv_gamma", (float(f"{shape:.3g}"), float(f"{scale:.3g}")))
