"""Some rows of a model: the same program, priors and groups."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import models, small_data

ROWS = np.array([0, 1, 3, 9, 10, 13])  # without all of group "b"


@pytest.mark.parametrize("name", models())
def test_rows_of_any_model_have_its_program_priors_and_groups(name: str) -> None:
    model = models()[name]
    some = model.take(ROWS)
    assert some.program == model.program
    assert some.priors == model.priors
    assert some.design.rows == len(ROWS)
    whole, part, rows = model.stan_data(), some.stan_data(), ROWS
    if model.design.residual_correlation is not None:  # programs have them in order
        order = model.design.residual_correlation.order
        rows = np.flatnonzero(np.isin(order, ROWS))
    assert set(part) == set(whole)
    for known, values in part.items():
        if known.startswith(("x_bar", "z_bar", "prior_", "mean_index", "J", "Q", "U")):
            np.testing.assert_array_equal(values, whole[known])
        elif model.rows is not None:
            continue  # its rows are turned, the chosen ones by themselves
        elif known in ("y", "X", "trials", "se", "offsets", "weights", "y_min"):
            np.testing.assert_array_equal(values, np.asarray(whole[known])[rows])
        elif known.startswith(("group", "Z", "weight")):
            np.testing.assert_array_equal(values, whole[known][rows])


def test_rows_are_positions_or_a_mask() -> None:
    model = models()["partial_pooling_gaussian_noncentered_correlated"]
    mask = np.isin(np.arange(14), ROWS)
    by_mask, by_position = model.take(mask), model.take(ROWS)
    np.testing.assert_array_equal(by_mask.design.y, by_position.design.y)
    assert by_mask.data.equals(by_position.data)
    assert by_mask.design.group_sizes.tolist() == [3, 0, 2, 1]


def test_residual_groups_stay() -> None:
    model = sp.Model("y ~ x1 + (1 | g)", small_data(), residual="g")
    taken = model.take(ROWS).design.residual
    assert taken is not None
    assert taken.labels == ("a", "b", "c", "d")
    assert taken.index.tolist() == [0, 0, 0, 2, 2, 3]
