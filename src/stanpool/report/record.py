"""A fit as plain values, for programs that read reports or JSON."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.language.formulas.formula_text import stated

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.inference.diagnostics import Diagnosis
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

_LIBRARIES = ("stanpool", "cmdstanpy", "arviz", "numpy", "scipy", "pandas", "xarray")


def fit_record(
    fit: FitResult, diagnosis: Diagnosis, *, summary: pd.DataFrame
) -> dict[str, Any]:
    """Describe a fit by tables and by values that JSON can hold.

    Parameters
    ----------
    fit, diagnosis
        A fit, and its diagnosis.
    summary
        The rows of the summary to include.
    """
    spec, settings = fit.model.spec, fit.settings
    return {
        "formula": stated(spec),
        "family": spec.family,
        "link": spec.link_name,
        "pooling": spec.pooling,
        "parameterization": fit.model.parameterization,
        "residual": spec.residual,
        "rows": fit.model.design.rows,
        "groups": {each.factor: len(each.labels) for each in fit.model.design.factors},
        "chains": settings.chains,
        "draws": settings.draws,
        "warmup": settings.warmup,
        "seed": settings.seed,
        "adapt_delta": settings.adapt_delta,
        "max_treedepth": settings.max_treedepth,
        "prior_only": fit.prior_only,
        "method": settings.method,
        "approximation": fit.approximation and asdict(fit.approximation),
        "seconds": fit.seconds,
        "engine": dict(fit.engine),
        "versions": versions(),
        "data_sha256": digest_of_data(fit.model),
        "diagnosis": {
            "ok": diagnosis.ok,
            "verdict": diagnosis.verdict,
            **asdict(diagnosis),
        },
        "priors": fit.model.priors.to_frame().set_index("parameter"),
        "estimates": summary.rename_axis("quantity"),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout, without metadata
            found[name] = "unknown"
    return found


def digest_of_data(model: PreparedModel) -> str:
    """Return a digest of a model's data, or of the reduced data if read in chunks."""
    if model.chunks is None:
        return data_digest(model.data)
    return data_digest(model.chunks.specimen, *model.chunks.arrays.values())


def data_digest(frame: pd.DataFrame, *arrays: np.ndarray) -> str:
    """Return a digest of the columns that a model uses: names, order and values.

    Examples
    --------
    >>> import pandas as pd
    >>> one, other = pd.DataFrame({"y": [1.0]}), pd.DataFrame({"y": [2.0]})
    >>> data_digest(one) == data_digest(other)
    False
    """
    import pandas as pd

    digest = hashlib.sha256(repr([str(name) for name in frame.columns]).encode())
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
