"""The settings of a fit as stanli takes them, and what it cannot honour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from stanpool.base.errors import quote, quote_list
from stanpool.base.system.parallel import usable_cores
from stanpool.engine.values.settings import SampleSettings

# cmdstanpy's names of what stanli honours, or need not: its draws have all digits.
_HONOURED = {"adapt_engaged", "inv_metric", "metric", "step_size"}
_NO_MATTER = {"sig_figs", "refresh"}
_METRICS = {
    "diag": "diag_e",
    "dense": "dense_e",
    "unit": "unit_e",
    "diag_e": "diag_e",
    "dense_e": "dense_e",
    "unit_e": "unit_e",
}
_DEFAULT_RADIUS = 2.0
_REFRESH = 20  # iterations between two reports of a chain


def refused(settings: SampleSettings) -> str:
    """Say which setting stanli cannot honour, and what to do; "" if there is none."""
    given = dict(settings.sample_options)
    honoured = _HONOURED | _NO_MATTER if settings.method == "nuts" else _NO_MATTER
    unknown = given.keys() - honoured
    if settings.output_dir is not None:
        what = "output_dir, since it writes no CSV files"
    elif unknown:
        what = f"sample_options with {quote_list(sorted(unknown))}"
    elif isinstance(settings.inits, str) and settings.inits != "random":
        what = f"inits={quote(settings.inits)}, a file,"
    elif not isinstance(given.get("step_size", 1.0), Real) and settings.warmup > 0:
        what = "a step_size for each chain that is to be adapted"
    elif given.get("metric", "diag_e") not in list(_METRICS):
        what = f"metric={quote(given['metric'])}"
    else:
        return ""
    return f"stanli does not support {what}; engine='cmdstan' does."


def with_written_metric(settings: SampleSettings, dimension: int) -> SampleSettings:
    """Write the unit metric out where chains have step sizes of their own.

    ``arguments_of`` turns these step sizes into inverse metrics.

    Parameters
    ----------
    settings
        The settings.
    dimension
        The number of unconstrained parameters.
    """
    given = dict(settings.sample_options)
    has_one_step = isinstance(given.get("step_size", 1.0), Real)
    if has_one_step or given.get("inv_metric") is not None:
        return settings
    given |= {"metric": "diag_e", "inv_metric": [1.0] * dimension}
    return replace(settings, sample_options=tuple(given.items()))


def arguments_of(settings: SampleSettings) -> dict[str, Any]:
    """Return what the child's ``sample`` takes, as values that JSON can hold."""
    given = dict(settings.sample_options)
    is_adapted = bool(given.get("adapt_engaged", True)) and settings.warmup > 0
    ours: dict[str, Any] = {
        "chains": settings.chains,
        "samples": settings.draws,
        "warmup": settings.warmup,
        "thin": settings.thin,
        "save_warmup": settings.save_warmup,
        "seed": settings.seed,
        "delta": float(settings.adapt_delta),
        "max_depth": settings.max_treedepth,
        "parallel_chains": settings.parallel_chains
        or min(settings.chains, usable_cores()),
        "adapt_engaged": is_adapted,
        "metric": _METRICS[given.get("metric", "diag_e")],
        **_metric_and_steps(given),
        "refresh": _REFRESH,
    }
    inits, radius = given_starts(settings, settings.chains)
    return {"settings": ours, "inits": inits, "init_radius": radius}


def given_starts(
    settings: SampleSettings, count: int
) -> tuple[list[dict[str, Any]] | None, float]:
    """Return so many sets of initial values, or None, and how wide random ones are."""
    inits = settings.inits
    if isinstance(inits, Real):
        return None, float(inits)
    if inits is None or isinstance(inits, str):  # "random"
        return None, _DEFAULT_RADIUS
    sets = [inits] if isinstance(inits, Mapping) else inits
    plain = [{name: _plain(each[name]) for name in each} for each in sets]
    return [plain[place % len(plain)] for place in range(count)], _DEFAULT_RADIUS


def _inv_metric(given: Any) -> Any:
    """Return an inverse metric, or one for each chain, from cmdstanpy's forms of it."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return _plain(given["inv_metric"])
    if isinstance(given, Sequence) and given and isinstance(given[0], Mapping):
        return [_plain(each["inv_metric"]) for each in given]
    return _plain(given)


def _metric_and_steps(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse metric, and a step size for all chains.

    stanli has one step size for all chains. Chains move in the same way if, for a step
    that is longer by a factor, their inverse metric is so by its square: then momenta
    are shorter by that factor.
    """
    metric, step = _inv_metric(given.get("inv_metric")), given.get("step_size")
    if step is None or isinstance(step, Real):
        step = None if step is None else float(step)
        return {"inv_metric": metric, "step_size": step}
    steps = np.asarray(step, dtype=float)
    common = float(np.exp(np.log(steps).mean()))
    metrics = np.asarray(metric, dtype=float)
    of_one = 2 if _METRICS[given.get("metric", "diag_e")] == "dense_e" else 1
    if metrics.ndim == of_one:  # the same for all chains
        metrics = metrics[np.newaxis]
    squares = np.square(steps / common).reshape(-1, *[1] * of_one)
    return {"inv_metric": (metrics * squares).tolist(), "step_size": common}


def _plain(values: Any) -> Any:
    """Return numbers and arrays as JSON has them."""
    return np.asarray(values).tolist()
