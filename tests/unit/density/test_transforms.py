"""Transforms and their volumes, against numerical derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from stanpool.density.transforms import (
    Between,
    CorrelationCholesky,
    CovarianceCholesky,
    Ordered,
    Shifted,
    Transform,
)

CASES: dict[str, tuple[Transform, tuple[int, ...]]] = {
    "number": (Between(), ()),
    "matrix": (Between(), (2, 3)),
    "above": (Between(lower=1.0), (3,)),
    "below": (Between(upper=-2.0), (2,)),
    "between": (Between(np.array([0.0, -4.0]), np.array([3.0, 4.0])), (3, 2)),
    "mixed": (
        Between(np.array([0.0, -np.inf, 1.0]), np.array([2.0, 5.0, np.inf])),
        (3,),
    ),
    "shifted": (Shifted(np.array([1.0, 2.0]), np.array([0.1, 3.0])), (2,)),
    "ordered": (Ordered(), (4,)),
    "correlations": (CorrelationCholesky(), (4, 4)),
    "one by one": (CorrelationCholesky(), (1, 1)),
    "trapeze": (CovarianceCholesky(), (4, 2)),
}


def free(x: np.ndarray, transform: Transform) -> np.ndarray:
    """Return the elements of a parameter that are free to move, in some order."""
    if isinstance(transform, CorrelationCholesky):
        return x[np.tril_indices(len(x), -1)]
    if isinstance(transform, CovarianceCholesky):
        return x[np.tril_indices(len(x), 0, x.shape[1])]
    return np.ravel(x, order="F")


def log_volume(transform: Transform, t: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return log |dx / dt| from central differences."""
    step = 1e-5 * np.eye(len(t))
    columns = [
        free(transform.constrain(t + each, shape)[0], transform)
        - free(transform.constrain(t - each, shape)[0], transform)
        for each in step
    ]
    return float(np.linalg.slogdet(np.array(columns) / 2e-5)[1]) if len(t) else 0.0


@pytest.mark.parametrize(("transform", "shape"), CASES.values(), ids=list(CASES))
def test_volumes_are_those_of_numerical_derivatives(
    transform: Transform, shape: tuple[int, ...]
) -> None:
    rng, gaps = np.random.default_rng(1), []
    for _ in range(4):
        t = rng.normal(size=transform.count(shape))
        x, volume = transform.constrain(t, shape)
        assert x.shape == shape
        np.testing.assert_allclose(transform.unconstrain(x), t, atol=1e-12)
        gaps.append(volume - log_volume(transform, t, shape))
    assert np.ptp(gaps) < 1e-8


def test_matrices_are_read_down_their_columns() -> None:
    x, _ = Between().constrain(np.arange(6.0), (2, 3))
    assert x.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_rows_of_correlation_factors_have_length_1() -> None:
    L, _ = CorrelationCholesky().constrain(
        np.random.default_rng(2).normal(size=6), (4, 4)
    )
    np.testing.assert_allclose(np.diag(L @ L.T), 1.0)
    assert np.all(np.triu(L, 1) == 0)
    # The first partial correlation of each row is a correlation: tanh of the number.
    L, _ = CorrelationCholesky().constrain(np.array([0.5]), (2, 2))
    assert L[1, 0] == pytest.approx(np.tanh(0.5))


def test_bounds_are_kept_however_far_numbers_are() -> None:
    x, volume = Between(0.0, 2.0).constrain(np.array([-800.0, 800.0]), (2,))
    assert x.tolist() == [0.0, 2.0]
    assert volume == pytest.approx(-1600 + 2 * np.log(2))
