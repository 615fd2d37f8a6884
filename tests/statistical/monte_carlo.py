"""Comparing draws with exact values, and with other draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from stanpool.posterior import arviz

# Two in a million beyond: thousands of comparisons pass unless something is wrong.
STANDARD_ERRORS = 4.8

# Of fits whose means are compared so: fewer draws have larger errors, and take less.
FITTING: dict[str, Any] = {"chains": 4, "draws": 500, "warmup": 300, "seed": 20261121}


def assert_mean(draws: xr.DataArray, expected: float, *, rounding: float = 0.0) -> None:
    """Compare a mean with its exact or rounded value, within Monte Carlo error."""
    error = _standard_error(draws.to_dataset(name="it"))["it"]
    gap = abs(float(draws.mean()) - expected)
    allowed = STANDARD_ERRORS * float(error) + rounding
    assert gap <= allowed, (float(draws.mean()), expected)


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
    return arviz.mcse_mean(draws)
