"""PyMC models written by hand, compiled by Numba and sampled by nutpie.

The warm-up is nutpie's own unless one is given, and so is the metric: diagonal, or of
low rank besides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.tools.tool import Drawn, Tool
from stanpool.bench.tools.written import Factor, Written, quantities

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class _Built:
    written: Written
    model: Any
    form: str
    compiled: Any = None


def _build(form: str) -> Callable[[Benchmark, Any], _Built]:
    def build(benchmark: Benchmark, data: pd.DataFrame) -> _Built:
        written, chosen = Written.of(benchmark, data), form or benchmark.expert
        return _Built(written, _model(written, chosen == "centered"), chosen)

    return build


def _prior(written: Written, parameter: str, **options: Any) -> Any:
    """Declare a parameter with its prior."""
    import pymc as pm

    name, arguments = written.prior(parameter)
    names = {
        "normal": (pm.Normal, ("mu", "sigma")),
        "exponential": (pm.Exponential, ("lam",)),
        "student_t": (pm.StudentT, ("nu", "mu", "sigma")),
        "gamma": (pm.Gamma, ("alpha", "beta")),
        "inv_gamma": (pm.InverseGamma, ("alpha", "beta")),
    }
    distribution, words = names[name]
    declared = "alpha_c" if parameter == "Intercept" else parameter.partition("[")[0]
    numbers = dict(zip(words, arguments, strict=True))
    return distribution(declared, **numbers, **options)


def _model(written: Written, centered: bool) -> Any:
    """Write a model for PyMC."""
    import pymc as pm

    design = written.plain.design
    with pm.Model() as model:
        alpha = 0.0 if design.categories else _prior(written, "Intercept")
        scales = written.beta_scales()
        beta = (
            pm.Normal("beta", 0.0, scales, shape=len(scales)) if len(scales) else None
        )
        eta: Any = 0.0 if design.offset is None else design.offset
        if beta is not None and written.own:
            eta = eta + written.X @ beta[np.array(written.own)]
        for factor in written.factors:
            around = written.around(factor, alpha, beta)
            eta = eta + factor.effect(_coefficients(written, factor, around, centered))
        _outcome(written, eta)
    return model


def _coefficients(
    written: Written, factor: Factor, around: list[Any], centered: bool
) -> Any:
    """Declare the coefficients of the groups, with what they vary around."""
    import pymc as pm
    import pytensor.tensor as pt

    group, shape = factor.names.group, (factor.groups, len(around))
    mean = pt.stack([pt.as_tensor(each) for each in around])
    rates = written.tau_rates(factor)
    if factor.is_correlated:
        (concentration,) = written.prior(factor.names.Omega)[1]
        sd = pm.Exponential.dist(lam=rates, shape=len(rates))
        chol, correlations, tau = pm.LKJCholeskyCov(
            f"chol_{group}", n=len(rates), eta=concentration, sd_dist=sd
        )
        pm.Deterministic(f"corr_{group}", correlations)
        pm.Deterministic(f"tau_{group}", tau)
    else:
        tau = pm.Exponential(f"tau_{group}", lam=rates, shape=len(rates))
    if not centered:
        z = pm.Normal(f"z_{group}", shape=shape)
        u = z @ chol.T if factor.is_correlated else z * tau
        return pm.Deterministic(f"u_{group}", u) + mean
    if factor.is_correlated:
        b = pm.MvNormal(f"b_{group}", mu=mean, chol=chol, shape=shape)
    else:
        b = pm.Normal(f"b_{group}", mu=mean, sigma=tau, shape=shape)
    pm.Deterministic(f"u_{group}", b - mean)
    return b


def _outcome(written: Written, eta: Any) -> None:
    """Declare the outcome."""
    import pymc as pm

    plain, design = written.plain, written.plain.design
    family = plain.spec.family
    if family == "gaussian":
        sigma = _prior(written, "sigma") if design.se is None else design.se
        outcome = pm.Normal.dist(eta, sigma)
    elif family == "bernoulli":
        outcome = pm.Bernoulli.dist(logit_p=eta)
    elif family == "negative_binomial":
        outcome = pm.NegativeBinomial.dist(
            pm.math.exp(eta), alpha=_prior(written, "phi")
        )
    else:
        count = len(design.categories) - 1
        cutpoint = _prior(
            written,
            next(row.parameter for row in plain.priors if "cutpoint" in row.parameter),
            shape=count,
            transform=pm.distributions.transforms.ordered,
            initval=np.linspace(-1.0, 1.0, count),
        )
        outcome = pm.OrderedLogistic.dist(eta, cutpoint)
    weights = 1.0 if design.weights is None else design.weights
    pm.Potential("y", weights * pm.logp(outcome, design.y.astype(_kind(family))))


def _kind(family: str) -> type:
    return float if family == "gaussian" else int


def _compile(low_rank: bool) -> Callable[[_Built, Sampling], _Built]:
    def compile_model(built: _Built, sampling: Sampling) -> _Built:
        """Compile by Numba, and sample a little, so that all is loaded."""
        import nutpie

        kept = [
            each.name
            for each in (*built.model.free_RVs, *built.model.deterministics)
            if not each.name.startswith(("z_", "b_", "chol_"))
        ]
        compiled = nutpie.compile_pymc_model(built.model, var_names=kept)
        ready = replace(built, compiled=compiled)
        _sample(ready, replace(sampling, draws=5, warmup=5), 1, low_rank)
        return ready

    return compile_model


def sample_compiled(
    compiled: Any, sampling: Sampling, seed: int, **options: Any
) -> Any:
    """Sample a compiled model, with nutpie's own warm-up unless one is given."""
    import nutpie

    if sampling.warmup is not None:
        options["tune"] = sampling.warmup
    return nutpie.sample(
        compiled,
        draws=sampling.draws,
        chains=sampling.chains,
        cores=sampling.cores,
        seed=seed,
        progress_bar=False,
        **options,
    )


def _sample(built: _Built, sampling: Sampling, seed: int, low_rank: bool) -> Any:
    metric = {"low_rank_modified_mass_matrix": True} if low_rank else {}
    return sample_compiled(built.compiled, sampling, seed, save_warmup=True, **metric)


def _fit(low_rank: bool) -> Callable[[_Built, Sampling, int], Drawn]:
    def fit(built: _Built, sampling: Sampling, seed: int) -> Drawn:
        tree = _sample(built, sampling, seed, low_rank)
        after = tree["sample_stats"]
        warmup = int(tree["warmup_sample_stats"]["n_steps"].sum())
        return Drawn(
            tree["posterior"].to_dataset(),
            int(after["diverging"].sum()),
            int(after["n_steps"].sum()) + warmup,
            warmup,
        )

    return fit


def _tool(name: str, *, form: str = "", low_rank: bool = False) -> Tool:
    written = f"{form} " if form else ""
    metric = ", with a metric of low rank" if low_rank else ""
    return Tool(
        name,
        f"a {written}PyMC model as an expert writes it, by nutpie and Numba{metric}",
        ("nutpie", "pymc", "numba"),
        _build(form),
        _compile(low_rank),
        _fit(low_rank),
        quantities,
        lambda built: built.form,
    )


NUTPIE = (
    _tool("nutpie"),
    _tool("nutpie-low-rank", low_rank=True),
    _tool("nutpie-centered", form="centered"),
    _tool("nutpie-noncentered", form="noncentered"),
)
"""The form is the expert's for the benchmark, or the one that is named."""
