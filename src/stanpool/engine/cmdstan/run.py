"""Sampling: data in, chains watched to their end, draws out, nothing left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SamplingError, SpecError, quote
from stanpool.base.progress import counting, tell_detail
from stanpool.base.system.parallel import usable_cores
from stanpool.base.system.stopping import raise_if_stopped
from stanpool.engine.cmdstan.chains import Chains
from stanpool.engine.cmdstan.compile import versions
from stanpool.engine.cmdstan.draws_files import (
    of_csv,
    read_draws_files,
    with_draws_file,
    writes_draws_files,
)
from stanpool.engine.scratch import no_room, scratch_folder, write_data
from stanpool.engine.values.draws import RawDraws
from stanpool.engine.values.settings import SampleSettings, warmup_draws

if TYPE_CHECKING:
    import cmdstanpy


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
SIG_FIGS = 9

_POLL_SECONDS = 0.1

# Iterations between a chain's reports.
_REFRESH = 20
_WORKER = "stanpool-sampling"

Result = TypeVar("Result")


@public
def sample(
    executable: Path,
    data: Mapping[str, Any],
    settings: SampleSettings,
    *,
    progress: bool = True,
) -> RawDraws:
    """Sample from a compiled program with NUTS, through cmdstanpy.

    Each chain is a process. All of them have ended, and temporary files are removed,
    when this returns or raises an error.

    Parameters
    ----------
    executable
        What ``compile_program`` returned.
    data
        Stan's data by name: numbers and arrays.
    settings
        Chains, draws, seed and the rest.
    progress
        Whether to show progress on standard error.

    Raises
    ------
    SamplingError
        If a chain fails; the message has its last output and what to do.
    SpecError
        If cmdstanpy does not accept an option.

    Examples
    --------
    >>> raw = sample(executable, {"N": 0}, SampleSettings(seed=1))  # doctest: +SKIP
    >>> raw.stan_variable("theta").shape  # doctest: +SKIP
    (4, 1000, 8)
    """
    with scratch_folder() as folder:
        data_file = write_data(folder / "data.json", data)
        return sample_file(executable, data_file, settings, progress=progress)


def sample_file(
    executable: Path,
    data_file: Path,
    settings: SampleSettings,
    *,
    passing: Collection[str] = (),
    progress: bool,
) -> RawDraws:
    """Sample as ``sample`` does, with data that are in a file already.

    Parameters
    ----------
    passing
        Variables of which the last draw is all that is needed.
    """
    arguments, threads = cmdstanpy_arguments(settings), settings.threads_per_chain
    engine = versions(executable)
    # Whoever names a folder wants all draws in the CSV files there.
    in_files = settings.output_dir is None and writes_draws_files(engine)
    change = partial(with_draws_file, passing=passing) if in_files else list
    with scratch_folder() as folder:
        output = settings.output_dir or str(folder)
        arguments |= {"data": str(data_file), "output_dir": output}
        chains = Chains(threads=1 if threads == "auto" else int(threads), change=change)
        mcmc = _run(executable, arguments, chains, progress=progress)
        raw = _read(mcmc, settings, engine, chains.rejections, in_files=in_files)
    _tell(raw, chains)
    return raw


def spare_threads(settings: SampleSettings) -> int:
    """Return how many threads each chain can have: the cores that chains leave.

    One, where ``parallel_chains`` says how the cores are to be used.
    """
    if settings.parallel_chains is not None:
        return 1
    return max(1, usable_cores() // settings.chains)


def cmdstanpy_arguments(settings: SampleSettings) -> dict[str, Any]:
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
        "save_warmup": settings.save_warmup,
    }
    if settings.warmup > 0:
        ours["adapt_delta"] = float(settings.adapt_delta)
    else:
        ours["adapt_engaged"] = False
    return {
        "sig_figs": SIG_FIGS,
        "refresh": _REFRESH,
        "force_one_process_per_chain": True,
        "show_progress": False,
        **ours,
        **more_options(settings, ours),
    }


def more_options(settings: SampleSettings, ours: Collection[str]) -> dict[str, Any]:
    """Return the settings' own arguments for cmdstanpy, which must be none of ours."""
    more = dict(settings.sample_options)
    for name in more:
        if name in ours or name in _CHOSEN:
            raise SpecError(
                f"sample_options has {quote(name)}, which has an argument of its own "
                "or is stanpool's to choose. Take it out of sample_options."
            )
    return more


