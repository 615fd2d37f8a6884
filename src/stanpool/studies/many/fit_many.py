"""One model of many data sets, or many models: fitted on an executor, kept by label."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.api.facade import Fit, Model
from stanpool.base.arguments import public
from stanpool.base.errors import (
    ArgumentError,
    SamplingError,
    StanpoolError,
    StorageError,
    quote,
    quote_list,
    suggestion,
)
from stanpool.base.other_tools import advice_on_argument
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.executors.job import LostError
from stanpool.base.system.parallel import run_on_cores
from stanpool.engine.study import StudyEngine
from stanpool.inference.diagnostics.diagnose import diagnose
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.sample import sample_model
from stanpool.sampling.saving.storage import load_or_sample
from stanpool.sampling.settings import random_seed, settings_of
from stanpool.studies.many.datasets import (
    Labelled,
    ModelToBuild,
    Statements,
    labelled_models,
)
from stanpool.studies.many.fits import Fits
from stanpool.studies.many.folder import FitsFolder, Record, digest_of

_OWN = {"self", "formula", "data", "seed", "progress", "verbose", "file", "output_dir"}


@public
def fit_many(
    model: Any,
    data: Any = None,
    *,
    by: str | Sequence[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    **options: Any,
) -> Fits:
    """Fit a model to each of many data sets, or many models.

    Fits that fail are listed with their messages, and do not stop the others. The seed
    of each follows from ``seed`` and its label, so that no result depends on the
    executor, or on which other fits there are.

    Parameters
    ----------
    model
        A formula, or a ``Model``, of which each data set gets the specification, the
        priors and the form; or a mapping from names to these, each of which is fitted.
        Models of a mapping may have their own data.
    data
        A data frame, whose segments ``by`` names; a mapping from labels to data frames;
        or a list of data frames, such as imputations of missing values or bootstrap
        samples, which are labelled from 1 and share the default priors of the first.
    by
        The columns whose values, or combinations of values, are the segments. Each
        segment of a formula has default priors of its own.
    folder
        A folder to write each fit to as soon as it is done, instead of keeping it in
        memory. Fits that are there already, of the same model, data and settings, are
        not fitted again: a study that was interrupted goes on, and one that gets more
        data sets fits only these.
    seed
        The seed of all fits; drawn at random if None.
    executor
        What runs the fits: any ``concurrent.futures.Executor``; Dask, as
        ``"dask://host:8786"``, ``"dask"`` for the current client, or a
        ``distributed.Client``; Ray, as ``"ray"`` or ``"ray://host:10001"``; joblib, as
        ``"joblib"`` or with its backend, ``"joblib:loky"``; Spark, as ``"spark"`` or a
        ``SparkSession``. By default there are as many fits at a time as cores.
    progress
        Whether to show progress on standard error, with an estimate of the time left.
    options
        Options of ``Model``, such as ``family``, and of ``Model.fit``, such as
        ``draws``.

    Returns
    -------
    Fits
        A mapping from labels to fits, with ``summary()``, ``diagnose()``, ``loo()`` and
        ``predict()`` of all of them.

    Raises
    ------
    SpecError, DataError
        If no model can be built, or arguments contradict each other.
    SamplingError
        If all fits fail.

    Examples
    --------
    >>> import stanpool as sp
    >>> fits = sp.fit_many("Reaction ~ Days", sp.load_dataset("sleepstudy"),
    ...                    by="Subject", method="laplace", draws=50, seed=1,
    ...                    progress=False)
    >>> list(fits)[:3]
    [308, 309, 310]
    >>> fits.summary(var_names=["beta"]).index[0][1]
    'beta[Days]'
    """
    of_model, of_fit = _split(options)
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    found = labelled_models(model, data, columns, of_model)
    seed_of_all = random_seed() if seed is None else seed
    settings = {"parallel_chains": 1, **of_fit}
    target = None
    if folder is not None:  # workers may be in another folder
        target = FitsFolder.opened(Path(folder).absolute(), found.names)
    tasks = [
        _Task(label, each, seed_of(label, seed_of_all))
        for label, each in found.models.items()
    ]
    engines = _prepare_engines(found, settings, progress=progress)
    study = _Study(found.statements, settings, seed is None, target, engines)
    done = run_on_cores(
        partial(_fit_one, study),
        tasks,
        title=f"Fitting {len(tasks):,} models",
        executor=executor,
        progress=progress,
        if_lost=partial(_lost, study),
    )
    records = tuple(record for record, _ in done)
    if target is not None:
        _refuse_disks_of_others(target, records)
    if all(each.failure for each in records):
        raise SamplingError(
            f"all {len(records):,} fits failed. The first: {records[0].failure}"
        )
    kept = {record.label: fit for record, fit in done if fit is not None}
    return Fits(found.names, records, kept, target, of_model.get("functions") or {})


def seed_of(label: Any, seed: int) -> int:
    """Return the seed of a fit: another one for each label."""
    words = [seed, int.from_bytes(digest_of(label)[:8], "little")]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _split(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell options of ``Model`` from those of ``Model.fit``."""
    of_model = inspect.signature(Model.__init__).parameters.keys() - _OWN
    of_fit = inspect.signature(Model.fit).parameters.keys() - _OWN
    for name in options:
        if name not in of_model | of_fit:
            known = sorted(of_model | of_fit)
            advice = suggestion(name, known) or advice_on_argument(name, known)
            raise ArgumentError(
                f"fit_many() has no argument {quote(name)}; options of Model and "
                f"Model.fit are {quote_list(known, 30)}.{advice}"
            )
    return (
        {name: value for name, value in options.items() if name in of_model},
        {name: value for name, value in options.items() if name in of_fit},
    )


