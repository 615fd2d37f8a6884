"""Integrated coefficients: which models have them, and their exact draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

import stanpool as sp
from golden.catalogue import small_data
from stanpool.data.compression.integrated_rows import root_of_scale, scale_units
from stanpool.posterior.integrated.integrated_draws import draw_deviations, draw_second

DRAWS = 20_000


def marginal(
    formula: str, data: pd.DataFrame | None = None, **options: Any
) -> sp.Model:
    data = small_data() if data is None else data
    return sp.Model(formula, data, parameterization="marginal", **options)


def conditional(
    model: sp.Model, w: np.ndarray, L: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of each group's deviations, from the joint normal of all.

    Of the rows and one group's deviations u: cov(u, y) = L L' Z', and Z L L' Z' plus
    the rows' own variances is cov(y).
    """
    factor, design = model.design.factors[0], model.design
    x = np.column_stack([np.ones(design.rows), design.X - design.x_bar])
    left = design.y - model.rows.y_shift - x @ w
    means, covariances = [], []
    for j in range(len(factor.labels)):
        own = factor.index == j
        z = factor.Z[own]
        of_rows = z @ L @ L.T @ z.T + np.diag(sigma[own] ** 2)
        gain = L @ L.T @ z.T @ np.linalg.inv(of_rows)
        means.append(gain @ left[own])
        covariances.append(L @ L.T - gain @ z @ L @ L.T)
    return np.array(means), np.array(covariances)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x1 + (1 | g)", {}),
        ("y ~ x1 + (1 + x2 | g)", {}),
        ("y ~ x1 + (1 + x2 + x3 | g)", {}),
        ("y | se(known) ~ x1 + (1 + x2 | g)", {}),
        ("y ~ x1 + (1 + x2 || g)", {"residual": "g"}),
    ],
)
def test_draws_have_the_conditional_distribution(
    formula: str, options: dict[str, Any]
) -> None:
    model = marginal(formula, **options)
    design, rng = model.design, np.random.default_rng(3)
    q, w = design.factors[0].Z.shape[1], np.array([0.4, -0.8])
    L = np.tril(rng.normal(size=(q, q))) + np.eye(q)
    if design.residual is not None:
        scales = rng.lognormal(size=4)
        sigma = scales[design.residual.index]
    elif design.se is not None:
        scales, sigma = np.ones(1), design.se
    else:
        scales, sigma = np.array([0.7]), np.full(design.rows, 0.7)
    mean, covariance = conditional(model, w, L, sigma)
    assert model.rows is not None
    drawn = draw_deviations(
        model.rows,
        theta=np.broadcast_to(w, (DRAWS, 2)),
        L=np.broadcast_to(L, (DRAWS, q, q)),
        sigma=np.broadcast_to(scales, (DRAWS, len(scales))),
        seed=[1],
    )
    assert drawn.shape == (DRAWS, 4, q)
    # Whitened, they are standard normal.
    chol = np.linalg.cholesky(covariance)
    z = np.linalg.solve(chol, np.moveaxis(drawn - mean, 0, -1)).reshape(-1, DRAWS)
    assert np.abs(z.mean(axis=1)).max() < 4.8 / DRAWS**0.5
    products = z @ z.T / DRAWS - np.eye(len(z))
    assert np.abs(products).max() < 4.8 * (2 / DRAWS) ** 0.5


