"""A population of groups for each level of a column: ``gr(g, by=sex)``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from statistical.monte_carlo import FITTING, assert_mean, assert_means_agree

FORMS = ("centered", "noncentered", "adaptive")


def two_kinds() -> pd.DataFrame:
    """Twenty groups of four rows; those of kind "b" differ by more."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(20), 4)
    is_b = g % 2 == 1
    x = rng.normal(size=80)
    level = rng.normal(size=20) * np.where(np.arange(20) % 2, 2.0, 0.3)
    slope = rng.normal(size=20) * np.where(np.arange(20) % 2, 0.2, 1.0)
    y = level[g] + slope[g] * x + rng.normal(0, 0.8, 80)
    groups = [f"g{each:02d}" for each in g]
    kind = np.where(is_b, "b", "a")
    return pd.DataFrame({"y": y, "x": x, "g": groups, "kind": kind, "s": 0.8})


@pytest.mark.parametrize("form", FORMS)
def test_populations_that_share_nothing_are_those_of_separate_models(form: Any) -> None:
    """With no parameter in common, each population sees the rows of its level."""
    data = two_kinds()
    options: dict[str, Any] = {
        "priors": {"tau": "normal(0, 2)", "Omega": "lkj(2)"},
        "parameterization": form,
    }
    formula = "y | se(s) ~ 0 + (1 + x | {})"
    both = sp.Model(formula.format("gr(g, by=kind)"), data, **options).fit(**FITTING)
    for kind in ("a", "b"):
        rows = data[data["kind"] == kind]
        alone = sp.Model(formula.format("g"), rows, **options).fit(**FITTING)

        def own(fit: sp.Fit, factor: str) -> xr.Dataset:
            plain = {f"{factor}": "g", f"{factor}_coefficient": "q"}
            return xr.Dataset(
                {
                    "tau": fit.posterior[f"tau_{factor}"].rename(
                        {f"{factor}_coefficient": "q"}
                    ),
                    "b": fit.posterior[f"b_{factor}"].rename(plain),
                }
            )

        assert_means_agree(own(both, f"g_kind_{kind}"), own(alone, "g"))


def test_scales_of_kidney_patients_are_those_of_brms() -> None:
    """Patients' log times to an infection, by ``lognormal()`` of brms 2.18.0.

    ``time | cens(cc) ~ age + sex + (1 | gr(id, by = sex))`` with the same priors and
    20,000 draws has the means 0.775, 0.322 and 1.13, with Monte Carlo errors up to
    0.005.
    """
    kidney = sp.load_dataset("kidney")
    kidney["sex"] = kidney["sex"].map({1: "1 male", 2: "2 female"})
    kidney["censored"] = 1 - kidney["status"]
    model = sp.Model(
        "time | cens(censored) ~ age + sex + (1 | gr(id, by=sex))",
        kidney,
        family="lognormal",
        priors={
            "Intercept": "normal(4, 3)",
            "beta": "normal(0, 1)",
            "tau": "normal(0, 1)",
            "sigma": "exponential(1)",
        },
    )
    found = model.fit(**FITTING).posterior
    for name, expected in (
        ("tau_id_sex_1 male", 0.775),
        ("tau_id_sex_2 female", 0.322),
        ("sigma", 1.13),
    ):
        assert_mean(found[name].squeeze(), expected, rounding=0.02)


def test_new_groups_are_of_the_population_of_their_level() -> None:
    data = two_kinds()
    priors = {"tau_g_kind_a": "constant(0.5)", "tau_g_kind_b": "constant(3)"}
    model = sp.Model("y ~ 1 + (1 | gr(g, by=kind))", data, priors=priors)
    fit = model.fit(**FITTING)
    new = pd.DataFrame({"g": ["new a", "new b"], "kind": ["a", "b"]})
    drawn = fit.linpred(new, new_groups="population", seed=1)
    mean = fit.posterior["Intercept"]
    spread = (drawn - mean).std(("chain", "draw")).to_numpy()
    # The standard error of a standard deviation of 2000 draws is 1.6 percent of it.
    np.testing.assert_allclose(spread, [0.5, 3.0], rtol=0.08)
    with pytest.raises(sp.DataError, match="no column 'kind'"):
        fit.linpred(new[["g"]], new_groups="population")
    with pytest.raises(sp.DataError, match="not in the fit: 'new a'"):
        fit.linpred(new)
    # A level of which there are no rows.
    alone = fit.linpred(new[:1], new_groups="population", seed=1)
    xr.testing.assert_equal(alone, drawn[..., :1])


def test_means_over_new_groups_depend_on_the_level() -> None:
    """The mean of a lognormal variable is exp(mu + tau^2 / 2)."""
    data = two_kinds().assign(n=np.arange(80) % 5)
    priors = {
        "Intercept": "constant(0.3)",
        "tau_g_kind_a": "constant(0.2)",
        "tau_g_kind_b": "constant(1)",
    }
    model = sp.Model(
        "n ~ 1 + (1 | gr(g, by=kind))", data, family="poisson", priors=priors
    )
    fit = model.fit(**FITTING | {"draws": 100, "warmup": 100})
    table = fit.predictions("kind", groups="population")
    expected = np.exp(0.3 + np.square([0.2, 1.0]) / 2)
    np.testing.assert_allclose(table["estimate"].to_numpy(float), expected, rtol=5e-3)


def test_the_formula_is_written_as_it_was_read_and_kept(tmp_path: Any) -> None:
    data = two_kinds()
    formula = 'y ~ 1 + (1 || gr(g, by=kind, dist="laplace"))'
    model = sp.Model([formula, "sigma ~ 1 + x + (1 | gr(g, by=kind))"], data)
    assert formula in repr(model)
    assert "(1 | gr(g, by=kind))" in repr(model)
    fit = model.fit(**FITTING | {"draws": 20, "warmup": 20})
    fit.save(tmp_path / "fit")
    kept = sp.load(tmp_path / "fit")
    assert kept.model.spec == model.spec
    xr.testing.assert_equal(kept.linpred(), fit.linpred())


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("gr(g, by=same)", "has one level, '1'"),
        ("gr(g, by=row)", "80 levels, and each has scales"),
        ("gr(g, by=last)", "level 'yes' of 'last' has one group, 'g19'"),
        ("gr(kind, by=g)", "rows of group 'a' have several levels of 'g'"),
        ("gr(g, by=)", "a grouping factor is a column"),
        ("gr(g, by=kind, cov=A)", "either a covariance"),
        ("gr(g, by=kind, by=kind)", "by= twice"),
        ("gr(g, by=sex)", "no column 'sex'"),
    ],
)
def test_what_cannot_be_is_refused(groups: str, said: str) -> None:
    data = two_kinds()
    columns = {
        "same": 1.0,
        "row": [f"row {n}" for n in range(len(data))],
        "last": np.where(data["g"] == "g19", "yes", "no"),
    }
    with pytest.raises(sp.StanpoolError, match=said):
        sp.Model(f"y ~ 1 + (1 | {groups})", data.assign(**columns))


def test_groups_without_a_population_have_none_for_each_level() -> None:
    with pytest.raises(sp.SpecError, match="one for each level of 'kind'"):
        sp.Model("y ~ 1 + (1 | gr(g, by=kind))", two_kinds(), pooling="none")
    complete = sp.Model("y ~ 1 + (1 | gr(g, by=kind))", two_kinds(), pooling="complete")
    assert complete.design.factors == ()
