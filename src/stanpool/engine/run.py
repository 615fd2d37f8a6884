"""Sampling: data in, chains watched to their end, draws out, nothing left behind."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.arguments import public
from stanpool.engine.chains import Chains, no_room
from stanpool.engine.compile import versions
from stanpool.engine.process import usable_cores
from stanpool.engine.scratch import scratch_folder
from stanpool.errors import SamplingError, SpecError, shorten, suggestion
from stanpool.progress import counted, tell_detail

if TYPE_CHECKING:
    import cmdstanpy

_LOWEST = {
    "chains": 1,
    "draws": 1,
    "warmup": 0,
    "max_treedepth": 1,
    "parallel_chains": 1,
    "thin": 1,
}
_MAX_SEED = 2**32 - 1

# Arguments of cmdstanpy's that are stanpool's to choose, or that Chains replaces.
_CHOSEN = {
    "adapt_delta",
    "data",
    "force_one_process_per_chain",
    "output_dir",
    "show_console",
    "show_progress",
    "threads_per_chain",
    "timeout",
}

# Significant figures of the draws. CmdStan's default, 6, leaves nothing of the energy's
# variation once the log density of a million rows is near -1e6.
_SIG_FIGS = 9

_POLL_SECONDS = 0.1

# Iterations between a chain's reports.
_REFRESH = 20
_WORKER = "stanpool-sampling"


@public
@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """How to sample.

    Attributes
    ----------
    chains, draws, warmup
        How many chains, and how many draws and warm-up iterations of each.
    seed
        0 to 2**32 - 1.
    adapt_delta
        Target acceptance rate, between 0 and 1.
    max_treedepth
        Trajectories double at most this often.
    parallel_chains
        Chains at a time; None for as many as this process has cores.
    threads_per_chain
        Threads that share the work of a chain's likelihood, where it is C++; or
        ``"auto"``, which is one here: the caller knows how much work there is.
    inits
        Initial values as cmdstanpy takes them: a number for the half width of random
        ones, a mapping, or one mapping for each chain.
    thin
        Keep every so-many-th draw.
    sample_options
        Pairs of more arguments for ``cmdstanpy.CmdStanModel.sample``.

    Raises
    ------
    SpecError
        If a value is out of its range.

    Examples
    --------
    >>> SampleSettings(seed=1, adapt_delta=0.95).draws
    1000
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    seed: int
    adapt_delta: float = 0.8
    max_treedepth: int = 10
    parallel_chains: int | None = None
    threads_per_chain: int | str = "auto"
    inits: Any = None
    thin: int = 1
    sample_options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Check every value; NumPy's integers become Python's."""
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if value is not None or name != "parallel_chains":
                object.__setattr__(self, name, _whole(name, value, lowest))
        object.__setattr__(self, "seed", _whole("seed", self.seed, 0, _MAX_SEED))
        if not isinstance(self.threads_per_chain, str) or (
            self.threads_per_chain != "auto"
        ):
            threads = _whole("threads_per_chain", self.threads_per_chain, 1)
            object.__setattr__(self, "threads_per_chain", threads)
        _check_adapt_delta(self.adapt_delta)
        if isinstance(self.inits, list | tuple) and len(self.inits) != self.chains:
            raise SpecError(
                f"inits has {len(self.inits)} members for chains={self.chains}: give "
                "one mapping of initial values for each chain, or one for all."
            )


@dataclass(frozen=True, eq=False, repr=False)
class RawDraws:
    """The draws of a run by Stan's own names, none of them copied.

    Attributes
    ----------
    step_size
        ``(chain,)``; None where nothing was adapted.
    inv_metric
        The inverse metric: ``(chain, parameter)`` if diagonal, ``(chain, parameter,
        parameter)`` if dense.
    seconds_warmup, seconds_sampling
        What each chain says it took: ``(chain,)``.
    engine
        What the executable was made with: Stan, the kind of engine, the compiler.
    rejections
        Why the log density could not be evaluated at proposals, which were then
        rejected, and how often after warm-up.
    """

    # (draw, chain, column), each column's draws together in memory
    _array: np.ndarray
    _variables: Mapping[str, Any]
    step_size: np.ndarray | None
    inv_metric: np.ndarray | None
    seconds_warmup: np.ndarray
    seconds_sampling: np.ndarray
    engine: Mapping[str, str]
    rejections: Mapping[str, int]

    @property
    def variable_names(self) -> tuple[str, ...]:
        """The variables of the program that hold at least one number."""
        return tuple(name for name in self._variables if not name.endswith("__"))

    def stan_variable(self, name: str) -> np.ndarray:
        """Return a variable of the program, ``(chain, draw, ...)``."""
        return self._slice(name, self.variable_names)

    def sampler_variable(self, name: str) -> np.ndarray:
        """Return ``lp__``, ``divergent__`` or its like, ``(chain, draw)``."""
        return self._slice(name, set(self._variables) - set(self.variable_names))

    def _slice(self, name: str, known: Any) -> np.ndarray:
        if name not in known:
            raise KeyError(f"the draws have no {name!r}.{suggestion(name, known)}")
        values: np.ndarray = self._variables[name].extract_reshape(self._array)
        return values.swapaxes(0, 1)


@public
def sample(
    executable: Path,
    data: Mapping[str, Any],
    settings: SampleSettings,
    *,
    progress: bool = True,
) -> RawDraws:
    """Sample from a compiled program with NUTS, through cmdstanpy.

    Each chain is a process; all are gone when this returns or raises, as are the
    temporary files.

    Parameters
    ----------
    executable
        What ``compile_program`` returned.
    data
        Stan's data by name: numbers and arrays.
    settings
        Chains, draws, seed and the rest.
    progress
        Show on standard error how far the chains are.

    Raises
    ------
    SamplingError
        If a chain fails, with its last words and what to do.
    SpecError
        If cmdstanpy does not accept an option.

    Examples
    --------
    >>> raw = sample(executable, {"N": 0}, SampleSettings(seed=1))  # doctest: +SKIP
    >>> raw.stan_variable("theta").shape  # doctest: +SKIP
    (4, 1000, 8)
    """
    import stanio

    arguments, threads = _arguments(settings), settings.threads_per_chain
    with scratch_folder() as folder:
        data_file = folder / "data.json"
        try:
            data_file.write_text(stanio.dump_stan_json(data))
        except OSError as error:
            raise SamplingError(f"{error}. {no_room(folder)}") from error
        arguments |= {"data": str(data_file), "output_dir": str(folder)}
        chains = Chains(threads=1 if threads == "auto" else int(threads))
        mcmc = _run(executable, arguments, chains, progress=progress)
        raw = _read(mcmc, versions(executable), chains.rejections)
    _tell(raw, chains)
    return raw


def spare_threads(settings: SampleSettings) -> int:
    """Return how many threads each chain can have: the cores that chains leave.

    One, where ``parallel_chains`` says how the cores are to be used.
    """
    if settings.parallel_chains is not None:
        return 1
    return max(1, usable_cores() // settings.chains)


def _whole(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """Return a whole number within bounds."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    inside = (
        number is not None
        and not isinstance(value, bool)
        and number >= lowest
        and (highest is None or number <= highest)
    )
    if not inside or number is None:
        bounds = f"at least {lowest}" if highest is None else f"{lowest} to {highest}"
        raise SpecError(
            f"{name}={shorten(value)} does not do: give a whole number, {bounds}."
        )
    return number


