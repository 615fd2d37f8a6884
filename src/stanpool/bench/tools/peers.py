"""The peers as tools, told the same model: its priors, and what predictors are.

Bambi states the model by its formula, and nutpie or NumPyro samples it; NumPyro also
gets a program written by hand, as its documentation writes hierarchical models. Chains
of NumPyro run beside each other, on as many devices as there are chains: its
vectorized chains wait for the longest trajectory of each other. All in 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.arrays import Array
from stanpool.bench.tools.tool import Drawn, Sampling, Tool
from stanpool.bench.works import Work
from stanpool.model.terms.names import GroupNames

if TYPE_CHECKING:
    import pandas as pd

_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@dataclass(frozen=True)
class _Bambi:
    """A model of bambi's, and the same model of stanpool's, for names and priors."""

    plain: Model
    model: Any
    compiled: Any = None


def _plain(work: Work, data: pd.DataFrame) -> Model:
    """State the model as it is, one row of the design for each row of the data."""
    return Model(
        work.formula,
        data,
        family=work.family,
        parameterization="noncentered",
        compress=False,
    )


def _build_bambi(*, noncentered: bool) -> Callable[[Work, Any], _Bambi]:
    def build(work: Work, data: pd.DataFrame) -> _Bambi:
        import bambi

        plain = _plain(work, data)
        model = bambi.Model(
            # Bambi's coefficients of a group are never correlated.
            work.formula.replace("||", "|"),
            data,
            family=work.family,
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
        scales = _beta_scales(plain, coefficients)
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


def _beta_scales(plain: Model, coefficients: Sequence[str]) -> list[float]:
    """Return the scales of the priors on coefficients: all are normal around 0."""
    priors = [plain.priors[f"beta[{name}]"].prior for name in coefficients]
    return [prior.arguments[1] for prior in priors]


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
        found[names.b] = u + _means(found, factor.coefficients, design.coefficients)
    if "sigma" in posterior:
        found["sigma"] = posterior["sigma"].to_numpy()
    return found


def _means(
    found: Mapping[str, Array], varying: tuple[str, ...], population: tuple[str, ...]
) -> Array:
    """Return the population means of varying coefficients, ``(chain, draw, 1, Q)``."""
    intercept = found["Intercept"]
    means = [
        intercept
        if name == "Intercept"
        else found["beta"][..., population.index(name)]
        if name in population
        else np.zeros_like(intercept)
        for name in varying
    ]
    return np.stack(means, axis=2)[:, :, None, :]


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
    _sample_nutpie(ready, Sampling(sampling.chains, 5, 5, sampling.cores), 1)
    return ready


def _sample_nutpie(built: _Bambi, sampling: Sampling, seed: int) -> Any:
    import nutpie

    return nutpie.sample(
        built.compiled,
        draws=sampling.draws,
        tune=sampling.warmup,
        chains=sampling.chains,
        cores=sampling.cores,
        seed=seed,
        save_warmup=False,
        progress_bar=False,
    )


def _fit_nutpie(built: _Bambi, sampling: Sampling, seed: int) -> Drawn:
    tree = _sample_nutpie(built, sampling, seed)
    posterior = tree["posterior"].to_dataset()
    # Bambi's own intercept is where predictors are 0, not at their means.
    terms = list(_terms(built.plain))
    if terms:
        own = posterior["Intercept"].shape
        beta = [posterior[term].to_numpy().reshape(*own, -1) for term in terms]
        shift = np.concatenate(beta, axis=2) @ built.plain.design.X.mean(axis=0)
        posterior["Intercept"] = posterior["Intercept"] - shift
    return Drawn(posterior, int(tree["sample_stats"]["diverging"].sum()))


def _compile_for_jax(built: Any, sampling: Sampling) -> Any:
    """Set JAX up; it compiles while it runs."""
    import numpyro

    numpyro.set_host_device_count(sampling.chains)
    numpyro.enable_x64()
    return built


def _fit_bambi_numpyro(built: _Bambi, sampling: Sampling, seed: int) -> Drawn:
    with _compile_clock() as compiling:
        tree = built.model.fit(
            draws=sampling.draws,
            tune=sampling.warmup,
            chains=sampling.chains,
            cores=sampling.cores,
            random_seed=seed,
            inference_method="numpyro",
            progressbar=False,
        )
        divergences = int(tree["sample_stats"]["diverging"].sum())
    return Drawn(tree["posterior"].to_dataset(), divergences, compiling())


def _build_numpyro(*, noncentered: bool) -> Callable[[Work, Any], Any]:
    def build(work: Work, data: pd.DataFrame) -> tuple[Model, bool]:
        return _plain(work, data), noncentered

    return build


def _numpyro_program(plain: Model, *, noncentered: bool) -> Callable[[], None]:
    """Write a model for NumPyro, as a person would."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    design = plain.design
    X = jnp.asarray(design.X - design.x_bar)
    y = jnp.asarray(design.y)
    factors = [
        (factor, jnp.asarray(factor.index), jnp.asarray(factor.Z))
        for factor in design.factors
    ]

    def prior(name: str) -> Any:
        known = plain.priors[name].prior
        distributions = {"normal": dist.Normal, "exponential": dist.Exponential}
        return distributions[known.distribution](*known.arguments)

    scales = jnp.array(_beta_scales(plain, design.coefficients))

    def program() -> None:
        eta = numpyro.sample("alpha_c", prior("Intercept"))
        if design.coefficients:
            beta = numpyro.sample("beta", dist.Normal(0, scales).to_event(1))
            eta = eta + X @ beta
        for factor, index, Z in factors:
            names = GroupNames.of(factor.factor)
            for q, name in enumerate(factor.coefficients):
                tau = numpyro.sample(f"{names.tau}_{q}", prior(f"{names.tau}[{name}]"))
                with numpyro.plate(f"{names.group}_{q}", len(factor.labels)):
                    if noncentered:
                        z = numpyro.sample(f"z_{names.group}_{q}", dist.Normal(0, 1))
                        u = numpyro.deterministic(f"u_{names.group}_{q}", tau * z)
                    else:
                        u = numpyro.sample(f"u_{names.group}_{q}", dist.Normal(0, tau))
                eta = eta + u[index] * Z[:, q]
        if plain.spec.family == "gaussian":
            sigma = numpyro.sample("sigma", prior("sigma"))
            numpyro.sample("y", dist.Normal(eta, sigma), obs=y)
        else:
            numpyro.sample("y", dist.Bernoulli(logits=eta), obs=y)

    return program


