"""Terms of linear predictors: kinds that callers do not know, any parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import stanpool as sp
from golden.catalogue import small_data
from stanpool.data.design.design import (
    Design,
    FactorDesign,
    ParameterDesign,
    Side,
    SpecialTerm,
)
from stanpool.engine.values.draws import NamedDraws
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.prior_predictive import draw_prior
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.program.stan_data import program_data
from stanpool.model.program.structure import FactorStructure
from stanpool.model.terms import of_design
from stanpool.model.terms.group import GroupTerm
from stanpool.model.terms.names import Claim, Labelled, labels_of
from stanpool.model.terms.of_design import check_names
from stanpool.model.terms.population import PopulationTerm
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
)
from stanpool.model.terms.unseen import UnseenGroups
from stanpool.posterior.coefficients import coefficients
from stanpool.posterior.labelled_draws import build_posterior

PACKAGE = Path(sp.__file__).parent


@dataclass(frozen=True)
class LevelsDesign:
    """A kind of term for these tests: each level of a column has a normal(0, 1)."""

    column: str
    labels: tuple[Any, ...]
    index: np.ndarray
    kind: str = "levels"
    name: str = "levels"
    scale_class: str = "loading_scale"
    scales: int = 0
    has_means: bool = False

    @property
    def sides(self) -> tuple[Side, ...]:
        return (Side(self.column, self.labels, self.index),)

    def with_sides(self, sides: Sequence[Side]) -> LevelsDesign:
        (side,) = sides
        return replace(self, labels=side.labels, index=side.index)


@dataclass(frozen=True, eq=False)
class LevelsDraws:
    """Its draws, shape ``(S, J)``."""

    values: np.ndarray

    def effect(self, rows: LevelsDesign, unseen: UnseenGroups) -> np.ndarray:
        new = np.zeros((len(self.values), len(rows.labels) - self.values.shape[1]))
        return np.concatenate([self.values, new], axis=1)[:, None, rows.index]


@dataclass(frozen=True, eq=False)
class LevelsTerm:
    """Its functions."""

    design: LevelsDesign
    name: str = "levels"

    def claims(self) -> Iterator[Claim]:
        yield Claim("levels()", ("level",))

    def labelled(self, stan: StanVariables) -> Labelled:
        labels = {"levels_of": labels_of(self.design.labels)}
        return Labelled({"level": (("levels_of",), stan("level"))}, labels)

    def draws(self, posterior: Variables, population: Any) -> LevelsDraws:
        return LevelsDraws(posterior["level"])

    def scale_draws(
        self, posterior: Variables
    ) -> Iterator[tuple[str, str, np.ndarray]]:
        yield from ()

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        return {"J_level": len(self.design.labels), "level_of": self.design.index + 1}

    def prior_draws(self, prior: PriorDraws, population: Any) -> dict[str, np.ndarray]:
        size = prior.draws, len(self.design.labels)
        return {"level": prior.rng.standard_normal(size)}

    def initial_at(self, draws: Any, known: InitialValues) -> InitialValues:
        return known.plus({"level": draws.values[0]})

    def initial_around(
        self, pilot: Any, known: InitialValues, noise: Noise
    ) -> InitialValues:
        return known

    def metric(self, pilot: Any, program: Any) -> dict[str, Any]:
        return {}

    def starting_points(
        self, y: np.ndarray, *, chains: int, seed: int
    ) -> list[dict[str, Any]]:
        return [{}] * chains


@pytest.fixture
def with_levels(monkeypatch: pytest.MonkeyPatch) -> sp.Model:
    """Return a model with a term of the kind, of which no file of the package knows."""
    kinds = {**of_design._SPECIAL, "levels": LevelsTerm}
    monkeypatch.setattr(of_design, "_SPECIAL", kinds)
    model = sp.Model("y ~ x1 + (1 | g)", small_data(), parameterization="noncentered")
    labels, index = np.unique(small_data()["h"], return_inverse=True)
    term: SpecialTerm = LevelsDesign("h", tuple(labels), index)
    return model.with_design(replace(model.design, special=(term,)))


class TestAnotherKind:
    def test_has_its_data_in_the_program(self, with_levels: sp.Model) -> None:
        data = with_levels.stan_data()
        assert data["J_level"] == 3
        index = np.unique(small_data()["h"], return_inverse=True)[1]
        np.testing.assert_array_equal(data["level_of"], index + 1)

    def test_is_drawn_from_its_prior_and_labelled(self, with_levels: sp.Model) -> None:
        prior = draw_prior(with_levels, 4000, np.random.default_rng(1))
        assert prior["level"].dims == ("chain", "draw", "levels_of")
        assert prior["levels_of"].to_numpy().tolist() == ["u", "v", "w"]
        # Five standard errors of a standard deviation of 12000 draws.
        assert float(prior["level"].std()) == pytest.approx(1.0, abs=0.033)

    def test_moves_rows(self, with_levels: sp.Model) -> None:
        prior = draw_prior(with_levels, 50, np.random.default_rng(2))
        found = coefficients(with_levels, prior)

        def eta(design: Design) -> np.ndarray:
            return LinearPredictor(with_levels, design, (0,), prior, found).eta(
                slice(0, 14)
            )

        without = replace(with_levels.design, special=())
        moved = eta(with_levels.design) - eta(without)
        own = prior["level"].to_numpy()[0]
        index = np.unique(small_data()["h"], return_inverse=True)[1]
        np.testing.assert_allclose(moved, own[:, index], atol=1e-12)

    def test_its_names_are_its_own(self, with_levels: sp.Model) -> None:
        check_names(with_levels.design)
        (factor,) = with_levels.design.factors
        other = replace(factor, factor="level", labels=("a", "b"))
        also = replace(with_levels.design, factors=(factor, other))
        with pytest.raises(sp.SpecError, match=r"levels\(\) and .* name 'level'"):
            check_names(also)


def test_modules_of_kinds_are_known_to_one_file() -> None:
    """The kinds are listed in one place each, of the data and of the model.

    The density knows them, too: it must share no code with the terms.
    """
    for module, users in (
        ("model.terms.special.latent", {"model/terms/of_design.py"}),
        (
            "data.design.predictors.latent_factors",
            {
                "data/design/build_design.py",
                "model/terms/special/latent.py",
                "data/design/predictors/tensor_factors.py",
                "density/terms/factors.py",
                "model/description/describe.py",
                "model/priors/defaults.py",
                "model/program/units.py",
                "sampling/explain.py",
            },
        ),
    ):
        found = {
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            if f"stanpool.{module} import" in path.read_text()
        }
        assert found == users


def shape_design(rows: int = 6) -> ParameterDesign:
    """Return a linear predictor of a parameter ``shape``, with one group term."""
    rng = np.random.default_rng(3)
    factor = FactorDesign(
        factor="g",
        labels=("a", "b"),
        index=np.arange(rows) % 2,
        Z=np.column_stack([np.ones(rows), rng.normal(size=rows)]),
        varying=("Intercept", "x"),
        z_bar=np.zeros(2),
    )
    X = factor.Z[:, 1:]
    return ParameterDesign("shape", "log", X, ("x",), True, X.mean(axis=0), (factor,))


class TestAnotherParameter:
    """The linear predictor of any parameter, with predictors and group terms."""

    term = GroupTerm(shape_design(), 0, FactorStructure(correlated=True))
    population = PopulationTerm(shape_design())

    def draws(self) -> dict[str, np.ndarray]:
        """Return draws by Stan's names, of one chain."""
        rng = np.random.default_rng(4)
        shapes = {"alpha": (), "beta": (1,), "b": (2, 2), "tau": (2,)}
        found = {f"{k}_shape": rng.normal(size=(1, 5, *v)) for k, v in shapes.items()}
        found["Omega_shape"] = np.broadcast_to(np.eye(2), (1, 5, 2, 2))
        return found

    def test_has_data_of_its_own(self) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), parameterization="adaptive")
        # The centering of the mean's factors is none of this parameter's.
        program = program_data(model.design, model.structure, None, model.centering)
        data = self.population.stan_data(program) | self.term.stan_data(program)
        assert set(data) == {
            f"{name}_shape"
            for name in ("K", "X", "x_bar", "J", "Q", "Z", "group", "mean_index")
        }
        assert data["mean_index_shape"].tolist() == [2, 3]
        assert data["group_shape"].tolist() == [1, 2, 1, 2, 1, 2]

    def test_has_names_of_its_own(self) -> None:
        stan = self.draws()
        of_groups = self.term.labelled(stan.__getitem__)
        of_all = self.population.labelled(stan.__getitem__)
        assert {name: dims for name, (dims, _) in of_groups.variables.items()} == {
            "tau_shape_g": ("shape_g_coefficient",),
            "Omega_shape_g": ("shape_g_coefficient", "shape_g_coefficient_2"),
            "b_shape_g": ("g", "shape_g_coefficient"),
        }
        assert list(of_all.variables) == ["Intercept_shape", "beta_shape"]

    def test_moves_rows_by_the_same_code(self) -> None:
        stan = {name: values[0] for name, values in self.draws().items()}
        labelled = {
            "Intercept_shape": stan["alpha_shape"],
            "beta_shape": stan["beta_shape"],
            "b_shape_g": stan["b_shape"],
            "tau_shape_g": stan["tau_shape"],
            "Omega_shape_g": stan["Omega_shape"],
        }
        variables = Variables(labelled, 5, labelled.__getitem__)
        population = self.population.draws(variables)
        groups = self.term.draws(variables, population)
        own, unseen = shape_design(), UnseenGroups()
        (factor,) = own.factors
        eta = population.effect(own, unseen) + groups.effect(factor, unseen)
        # The groups' coefficients are full ones: nothing is left of the population's.
        full = np.einsum("nq,snq->sn", factor.Z, stan["b_shape"][:, factor.index])
        np.testing.assert_allclose(eta[:, 0], full, atol=1e-12)

    def test_no_pilot_estimate_of_the_mean_is_taken_for_it(self) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), parameterization="adaptive")
        program = program_data(model.design, model.structure, None, model.centering)
        pilot, start = model.pilot, InitialValues(program)
        assert pilot is not None
        noise = Noise(np.random.default_rng(6), 1.0)
        for term in (self.population, self.term):
            assert term.initial_around(pilot, start, noise) is start
            assert term.metric(pilot, program) == {}

    def test_new_groups_are_not_those_of_the_mean(self) -> None:
        own = replace(shape_design(), parameter="mean")
        labelled = {
            "Intercept": np.zeros(5),
            "beta": np.zeros((5, 1)),
            "b_g": np.zeros((5, 2, 2)),
            "tau_g": np.ones((5, 2)),
        }
        variables = Variables(labelled, 5, labelled.__getitem__)
        mean = GroupTerm(own, 0).draws(variables, PopulationTerm(own).draws(variables))
        shape = replace(mean, parameter="shape")
        drawn = [x.deviation_of_new("g", "new", UnseenGroups()) for x in (mean, shape)]
        assert np.all(drawn[0] != drawn[1])


