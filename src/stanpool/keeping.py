"""Keeping a fit: a folder with its data, model and draws; nothing is pickled.

::

    radon.fit/
    ├── manifest.json   format version and the SHA-256 of every other file
    ├── model.json      specification, priors, settings, versions
    ├── program.stan    the program that was fitted
    ├── data.nc         the columns that the model uses
    └── draws.nc        posterior, sample_stats, observed_data
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stanpool.chunks import Streamed
from stanpool.errors import DataError, shorten
from stanpool.fit_result import FitResult
from stanpool.prepared_model import PreparedModel
from stanpool.priors import PriorRow, PriorTable
from stanpool.program import StanProgram
from stanpool.progress import tell
from stanpool.sampling import sampled
from stanpool.spec import GroupTerm, LatentFactors, ModelSpec, Prior

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

    from stanpool.engine.run import SampleSettings

FORMAT = 2  # since 2, mm() without weights is the mean of groups, and not their sum
_ENGINE: Literal["h5netcdf"] = "h5netcdf"
_FILES = ("model.json", "program.stan", "data.nc", "draws.nc")


def save(
    fit: FitResult, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a fit to a folder, completely or not at all.

    Parameters
    ----------
    fit
        What to keep.
    path
        A folder that does not exist yet.
    overwrite
        Whether to replace a fit that was saved there before.

    Raises
    ------
    FileExistsError
        If there is something at ``path``: another fit without ``overwrite``, or
        anything else at all.
    """
    target = Path(path)
    _check_free(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write(fit, work / "new")
        if target.exists():
            target.rename(work / "old")
        (work / "new").rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def kept_or_new(
    model: PreparedModel,
    settings: SampleSettings,
    path: str | os.PathLike[str],
    *,
    any_seed: bool,
    prior_only: bool,
    progress: bool,
) -> FitResult:
    """Return the fit kept at a path if a new one would be the same, else a new one.

    Parameters
    ----------
    model, settings
        What to fit, and how.
    path
        A folder: of a fit, which is replaced if anything has changed, or a new one.
    any_seed
        Whether a fit of another seed is the same.
    prior_only
        Leave the outcome out.
    progress
        Whether to show progress, on standard error.

    Raises
    ------
    FileExistsError
        If there is something else at ``path``.
    """
    target = Path(path)
    _check_free(target, overwrite=True)
    changes = ["nothing is kept there yet"]
    if target.exists():
        try:
            kept = load(target)
        except DataError as damage:
            changes = [str(damage)]
        else:
            changes = list(_changes(kept, model, settings, any_seed, prior_only))
            if not changes:
                tell(f"Took the fit in {str(target)!r}: it is the same", shown=progress)
                # The same model, but stated by the caller.
                return replace(kept, model=model)
    tell(f"Fitting for {str(target)!r}: {'; '.join(changes)}", shown=progress)
    fit = sampled(model, settings, prior_only=prior_only, progress=progress)
    save(fit, target, overwrite=True)
    return fit


def _changes(
    kept: FitResult,
    model: PreparedModel,
    settings: SampleSettings,
    any_seed: bool,
    prior_only: bool,
) -> Iterator[str]:
    """Say what would be other in a new fit: model, priors, program, data, settings."""
    # What the form and the priors come to is compared as a program and as a table.
    apart = ("parameterization", "priors")
    yield from _differences(kept.model.spec, model.spec, apart=apart)
    if kept.model.priors != model.priors:
        yield "the priors in force have changed"
    elif kept.program != model.program:
        yield "the Stan program has changed"
    chunks = model.chunks
    if not kept.model.data.equals(model.data) or (
        kept.model.chunks is not None
        if chunks is None
        else not chunks.same_as(kept.model.chunks)
    ):
        yield "the data have changed"
    free = {"parallel_chains", "threads_per_chain"} | ({"seed"} if any_seed else set())
    yield from _differences(kept.settings, settings, apart=free)
    if kept.prior_only != prior_only:
        yield f"prior_only was {kept.prior_only!r} and is {prior_only!r}"


def _differences(old: Any, new: Any, *, apart: Container[str]) -> Iterator[str]:
    """Name the fields of two dataclasses that are written to a file differently."""
    for each in fields(old):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if each.name not in apart and _written(was) != _written(now):
            yield f"{each.name} was {shorten(was)} and is {shorten(now)}"


def _written(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _check_free(target: Path, *, overwrite: bool) -> None:
    """Refuse a path where there is something that is not to be replaced."""
    is_fit = (target / "manifest.json").is_file()
    if target.exists() and not (overwrite and is_fit):
        raise FileExistsError(
            f"{str(target)!r} exists already. Choose another path"
            + (", or pass overwrite=True." if is_fit else ".")
        )


def load(path: str | os.PathLike[str]) -> FitResult:
    """Read a fit that ``Fit.save`` wrote; no engine is needed.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is no saved fit at ``path``.
    DataError
        If a file is missing, truncated or changed, or a newer stanpool wrote it.
    """
    from stanpool.engine.run import SampleSettings

    folder = Path(path)
    version = _check_manifest(folder)
    kept = json.loads((folder / "model.json").read_text("utf-8"))
    if version < 2:
        _refuse_sums(kept["spec"]["groups"], folder)
    model = _read_model(kept, *_read_frame(folder / "data.nc", kept["columns"]))
    program = StanProgram(kept["program"], (folder / "program.stan").read_text("utf-8"))
    settings = kept["settings"]
    settings["sample_options"] = tuple(
        (name, value) for name, value in settings["sample_options"]
    )
    return FitResult(
        model=model,
        tree=_read_tree(folder / "draws.nc"),
        settings=SampleSettings(**settings),
        seconds=kept["seconds"],
        prior_only=kept["prior_only"],
        engine=kept["engine"],
        program=program,
        rejections=kept.get("rejections", {}),
    )


def _write(fit: FitResult, folder: Path) -> None:
    """Write all files of a fit to a new folder; the manifest last."""
    folder.mkdir()
    chunks = fit.model.chunks
    columns = _write_frame(
        fit.model.data if chunks is None else chunks.specimen,
        folder / "data.nc",
        {} if chunks is None else chunks.arrays,
    )
    settings = {
        each.name: getattr(fit.settings, each.name) for each in fields(fit.settings)
    }
    kept = {
        "spec": asdict(fit.model.spec),
        "priors": [_prior_row(row) for row in fit.model.priors],
        "parameterization": fit.model.parameterization,
        "columns": columns,
        "chunks": None if chunks is None else chunks.facts,
        "settings": settings,
        "seconds": fit.seconds,
        "prior_only": fit.prior_only,
        "engine": dict(fit.engine),
        "program": fit.program.name,
        "rejections": dict(fit.rejections),
    }
    (folder / "model.json").write_text(
        json.dumps(kept, indent=1, default=_plain), "utf-8"
    )
    (folder / "program.stan").write_text(fit.program.source, "utf-8")
    fit.tree.to_netcdf(folder / "draws.nc", engine=_ENGINE)
    manifest = {
        "format": FORMAT,
        "sha256": {name: _sha256(folder / name) for name in _FILES},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")


def _refuse_sums(groups: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Refuse a fit whose rows were sums of their groups, where they are means now."""
    for each in groups:
        if each["membership"] == "labels" and not each["weights"]:
            raise DataError(
                f"{str(folder)!r} was saved when mm() without weights was the sum of "
                f"the groups of {shorten(each['factor'])}; it is their mean now, so "
                "that the draws mean something else. Fit again; weights= with a "
                "column of ones for each membership is the sum."
            )


def _check_manifest(folder: Path) -> int:
    """Refuse what is no saved fit, or not as it was written; return its format."""
    manifest_path = folder / "manifest.json"
    if not manifest_path.is_file():
        raise FileNotFoundError(f"no saved fit at {str(folder)!r}: it has no manifest.")
    try:
        manifest = json.loads(manifest_path.read_text("utf-8"))
        version, digests = int(manifest["format"]), dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{str(manifest_path)!r} is damaged; fit and save again."
        ) from None
    if version > FORMAT:
        raise DataError(
            f"{str(folder)!r} was saved in format {version} by a newer stanpool; this "
            f"one reads up to {FORMAT}. Upgrade stanpool."
        )
    for name in _FILES:
        path = folder / name
        if not path.is_file() or _sha256(path) != digests.get(name):
            raise DataError(
                f"{str(path)!r} is not the file that was saved (missing, truncated or "
                "changed). Restore it from a copy, or fit and save again."
            )
    return version


def _prior_row(row: PriorRow) -> dict[str, Any]:
    """Return a prior in force as plain values."""
    return {**asdict(row), "prior": str(row.prior)}


def _read_model(
    kept: Mapping[str, Any], frame: pd.DataFrame, arrays: Mapping[str, np.ndarray]
) -> PreparedModel:
    """Build the model again, with the priors it was fitted with."""
    spec = dict(kept["spec"])
    spec["groups"] = tuple(GroupTerm(**_tuples(each)) for each in spec["groups"])
    spec["fixed"] = tuple((name, value) for name, value in spec.get("fixed", ()))
    if spec.get("latent") is not None:
        spec["latent"] = LatentFactors(**spec["latent"])
    spec = _tuples(spec)
    spec["priors"] = tuple(
        (name, Prior(prior["distribution"], tuple(prior["arguments"])))
        for name, prior in spec["priors"]
    )
    priors = PriorTable(
        tuple(
            PriorRow(**(row | {"prior": Prior.parse(row["prior"])}))
            for row in kept["priors"]
        )
    )
    stated, facts = ModelSpec(**spec), kept.get("chunks")
    data = frame if facts is None else Streamed.restored(stated, frame, arrays, facts)
    # What was chosen then, whatever would be now.
    form = kept.get("parameterization")
    return PreparedModel.from_spec(stated, data, priors=priors, parameterization=form)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists that JSON has back into tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def _write_frame(
    frame: pd.DataFrame, path: Path, arrays: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Write columns by number, and arrays; return columns' names and levels."""
    import pandas as pd
    import xarray as xr

    columns: list[dict[str, Any]] = []
    variables: dict[str, Any] = {}
    for number, name in enumerate(frame.columns):
        column = frame[name]
        levels, ordered = None, False
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = column.cat.categories.tolist()
            ordered = bool(column.cat.ordered)
            column = column.cat.codes
        columns.append({"name": name, "levels": levels, "ordered": ordered})
        variables[f"column_{number}"] = ("row", column.to_numpy())
    for name, values in arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(values.ndim))
        variables[f"array_{name}"] = (dims, values)
    xr.Dataset(variables).to_netcdf(path, engine=_ENGINE)
    return columns


def _read_frame(
    path: Path, columns: list[dict[str, Any]]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Read columns as ``used_columns`` returns them, and arrays."""
    import pandas as pd
    import xarray as xr

    with xr.open_dataset(path, engine=_ENGINE) as dataset:
        values = [
            dataset[f"column_{number}"].to_numpy() for number in range(len(columns))
        ]
        arrays = {
            str(name).removeprefix("array_"): dataset[name].to_numpy()
            for name in dataset.data_vars
            if str(name).startswith("array_")
        }
    frame = pd.DataFrame(
        {
            column["name"]: array
            if column["levels"] is None
            else pd.Categorical.from_codes(
                array,
                categories=pd.Index(column["levels"]),
                ordered=column.get("ordered", False),
            )
            for column, array in zip(columns, values, strict=True)
        }
    )
    return frame, arrays


def _read_tree(path: Path) -> xr.DataTree:
    """Read the draws into memory and close the file."""
    import xarray as xr

    with xr.open_datatree(path, engine=_ENGINE) as tree:
        return tree.load()


def _sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Turn NumPy values and paths into what JSON has."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
