"""Verbs that are asked for another parameter of the family than the mean."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import stanpool as sp
from simulated_fits import fit_of_points
from stanpool.base.errors import DataError, SpecError
from statistical.densities import Point, Varying


@cache
def example() -> tuple[sp.Fit, list[Point], pd.DataFrame]:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=24), "z": rng.normal(size=24)})
    data["g"] = [f"g{number % 4}" for number in range(24)]
    data["h"] = [f"h{number % 3}" for number in range(24)]
    data["y"] = rng.poisson(2.0, 24) * (rng.random(24) < 0.7)
    model = sp.Model(
        ["y ~ x + (1 | g)", "zi ~ z + (1 + z | h)"],
        data,
        family="zero_inflated_poisson",
    )
    return *fit_of_points(model), data


def eta_of(at: Point, data: pd.DataFrame, *, groups: bool = True) -> np.ndarray:
    """Return logit(zi) of rows, from the formula."""
    own = at.formulas["zi"]
    eta = own.intercept + own.beta[0] * data["z"].to_numpy()
    if groups:
        b = own.factors[0].b[data["h"].str[1:].astype(int)]
        eta = eta + b[:, 0] + b[:, 1] * data["z"].to_numpy()
    return np.asarray(eta)


def flat(values: Any) -> np.ndarray:
    return np.asarray(values.stack(s=("chain", "draw")).transpose("s", ...))


def test_linear_predictors_and_values_are_those_of_the_formula() -> None:
    fit, points, data = example()
    eta = np.array([eta_of(at, data) for at in points])
    np.testing.assert_allclose(flat(fit.linpred(parameter="zi")), eta, rtol=1e-9)
    np.testing.assert_allclose(flat(fit.epred(parameter="zi")), expit(eta), rtol=1e-9)
    new = data[["x", "z", "h"]].iloc[[5, 1, 2]]  # the groups of the mean are not read
    found = fit.epred(new, parameter="zi")
    np.testing.assert_allclose(flat(found), expit(eta[:, [5, 1, 2]]), rtol=1e-9)
    of_population = np.array([eta_of(at, new, groups=False) for at in points])
    found = fit.linpred(new, parameter="zi", group_terms=[])
    np.testing.assert_allclose(flat(found), of_population, rtol=1e-9)


def test_new_groups_are_refused_or_drawn() -> None:
    fit, points, data = example()
    new = data[["x", "z"]].iloc[:2].assign(h="new")
    with pytest.raises(DataError, match=r"1 group\(s\) of 'h' that are not in the fit"):
        fit.linpred(new, parameter="zi")
    found = fit.linpred(new, parameter="zi", new_groups="zero")
    wanted = np.array([eta_of(at, new, groups=False) for at in points])
    np.testing.assert_allclose(flat(found), wanted, rtol=1e-9)
    drawn = fit.linpred(new, parameter="zi", new_groups="population", seed=1)
    assert np.all(flat(drawn) != wanted)


def test_coefficients_are_those_of_the_formula() -> None:
    fit, points, _ = example()
    own = [at.formulas["zi"] for at in points]
    fixed = fit.fixef(parameter="zi")["mean"]
    assert fixed["z"] == pytest.approx(np.mean([each.beta[0] for each in own]))
    deviations = np.mean([each.factors[0].b for each in own], axis=0)
    found = fit.ranef(parameter="zi")["mean"].unstack()
    assert list(found.index) == ["h0", "h1", "h2"]
    np.testing.assert_allclose(found[["Intercept", "z"]], deviations, rtol=1e-9)
    whole = fit.coef(parameter="zi", factor="h")["mean"].unstack()
    np.testing.assert_allclose(whole - fixed, found, rtol=1e-7, atol=1e-12)
    assert isinstance(own[0].factors[0], Varying)


def test_values_are_averaged_over_rows() -> None:
    fit, points, data = example()
    values = np.array([expit(eta_of(at, data)) for at in points])
    found = fit.predictions(by="g", parameter="zi").set_index("g")["estimate"]
    for group, rows in data.groupby("g").groups.items():
        wanted = np.mean(values[:, list(rows)].mean(axis=1))
        assert found[group] == pytest.approx(wanted)
    at_means = fit.predictions({"z": [0.0, 1.0]}, parameter="zi", groups="none")
    for _, row in at_means.iterrows():
        wanted = np.mean(
            [
                expit(eta_of(at, data.assign(z=row["z"]), groups=False)[0])
                for at in points
            ]
        )
        assert row["estimate"] == pytest.approx(wanted)


def test_slopes_and_comparisons_are_of_the_parameter() -> None:
    fit, points, _ = example()
    beta = np.mean([at.formulas["zi"].beta[0] for at in points])
    of_link = {"parameter": "zi", "kind": "linpred", "groups": "none"}
    slope = fit.slopes("z", **of_link)["estimate"].item()
    assert slope == pytest.approx(beta, rel=1e-6)
    moved = fit.comparisons({"z": [-1.0, 2.0]}, **of_link)["estimate"].item()
    assert moved == pytest.approx(3 * beta)
    assert fit.comparisons({"x": [0.0, 1.0]}, **of_link)["estimate"].item() == 0.0


def test_a_parameter_that_is_one_number_is_the_same_in_all_rows() -> None:
    _, _, data = example()
    model = sp.Model("y ~ x + (1 | g)", data, family="zero_inflated_poisson")
    fit, points = fit_of_points(model)
    wanted = np.repeat([[at.zi] for at in points], 24, axis=1)
    np.testing.assert_allclose(flat(fit.epred(parameter="zi")), wanted)
    odds = flat(fit.linpred(parameter="zi"))
    np.testing.assert_allclose(odds, np.log(wanted / (1 - wanted)))


def test_what_is_no_parameter_is_refused() -> None:
    fit, _, _ = example()
    message = r"parameter='phi' is not a parameter .* which has 'mean', 'zi'"
    for verb in (fit.linpred, fit.epred, fit.predictions):
        with pytest.raises(SpecError, match=message):
            verb(parameter="phi")
    with pytest.raises(SpecError, match=r"formulas are those of 'mean', 'zi'"):
        fit.ranef(parameter="hu")
    with pytest.raises(SpecError, match=r"no groups of 'g' in the formula of 'zi'"):
        fit.coef(factor="g", parameter="zi")
    with pytest.raises(SpecError, match=r"expected zi of new groups of 'h'"):
        fit.predictions(parameter="zi", groups="population")
