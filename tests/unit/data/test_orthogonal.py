"""Turned rows: the same sum of squares for every value of the parameters."""

from __future__ import annotations

import numpy as np
import pytest

from stanpool.data.compression.orthogonal import ReducedRows, qr_reduce, reduce_groups


def sum_of_squares(
    turned: ReducedRows, w: np.ndarray, b: np.ndarray, scales: np.ndarray | None = None
) -> float:
    """Sum the squares of what is left of the turned rows."""
    scales = np.ones(1) if scales is None else scales
    own = turned.X @ w - np.einsum("jqr,jr->jq", turned.Z, b)
    rest = turned.rest @ w
    return float((own**2).sum() + ((rest / scales[turned.scale_of_rest]) ** 2).sum())


def rows(
    sizes: list[int], *, columns: int = 3, varying: int = 2, seed: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make rows of groups of given sizes, in no order."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    z = rng.normal(size=(len(group), varying))
    z[:, 0] = 1.0
    return z, rng.normal(size=(len(group), columns)), group


@pytest.mark.parametrize(
    ("sizes", "varying"),
    [([5, 4, 3], 1), ([5, 4, 3], 2), ([1, 2, 3, 40], 3), ([0, 1, 0, 7, 0], 2)],
)
def test_sums_of_squares_are_those_of_all_rows(sizes: list[int], varying: int) -> None:
    z, columns, group = rows(sizes, varying=varying)
    turned = qr_reduce(z, columns, group, len(sizes))
    rng = np.random.default_rng(2)
    for _ in range(5):
        w, b = rng.normal(size=3), rng.normal(size=(len(sizes), varying))
        left = columns @ w - (z * b[group]).sum(axis=1)
        assert sum_of_squares(turned, w, b) == pytest.approx(left @ left, rel=1e-13)


def test_few_rows_are_left_however_many_there_were() -> None:
    z, columns, group = rows([30_000, 50_000, 1, 70_000])
    turned = qr_reduce(z, columns, group, 4)
    assert turned.Z.shape == (4, 2, 2)
    assert len(turned.rest) == 3
    w, b = np.array([1.0, 2.0, -1.0]), np.ones((4, 2))
    left = columns @ w - (z * b[group]).sum(axis=1)
    assert sum_of_squares(turned, w, b) == pytest.approx(left @ left, rel=1e-12)


def test_coefficients_that_a_group_cannot_tell_apart_have_rows_of_zeros() -> None:
    z, columns, group = rows([4, 1, 6])
    z[group == 2, 1] = 3.7  # constant in this group
    turned = qr_reduce(z, columns, group, 3)
    assert (turned.Z[1:, 1] == 0).all()
    assert (turned.X[1:, 1] == 0).all()
    w, b = np.array([1.0, 2.0, -1.0]), np.array([[1, 2], [3, 4], [5.0, 6.0]])
    left = columns @ w - (z * b[group]).sum(axis=1)
    assert sum_of_squares(turned, w, b) == pytest.approx(left @ left, rel=1e-13)


def test_rows_of_different_scales_are_not_mixed() -> None:
    z, columns, group = rows([9, 8, 7, 6])
    scale = np.array([1, 0, 1, 0])
    turned = qr_reduce(z, columns, group, 4, scale=scale)
    assert turned.scale_of_rest.tolist() == [0, 0, 0, 1, 1, 1]
    scales, w = np.array([0.5, 3.0]), np.array([1.0, -2.0, 0.3])
    left = (columns @ w) ** 2 / scales[scale[group]] ** 2
    along = (turned.X @ w) ** 2 / scales[scale][:, None] ** 2
    rest = (turned.rest @ w) ** 2 / scales[turned.scale_of_rest] ** 2
    assert along.sum() + rest.sum() == pytest.approx(left.sum(), rel=1e-13)


def test_small_residuals_survive_large_predictors() -> None:
    """Cross-products would have lost them: (1e6 / 1e-3)^2 is beyond 16 digits."""
    z, columns, group = rows([50, 60, 70], columns=2)
    z[:, 1] = 1e6 + z[:, 1]
    truth = np.array([[1.0, 2.0], [-3.0, 1.0], [0.5, -1.0]])
    noise = 1e-3 * columns[:, 1]
    columns[:, 1] = (z * truth[group]).sum(axis=1) + noise
    turned = qr_reduce(z, columns, group, 3)
    w = np.array([0.0, 1.0])
    assert sum_of_squares(turned, w, truth) == pytest.approx(noise @ noise, rel=1e-5)


def test_the_order_of_rows_does_not_matter() -> None:
    z, columns, group = rows([5, 0, 9])
    order = np.random.default_rng(5).permutation(len(group))
    one = qr_reduce(z, columns, group, 3)
    other = qr_reduce(z[order], columns[order], group[order], 3)
    np.testing.assert_allclose(one.Z, other.Z, atol=1e-13)
    np.testing.assert_allclose(one.X, other.X, atol=1e-13)


def test_groups_that_are_alike_are_turned_into_few() -> None:
    """For any covariance of a group's outcomes, the sum of their quadratic forms."""
    rng = np.random.default_rng(6)
    x = np.tile(np.arange(5.0), 30)
    z = np.column_stack([np.ones(150), x])
    group = np.repeat(np.arange(30), 5)
    group[:7] = 29  # three groups are unlike the others, one has no rows
    rows_turned = qr_reduce(z, rng.normal(size=(150, 2)), group, 30)
    scale = np.repeat([0, 1], 15)
    groups = reduce_groups(rows_turned, scale)
    assert len(groups.count) == 3 + 2 * 4
    assert groups.count.sum() == 30
    w = rng.normal(size=2)
    for _ in range(3):
        wide = rng.normal(size=(2, 5))
        forms = []
        for Z, X, of in (
            (rows_turned.Z, rows_turned.X, scale),
            (groups.Z, groups.X, groups.scale),
        ):
            noise = np.array([0.5, 2.0])[of]
            S = Z @ wide @ wide.T @ np.swapaxes(Z, 1, 2)
            S += noise[:, None, None] * np.eye(2)
            e = X @ w
            forms.append(float(np.einsum("jq,jqr,jr->", e, np.linalg.inv(S), e)))
        assert forms[1] == pytest.approx(forms[0], rel=1e-12)
