"""Running compiled Stan programs in tests: log densities and draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cmdstanpy
import numpy as np
import xarray as xr

from stanpool import arviz_seam
from stanpool.engine import compile_program
from stanpool.program import StanProgram

# Two in a million beyond: thousands of comparisons pass unless something is wrong.
STANDARD_ERRORS = 4.8


def log_prob(
    program: StanProgram, data: Mapping[str, Any], parameters: Mapping[str, Any]
) -> float:
    """Return Stan's log density at constrained parameters, up to a constant."""
    executable = compile_program(
        program.compiled, name=program.name, header=program.header, progress=False
    )
    model = cmdstanpy.CmdStanModel(exe_file=str(executable))
    found = model.log_prob(
        _plain(parameters), _plain(data), jacobian=False, sig_figs=18
    )
    return float(found["lp__"].iloc[0])


def assert_mean(draws: xr.DataArray, expected: float) -> None:
    """Compare a mean with its exact value, within Monte Carlo error."""
    error = _standard_error(draws.to_dataset(name="it"))["it"]
    gap = abs(float(draws.mean()) - expected)
    assert gap <= STANDARD_ERRORS * float(error), (float(draws.mean()), expected)


def assert_means_agree(first: xr.Dataset, second: xr.Dataset) -> None:
    """Compare posterior means within the Monte Carlo errors of both."""
    errors = [_standard_error(each) for each in (first, second)]
    for name in first:
        error = np.hypot(*(each[name] for each in errors))
        gap = np.abs((first[name] - second[name]).mean(("chain", "draw")))
        assert (gap <= STANDARD_ERRORS * error).all(), (
            name,
            (gap / error).max().item(),
        )


def _standard_error(draws: xr.Dataset) -> xr.Dataset:
    return arviz_seam.mcse_mean(draws)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }
