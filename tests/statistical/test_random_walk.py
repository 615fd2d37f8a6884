"""Random walks in time against the Kalman smoother, and what times may be."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
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
    with pytest.raises(sp.DataError, match=r"does not have: 17\. Fit with a list of a"):
        fit.predict(pd.DataFrame({"year": [17]}), new_groups="population")


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
    frame = data().assign(word=["w", "v"] * 6 + ["w"])
    with pytest.raises(sp.StanpoolError, match=said):
        sp.Model(formula, frame, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["rw1()", "rw1(a, b, c)", "rw1(a | g)", "rw1(a, 1)"])
def test_rw1_takes_a_column_and_times(text: str) -> None:
    with pytest.raises(sp.SpecError):
        parse_formula(f"y ~ {text}")
