"""Whether the functions of a Gaussian process show the length scale that was found.

References
----------
.. [1] Riutort-Mayol, Bürkner, Andersen, Solin and Vehtari (2023). Practical Hilbert
   space approximate Bayesian Gaussian processes for probabilistic programming.
   Statistics and Computing 33(1), 17.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from stanpool.data.matrix.smooths.process import COVARIANCES, Axis
from stanpool.inference.diagnostics.diagnosis import Finding

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult

_MORE = 1.5
_SOURCE = "Riutort-Mayol et al. 2023"


def check_processes(fit: FitResult) -> tuple[Finding, ...]:
    """Check each length scale against what its functions and boundaries show.

    Parameters
    ----------
    fit
        A fit; without processes nothing is found.
    """
    found: list[Finding] = []
    for own in fit.model.design.predictors:
        end = "" if own.parameter == "mean" else f"_{own.parameter}"
        for each in own.processes:
            assert each.spectrum is not None
            for label, axis in zip(
                each.spectrum.lengthscales, each.spectrum.axes, strict=True
            ):
                draws = fit.posterior[f"lengthscale{end}"].sel({f"process{end}": label})
                name = f"lengthscale{end}[{label}]"
                median = float(np.median(draws))
                found.append(_of_axis(name, median, axis, each.spectrum.covariance))
    return tuple(found)


def _of_axis(name: str, median: float, axis: Axis, covariance: str) -> Finding:
    """Check one length scale, at the median of its posterior."""
    # The boundaries that suit the length scale, and functions up to these.
    c = float(f"{max(axis.c, axis.c_for(median, covariance)):.2g}")
    per_function = COVARIANCES[covariance].per_function
    k = math.ceil(per_function * c * axis.half_range / median)
    least = axis.shortest(covariance)
    if median < least:
        # With more functions, shorter length scales may be found.
        more = max(axis.k_for(median, covariance), math.ceil(_MORE * axis.k))
        sentence = (
            f"{name} is {median:.3g}, and k={axis.k} functions of {axis.name} show "
            f"length scales down to {least:.3g}: the curve may bend more often. Write "
            f"k={more}, and look again."
        )
        return Finding("basis", "problem", median, least, _SOURCE, sentence, (name,))
    needed = axis.c_for(median, covariance)
    if needed > axis.c:
        sentence = (
            f"{name} is {median:.3g}, for which the boundaries of the process, "
            f"c={axis.c:g}, are near: its variance is too small towards the ends of "
            f"the data. Write c={c:g} and k={max(k, axis.k)} to see whether the curve "
            "changes."
        )
        return Finding("boundary", "note", needed, axis.c, _SOURCE, sentence, (name,))
    sentence = (
        f"k={axis.k} functions of {axis.name} show {name}, which is {median:.3g}: "
        f"{axis.k_for(median, covariance)} would."
    )
    return Finding("basis", "passed", median, least, _SOURCE, sentence)
