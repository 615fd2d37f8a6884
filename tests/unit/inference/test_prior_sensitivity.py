"""Sensitivity to priors: densities of the textbook, known shifts, known findings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import stanpool as sp
from golden.catalogue import data_of, models, small_data
from golden.representative import each_model
from simulated_fits import fit_of_points
from stanpool.base.errors import SpecError
from stanpool.inference.evaluation import prior_sensitivity
from stanpool.posterior import arviz
from statistical import densities

# The textbook has half forms without their constants, too; flat ones it has not.
KNOWN = {
    name: model
    for name, model in models().items()
    if model.spec.family != "categorical"
    and not {row.prior.distribution for row in model.priors}
    & {"flat", "uniform", "dirichlet", "beta"}
}


@pytest.mark.parametrize("name", each_model(KNOWN))
def test_log_prior_is_that_of_the_textbook(name: str) -> None:
    fit, points = fit_of_points(models()[name])
    found = prior_sensitivity.log_prior(fit).ravel()
    data = data_of(fit.model)
    expected = [densities._log_prior(fit.model, data, at) for at in points]
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0])


def test_a_dirichlet_is_on_the_probabilities_of_categories() -> None:
    model = sp.Model(
        "grade ~ x1",
        small_data(),
        family="ordinal",
        pooling="complete",
        priors={"cutpoint": "dirichlet(3)"},
        center_predictors=False,
    )
    fit, points = fit_of_points(model)
    expected = []
    for at in points:
        below = 1 / (1 + np.exp(-at.cutpoint))
        shares = np.array([below[0], below[1] - below[0], 1 - below[1]])
        (slope,) = [row.prior for row in model.priors if row.parameter == "beta[x1]"]
        z = (at.beta[0] - slope.arguments[0]) / slope.arguments[1]
        expected.append(2 * np.log(shares).sum() - 0.5 * z**2)
    found = prior_sensitivity.log_prior(fit).ravel()
    np.testing.assert_allclose(found - found[0], np.array(expected) - expected[0])


class TestPowerScaling:
    def test_of_what_has_no_bearing_is_nothing(self) -> None:
        rng = np.random.default_rng(1)
        draws, other = rng.normal(size=(4, 1000, 1)), rng.normal(size=(4, 1000))
        found = arviz.power_scaling(draws, 0.01 * other)
        assert found.shape == (1,)
        assert found[0] < 0.01

    def test_grows_with_what_it_has(self) -> None:
        draws = np.random.default_rng(1).normal(size=(4, 1000, 1))
        weak, strong = (
            arviz.power_scaling(draws, -0.5 * ((draws[..., 0] - 2) / scale) ** 2)
            for scale in (10.0, 1.0)
        )
        assert weak[0] < 0.02 < 0.05 < strong[0]


def test_findings_say_which_is_strong() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(0.0, 1.0, 50)

    def fitted(prior: str, rows: int) -> sp.Fit:
        """Draw from the conjugate posterior of a mean, sigma close to 1."""
        model = sp.Model(
            "y ~ 1", {"y": y[:rows]}, pooling="complete", priors={"Intercept": prior}
        )
        location, scale = model.priors["Intercept"].prior.arguments
        precision = rows + 1 / scale**2
        mean = (y[:rows].sum() + location / scale**2) / precision
        shape = (4, 1000)
        draws = xr.Dataset(
            {
                "Intercept": (
                    ("chain", "draw"),
                    rng.normal(mean, precision**-0.5, shape),
                ),
                "sigma": (("chain", "draw"), np.exp(0.01 * rng.normal(size=shape))),
            },
            {"chain": range(4), "draw": range(1000)},
        )
        fit, _ = fit_of_points(model)
        return replace(fit, tree=xr.DataTree.from_dict({"posterior": draws}))

    for prior, rows, finding in (
        ("normal(0, 10)", 50, ""),
        ("normal(3, 0.3)", 10, "prior and data in conflict"),
        ("normal(0, 0.05)", 3, "strong prior or weak data"),
    ):
        table = fitted(prior, rows).prior_sensitivity()
        assert list(table.columns) == ["prior", "likelihood", "finding"]
        assert table.index.tolist() == ["Intercept", "sigma"]
        assert table.loc["Intercept", "finding"] == finding, table


def test_groups_are_left_out_and_prior_draws_refused() -> None:
    fit, _ = fit_of_points(sp.Model("y ~ x1 + (1 | g)", small_data()), draws=100)
    labels = fit.prior_sensitivity().index.tolist()
    assert labels == ["Intercept", "beta[x1]", "tau_g[Intercept]", "sigma"]
    with pytest.raises(SpecError, match="draws are from the prior"):
        prior_sensitivity.prior_sensitivity(replace(fit, prior_only=True))