def _fit_numpyro(built: tuple[Model, bool], sampling: Sampling, seed: int) -> Drawn:
    import jax
    import xarray as xr
    from numpyro.infer import MCMC, NUTS

    plain, noncentered = built
    with _compile_clock() as compiling:
        mcmc = MCMC(
            NUTS(_numpyro_program(plain, noncentered=noncentered)),
            num_warmup=sampling.warmup,
            num_samples=sampling.draws,
            num_chains=sampling.chains,
            chain_method="parallel",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(seed), extra_fields=("diverging",))
        draws = {
            name: np.asarray(values)
            for name, values in mcmc.get_samples(group_by_chain=True).items()
            if not name.startswith("z_")
        }
        diverging = int(np.asarray(mcmc.get_extra_fields()["diverging"]).sum())
        labelled = xr.Dataset(
            {
                name: (("chain", "draw", f"{name}_dim")[: values.ndim], values)
                for name, values in draws.items()
            }
        )
    return Drawn(labelled, diverging, compiling())


def _numpyro_quantities(built: tuple[Model, bool], drawn: Drawn) -> dict[str, Array]:
    """Return the quantities of stanpool's posterior from NumPyro's."""
    plain, _ = built
    design = plain.design
    draws = {name: values.to_numpy() for name, values in drawn.draws.items()}
    found = {"Intercept": draws["alpha_c"]}
    if design.coefficients:
        found["beta"] = draws["beta"]
        found["Intercept"] = found["Intercept"] - draws["beta"] @ design.x_bar
    for factor in design.factors:
        names = GroupNames.of(factor.factor)
        count = len(factor.coefficients)
        found[names.tau] = np.stack(
            [draws[f"{names.tau}_{q}"] for q in range(count)], axis=2
        )
        u = np.stack([draws[f"u_{names.group}_{q}"] for q in range(count)], axis=3)
        found[names.b] = u + _means(found, factor.coefficients, design.coefficients)
    if "sigma" in draws:
        found["sigma"] = draws["sigma"]
    return found


@contextmanager
def _compile_clock() -> Iterator[Callable[[], float]]:
    """Add up the seconds in which JAX says that it traced and compiled."""
    import jax

    seconds = 0.0

    def listen(event: str, duration: float, **_: Any) -> None:
        nonlocal seconds
        if event in _COMPILING:
            seconds += duration

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lambda: seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


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


def _numpyro(name: str, *, noncentered: bool) -> Tool:
    form = "noncentered" if noncentered else "centered"
    return Tool(
        name,
        f"NumPyro, written by hand, {form}",
        ("numpyro", "jax"),
        _build_numpyro(noncentered=noncentered),
        _compile_for_jax,
        _fit_numpyro,
        _numpyro_quantities,
    )


PEERS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _bambi_nutpie("bambi-nutpie", noncentered=True),
        _bambi_nutpie("bambi-nutpie-centered", noncentered=False),
        Tool(
            "bambi-numpyro",
            "bambi, noncentered, compiled by JAX and sampled by NumPyro",
            ("bambi", "numpyro", "jax"),
            _build_bambi(noncentered=True),
            _compile_for_jax,
            _fit_bambi_numpyro,
            _bambi_quantities,
        ),
        _numpyro("numpyro", noncentered=True),
        _numpyro("numpyro-centered", noncentered=False),
    )
}
