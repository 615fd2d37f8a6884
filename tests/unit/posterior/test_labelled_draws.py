"""Draws get the user's names: the same in every pooling and parameterization."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr

import stanpool as sp
from golden.catalogue import small_data
from stanpool import Model
from stanpool.posterior.labelled_draws import build_tree

CHAINS, DRAWS = 2, 5
FORMULA = "y ~ x1 + x2 + (1 + x2 | g)"


class MadeUpDraws:
    """As many numbers as the program has, each its own position."""

    def __init__(self, model: Model) -> None:
        k, (j, q) = len(model.design.coefficients), _sizes(model)
        self.shapes = {"alpha": (), "sigma": (), "beta": (k,), "tau": (q,)}
        self.shapes |= {"b": (j, q), "Omega": (q, q)}

    def stan_variable(self, name: str) -> np.ndarray:
        shape = (CHAINS, DRAWS, *self.shapes[name])
        return np.arange(np.prod(shape), dtype=float).reshape(shape)

    def sampler_variable(self, name: str) -> np.ndarray:
        if name == "treedepth__":
            return np.tile([3.0, 9.0, 10.0, 10.0, 1.0], (CHAINS, 1))
        if name == "divergent__":
            return np.tile([0.0, 1.0, 0.0, 0.0, 0.0], (CHAINS, 1))
        return np.ones((CHAINS, DRAWS))


def _sizes(model: Model) -> tuple[int, int]:
    return len(model.design.group_labels), len(model.design.varying)


def tree(model: Model) -> xr.DataTree:
    return build_tree(
        MadeUpDraws(model), model.design, model.structure, max_treedepth=10
    )


def posterior(**options: object) -> xr.Dataset:
    formula = options.pop("formula", FORMULA)
    model = Model(formula, small_data(), **options)  # type: ignore[arg-type]
    return tree(model)["posterior"].to_dataset()


def test_partial_pooling_has_all_of_it() -> None:
    found = posterior()
    assert {name: each.dims[2:] for name, each in found.items()} == {
        "Intercept": (),
        "beta": ("coefficient",),
        "tau_g": ("g_coefficient",),
        "Omega_g": ("g_coefficient", "g_coefficient_2"),
        "b_g": ("g", "g_coefficient"),
        "sigma": (),
    }
    assert found["g"].to_numpy().tolist() == ["a", "b", "c", "d"]
    assert found["coefficient"].to_numpy().tolist() == ["x1", "x2"]
    assert found["g_coefficient"].to_numpy().tolist() == ["Intercept", "x2"]


def test_numbers_stay_at_their_labels() -> None:
    found = posterior()
    raw = MadeUpDraws(Model(FORMULA, small_data())).stan_variable("b")
    chosen = found["b_g"].sel(g="c", g_coefficient="x2")
    np.testing.assert_array_equal(chosen, raw[:, :, 2, 1])


def test_parameterizations_have_the_same_posterior() -> None:
    centered, noncentered = (
        posterior(parameterization=each) for each in ("centered", "noncentered")
    )
    xr.testing.assert_identical(centered, noncentered)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"pooling": "complete"}, {"Intercept", "beta", "sigma"}),
        ({"pooling": "none"}, {"beta", "b_g", "sigma"}),
        (
            {"pooling": "none", "formula": "y ~ x1 + (0 + x2 | g)"},
            {"Intercept", "beta", "b_g", "sigma"},
        ),
        (
            {"formula": "y ~ x1 + (1 + x2 || g)"},
            {"Intercept", "beta", "tau_g", "b_g", "sigma"},
        ),
        ({"formula": "y ~ 1 + (1 | g)"}, {"Intercept", "tau_g", "b_g", "sigma"}),
        (
            {"formula": "y | se(known) ~ 1 + (1 | g)"},
            {"Intercept", "tau_g", "b_g"},
        ),
        (
            {"formula": "win ~ x1 + (1 | g)", "family": "bernoulli"},
            {"Intercept", "beta", "tau_g", "b_g"},
        ),
    ],
)
def test_each_model_has_its_variables(
    options: dict[str, object], names: set[str]
) -> None:
    assert set(posterior(**options)) == names


@pytest.mark.parametrize(
    "factor",
    [
        *("draw", "chain", "coefficient", "Intercept", "beta", "sigma", "row", "lp"),
        *("a/b", "/", "it's", "two\nlines", "x" * 1000, "g_coefficient", "name"),
    ],
)
def test_any_factor_names_its_dimension(factor: str) -> None:
    data = small_data().rename(columns={"g": factor})
    model = Model(f"y ~ x1 + x2 + (1 + x2 | `{factor}`)", data)
    found = tree(model)["posterior"].to_dataset()
    name = f"b_{factor.replace('/', ':')}"
    assert found[name].shape == (CHAINS, DRAWS, 4, 2)
    assert found[name].to_numpy()[0, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize("label", ["a/b", "\n", "draw", "x" * 10_000, "é"])
def test_any_label_selects_its_group(label: str) -> None:
    data = small_data().replace({"g": {"b": label}})
    found = tree(Model("y ~ x1 + (1 | g)", data))["posterior"].to_dataset()
    assert found["b_g"].sel(g=label).shape == (CHAINS, DRAWS, 1)


def test_whole_numbers_stay_numbers() -> None:
    data = small_data().replace({"g": {"a": 3, "b": 1, "c": 30, "d": 2}})
    found = tree(Model("y ~ x1 + (1 | g)", data.infer_objects()))["posterior"]
    assert found["g"].to_numpy().tolist() == [1, 2, 3, 30]


def test_the_sampler_speaks_arviz() -> None:
    stats = tree(Model(FORMULA, small_data()))["sample_stats"].to_dataset()
    assert set(stats) == {
        *("lp", "acceptance_rate", "step_size", "tree_depth", "n_steps"),
        *("diverging", "energy", "reached_max_treedepth"),
    }
    assert stats["diverging"].dtype == bool
    assert stats["tree_depth"].dtype == np.int64
    assert stats["reached_max_treedepth"].sum("draw").to_numpy().tolist() == [2, 2]


def test_chains_and_draws_are_counted_from_zero() -> None:
    found = posterior()
    assert found["chain"].to_numpy().tolist() == list(range(CHAINS))
    assert found["draw"].to_numpy().tolist() == list(range(DRAWS))


def test_observed_data_is_the_outcome() -> None:
    observed = tree(Model(FORMULA, small_data()))["observed_data"]["y"]
    np.testing.assert_array_equal(observed, small_data()["y"])


def test_no_variable_is_as_long_as_the_data() -> None:
    rows = len(small_data())
    for pooling, formula in product(
        ("complete", "none", "partial"), (FORMULA, "y ~ 1 + (1 | g)")
    ):
        found = posterior(pooling=pooling, formula=formula)
        assert rows not in {
            size for each in found.data_vars.values() for size in each.shape[2:]
        }


@pytest.mark.parametrize(
    ("formula", "options", "name"),
    [
        ("y ~ x1 + (1 | sigma_g)", {"residual": "g"}, "sigma_g"),
        ("y ~ x1 + (1 | sigma)", {"residual": "g"}, "tau_sigma"),
        ("y ~ (1 | g) + (1 | g_coefficient)", {}, "g_coefficient"),
        ("y ~ (1 | `g/h`) + (1 | g:h)", {}, "g:h"),
    ],
)
def test_two_things_of_one_name_are_refused(
    formula: str, options: dict[str, str], name: str
) -> None:
    data = small_data()
    names = ("sigma_g", "sigma", "g_coefficient", "g/h")
    data = data.assign(**{each: data["h"] for each in names})
    with pytest.raises(sp.SpecError, match=f"both have the name '{name}'"):
        sp.Model(formula, data, **options)


def test_a_column_of_two_uses_has_one_name() -> None:
    data = small_data().assign(sigma=small_data()["h"])
    assert sp.Model("y ~ x1 + (1 | g)", data, residual="g").design.residual
    assert sp.Model("y ~ (1 | g) + factors(g, h)", data).design.special
    assert sp.Model("y ~ x1 + (1 | sigma)", data).design.factor == "sigma"