def _run(
    executable: Path, arguments: dict[str, Any], chains: Chains, *, progress: bool
) -> cmdstanpy.CmdStanMCMC:
    """Call ``CmdStanModel.sample``, and show how far the chains are."""
    iterations = arguments["iter_warmup"] + arguments["iter_sampling"]
    title = f"Sampling {arguments['chains']} chains of {iterations} iterations"
    total = arguments["chains"] * iterations
    with counting(title, total, shown=progress) as show:
        return watched(
            executable,
            lambda model: model.sample(**arguments),
            chains,
            folder=Path(arguments["output_dir"]),
            tick=lambda: show(chains.iterations),
        )


def watched(
    executable: Path,
    work: Callable[[cmdstanpy.CmdStanModel], Result],
    chains: Chains,
    *,
    folder: Path,
    tick: Callable[[], None] = lambda: None,
) -> Result:
    """Let cmdstanpy work in a thread, so that this one can hear Ctrl-C.

    Parameters
    ----------
    executable
        The compiled program.
    work
        What to do with it as cmdstanpy has it.
    chains
        What starts, watches and stops its processes.
    folder
        Where they write.
    tick
        Called several times a second.
    """
    import cmdstanpy

    if not executable.exists():
        raise SamplingError(
            f"the executable {str(executable)!r} is not there any more: the cache was "
            "cleaned after it was compiled. Fit again, and it is compiled again."
        )
    _quiet_workers()
    model = cmdstanpy.CmdStanModel(exe_file=str(executable))
    model._run_cmdstan = chains.run  # type: ignore[method-assign]
    with ThreadPoolExecutor(1, thread_name_prefix=_WORKER) as worker:
        try:
            running = worker.submit(work, model)
            while wait([running], timeout=_POLL_SECONDS).not_done:
                raise_if_stopped()
                tick()
            tick()
        except BaseException:
            chains.stop()
            raise
    if chains.failure is not None:
        raise SamplingError(str(chains.failure))
    try:
        return running.result()
    except (RuntimeError, TypeError, ValueError) as error:
        if any(folder.glob("*.csv")):
            raise SamplingError(
                f"the draws are incomplete: {error}. {no_room(folder)}"
            ) from error
        raise SpecError(f"cmdstanpy does not accept the settings: {error}") from error


def _read(
    mcmc: Any,
    settings: SampleSettings,
    engine: Mapping[str, str],
    rejections: Mapping[str, int],
    *,
    in_files: bool,
) -> RawDraws:
    """Take the draws from cmdstanpy, and from files beside its own."""
    array, known = mcmc.draws(inc_warmup=settings.save_warmup), mcmc.metadata
    sampler, program = of_csv(array, known.method_vars, known.stan_vars)
    passing = None
    if in_files:
        try:
            files = mcmc.runset.csv_files
            program, passing = read_draws_files(files, draws=len(array))
        except ValueError as error:
            raise SamplingError(
                f"the draws are incomplete: {error}. {no_room(Path(files[0]).parent)}"
            ) from error
    return RawDraws(
        sampler,
        program,
        step_size=mcmc.step_size,
        inv_metric=mcmc.inv_metric,
        seconds_warmup=np.array([time["warmup"] for time in mcmc.time]),
        seconds_sampling=np.array([time["sampling"] for time in mcmc.time]),
        engine=engine,
        rejections=rejections,
        warmup=warmup_draws(settings),
        _passing=passing,
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