def _check_adapt_delta(value: Any) -> None:
    if not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise SpecError(
            f"adapt_delta={shorten(value)} is no rate of acceptance: give a number "
            "between 0 and 1, such as 0.8, or 0.95 for smaller steps."
        )


def _arguments(settings: SampleSettings) -> dict[str, Any]:
    """Return the settings as cmdstanpy calls them."""
    ours: dict[str, Any] = {
        "chains": settings.chains,
        "iter_sampling": settings.draws,
        "iter_warmup": settings.warmup,
        "seed": settings.seed,
        "max_treedepth": settings.max_treedepth,
        "parallel_chains": settings.parallel_chains
        or min(settings.chains, usable_cores()),
        "inits": list(settings.inits)
        if isinstance(settings.inits, tuple)
        else settings.inits,
        "thin": settings.thin if settings.thin > 1 else None,
    }
    if settings.warmup > 0:
        ours["adapt_delta"] = float(settings.adapt_delta)
    else:
        ours["adapt_engaged"] = False
    more = dict(settings.sample_options)
    for name in more:
        if name in ours or name in _CHOSEN:
            raise SpecError(
                f"sample_options has {shorten(name)}, which has an argument of its own "
                "or is stanpool's to choose. Take it out of sample_options."
            )
    return {
        "sig_figs": _SIG_FIGS,
        "refresh": _REFRESH,
        "force_one_process_per_chain": True,
        "show_progress": False,
        **ours,
        **more,
    }