def test_residual_scales_are_values_of_groups() -> None:
    model = sp.Model("y ~ x1 + (1 | g)", small_data(), residual="h")
    sigma = model.design.parameter("sigma")
    assert sigma is not None
    assert sigma.is_value
    assert not model.design.mean.is_value
    assert not shape_design().is_value
    rng = np.random.default_rng(5)
    draws = {
        "alpha": rng.normal(size=(1, 7)),
        "beta": rng.normal(size=(1, 7, 1)),
        "tau": rng.lognormal(size=(1, 7, 1)),
        "b": rng.normal(size=(1, 7, 4, 1)),
        "sigma": rng.lognormal(size=(1, 7)),
        "tau_sigma": rng.lognormal(size=(1, 7)),
        "sigma_j": rng.lognormal(size=(1, 7, 3)),
    }
    groups = len(model.design.group_labels)
    draws["b"] = rng.normal(size=(1, 7, groups, 1))
    posterior: xr.Dataset = build_posterior(
        NamedDraws(draws), model.design, model.structure
    )
    found = coefficients(model, posterior, "sigma")
    eta = found.predictor_of(sigma, UnseenGroups())
    own = draws["sigma_j"][0][:, sigma.factors[0].index]
    np.testing.assert_allclose(np.exp(eta[:, 0]), own, rtol=1e-12)
    np.testing.assert_allclose(np.exp(found.alpha[:, 0]), draws["sigma"][0])
