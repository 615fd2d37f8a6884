"""NumPyro programs written by hand, as its documentation writes hierarchical models.

Chains run beside each other, on as many devices as there are chains: NumPyro's
vectorized chains wait for the longest trajectory of each other. All in 64 bits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.tools.tool import Drawn, Tool
from stanpool.bench.tools.written import Factor, Written, quantities

if TYPE_CHECKING:
    import pandas as pd

_COMPILING = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)
_WARMUP = 1000  # of NumPyro's examples; it has no default


@dataclass(frozen=True, eq=False)
class _Built:
    written: Written
    form: str


def _build(form: str) -> Callable[[Benchmark, Any], _Built]:
    def build(benchmark: Benchmark, data: pd.DataFrame) -> _Built:
        return _Built(Written.of(benchmark, data), form or benchmark.expert)

    return build


def set_up_jax(built: Any, sampling: Sampling) -> Any:
    """Set JAX up; it compiles while it runs."""
    import numpyro

    numpyro.set_host_device_count(sampling.chains)
    numpyro.enable_x64()
    return built


def _prior(written: Written, parameter: str) -> Any:
    import numpyro.distributions as dist

    name, arguments = written.prior(parameter)
    distributions = {
        "normal": dist.Normal,
        "exponential": dist.Exponential,
        "student_t": dist.StudentT,
        "gamma": dist.Gamma,
        "inv_gamma": dist.InverseGamma,
    }
    return distributions[name](*arguments)


def _program(written: Written, *, centered: bool) -> Callable[[], None]:
    """Write a model for NumPyro."""
    import numpyro
    import numpyro.distributions as dist

    design = written.plain.design

    def program() -> None:
        alpha, beta = 0.0, None
        if not design.categories:
            alpha = numpyro.sample("alpha_c", _prior(written, "Intercept"))
        if design.coefficients:
            scales = written.beta_scales()
            beta = numpyro.sample("beta", dist.Normal(0, scales).to_event(1))
        eta: Any = 0.0 if design.offset is None else design.offset
        if beta is not None and written.own:
            eta = eta + written.X @ beta[np.array(written.own)]
        for factor in written.factors:
            around = written.around(factor, alpha, beta)
            b = _coefficients(written, factor, around, centered=centered)
            eta = eta + factor.effect(b)
        _outcome(written, eta)

    return program


def _coefficients(
    written: Written, factor: Factor, around: list[Any], *, centered: bool
) -> Any:
    """Sample the coefficients of the groups, with what they vary around."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    group, shape = factor.names.group, (factor.groups, len(around))
    rates = written.tau_rates(factor)
    tau = numpyro.sample(f"tau_{group}", dist.Exponential(rates).to_event(1))
    mean = jnp.stack([jnp.asarray(each) for each in around])
    chol = None
    if factor.is_correlated:
        (concentration,) = written.prior(factor.names.Omega)[1]
        lower = dist.LKJCholesky(len(around), concentration)
        correlations = numpyro.sample(f"chol_{group}", lower)
        numpyro.deterministic(f"corr_{group}", correlations @ correlations.T)
        chol = tau[:, None] * correlations
    if centered:
        spread = (
            dist.Normal(mean, tau).to_event(1)
            if chol is None
            else dist.MultivariateNormal(mean, scale_tril=chol)
        )
        with numpyro.plate(f"groups_{group}", factor.groups):
            b = numpyro.sample(f"b_{group}", spread)
        numpyro.deterministic(f"u_{group}", b - mean)
        return b
    z = numpyro.sample(f"z_{group}", dist.Normal(0, 1).expand(shape).to_event(2))
    u = z * tau if chol is None else z @ chol.T
    return numpyro.deterministic(f"u_{group}", u) + mean


