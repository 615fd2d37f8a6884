"""Saving a fit: a folder with its data, model and draws, without pickles.

::

    radon.fit/
    ├── manifest.json         format, who wrote it, the SHA-256 of every file
    └── saved-3f9ac2d1/
        ├── model.json        specification, priors, settings, versions
        ├── program.stan      the program that was fitted
        ├── data.nc           the columns that the model uses
        └── draws.nc          posterior, sample_stats, observed_data

A fit that replaces another is written beside it, and is valid once the manifest names
it (see ``versions``). In format 1 the files were in the folder itself.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.base.errors import (
    DataError,
    NoFitError,
    StanpoolError,
    StorageError,
    StorageWarning,
    quote,
    quote_list,
)
from stanpool.base.options import Parameterization
from stanpool.base.progress import tell
from stanpool.base.system.files import explained
from stanpool.data.design.covariance.known import are_same, arrays_of, restored
from stanpool.data.matrix.smooths.monotonic import Monotonic
from stanpool.data.matrix.smooths.process import Process
from stanpool.data.matrix.smooths.saved import (
    SmoothFacts,
    arrays_of_smooths,
    facts_of_smooth,
    restored_smooths,
)
from stanpool.data.matrix.smooths.smooth import Smooth
from stanpool.data.statistics.statistics import Statistics
from stanpool.engine.values.program import StanProgram
from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import Prior
from stanpool.language.vocabulary import as_functions
from stanpool.model.fit_result import Approximation, FitResult
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.in_force import PriorRow, PriorTable
from stanpool.sampling.choose_engine import requested_engine
from stanpool.sampling.sample import sample_model
from stanpool.sampling.saving import netcdf
from stanpool.sampling.saving.frames import Column, read_frame, write_frame
from stanpool.sampling.saving.older import (
    in_newest_format,
    refuse_correlated,
    refuse_sums,
)
from stanpool.sampling.saving.schema import read_record
from stanpool.sampling.saving.versions import (
    Manifest,
    check_digests,
    new_version,
    read_manifest,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stanpool.engine.study import StudyEngine
    from stanpool.engine.values.settings import SampleSettings

Functions = tuple[tuple[str, Callable[..., Any]], ...]

FORMAT = 2  # since 2, mm() without weights is the mean of groups, and not their sum
_FILES = ("model.json", "program.stan", "data.nc", "draws.nc")
_STAYS = "The fit is still in memory: make room, or save it elsewhere."


@dataclass(frozen=True)
class _ChunkFacts:
    """What is saved of data in chunks besides arrays; see ``Statistics.facts``."""

    named: str
    origin: str | None
    rows: int
    labels: tuple[str, ...]
    orders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Record:
    """The content of model.json; older files do not have the fields with defaults."""

    spec: ModelSpec
    priors: tuple[PriorRow, ...]
    columns: tuple[Column, ...]
    settings: Mapping[str, Any]
    seconds: float
    prior_only: bool
    engine: Mapping[str, str]
    program: str
    parameterization: Parameterization | None = None
    chunks: _ChunkFacts | None = None
    rejections: Mapping[str, int] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    covariances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # labels
    smooths: Mapping[str, SmoothFacts] = field(default_factory=dict)  # by text
    processes: Mapping[str, Process] = field(default_factory=dict)  # by text
    monotonic: Mapping[str, Monotonic] = field(default_factory=dict)  # by text
    approximation: Approximation | None = None


def save(
    fit: FitResult, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a fit to a folder, completely or not at all.

    If it is interrupted or killed at any time, the folder contains the earlier fit or
    the new one, and either is complete. Other files in the folder are not touched, and
    a symbolic link remains one.

    Parameters
    ----------
    fit
        The fit.
    path
        A folder that does not exist yet, or is empty.
    overwrite
        Whether to replace a fit that was saved there before.

    Raises
    ------
    FileExistsError
        If ``path`` exists: if it is another fit and ``overwrite`` is False, or if it is
        anything else.
    StorageError
        If it cannot be written, for example because the disk is full. ``fit`` is
        unchanged.
    """
    target = Path(path)
    needed = fit.tree.nbytes + int(fit.model.data.memory_usage().sum())
    action = f"save the fit in {str(path)!r}"
    with (
        explained(action, target, needed=needed, advice=_STAYS),
        _new_version(target, overwrite=overwrite) as folder,
    ):
        _write(fit, folder)