def _run(
    executable: Path, arguments: dict[str, Any], chains: Chains, *, progress: bool
) -> cmdstanpy.CmdStanMCMC:
    """Call ``CmdStanModel.sample`` in a thread, so that this one can hear Ctrl-C."""
    import cmdstanpy

    if not executable.exists():
        raise SamplingError(
            f"the executable {str(executable)!r} is not there any more: the cache was "
            "cleaned after it was compiled. Fit again, and it is compiled anew."
        )
    _quiet_workers()
    iterations = arguments["iter_warmup"] + arguments["iter_sampling"]
    title = f"Sampling {arguments['chains']} chains of {iterations} iterations"
    model = cmdstanpy.CmdStanModel(exe_file=str(executable))
    model._run_cmdstan = chains.run  # type: ignore[method-assign]
    with (
        ThreadPoolExecutor(1, thread_name_prefix=_WORKER) as worker,
        counted(title, arguments["chains"] * iterations, shown=progress) as show,
    ):
        try:
            running = worker.submit(model.sample, **arguments)
            while wait([running], timeout=_POLL_SECONDS).not_done:
                show(chains.iterations)
            show(chains.iterations)
        except BaseException:
            chains.stop()
            raise
    if chains.failure is not None:
        raise SamplingError(str(chains.failure))
    try:
        return running.result()
    except (RuntimeError, TypeError, ValueError) as error:
        folder = Path(arguments["output_dir"])
        if any(folder.glob("*.csv")):
            raise SamplingError(
                f"the draws are incomplete: {error}. {no_room(folder)}"
            ) from error
        raise SpecError(f"cmdstanpy does not accept the settings: {error}") from error


def _read(
    mcmc: Any, engine: Mapping[str, str], rejections: Mapping[str, int]
) -> RawDraws:
    """Take the draws from cmdstanpy."""
    array = mcmc.draws()
    return RawDraws(
        array,
        {**mcmc.metadata.method_vars, **mcmc.metadata.stan_vars},
        step_size=mcmc.step_size,
        inv_metric=mcmc.inv_metric,
        seconds_warmup=np.array([time["warmup"] for time in mcmc.time]),
        seconds_sampling=np.array([time["sampling"] for time in mcmc.time]),
        engine=engine,
        rejections=rejections,
    )


def _tell(raw: RawDraws, chains: Chains) -> None:
    """Say how the sampling went, and what the chains had to say."""
    slowest = (raw.seconds_warmup + raw.seconds_sampling).max()
    tell_detail(f"Sampled; the slowest chain took {slowest:.1f} s")
    if raw.step_size is not None:
        low, high = raw.step_size.min(), raw.step_size.max()
        tell_detail(f"Step sizes are {low:.3g} to {high:.3g}")
    for said in chains.said:
        tell_detail(f"Stan said: {said}")


def _quiet_workers() -> None:
    """Keep cmdstanpy's log of our own runs, and of no others, from the user."""
    logger = logging.getLogger("cmdstanpy")
    if _not_ours not in logger.filters:
        logger.addFilter(_not_ours)


def _not_ours(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(_WORKER)