@dataclass(frozen=True, eq=False)
class _Study:
    """What all fits have in common.

    Attributes
    ----------
    statements
        Of what models are built.
    settings
        As ``Model.fit`` takes them.
    any_seed
        Whether fits in the folder may have other seeds.
    folder
        Where fits are written to, if anywhere.
    engines
        The engine that runs a program, by its digest.
    """

    statements: Statements
    settings: Mapping[str, Any]
    any_seed: bool
    folder: FitsFolder | None
    engines: Mapping[str, StudyEngine]


@dataclass(frozen=True, eq=False)
class _Task:
    """One fit: its label, what is built, and its seed."""

    label: Any
    to_build: ModelToBuild
    seed: int


def _prepare_engines(
    found: Labelled, settings: Mapping[str, Any], *, progress: bool
) -> dict[str, StudyEngine]:
    """Compile programs if that pays, and refuse settings that no fit could have.

    Of each statement, the first model that can be built stands for all.
    """
    problems: list[StanpoolError] = []
    engines: dict[str, StudyEngine] = {}
    by_name: dict[Any, list[ModelToBuild]] = {}
    for each in found.models.values():
        by_name.setdefault(each.name, []).append(each)
    for alike in by_name.values():
        for each in alike:
            try:
                model = each.build(found.statements)
            except StanpoolError as problem:
                problems.append(problem)
                continue
            first = [(model, settings_of(model, **settings))]
            engines[model.program.digest] = compile_if_it_pays(
                first, fits=len(alike), progress=progress
            )
            break
    if not engines:
        raise problems[0]
    return engines


def _fit_one(study: _Study, task: _Task) -> tuple[Record, Fit | None]:
    """Build a model and fit it, and say how that went."""
    try:
        fit = _fitted(study, task)
        record = _record(task.label, fit)
    except StanpoolError as problem:
        fit, record = None, Record(task.label, failure=str(problem))
    if study.folder is None:
        return record, fit
    study.folder.write(record)
    return record, None


def _lost(study: _Study, task: _Task, problem: LostError) -> tuple[Record, None]:
    """Say that a fit failed with all workers that tried it."""
    record = Record(task.label, failure=str(problem))
    if study.folder is not None:
        study.folder.write(record)
    return record, None


def _fitted(study: _Study, task: _Task) -> Fit:
    model = task.to_build.build(study.statements)
    settings = settings_of(model, seed=task.seed, **study.settings)
    common: dict[str, Any] = {
        "prior_only": bool(study.settings.get("prior_only", False)),
        "of_study": study.engines.get(model.program.digest),
        "progress": False,
    }
    if study.folder is None:
        return Fit.of(sample_model(model, settings, **common))
    place, any_seed = study.folder.place_of(task.label), study.any_seed
    return Fit.of(load_or_sample(model, settings, place, any_seed=any_seed, **common))


def _refuse_disks_of_others(folder: FitsFolder, records: Sequence[Record]) -> None:
    """Refuse a folder that is another one where workers are."""
    gone = [each.label for each in records if not folder.has_record(each.label)]
    if gone:
        raise StorageError(
            f"the workers wrote {len(gone):,} of {len(records):,} fits, such as "
            f"{quote(gone[0])}, to disks of their own: {str(folder.path)!r} is another "
            "folder there. Pass one that all machines share, or leave out folder=."
        )


def _record(label: Any, fit: Fit) -> Record:
    """Say how a fit went, by its diagnosis."""
    found = diagnose(fit)
    worst = {each.check: float(each.measured) for each in found.checks}
    return Record(
        label,
        seconds=fit.seconds,
        divergences=worst.get("divergences", np.nan),
        max_r_hat=worst.get("r_hat", np.nan),
        min_ess_bulk=worst.get("ess_bulk", np.nan),
        min_ess_tail=worst.get("ess_tail", np.nan),
        problems=sum(each.level == "problem" for each in found.checks),
        finding=next((each.sentence for each in found.findings), ""),
    )
