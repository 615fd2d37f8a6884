"""Whether the log density that an engine computes is the model's.

A wrong density raises nothing: chains mix, and R-hat is near 1. So before a fit the
engine's density is held against the one of this room, at a few points around where the
chains start, and its gradient against differences of this density in one direction.

How near they must be follows from rounding. Floating-point numbers have 16 digits, and
the rounding error of a sum is relative to the sizes of its terms, which can be much
larger than the sum: both densities agree to about 1e-14 of the sum of these sizes for
every program in the catalogue of the tests. Sums of a million rows, rows that were
transformed, and approximations of functions in tails may lose a few digits more, and
wrong densities are wrong by much more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import DensityError, EngineError
from stanpool.base.progress import tell_detail
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.density.log_posterior import LogPosterior
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from stanpool.engine.interface import Densities, LoadedProgram
    from stanpool.model.prepared_model import PreparedModel

_STEPS = (0.05, 0.2, 0.6)  # standard deviations of the points about the first one
_RADIUS = 0.5  # of the first one, where nothing says where chains start
_CLOSE = 1e-9  # relative to the sum of the sizes of all terms
_STEP = 1e-3  # of differences; their error is of the fourth power
# Of the sum of the sizes of a slope's parts. Stan's own derivatives of normal
# cumulative probabilities are approximations, which are off by up to 4e-5.
_CLOSE_SLOPE = 1e-3
_ROUNDING = 1e-12  # of the sizes of all terms, in differences
_STREAM = 0x64656E73  # no random numbers are shared with the chains

_MANY_ROWS, _SAMPLED_ROWS = 50_000, 2_000
_MANY_NUMBERS = 20_000_000  # of the rows that are in crossproducts


@dataclass(frozen=True)
class Agreement:
    """How near an engine's log density is to the model's.

    Attributes
    ----------
    points
        How many points were compared: where both have a density.
    gap
        The median error of a difference between two points, over the sum of the sizes
        of the terms; not a number if there are none. A wrong density is wrong nearly
        everywhere, and functions that lose digits in tails do so at the farthest point.
    largest_gap
        The largest error.
    slope
        The error of the slope in one direction, over the sizes of its parts; not a
        number where densities have kinks.
    slope_limit
        What of that is rounding.
    rows
        Which rows the likelihood was computed from.
    """

    points: int
    gap: float
    largest_gap: float
    slope: float
    slope_limit: float
    rows: str

    @property
    def is_good(self) -> bool:
        """Whether nothing but rounding is between them."""
        return not (self.gap > _CLOSE or self.slope > self.slope_limit)

    def __str__(self) -> str:
        """Say how near they are, in a line."""
        if self.points < 2:
            return "not compared: the density is finite at fewer than two points"
        slope = f" and in one direction (to {self.slope:.0e} of the slope)"
        return (
            f"agrees with an independent implementation, from {self.rows}, at "
            f"{self.points} points (to {self.gap:.0e} of its terms)"
            f"{slope if np.isfinite(self.slope) else ''}"
        )


def check_density(
    model: PreparedModel,
    data: Mapping[str, Any],
    loaded: LoadedProgram,
    *,
    engine: str,
    starts: Any = None,
    seed: int = 0,
    prior_only: bool = False,
) -> str:
    """Hold the log density of an engine against the model's, and say how it went.

    Parameters
    ----------
    model, data
        The model, and the data dictionary of its program.
    loaded
        The program with these data, in the engine.
    engine
        What the engine is called.
    starts
        Where the chains start: values by Stan's names, one set of them or several.
        Anything else says nothing.
    seed
        What is random about the points.
    prior_only
        Whether the outcome is left out.

    Returns
    -------
    str
        A line about the log density, which begins with "agrees" if it was compared.

    Raises
    ------
    DensityError
        If the densities differ by more than rounding.
    """
    begin = time.perf_counter()
    sample = None if prior_only else _sample_of_rows(model)
    if sample is not None:
        model, data = sample, sample.stan_data()
    try:
        density = LogPosterior(model, data=data, prior_only=prior_only)
    except LookupError as unknown:
        return f"not compared: no independent implementation has {unknown}"
    points = points_around(density, starts, seed)
    try:
        theirs = loaded.log_density(points, data=None if sample is None else data)
    except EngineError as problem:  # such as a CmdStan that cannot evaluate it
        return f"not compared: {str(problem).splitlines()[0]}"
    found = compare(density, points, theirs, seed=seed)
    if sample is not None:
        found = replace(found, rows=f"{model.design.rows:,} of the rows")
    if not found.is_good:
        raise DensityError(_said_of(found, model, engine))
    tell_detail(f"Compared log densities in {time.perf_counter() - begin:.3f} s")
    return str(found)


def _sample_of_rows(model: PreparedModel) -> PreparedModel | None:
    """Return the same model of some rows, where a program sees very many of them.

    Their numbers alone take seconds to be written for an engine and read by it. Where
    crossproducts are in their place, more of them can be used here.
    """
    rows, limit = model.design.rows, _MANY_ROWS
    if isinstance(model.rows, Crossproducts):
        limit = _MANY_NUMBERS // (1 + model.design.X.shape[1])
    elif model.rows is not None or model.chunks is not None:
        return None
    if rows <= limit:
        return None
    return model.take(np.linspace(0, rows - 1, _SAMPLED_ROWS).astype(np.intp))


def points_around(density: LogPosterior, starts: Any, seed: int) -> Array:
    """Return unconstrained points around where chains start, shape ``(P, size)``.

    The first is where the first chain starts, and near 0 in parameters that have no
    initial values. The others are farther and farther away.
    """
    rng = np.random.default_rng([_STREAM, seed])
    first = rng.uniform(-_RADIUS, _RADIUS, density.size)
    given = [starts] if isinstance(starts, Mapping) else starts
    if isinstance(given, Sequence) and given and isinstance(given[0], Mapping):
        values, _ = density.constrain(first)
        known = {name: given[0][name] for name in values.keys() & given[0].keys()}
        start = density.unconstrain({**values, **known})
        first = np.where(np.isfinite(start), start, first)
    noise = rng.standard_normal((len(_STEPS), density.size))
    return np.stack([first, *(first + np.array(_STEPS)[:, None] * noise)])


def compare(
    density: LogPosterior, points: Array, theirs: Densities, *, seed: int = 0
) -> Agreement:
    """Compare an engine's log densities with the model's.

    Parameters
    ----------
    density, points
        The model's density, and where it is compared, shape ``(P, size)``.
    theirs
        What the engine has there.
    seed
        What is random about the direction of the slope.
    """
    with np.errstate(all="ignore"):
        terms = [np.array(density.terms(point)) for point in points]
        ours = np.array([each.sum() for each in terms])
        sizes = np.array([np.abs(each).sum() for each in terms])
        gaps = theirs.values - ours
        known = np.flatnonzero(np.isfinite(gaps))
        apart = np.array([np.nan])
        if len(known) > 1:
            first, others = known[0], known[1:]
            differences = np.abs(gaps[others] - gaps[first])
            apart = differences / (1.0 + sizes[others] + sizes[first])
        slope, limit = float("nan"), _CLOSE_SLOPE
        # Differences over a kink are no slopes, and quantiles have one at each row.
        is_smooth = not FAMILIES[density.model.spec.family].is_of_quantiles
        # At one of them, a scale may be next to 0.
        for place in known[:2] if is_smooth else ():
            if not slope <= limit:
                at, gradient = points[place], theirs.gradients[place]
                slope, limit = _slope(density, at, gradient, sizes[place], seed)
    rows = "the rows of the data"
    if density.prior_only:
        rows = "the priors"
    elif not density.likelihood.rows.are_all:
        rows = "the fewer rows of the program"
    middle, largest = float(np.median(apart)), float(apart.max())
    return Agreement(len(known), middle, largest, slope, limit, rows)


def _slope(
    density: LogPosterior, at: Array, gradient: Array, size: float, seed: int
) -> tuple[float, float]:
    """Return the error of an engine's slope in one direction, and what is rounding.

    The size is that of all terms of the density.
    """
    rng = np.random.default_rng([_STREAM, seed, 1])
    signs, lengths = rng.choice([-1.0, 1.0], density.size), rng.random(density.size)
    direction = signs * (0.5 + lengths)
    # Far from flat, a step is so short that no parameter of many moves the rows much.
    step = _STEP / max(1.0, np.sqrt(density.size) / 10.0)
    near, far = (
        density(at + k * step * direction) - density(at - k * step * direction)
        for k in (1.0, 2.0)
    )
    slope = (8.0 * near - far) / (12.0 * step)
    parts = float(np.abs(gradient * direction).sum()) + 1.0
    rounding = _ROUNDING * (1.0 + size) / step
    error = abs(float(gradient @ direction) - slope) / parts
    return error, _CLOSE_SLOPE + rounding / parts


def _said_of(found: Agreement, model: PreparedModel, engine: str) -> str:
    """Say that densities differ, and what to do."""
    other = "cmdstan" if engine == "stanli" else "stanli"
    program = model.program
    what = (
        f"differences of the log density are off by up to {found.gap:.1e} of its terms "
        f"(rounding leaves less than {_CLOSE:.0e})"
        if found.gap > _CLOSE
        else f"the gradient is off by {found.slope:.1e} of its size in one direction "
        f"(rounding leaves less than {found.slope_limit:.0e})"
    )
    return (
        f"{engine} computes a wrong log density for program {program.name!r} (digest "
        f"{program.digest[:12]}): at {found.points} points around the initial values "
        f"{what}. Its draws would be those of another model, so nothing was sampled. "
        f"engine={other!r} may compute it correctly. Please "
        "report this with the formula and the program, model.stan_code."
    )
