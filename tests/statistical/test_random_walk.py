"""Random walks in time against the Kalman smoother, and what times may be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.covariance.times import Series
from stanpool.language.formulas.formula import parse_formula

FORMULA = "y ~ 1 + rw1(year, T)"
TAU, SIGMA = 0.4, 0.3
TIMES = range(1, 17)


def data() -> pd.DataFrame:
    """Years with unequal gaps, and several rows of some."""
    year = np.array([1, 2, 2, 3, 5, 6, 6, 6, 9, 10, 11, 15, 15])
    noise = np.random.default_rng(1).normal(0, SIGMA, len(year))
    return pd.DataFrame({"year": year, "y": np.sin(year / 4) + noise})


def smoothed(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of the level at each time.

    By the filter and the smoother of a level that is unknown at first: one time after
    the other, with a variance that grows by that of a change.
    """
    mean, variance, filtered = 0.0, 1e8, []
    for time in TIMES:
        predicted = variance + (TAU**2 if filtered else 0.0)
        before, variance = mean, predicted
        for y in frame.loc[frame["year"] == time, "y"]:
            gain = variance / (variance + SIGMA**2)
            mean, variance = mean + gain * (y - mean), (1 - gain) * variance
        filtered.append((before, predicted, mean, variance))
    means, variances = [mean], [variance]
    for at in range(len(TIMES) - 2, -1, -1):
        _, _, own, of_own = filtered[at]
        after, predicted = filtered[at + 1][:2]
        back = of_own / predicted
        means.append(own + back * (means[-1] - after))
        variances.append(of_own + back**2 * (variances[-1] - predicted))
    return np.array(means[::-1]), np.sqrt(variances[::-1])


def model(frame: pd.DataFrame, **options: object) -> sp.Model:
    return sp.Model(FORMULA, frame, covariances={"T": TIMES}, **options)  # type: ignore[arg-type]


def test_given_the_scales_the_level_is_that_of_the_kalman_smoother() -> None:
    """Between times, across gaps, and beyond the last; whatever the order of rows."""
    priors = {
        "Intercept": "normal(0, 1000)",
        "tau": f"lognormal({math.log(TAU)!r}, 0.002)",
        "sigma": f"lognormal({math.log(SIGMA)!r}, 0.002)",
    }
    shuffled = data().sample(frac=1, random_state=3)
    fit = model(shuffled, priors=priors).fit(seed=2, progress=False)
    new = pd.DataFrame({"year": list(TIMES)})
    found = fit.predict(new, kind="epred", summary=True)
    means, sds = smoothed(data())
    # Draws of z are nearly independent: at least a quarter of the 4,000 counts.
    assert np.abs((found["mean"] - means) / (sds / math.sqrt(1000))).max() < 4
    np.testing.assert_allclose(found["sd"], sds, rtol=4 / math.sqrt(2000))


def test_given_the_scales_a_second_order_walk_is_the_gaussian_markov_field() -> None:
    """Also three steps beyond the last row, which the fit is not told of."""
    frame = data()
    priors = {
        "Intercept": "normal(0, 1000)",
        "beta": "normal(0, 1000)",
        "tau": f"lognormal({math.log(TAU)!r}, 0.002)",
        "sigma": f"lognormal({math.log(SIGMA)!r}, 0.002)",
    }
    fit = sp.Model("y ~ rw2(year)", frame, priors=priors).fit(seed=2, progress=False)
    new = pd.DataFrame({"year": range(1, 19)})
    found = fit.predict(new, kind="epred", summary=True, seed=3)
    D = np.diff(np.eye(18), 2, axis=0)
    rows = np.eye(18)[frame["year"] - 1]
    precision = D.T @ D / TAU**2 + rows.T @ rows / SIGMA**2
    means = np.linalg.solve(precision, rows.T @ frame["y"] / SIGMA**2)
    sds = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert np.abs((found["mean"] - means) / (sds / math.sqrt(1000))).max() < 4
    np.testing.assert_allclose(found["sd"], sds, rtol=4 / math.sqrt(2000))


