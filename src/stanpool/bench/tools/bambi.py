"""Bambi, which states a model by its formula; nutpie or NumPyro samples it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.arrays import Array
from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.tools.numpyro import clock_of_compiling, set_up_jax
from stanpool.bench.tools.nutpie import sample_compiled
from stanpool.bench.tools.tool import Drawn, Tool
from stanpool.bench.tools.written import beta_scales, means, plain_model
from stanpool.model.terms.names import GroupNames

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Bambi:
    """A model of bambi's, and the same model of stanpool's, for names and priors."""

    plain: Model
    model: Any
    compiled: Any = None


def _build_bambi(*, noncentered: bool) -> Callable[[Benchmark, Any], _Bambi]:
    def build(benchmark: Benchmark, data: pd.DataFrame) -> _Bambi:
        import bambi

        plain = plain_model(benchmark, data)
        model = bambi.Model(
            # Bambi's coefficients of a group are never correlated.
            benchmark.formula.replace("||", "|"),
            data,
            family=benchmark.family,
            priors=_bambi_priors(plain),
            noncentered=noncentered,
        )
        model.build()
        return _Bambi(plain, model)

    return build


def _bambi_priors(plain: Model) -> dict[str, Any]:
    """Write the priors in force for bambi, by the names of its terms."""
    import bambi

    def prior(name: str) -> Any:
        known = plain.priors[name].prior
        names = {"normal": ("mu", "sigma"), "exponential": ("lam",)}
        numbers = zip(names[known.distribution], known.arguments, strict=True)
        return bambi.Prior(known.distribution.capitalize(), **dict(numbers))

    priors = {"Intercept": prior("Intercept")}
    for term, coefficients in _terms(plain).items():
        scales = beta_scales(plain, coefficients)
        sigma = scales[0] if len(scales) == 1 else np.array(scales)
        priors[term] = bambi.Prior("Normal", mu=np.zeros_like(sigma), sigma=sigma)
    for factor in plain.design.factors:
        for name in factor.coefficients:
            tau = f"{GroupNames.of(factor.factor).tau}[{name}]"
            key = f"{_bambi_name(name)}|{factor.factor}"
            priors[key] = bambi.Prior("Normal", mu=0, sigma=prior(tau))
    if "sigma" in [row.parameter for row in plain.priors]:
        priors["sigma"] = prior("sigma")
    return priors


def _bambi_name(coefficient: str) -> str:
    return "1" if coefficient == "Intercept" else coefficient


def _terms(plain: Model) -> dict[str, list[str]]:
    """Collect coefficients by the terms that they are of, as ``btype[scold]``."""
    terms: dict[str, list[str]] = {}
    for name in plain.design.coefficients:
        terms.setdefault(name.partition("[")[0], []).append(name)
    return terms


def _bambi_quantities(built: _Bambi, drawn: Drawn) -> dict[str, Array]:
    """Return the quantities of stanpool's posterior from bambi's."""
    posterior, design = drawn.draws, built.plain.design
    own = posterior["Intercept"].to_numpy().shape
    found: dict[str, Array] = {"Intercept": posterior["Intercept"].to_numpy()}
    beta = [
        posterior[term].to_numpy().reshape(*own, -1) for term in _terms(built.plain)
    ]
    if beta:
        found["beta"] = np.concatenate(beta, axis=2)
    for factor in design.factors:
        names = GroupNames.of(factor.factor)
        keys = [f"{_bambi_name(name)}|{factor.factor}" for name in factor.coefficients]
        found[names.tau] = np.stack(
            [posterior[f"{key}_sigma"].to_numpy() for key in keys], axis=2
        )
        u = np.stack([posterior[key].to_numpy() for key in keys], axis=3)
        found[names.b] = u + means(found, factor.coefficients, design.coefficients)
    if "sigma" in posterior:
        found["sigma"] = posterior["sigma"].to_numpy()
    return found


def _compile_nutpie(built: _Bambi, sampling: Sampling) -> _Bambi:
    """Compile by Numba, and sample a little, so that all is loaded."""
    import nutpie

    model = built.model.backend.model
    # As bambi does: neither the mean of each row nor standardised deviations.
    per_row = built.model.family.likelihood.params
    kept = [v.name for v in model.free_RVs if not v.name.endswith("_offset")]
    kept += [v.name for v in model.deterministics if v.name not in per_row]
    compiled = nutpie.compile_pymc_model(model, var_names=kept)
    ready = _Bambi(built.plain, built.model, compiled)
    few = replace(sampling, draws=5, warmup=5)
    sample_compiled(compiled, few, 1, save_warmup=False)
    return ready


def _fit_nutpie(built: _Bambi, sampling: Sampling, seed: int) -> Drawn:
    tree = sample_compiled(built.compiled, sampling, seed, save_warmup=False)
    posterior = tree["posterior"].to_dataset()
    # Bambi's own intercept is where predictors are 0, not at their means.
    terms = list(_terms(built.plain))
    if terms:
        own = posterior["Intercept"].shape
        beta = [posterior[term].to_numpy().reshape(*own, -1) for term in terms]
        shift = np.concatenate(beta, axis=2) @ built.plain.design.X.mean(axis=0)
        posterior["Intercept"] = posterior["Intercept"] - shift
    return Drawn(posterior, int(tree["sample_stats"]["diverging"].sum()))


def _fit_bambi_numpyro(built: _Bambi, sampling: Sampling, seed: int) -> Drawn:
    with clock_of_compiling() as compiling:
        tree = built.model.fit(
            draws=sampling.draws,
            tune=1000 if sampling.warmup is None else sampling.warmup,
            chains=sampling.chains,
            cores=sampling.cores,
            random_seed=seed,
            inference_method="numpyro",
            progressbar=False,
        )
        divergences = int(tree["sample_stats"]["diverging"].sum())
    seconds, cpu = compiling()
    return Drawn(
        tree["posterior"].to_dataset(),
        divergences,
        compile_seconds=seconds,
        compile_cpu_seconds=cpu,
    )


def _bambi_nutpie(name: str, *, noncentered: bool) -> Tool:
    form = "noncentered" if noncentered else "centered"
    return Tool(
        name,
        f"bambi, {form}, compiled by Numba and sampled by nutpie",
        ("bambi", "nutpie", "numba"),
        _build_bambi(noncentered=noncentered),
        _compile_nutpie,
        _fit_nutpie,
        _bambi_quantities,
    )


BAMBI = (
    _bambi_nutpie("bambi-nutpie", noncentered=True),
    _bambi_nutpie("bambi-nutpie-centered", noncentered=False),
    Tool(
        "bambi-numpyro",
        "bambi, noncentered, compiled by JAX and sampled by NumPyro",
        ("bambi", "numpyro", "jax"),
        _build_bambi(noncentered=True),
        set_up_jax,
        _fit_bambi_numpyro,
        _bambi_quantities,
    ),
)