def test_a_row_without_noise_leaves_what_it_does_not_see_to_the_population() -> None:
    """One row z, of noise 1e-9: z'u is what it says, across it u has the prior."""
    data = pd.DataFrame({"g": [0, 1, 1, 1], "x": [3.0, 1.0, 2.0, 4.0]})
    data["y"] = [1.5, 0.3, -0.2, 0.1]
    rows = marginal("y ~ x + (1 + x | g)", data).rows
    assert rows is not None
    drawn = draw_deviations(
        rows,
        theta=np.zeros((DRAWS, 2)),
        L=np.broadcast_to(np.eye(2), (DRAWS, 2, 2)),
        sigma=np.full((DRAWS, 1), 1e-9),
        seed=[1],
    )[:, 0]
    z, y = rows.rows.Z[0, 0], rows.rows.X[0, 0, -1]
    np.testing.assert_allclose(drawn @ z, y, atol=1e-7)
    across = drawn @ [z[1], -z[0]] / np.linalg.norm(z)
    assert abs(across.mean()) < 4.8 / DRAWS**0.5
    assert abs(across.var() - 1) < 4.8 * (2 / DRAWS) ** 0.5


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x1 + (1 | g) + (1 | h)",
        "y ~ x1 + (1 + x2 | g) + (1 + x3 | h)",
        "y | se(known) ~ x1 + (1 + x2 | g:h) + (1 + x3 | g)",
    ],
)
def test_draws_of_two_factors_have_the_conditional_distribution(formula: str) -> None:
    """Jointly: u and u_2 are normal given y, with the covariance of a regression."""
    model = marginal(formula)
    assert model.rows is not None
    design, rng = model.design, np.random.default_rng(3)
    first, second = (design.factors[number] for number in model.rows.integrated)
    w = np.array([0.4, -0.8])
    sigma = np.full(design.rows, 0.7) if design.se is None else design.se
    scales = []
    for factor in (first, second):
        q = factor.Z.shape[1]
        scales.append(np.tril(rng.normal(size=(q, q))) + np.eye(q))
    dense = []
    for factor in (first, second):
        columns = np.zeros((design.rows, len(factor.labels), factor.Z.shape[1]))
        columns[np.arange(design.rows), factor.index] = factor.Z
        dense.append(columns.reshape(design.rows, -1))
    z = np.concatenate(dense, axis=1)
    prior = linalg.block_diag(
        *(
            np.kron(np.eye(len(factor.labels)), L @ L.T)
            for factor, L in zip((first, second), scales, strict=True)
        )
    )
    left = design.y - model.rows.y_shift
    left = left - np.column_stack([np.ones(design.rows), design.X - design.x_bar]) @ w
    gain = prior @ z.T @ np.linalg.inv(z @ prior @ z.T + np.diag(sigma**2))
    mean, covariance = gain @ left, prior - gain @ z @ prior

    columns = model.rows.rows.X.shape[2] - 1
    theta = np.zeros((DRAWS, columns))
    theta[:, :2] = w
    told = {
        "L": np.broadcast_to(scales[0], (DRAWS, *scales[0].shape)),
        "sigma": np.full((DRAWS, 1), 0.7 if design.se is None else 1.0),
        "seed": [1],
    }
    T = np.broadcast_to(scales[1], (DRAWS, *scales[1].shape))
    u_2 = draw_second(model.rows, theta=theta, T=T, **told)
    theta[:, model.rows.second] = u_2.reshape(DRAWS, -1)
    u = draw_deviations(model.rows, theta=theta, **told)
    drawn = np.concatenate([u.reshape(DRAWS, -1), u_2.reshape(DRAWS, -1)], axis=1)
    # Whitened, they are standard normal.
    chol = np.linalg.cholesky(covariance)
    white = np.linalg.solve(chol, (drawn - mean).T)
    assert np.abs(white.mean(axis=1)).max() < 4.8 / DRAWS**0.5
    products = white @ white.T / DRAWS - np.eye(len(white))
    assert np.abs(products).max() < 4.8 * (2 / DRAWS) ** 0.5


