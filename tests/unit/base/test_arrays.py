"""What does not fit into memory is refused before any of it is computed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import simulated_fit
from stanpool.base import arrays

MEGABYTE = 2**20


def schools() -> sp.Model:
    data = sp.load_dataset("eight_schools")
    return sp.Model("y | se(sigma) ~ 1 + (1 | school)", data)


def model(**changes: Any) -> sp.Model:
    return sp.Model("y ~ x1 + (1 | g)", small_data(), **changes)


def counts(**numbers: float) -> dict[str, Any]:
    data = {"y": [1, 2, 3], "n": [5, 5, 5], "g": list("aab")}
    return {"data": data, "outcome": "y", "group": "g", **numbers}


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


# Each is to have 2 chains of a million draws, which the fit's draws= has as well.
ASKED: dict[str, Callable[[dict[str, int]], Any]] = {
    "fit": lambda many: model().fit(**many),
    "update": lambda many: simulated_fit(chains=2, draws=4).update(**many),
    "compare_parameterizations": lambda many: sp.compare_parameterizations(
        model(), **many
    ),
    "compare_pooling": lambda many: sp.compare_pooling(model(), **many),
    "prior_predictive": lambda many: model().prior_predictive(many["draws"]),
    "known_sigma": lambda many: sp.exact.known_sigma(schools()).draw(rng(), **many),
    "gibbs": lambda many: sp.exact.gibbs(model(), rng(), **many),
    "linear": lambda many: sp.exact.linear(model(pooling="none")).draw(rng(), **many),
    "normal": lambda many: sp.exact.normal(
        [1.0, 2.0], mu=0, tau=1, alpha=2, beta=1
    ).draw(rng(), **many),
    "beta_binomial": lambda many: sp.exact.beta_binomial(
        **counts(a=1, b=1), trials="n"
    ).draw(rng(), **many),
    "gamma_poisson": lambda many: sp.exact.gamma_poisson(
        **counts(shape=1, rate=1)
    ).draw(rng(), **many),
}


@pytest.mark.parametrize("name", ASKED)
def test_draws_beyond_memory_are_refused_with_what_they_take(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "memory", lambda: 10 * MEGABYTE)
    with pytest.raises(sp.errors.OutOfMemoryError, match=r"would take .* GB.*draws"):
        ASKED[name]({"draws": 1_000_000, "chains": 2})


def test_a_model_whose_draws_are_beyond_memory_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = model()
    monkeypatch.setattr(arrays, "memory", lambda: 1000)
    with pytest.raises(sp.errors.OutOfMemoryError, match="draws"):
        large.fit(progress=False)
    assert "engine: " in large.explain()


@pytest.mark.parametrize("terms", ["a:b", "a*b", "(a + b)**2", "x*a*b"])
def test_columns_of_terms_beyond_memory_are_refused(
    terms: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = np.arange(400)
    data = {"y": levels % 7, "x": levels % 3, "a": [f"l{n // 2}" for n in levels]}
    data |= {"b": [f"l{n % 200}" for n in levels]}
    monkeypatch.setattr(arrays, "memory", lambda: 10 * MEGABYTE)
    with pytest.raises(sp.errors.OutOfMemoryError, match=r"4\d,\d+ columns.*0\.1 GB"):
        sp.Model(f"y ~ {terms}", data, pooling="complete")


def test_the_matrix_of_an_exact_regression_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_pooling = model(pooling="none")
    monkeypatch.setattr(arrays, "memory", lambda: 100)
    with pytest.raises(sp.errors.OutOfMemoryError, match=r"14 rows and \d+ coeff"):
        sp.exact.linear(no_pooling)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("draws", "10,000,000"),
        ("warmup", "10,000,000"),
        ("chains", "10,000"),
        ("max_treedepth", "30"),
    ],
)
@pytest.mark.parametrize("verb", ["fit", "gibbs", "sbc"])
def test_work_without_an_end_is_refused(verb: str, name: str, most: str) -> None:
    verbs: dict[str, Callable[..., Any]] = {
        "fit": lambda **given: model().fit(**given),
        "gibbs": lambda **given: sp.exact.gibbs(model(), rng(), **given),
        "sbc": lambda **given: sp.sbc(model(), **given),
    }
    if (verb, name) not in (("sbc", "chains"), ("gibbs", "max_treedepth")):
        with pytest.raises(sp.SpecError, match=f"{name}=2147483647 must.* to {most}"):
            verbs[verb](**{name: 2**31 - 1})


def test_simulations_without_an_end_are_refused() -> None:
    with pytest.raises(sp.SpecError, match=r"simulations=2147483647.*to 100,000"):
        sp.sbc(model(), simulations=2**31 - 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows sets no limits")
def test_the_limit_of_a_process_counts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); "
        "from stanpool.base.arrays import memory; print(memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= 3 << 30
    assert 2**28 < arrays.memory()
