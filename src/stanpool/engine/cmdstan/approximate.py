"""Approximations to the posterior of a compiled program, through cmdstanpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.errors import SamplingError
from stanpool.base.progress import counting
from stanpool.engine.cmdstan.chains import Chains
from stanpool.engine.cmdstan.compile import versions
from stanpool.engine.cmdstan.draws_files import of_csv
from stanpool.engine.cmdstan.run import SIG_FIGS, more_options, watched
from stanpool.engine.scratch import scratch_folder
from stanpool.engine.values.draws import Proposals, RawDraws
from stanpool.engine.values.settings import NO_PROPER_MODE, PATHS, SampleSettings

if TYPE_CHECKING:
    import cmdstanpy


def approximate(
    executable: Path, data_file: Path, settings: SampleSettings, *, progress: bool
) -> Proposals:
    """Draw from the approximation that settings name; see ``LoadedProgram``."""
    method = _pathfinder if settings.method == "pathfinder" else _normal_around_mode
    with (
        scratch_folder() as scratch,
        counting(f"Approximating ({settings.method})", 1, shown=progress),
    ):
        folder = Path(settings.output_dir or scratch)
        ours = {
            "data": str(data_file),
            "seed": settings.seed,
            "output_dir": str(folder),
            "sig_figs": SIG_FIGS,
        }
        return watched(
            executable,
            lambda model: method(model, settings, ours, versions(executable)),
            Chains(),
            folder=folder,
        )


def _pathfinder(
    model: cmdstanpy.CmdStanModel,
    settings: SampleSettings,
    ours: dict[str, Any],
    engine: Mapping[str, str],
) -> Proposals:
    """Draw from the best normal distributions on several paths."""
    ours |= {
        "inits": _inits(settings, PATHS),
        "num_paths": PATHS,
        "num_single_draws": -(-settings.draws // PATHS),
        "psis_resample": False,
        "calculate_lp": True,
    }
    fit = model.pathfinder(**ours, **more_options(settings, ours))
    raw = _raw(fit, fit.draws(), engine)
    paths = _column(raw, "path__")
    if paths is None:  # before Stan 2.36, which leaves no path out unless all fail
        paths = np.arange(len(fit.draws())) * PATHS // len(fit.draws())
    return _proposals(raw, "lp__", "lp_approx__", paths)


def _normal_around_mode(
    model: cmdstanpy.CmdStanModel,
    settings: SampleSettings,
    ours: dict[str, Any],
    engine: Mapping[str, str],
) -> Proposals:
    """Draw from the normal distribution around the mode."""
    starts = _inits(settings, 1)
    inits = starts[0] if isinstance(starts, list) else starts
    more = more_options(settings, {*ours, "inits", "jacobian"})
    mode = model.optimize(**ours, inits=inits, jacobian=True, **more)
    fit = model.laplace_sample(**ours, mode=mode, draws=settings.draws, jacobian=True)
    raw = _raw(fit, fit.draws(), engine)
    at_mode = _raw(mode, mode.optimized_params_np[np.newaxis], engine)
    path = np.zeros(len(fit.draws()), dtype=np.intp)
    return _proposals(raw, "log_p__", "log_q__", path, at_mode)


def _inits(settings: SampleSettings, count: int) -> Any:
    """Return so many initial values, or a number, as cmdstanpy takes them."""
    given = settings.inits
    if isinstance(given, tuple | list):
        return [given[place % len(given)] for place in range(count)]
    return given


def _raw(fit: Any, table: np.ndarray, engine: Mapping[str, str]) -> RawDraws:
    """Return draws of cmdstanpy's, ``(draw, column)``, as those of one chain."""
    own = dict(fit.metadata.method_vars)
    own.setdefault("lp__", own.get("log_p__"))
    array = np.asfortranarray(table[:, np.newaxis])
    sampler, program = of_csv(array, own, fit.metadata.stan_vars)
    return RawDraws(sampler, program, engine=engine, rejections={})


def _column(raw: RawDraws, name: str) -> np.ndarray | None:
    """Return a variable of the method, ``(draw,)``; None if it has none of the name."""
    try:
        return np.asarray(raw.sampler_variable(name)[0])
    except KeyError:
        return None


def _proposals(
    raw: RawDraws,
    log_p: str,
    log_q: str,
    path: np.ndarray,
    mode: RawDraws | None = None,
) -> Proposals:
    """Return draws with their log densities, where these are known."""
    density, own = (raw.sampler_variable(name)[0] for name in (log_p, log_q))
    known = np.flatnonzero(np.isfinite(density) & np.isfinite(own))
    if not len(known):
        raise SamplingError(NO_PROPER_MODE)
    return Proposals(
        density[known],
        own[known],
        path[known].astype(np.intp),
        lambda places: raw.taken(known[places]),
        mode,
    )