def test_two_factors_without_noise_are_drawn() -> None:
    """Sums of both are what the rows say; what they share is the population's."""
    data = pd.DataFrame({"g": np.arange(12) % 4, "h": np.arange(12) // 4})
    data["y"] = data["g"] + 0.5 * data["h"]
    rows = marginal("y ~ 1 + (1 | g) + (1 | h)", data).rows
    assert rows is not None
    theta = np.zeros((200, rows.rows.X.shape[2] - 1))
    told: dict[str, Any] = {"L": np.ones((200, 1, 1)), "sigma": np.full((200, 1), 1e-9)}
    u_2 = draw_second(rows, theta=theta, T=np.ones((200, 1, 1)), seed=[1], **told)
    theta[:, rows.second] = u_2[..., 0]
    u = draw_deviations(rows, theta=theta, seed=[1], **told)
    found = u[:, data["g"], 0] + u_2[:, data["h"], 0] + rows.y_shift
    np.testing.assert_allclose(found, np.tile(data["y"], (200, 1)), atol=1e-5)
    assert u_2[:, 0].std() > 0.1


def test_draws_go_by_the_seed() -> None:
    model = marginal("y ~ x1 + (1 | g)")
    assert model.rows is not None
    drawn = [
        draw_deviations(
            model.rows,
            theta=np.zeros((50_000, 2)),
            L=np.ones((50_000, 1, 1)),
            sigma=np.ones((50_000, 1)),
            seed=[seed],
        )
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).all()
    # Different blocks have different random numbers.
    assert len(np.unique(drawn[0][:, 0])) == 50_000


def test_a_huge_mean_of_the_outcome_costs_no_accuracy() -> None:
    data = small_data()
    far = data.assign(y=data["y"] + 2.0**20)
    one, other = (marginal("y ~ x1 + (1 + x2 | g)", each).rows for each in (data, far))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.rows.X, one.rows.X, atol=1e-9)
    np.testing.assert_allclose(other.rows.rest, one.rows.rest, atol=1e-9)


@pytest.mark.parametrize(
    ("formula", "options", "reason"),
    [
        ("count ~ x1 + (1 | g)", {"family": "poisson"}, "not gaussian"),
        ("amount ~ x1 + (1 | g)", {"link": "log"}, "not gaussian"),
        ("y | cens(c, y_high) ~ x1 + (1 | g)", {}, "censored"),
        ("y | trunc(lower=low) ~ x1 + (1 | g)", {}, "truncated"),
        ("y | se(known, sigma=True) ~ x1 + (1 | g)", {}, "besides a residual scale"),
        ("y ~ x1 + (1 | mm(g, g_2))", {}, "members of several"),
        ("y ~ x1 + (1 | g)", {"residual": "h"}, "differ within groups"),
    ],
)
def test_models_without_an_exact_marginal_form_are_refused(
    formula: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(sp.SpecError, match=reason):
        marginal(formula, **options)


def names_of_integrated(model: sp.Model) -> list[str]:
    assert model.rows is not None
    return [model.design.factors[number].factor for number in model.rows.integrated]


def test_the_factor_with_most_groups_is_integrated_out_first() -> None:
    for formula in ("y ~ x1 + (1 | g) + (1 | h)", "y ~ x1 + (1 | h) + (1 | g)"):
        assert names_of_integrated(marginal(formula)) == ["g", "h"]


def test_the_second_factor_is_one_whose_blocks_are_small() -> None:
    rng = np.random.default_rng(6)
    n = 6000
    data = pd.DataFrame({"y": rng.normal(size=n), "room": np.arange(n) % 1200})
    data["school"] = data["room"] % 400  # 400 blocks of one school
    data["town"] = data["room"] % 8
    data["teacher"] = rng.integers(0, 90, n)  # one block of 90
    for seconds, chosen in (
        (("town",), "town"),
        (("town", "school"), "school"),
        (("teacher", "town"), "town"),
    ):
        bars = " + ".join(f"(1 | {each})" for each in ("room", *seconds))
        model = marginal(f"y ~ 1 + {bars}", data)
        assert names_of_integrated(model) == ["room", chosen]
    model = sp.Model("y ~ 1 + (1 | room) + (1 | teacher)", data)
    assert names_of_integrated(model) == ["room"]
    assert "only those of 'teacher' are sampled" in model.explain()


def test_one_program_serves_all_subsets_of_the_rows() -> None:
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"y": rng.normal(size=900), "g": np.arange(900) % 90})
    data["h"] = rng.permutation(np.arange(900) % 80)
    model = marginal("y ~ 1 + (1 | g) + (1 | h)", data)
    assert names_of_integrated(model) == ["g"]
    # Few rows connect few groups.
    assert model.take(range(60)).program == model.program
    # One group has two rows, so that g is told from the residual.
    few = marginal("y ~ 1 + (1 | g) + (1 | h)", data.iloc[[*range(59), 90]])
    assert len(names_of_integrated(few)) == 2


def test_a_pooling_without_groups_has_no_parameterization() -> None:
    model = marginal("y ~ x1 + (1 | g)")
    assert model.with_(pooling="complete").rows is None
    assert model.with_(pooling="none").parameterization is None