def try_saving(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Find out whether a fit could be saved at a path, before it is sampled.

    Raises
    ------
    FileExistsError, StorageError
        As ``save`` would.
    """
    target = Path(path)
    with (
        explained(f"save a fit in {str(path)!r}", target),
        suppress(_Tried),
        _new_version(target, overwrite=overwrite) as folder,
    ):
        (folder / _FILES[0]).write_bytes(b" " * 4096)
        raise _Tried


class _Tried(Exception):
    """Ends the trial of a path."""


def _new_version(path: Path, *, overwrite: bool) -> AbstractContextManager[Path]:
    from stanpool import __version__

    return new_version(
        path, overwrite=overwrite, format_=FORMAT, names=_FILES, stanpool=__version__
    )


def load_or_sample(
    model: PreparedModel,
    settings: SampleSettings,
    path: str | os.PathLike[str],
    *,
    any_seed: bool,
    prior_only: bool,
    of_study: StudyEngine | None = None,
    progress: bool,
) -> FitResult:
    """Return the fit saved at a path if a new one would be the same, or a new one.

    Parameters
    ----------
    model, settings
        The model, and the settings.
    path
        A folder: that of a fit, which is replaced if anything has changed, or a new
        one.
    any_seed
        Whether a fit with another seed is accepted.
    prior_only, of_study, progress
        As for ``sample_model``.

    Raises
    ------
    FileExistsError
        If ``path`` exists and is not a fit.
    StorageError
        If nothing can be written there, which is checked first. If the fit cannot be
        saved after sampling, that is a warning, and the fit is returned.
    """
    target = Path(path)
    changes = ["nothing is saved there yet"]
    try:
        kept = load(target, functions=dict(model.spec.functions))
    except NoFitError:
        pass
    except DataError as damage:
        changes = [str(damage)]
    else:
        changes = list(_changes(kept, model, settings, any_seed, prior_only))
        if not changes:
            tell(
                f"Loaded the fit that is saved in {str(target)!r}: nothing has changed",
                shown=progress,
            )
            # The model of the caller, which is the same.
            return replace(kept, model=model)
    try_saving(target, overwrite=True)
    tell(f"Fitting for {str(target)!r}: {'; '.join(changes)}", shown=progress)
    fit = sample_model(
        model,
        settings,
        prior_only=prior_only,
        of_study=of_study,
        progress=progress,
    )
    try:
        save(fit, target, overwrite=True)
    except StorageError as problem:
        warnings.warn(str(problem), StorageWarning, stacklevel=3)
    return fit


def _changes(
    kept: FitResult,
    model: PreparedModel,
    settings: SampleSettings,
    any_seed: bool,
    prior_only: bool,
) -> Iterator[str]:
    """Say what has changed: model, priors, program, data or settings."""
    # Forms and priors are compared by the program and by the table of priors.
    apart = ("parameterization", "priors", "functions", "covariances", "smooths")
    if model.spec.functions:
        yield "your own functions may have changed"
    yield from _differences(kept.model.spec, model.spec, apart=apart)
    if kept.model.priors != model.priors:
        yield "the priors have changed"
    elif kept.program != model.program:
        yield "the Stan program has changed"
    chunks = model.chunks
    if not kept.model.data.equals(model.data) or (
        kept.model.chunks is not None
        if chunks is None
        else not chunks.same_as(kept.model.chunks)
    ):
        yield "the data have changed"
    if not are_same(kept.model.spec.covariances, model.spec.covariances):
        yield "the known covariances have changed"
    free = {"parallel_chains", "threads_per_chain", "engine", "output_dir"}
    free |= {"seed"} if any_seed else set()
    asked, was = requested_engine(settings)[0], kept.engine.get("name", "cmdstan")
    if asked not in ("auto", was):
        yield f"engine was {was!r} and is {asked!r}"
    yield from _differences(kept.settings, settings, apart=free)
    if kept.prior_only != prior_only:
        yield f"prior_only was {kept.prior_only!r} and is {prior_only!r}"


def _differences(old: Any, new: Any, *, apart: Container[str]) -> Iterator[str]:
    """Return the fields of two dataclasses that differ in a file."""
    for each in fields(old):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if each.name not in apart and _written(was) != _written(now):
            yield f"{each.name} was {quote(was)} and is {quote(now)}"


def _written(value: Any) -> str:
    return json.dumps(value, default=_plain)


def load(
    path: str | os.PathLike[str],
    *,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> FitResult:
    """Read a saved fit as a value without methods; ``stanpool.load`` adds these.

    Parameters
    ----------
    path, functions
        As for ``stanpool.load``.

    Raises
    ------
    FileNotFoundError, DataError
        As ``stanpool.load`` does.
    """
    folder, own = Path(path), as_functions(functions)
    with explained(
        f"read {str(path)!r}",
        folder,
        advice="Check that you have permission to read it.",
    ):
        while True:
            manifest = read_manifest(folder, newest=FORMAT)
            try:
                check_digests(folder, manifest, _FILES)
                return _read(folder, manifest, own)
            except (DataError, OSError):
                # Another process may just have replaced the fit.
                if read_manifest(folder, newest=FORMAT) == manifest:
                    raise


def _read(folder: Path, manifest: Manifest, functions: Functions = ()) -> FitResult:
    """Read the files of a fit; anything wrong with them is a ``DataError``."""
    try:
        path_of = partial(manifest.path, folder)
        return _read_fit(path_of, manifest.format, functions)
    except MemoryError:
        raise
    except Exception as problem:  # libraries raise any error for damaged files
        is_ours = isinstance(problem, StanpoolError)
        kind = "" if is_ours else f"{type(problem).__name__}: "
        raise DataError(
            f"cannot read the fit in {str(folder)!r}, which stanpool "
            f"{manifest.stanpool} wrote in format {manifest.format}: {kind}{problem} "
            "Read it with that version, or fit again."
        ) from problem


def _read_fit(
    path_of: Callable[[str], Path], version: int, functions: Functions
) -> FitResult:
    """Build a fit from its files."""
    from stanpool.engine.values.settings import SampleSettings

    written = in_newest_format(json.loads(path_of("model.json").read_text("utf-8")))
    kept = read_record(_Record, written, "model.json", {Prior: _read_prior})
    if version < 2:
        refuse_sums(kept.spec)
    _refuse_missing(kept.functions, functions)
    kept = replace(kept, spec=replace(kept.spec, functions=functions))
    settings = read_record(SampleSettings, kept.settings, "model.json.settings")
    if not kept.program.isidentifier():
        raise DataError(f"the name of the program is {quote(kept.program)}.")
    tree = netcdf.read_tree(path_of("draws.nc"))
    if tree["posterior"].sizes["chain"] != settings.chains:
        raise DataError(
            f"draws.nc has {tree['posterior'].sizes['chain']} chains, and model.json "
            f"says {settings.chains}."
        )
    model = _read_model(kept, *read_frame(path_of("data.nc"), kept.columns))
    refuse_correlated(model, tree)
    return FitResult(
        model=model,
        tree=tree,
        settings=settings,
        seconds=kept.seconds,
        prior_only=kept.prior_only,
        engine=kept.engine,
        program=StanProgram(kept.program, path_of("program.stan").read_text("utf-8")),
        rejections=kept.rejections,
        approximation=kept.approximation,
    )


def _refuse_missing(needed: tuple[str, ...], functions: Functions) -> None:
    """Refuse a fit whose formula calls functions that are not passed."""
    missing = [name for name in needed if name not in dict(functions)]
    if missing:
        raise DataError(
            f"its formula calls your functions {quote_list(missing)}, of which only "
            "the names are saved: pass them, as in sp.load(path, "
            f"functions={{{missing[0]!r}: {missing[0]}}})."
        )


def _read_prior(written: Any) -> Prior:
    """Read a prior, which is text in the table and a mapping in the specification."""
    if isinstance(written, str):
        return Prior.parse(written)
    bounds = written.get("lb"), written.get("ub")  # of older fits there are none
    return Prior(written["distribution"], tuple(written["arguments"]), *bounds)


def _read_model(
    kept: _Record, frame: pd.DataFrame, arrays: Mapping[str, np.ndarray]
) -> PreparedModel:
    """Build the model again, with the priors of the fit."""
    data: Any = frame
    if kept.chunks is not None:
        data = Statistics.restored(kept.spec, frame, arrays, asdict(kept.chunks))
    known = restored(kept.covariances, arrays)
    smooths = (
        *restored_smooths(kept.smooths, arrays),
        *kept.processes.items(),
        *kept.monotonic.items(),
    )
    # The form that was chosen then, even if another one would be chosen now.
    return PreparedModel.from_spec(
        replace(kept.spec, covariances=known, smooths=smooths),
        data,
        priors=PriorTable(kept.priors),
        parameterization=kept.parameterization,
    )


def _write(fit: FitResult, folder: Path) -> None:
    """Write all files of a fit to an empty folder."""
    chunks, known = fit.model.chunks, dict(fit.model.spec.covariances)
    built = fit.model.design.built_smooths
    smooths = {text: each for text, each in built.items() if isinstance(each, Smooth)}
    arrays = {} if chunks is None else chunks.arrays
    columns = write_frame(
        fit.model.data if chunks is None else chunks.specimen,
        folder / "data.nc",
        {**arrays, **arrays_of(known), **arrays_of_smooths(smooths)},
    )
    kept = _Record(
        spec=replace(fit.model.spec, functions=(), covariances=(), smooths=()),
        priors=tuple(fit.model.priors),
        columns=columns,
        settings={
            each.name: getattr(fit.settings, each.name) for each in fields(fit.settings)
        },
        seconds=fit.seconds,
        prior_only=fit.prior_only,
        engine=dict(fit.engine),
        program=fit.program.name,
        parameterization=fit.model.parameterization,
        chunks=None if chunks is None else _ChunkFacts(**chunks.facts),
        rejections=dict(fit.rejections),
        approximation=fit.approximation,
        functions=tuple(name for name, _ in fit.model.spec.functions),
        covariances={name: each.labels for name, each in known.items()},
        smooths={text: facts_of_smooth(each) for text, each in smooths.items()},
        processes={t: each for t, each in built.items() if isinstance(each, Process)},
        monotonic={t: x for t, x in built.items() if isinstance(x, Monotonic)},
    )
    written = asdict(kept) | {"priors": [_prior_row(row) for row in kept.priors]}
    text = json.dumps(written, indent=1, default=_plain)
    _write_bytes(folder / "model.json", text.encode())
    _write_bytes(folder / "program.stan", fit.program.source.encode())
    netcdf.write_tree(fit.tree, folder / "draws.nc")


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a new file, and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _prior_row(row: PriorRow) -> dict[str, Any]:
    """Return a prior as plain values."""
    return {**asdict(row), "prior": str(row.prior)}


def _plain(value: Any) -> Any:
    """Turn NumPy values and paths into values of JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