def _outcome(written: Written, eta: Any) -> None:
    """Sample the outcome."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    plain, design = written.plain, written.plain.design
    family, y = plain.spec.family, design.y
    if family == "gaussian":
        sigma = design.se
        if sigma is None:
            sigma = numpyro.sample("sigma", _prior(written, "sigma"))
        outcome: Any = dist.Normal(eta, sigma)
    elif family == "bernoulli":
        outcome = dist.Bernoulli(logits=eta)
    elif family == "negative_binomial":
        phi = numpyro.sample("phi", _prior(written, "phi"))
        outcome, y = dist.NegativeBinomial2(jnp.exp(eta), phi), y.astype(int)
    else:
        names = [row.parameter for row in plain.priors if "cutpoint" in row.parameter]
        ordered = dist.ImproperUniform(
            dist.constraints.ordered_vector, (), (len(names),)
        )
        cutpoint = numpyro.sample("cutpoint", ordered)
        density = _prior(written, names[0]).log_prob(cutpoint).sum()
        numpyro.factor("of_cutpoints", density)
        outcome, y = dist.OrderedLogistic(eta, cutpoint), y.astype(int)
    with numpyro.handlers.scale(
        scale=1.0 if design.weights is None else design.weights
    ):
        numpyro.sample("y", outcome, obs=y)


def _fit(built: _Built, sampling: Sampling, seed: int) -> Drawn:
    import jax
    import xarray as xr
    from numpyro.infer import MCMC, NUTS

    with clock_of_compiling() as compiling:
        mcmc = MCMC(
            NUTS(_program(built.written, centered=built.form == "centered")),
            num_warmup=_WARMUP if sampling.warmup is None else sampling.warmup,
            num_samples=sampling.draws,
            num_chains=sampling.chains,
            chain_method="parallel",
            progress_bar=False,
        )
        mcmc.run(jax.random.key(seed), extra_fields=("diverging",))
        draws = {
            name: np.asarray(values)
            for name, values in mcmc.get_samples(group_by_chain=True).items()
            if not name.startswith(("z_", "b_", "chol_"))
        }
        diverging = int(np.asarray(mcmc.get_extra_fields()["diverging"]).sum())
        labelled = xr.Dataset(
            {
                name: (
                    ("chain", "draw", *(f"{name}_{k}" for k in range(values.ndim - 2))),
                    values,
                )
                for name, values in draws.items()
            }
        )
    seconds, cpu = compiling()
    return Drawn(labelled, diverging, compile_seconds=seconds, compile_cpu_seconds=cpu)


@contextmanager
def clock_of_compiling() -> Iterator[Callable[[], tuple[float, float]]]:
    """Add up the seconds, and those of processors, in which JAX traces and compiles.

    JAX says when it has compiled and how long it took. The processors' time is that of
    the process between these two moments, taken from a record of it.
    """
    import jax

    record, compiled, ended = [_moment()], [], threading.Event()

    def keep() -> None:
        while not ended.wait(0.01):
            record.append(_moment())

    def listen(event: str, duration: float, **_: Any) -> None:
        if event in _COMPILING:
            now = time.perf_counter()
            compiled.append((now - duration, now))

    def total() -> tuple[float, float]:
        at, cpu = np.array(record).T
        spans = np.interp(np.array(compiled).reshape(-1, 2), at, cpu)
        seconds = sum(end - begin for begin, end in compiled)
        return float(seconds), float(np.diff(spans, axis=1).sum())

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield total
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        record.append(_moment())
        ended.set()
        thread.join()


def _moment() -> tuple[float, float]:
    """Return the time, and the processors' time of this process."""
    times = os.times()
    return time.perf_counter(), times.user + times.system


def _tool(name: str, *, form: str = "") -> Tool:
    written = f"{form} " if form else ""
    return Tool(
        name,
        f"a {written}NumPyro program as an expert writes it",
        ("numpyro", "jax"),
        _build(form),
        set_up_jax,
        _fit,
        quantities,
        lambda built: built.form,
    )


NUMPYRO = (
    _tool("numpyro"),
    _tool("numpyro-centered", form="centered"),
    _tool("numpyro-noncentered", form="noncentered"),
)
"""The form is the expert's for the benchmark, or the one that is named."""
