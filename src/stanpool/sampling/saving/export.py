"""A model's Stan program and data as files, for CmdStan and cmdstanpy elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stanpool.base.errors import PathTakenError, SpecError, quote
from stanpool.base.system.files import write_text

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel


def write_stan(
    model: PreparedModel,
    path: str | os.PathLike[str],
    *,
    data: bool = False,
    prior_only: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the Stan program of a model to a file, and its data beside it on request.

    Any CmdStan compiles and runs it; nothing of stanpool is needed for that.

    Parameters
    ----------
    model
        The model.
    path
        The file, whose name ends in ``.stan``.
    data
        Whether to write ``stan_data()`` as JSON, too: for ``radon.stan`` it is
        ``radon.json``.
    prior_only
        Whether the data say that the outcome is to be left out.
    overwrite
        Whether to replace files.

    Returns
    -------
    pathlib.Path
        The file of the program.

    Raises
    ------
    SpecError
        If the name does not end in ``.stan``, without which CmdStan compiles nothing.
    FileExistsError
        If a file exists and ``overwrite`` is False.
    StorageError
        If a file cannot be written.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon")
    >>> model.write_stan("radon.stan", data=True)  # doctest: +SKIP
    >>> compiled = CmdStanModel(stan_file="radon.stan")  # doctest: +SKIP
    >>> compiled.sample("radon.json", seed=1)  # doctest: +SKIP
    """
    import stanio

    target = Path(path)
    if target.suffix != ".stan":
        raise SpecError(
            f"path={quote(str(path))} must end in '.stan': CmdStan compiles no other "
            "files."
        )
    texts = {target: model.stan_code}
    if data:
        values = model.stan_data(prior_only=prior_only)
        texts[target.with_suffix(".json")] = stanio.dump_stan_json(values)
    for each in texts:
        if each.exists() and not overwrite:
            raise PathTakenError(
                f"{str(each)!r} exists. Choose another path, or pass overwrite=True."
            )
    for each, text in texts.items():
        write_text(each, text)
    return target