@pytest.mark.parametrize("order", [1, 2])
def test_what_follows_is_conditional_on_what_is_known(order: int) -> None:
    """By the covariance of all times; the mean weighs, and the rest has a root."""
    seen = sorted(set(data()["year"]))
    others = [4, 7, 12, 16, 18]
    labels = [*(f"a:{x}" for x in seen), "b:1", "b:2", "b:9", "b:4", "a:4"]
    labels += [f"a:{x}" for x in others[1:]]
    count = len(seen) + 3
    is_seen = np.arange(len(labels)) < count
    series = Series.of_labels("year", labels, is_seen, several=True)
    root = series.walk(order)
    A = root.times(np.eye(root.columns))
    A = A @ A.T
    is_a = series.of == "a"
    np.testing.assert_array_equal(A[np.ix_(is_a, ~is_a)], 0)
    for old, new, weights, chol in series.walk_beyond(order, is_seen):
        across = A[np.ix_(new, old)] @ np.linalg.pinv(A[np.ix_(old, old)], rcond=1e-12)
        np.testing.assert_allclose(weights, across, atol=1e-7)
        left = A[np.ix_(new, new)] - across @ A[np.ix_(old, new)]
        np.testing.assert_allclose(chol @ chol.T, left, atol=1e-7 * left.max())
        np.testing.assert_array_equal(np.triu(chol, 1), 0)


def test_each_series_walks_by_itself_with_a_common_scale() -> None:
    frame = pd.concat([data().assign(g="a"), data()[3:].assign(g="b")])
    model = sp.Model("y ~ 1 + (1 | g) + rw1(year | g)", frame)
    assert "y ~ 1 + (1 | g) + rw1(year | g)" in repr(model)
    factor = model.design.factors[1]
    assert factor.root is not None
    A = factor.root.times(np.eye(factor.root.columns))
    A = pd.DataFrame(A @ A.T, factor.labels, factor.labels)
    for name, own in frame.groupby("g"):
        alone = between(sp.Model("y ~ rw1(year)", own))
        mine = [f"{name}:{year}" for year in alone]
        np.testing.assert_allclose(A.loc[mine, mine], alone, atol=1e-10)
    fit = model.fit(chains=2, draws=100, warmup=200, seed=1, progress=False)
    new = pd.DataFrame({"g": ["a", "b"], "year": [16, 16]})
    assert np.isfinite(fit.epred(new)).all()
    with pytest.raises(sp.DataError, match="and none for 'c:16'"):
        fit.epred(new.assign(g="c"), new_groups="population")


def test_times_are_numbers_beside_a_walk() -> None:
    """The coefficient of a drift is one, and not one for each time."""
    model = sp.Model("y ~ year + rw1(year)", data())
    assert model.design.coefficients == ("year",)
    assert sp.Model("y ~ rw2(year)", data()).design.coefficients == ("year",)


def between(found: sp.Model) -> pd.DataFrame:
    """Return the covariance of the times that the program has, by their labels."""
    factor = found.design.factors[0]
    assert factor.root is not None
    root = factor.root.times(np.eye(factor.root.columns))
    return pd.DataFrame(root @ root.T, index=factor.labels, columns=factor.labels)


def test_variances_of_differences_are_gaps_and_the_mean_is_zero() -> None:
    A = between(model(data()))
    seen = sorted(set(data()["year"]))
    times = np.array(list(A.index), dtype=float)
    A_ = A.to_numpy()
    differences = np.diag(A_)[:, None] + np.diag(A_) - 2 * A_
    expected = np.abs(np.subtract.outer(times, times))
    np.testing.assert_allclose(differences, expected, atol=1e-10)
    assert A.loc[seen, seen].to_numpy().sum() == pytest.approx(0, abs=1e-10)


def test_second_differences_are_independent_and_a_line_has_none() -> None:
    """Of a walk at each step; its covariance at some of them is that part of it."""
    steps = np.arange(16.0)
    D = np.diff(np.eye(16), 2, axis=0)
    # The covariance of walks that start from 0 with the slope 0: D K D' = I.
    sums = np.linalg.matrix_power(np.tri(14), 2)
    K = np.pad(sums @ sums.T, [(2, 0), (2, 0)])
    seen = sorted(set(data()["year"]))
    at = np.array(seen) - 1
    X = np.column_stack([np.ones(16), steps])
    free = np.eye(16) - X @ np.linalg.pinv(X[at]) @ np.eye(16)[at]
    expected = free @ K @ free.T
    np.testing.assert_allclose(D @ expected @ D.T, np.eye(14), atol=1e-9)
    found = between(sp.Model("y ~ rw2(year, T)", data(), covariances={"T": TIMES}))
    found = found.loc[list(TIMES), list(TIMES)].to_numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9 * expected.max())
    alone = between(sp.Model("y ~ rw2(year)", data())).loc[seen, seen]
    np.testing.assert_allclose(alone, expected[np.ix_(at, at)], atol=1e-9)
    np.testing.assert_allclose(alone @ X[at], 0, atol=1e-8)


