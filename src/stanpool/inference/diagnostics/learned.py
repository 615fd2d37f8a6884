"""Whether the data are informative about a scale, or its posterior is its prior.

The information of the data about a parameter is the distance of its posterior from its
prior, in nats: the expected logarithm of the ratio of the two densities [1]_, which is
0 if they are the same [2]_. If a share ``r`` of the information about a normal
parameter comes from the data, the distance is ``-log(1 - r) / 2`` nats on average over
data; the limit is that for a tenth.

References
----------
.. [1] Kullback and Leibler (1951). On information and sufficiency. Annals of
   Mathematical Statistics 22(1), 79-86.
.. [2] Lindley (1956). On a measure of the information provided by an experiment. Annals
   of Mathematical Statistics 27(4), 986-1005.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.inference.diagnostics.checks import Mixing
from stanpool.inference.diagnostics.diagnosis import Finding
from stanpool.model.priors.distributions import prior_below
from stanpool.model.priors.in_force import class_of
from stanpool.posterior.scalars import scalars, short_label

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.model.priors.in_force import PriorTable

LEAST_NATS = -0.5 * math.log(1 - 0.1)
_SCALES = {"tau", "tau_sigma", "sigma", "loading_scale", "factor_scale"}
_BINS = 20  # of equal probability under the prior


def check_learned(
    posterior: xr.Dataset, priors: PriorTable, mixed: Mixing
) -> tuple[Finding, ...]:
    """Note the scales whose posterior is their prior.

    Parameters
    ----------
    posterior
        The draws, for the predictors that the priors refer to.
    priors
        The priors of the model.
    mixed
        The convergence of the draws.
    """
    known = {
        row.parameter: row
        for row in priors
        if class_of(row.parameter_class).name in _SCALES
        and row.prior.distribution not in ("flat", "constant")
    }
    ess = dict(zip(mixed.labels, mixed.ess_bulk, strict=True))
    names = [str(name) for name in posterior.data_vars]
    named = [name for name in names if name.partition("_")[0] in ("tau", "sigma")]
    named += [name for name in names if name in ("loading_scale", "factor_scale")]
    found = []
    for block in scalars(posterior, var_names=named):
        for place, label in enumerate(block.labels):
            if label not in known or not ess.get(label, 0.0) > _BINS:
                continue
            row = known[label]
            below = prior_below(row, block.draws[..., place])
            nats = _nats(below, effective=float(ess[label]))
            if nats < LEAST_NATS:
                sentence = (
                    f"The posterior of {short_label(label)} is its prior, {row.prior}: "
                    f"the data have {max(nats, 0.0):.2f} nats of information about it "
                    f"(limit {LEAST_NATS:.2f}), which is next to nothing."
                )
                found.append(
                    Finding(
                        "learned",
                        "note",
                        nats,
                        LEAST_NATS,
                        "Lindley 1956",
                        sentence,
                        parameters=(label,),
                    )
                )
    return tuple(found)


def _nats(below: Array, *, effective: float) -> float:
    """Return the distance of draws from a prior, by the prior probability below each.

    The bias for a finite number of draws is subtracted: half a degree of freedom for
    each bin, divided by their number [1]_.
    """
    counts, _ = np.histogram(below, bins=_BINS, range=(0.0, 1.0))
    shares = counts[counts > 0] / counts.sum()
    chance = (_BINS - 1) / (2 * min(effective, below.size))
    return float(shares @ np.log(_BINS * shares) - chance)
