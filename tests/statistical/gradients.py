"""Functions in C++ beside those that programs define in Stan, at given parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cmdstanpy
import numpy as np

from stanpool.base.system.files import shipped_folder
from stanpool.engine import compile_program

CLOSE = 1e-10


def compiled(
    name: str, program: str, *headers: str, as_fits: bool
) -> cmdstanpy.CmdStanModel:
    """Compile a program with functions in C++, optimized as for fits or less.

    What is evaluated at a few points need not be fast, and compiles sooner.
    """
    folder = shipped_folder("stan_templates") / "cpp"
    header = "\n".join(
        (folder / f"{each}.hpp").read_text() for each in ("lanes", "team", *headers)
    )
    options = {} if as_fits else {"O": 1}
    executable = compile_program(
        program, name=name, header=header, cpp_options=options, progress=False
    )
    return cmdstanpy.CmdStanModel(exe_file=str(executable))


def gradient(
    model: cmdstanpy.CmdStanModel,
    data: Mapping[str, Any],
    point: Mapping[str, Any],
    *,
    in_cpp: bool,
) -> np.ndarray:
    """Return the log density and its gradient."""
    found = model.log_prob(dict(point), {**data, "in_cpp": int(in_cpp)}, sig_figs=18)
    return found.to_numpy()[0]


def assert_equal(
    model: cmdstanpy.CmdStanModel, data: Mapping[str, Any], point: Mapping[str, Any]
) -> None:
    """Compare log density and gradient: to 1e-10, relatively where they are large."""
    ours, stans = (gradient(model, data, point, in_cpp=own) for own in (True, False))
    assert np.isfinite(stans).all()
    np.testing.assert_allclose(ours, stans, rtol=CLOSE, atol=CLOSE)