def test_times_without_rows_do_not_concern_those_with_rows() -> None:
    alone = between(sp.Model("y ~ 1 + rw1(year)", data()))
    both = between(model(data())).loc[list(alone), list(alone)]
    np.testing.assert_allclose(alone, both, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_neither_rows_nor_levels_nor_times_count_by_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = data().iloc[rng.permutation(len(data()))]
    frame["year"] = pd.Categorical(
        frame["year"].astype(str),
        categories=rng.permutation(frame["year"].unique().astype(str)),
    )
    found = sp.Model(FORMULA, frame, covariances={"T": rng.permutation(TIMES)})
    factor = found.design.factors[0]
    assert [factor.labels[at] for at in factor.index] == frame["year"].tolist()
    expected = between(model(data()))
    mine = between(found).loc[
        [str(each) for each in expected], [str(each) for each in expected]
    ]
    np.testing.assert_allclose(mine, expected, atol=1e-10)


def test_a_fit_is_kept_with_its_times(tmp_path: Path) -> None:
    fit = model(data()).fit(seed=1, chains=2, draws=200, warmup=200, progress=False)
    fit.save(tmp_path / "fit")
    new = pd.DataFrame({"year": [16, 4]})
    again = sp.load(tmp_path / "fit")
    np.testing.assert_array_equal(again.epred(new), fit.epred(new))
    beyond = pd.DataFrame({"year": [18, 17, 16]})
    fewer = fit.epred(beyond[1:], seed=1)
    np.testing.assert_allclose(again.epred(beyond, seed=1)[..., 1:], fewer, rtol=1e-9)


def test_times_are_the_same_if_their_numbers_are() -> None:
    frame = pd.DataFrame({"year": [1.5, 2.0, 4.0], "y": [1.0, 3.0, 2.0]})
    found = sp.Model(FORMULA, frame, covariances={"T": np.array([1.5, 2, 4, 3])})
    assert found.design.factors[0].labels[:3] == ("1.5", "2.0", "4.0")
    assert len(found.design.factors[0].labels) == 4


def test_no_form_is_advised_that_there_is_not() -> None:
    """Standardized deviations of one time are informed, and still independent."""
    fit = sp.Model("y ~ 1 + rw1(year)", data()).fit(seed=1, progress=False)
    assert "centered form" not in str(fit.diagnose())


def test_what_is_said_of_a_random_walk() -> None:
    found = model(data())
    assert "y ~ 1 + rw1(year, T)" in repr(found)
    said = str(found.explain())
    assert "16 times of 'rw1_year', of which 7 have no rows" in said
    assert "effects of rows" not in said
    assert "with the covariance of a random walk" in str(found.equations())


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        (FORMULA, {}, "covariances has no times 'T'"),
        (FORMULA, {"covariances": {"T": [1, 2]}}, "the list of times of 'year' lacks"),
        ("y ~ rw2(half)", {}, r"s\(half\)"),
        ("y ~ rw2(two)", {}, "needs 3 different times or more"),
        (FORMULA, {"covariances": {"T": [1, 1]}}, "the times 'T' have '1' twice"),
        (FORMULA, {"covariances": {"T": [1, "x"]}}, "have 'x', which is no finite num"),
        ("y ~ rw1(word)", {}, "times of 'word' have 'v', which is no finite number"),
        ("y ~ rw1(year)", {"pooling": "none"}, r"the known covariance of rw1\(\)"),
        ("y ~ (1 | gr(year, cov=T))", {"covariances": {"T": TIMES}}, r"with rw1\(t, T"),
    ],
)
def test_what_are_no_times_is_refused(
    formula: str, options: dict[str, object], said: str
) -> None:
    frame = data().assign(word=["w", "v"] * 6 + ["w"], two=[1, 2] * 6 + [1])
    frame["half"] = frame["year"] / 2
    with pytest.raises(sp.StanpoolError, match=said):
        sp.Model(formula, frame, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["rw1()", "rw1(a, b, c)", "rw1(a | g | h)", "rw2(a, 1)"]
)
def test_rw1_takes_a_column_and_times(text: str) -> None:
    with pytest.raises(sp.SpecError):
        parse_formula(f"y ~ {text}")