def test_auto_leaves_the_marginal_form_where_rows_would_become_dense() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=3000),
            "g": rng.permutation(np.arange(3000) % 1500),
            "h": rng.permutation(np.arange(3000) % 500),
        }
    )
    model = sp.Model("y ~ 1 + (1 | g) + (1 | h)", data)
    assert model.parameterization == "adaptive"
    assert "750000 numbers" in model.parameterization_reason
    nested = data.assign(h=data["g"] // 3)
    nested = sp.Model("y ~ 1 + (1 | g) + (1 | h)", nested)
    assert nested.parameterization == "marginal"
    assert sp.Model("y ~ 1 + (1 | g)", data).parameterization == "marginal"


def test_with_many_rows_what_all_share_is_sought_near_least_squares() -> None:
    rng = np.random.default_rng(5)
    n, groups = 60_000, 30
    frame = pd.DataFrame({"x": rng.normal(size=n), "w": rng.normal(size=n)})
    frame["w"] += 0.5 * frame["x"]
    frame["g"] = rng.integers(0, groups, n)
    frame["u"] = np.cos(frame["g"])  # constant within groups: rows say nothing of it
    b = rng.normal(size=groups)
    frame["y"] = b[frame["g"]] + 0.3 * frame["w"] + rng.normal(scale=2.0, size=n)
    model = sp.Model("y ~ w + u + x + (1 | g)", frame)
    assert model.structure.standardized
    assert not sp.Model("y ~ w + (1 | g)", frame[:49_000]).structure.standardized
    told = model.stan_data()
    within = frame[["w", "x", "y"]] - frame.groupby("g")[["w", "x", "y"]].transform(
        "mean"
    )
    x, y = within[["w", "x"]].to_numpy(), within["y"].to_numpy()
    wanted, (left,), *_ = np.linalg.lstsq(x, y)
    sigma = np.sqrt(left / (n - groups - 3))
    errors = sigma * np.sqrt(np.linalg.inv(x.T @ x).diagonal())
    np.testing.assert_allclose(told["beta_offset"], [wanted[0], 0.0, wanted[1]], 1e-6)
    units = np.sqrt(2 * groups)
    expected = [errors[0] * units, 1.0, errors[1] * units]
    np.testing.assert_allclose(told["beta_multiplier"], expected, 1e-3)
    assert told["log_sigma_offset"] == pytest.approx(np.log(sigma), abs=1e-3)
    assert told["log_sigma_multiplier"] == pytest.approx(
        units / np.sqrt(2 * n), rel=1e-3
    )
    prior = model.stan_data(prior_only=True)
    assert prior["beta_offset"].tolist() == [0.0, 0.0, 0.0]
    assert prior["beta_multiplier"].tolist() == [1.0, 1.0, 1.0]
    assert (prior["log_sigma_offset"], prior["log_sigma_multiplier"]) == (0.0, 1.0)


def test_units_of_scales_are_some_standard_errors_of_groups() -> None:
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(40), 10), rng.normal(size=400)
    data = pd.DataFrame({"g": g, "h": np.tile(np.arange(8), 50), "x": x})
    data["y"] = 5 * rng.normal(size=40)[g] + rng.normal(size=8)[data["h"]] + x
    data["y"] += rng.normal(size=400)
    model = marginal("y ~ x + (1 + x | g)", data.assign(y=data["y"] / 10))
    (units,) = scale_units(model.rows, model.scaling.design(model.design)).values()
    # Ordinary least squares in each group: residuals, and what they leave of each.
    squares = sum(
        np.linalg.lstsq(np.column_stack([np.ones(10), of.x]), of.y)[1][0]
        for _, of in data.groupby("g")
    )
    sigma = np.sqrt(squares / (400 - 80)) / 10
    expected = 4 * sigma / np.sqrt([10, np.sum(x**2) / 40])  # 40 groups are 4 * 10
    np.testing.assert_allclose(units * model.scaling.outcome, expected, rtol=0.01)
    twice = marginal("y ~ x + (1 | g) + (1 | h)", data)
    found = scale_units(twice.rows, twice.scaling.design(twice.design))
    assert len(found) == 2
    np.testing.assert_allclose(4 * found[1] / found[0], np.sqrt(10 / 50), rtol=1e-8)
    known = marginal("y | se(s) ~ x + (1 | g)", data.assign(s=2.0))
    units = scale_units(known.rows, known.scaling.design(known.design))[0]
    np.testing.assert_allclose(units * known.scaling.outcome, 4 * 2 / np.sqrt(10))


@pytest.mark.parametrize(
    ("groups", "errors"), [(3, 1.0), (10, 1.0), (25, 2.5), (100, 10.0), (300, 10.0)]
)
def test_many_groups_have_larger_units_up_to_a_limit(
    groups: int, errors: float
) -> None:
    data = pd.DataFrame({"g": np.arange(4 * groups) % groups})
    data = data.assign(s=3.0, y=np.random.default_rng(1).normal(size=4 * groups))
    model = marginal("y | se(s) ~ 1 + (1 | g)", data)
    units = model.stan_data()["tau_unit"] * model.scaling.outcome
    np.testing.assert_allclose(units, errors * 3 / np.sqrt(4))


def test_roots_have_the_scale_that_they_are_of() -> None:
    tau = np.array([0.0, 1e-9, 0.3, -2.0, 1e6])
    x = root_of_scale(tau, 0.7)
    np.testing.assert_allclose(0.7 * x * np.sqrt(1 + x**2), tau, rtol=1e-12)


@pytest.mark.parametrize(
    "formula",
    ["y ~ 1 + (1 + x | g)", "y ~ 0 + (1 + x || g)", "y ~ x + (1 | g)"],
)
@pytest.mark.parametrize("y", [[1.0, 2, 4, 3, 0, 5], [1.0, 1, 2, 2, 3, 3]])
def test_scales_have_units_where_no_rows_are_left(formula: str, y: list[float]) -> None:
    data = pd.DataFrame({"y": y, "x": [1.0, 3, 2, 5, 4, 6], "g": [0, 0, 1, 1, 2, 2]})
    model = marginal(formula, data)
    units = model.stan_data()["tau_unit"]
    assert np.all((units > 0.01) & (units < 10))
