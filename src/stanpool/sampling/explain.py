"""What was chosen for a model, and why, in words."""

from __future__ import annotations

from stanpool.base.errors import quote
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.origins import matrix_to_zero
from stanpool.data.design.outcome import said_of_success
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors import listed_origins
from stanpool.sampling.sample import ADAPT_DELTA, default_adapt_delta, default_warmup


def explain(model: PreparedModel) -> str:
    """Say what was chosen for the model, and why; to be printed.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)",
    ...                  sp.load_dataset("radon"), parameterization="marginal")
    >>> print(model.explain())
    Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 919 rows, 85 groups)
    parameterization: marginal (set)
    integrated out: the coefficients of 85 groups of 'county', drawn back exactly
    rows: 919, turned into 49 of the same likelihood
    warm-up: 500 iterations, from around a pilot estimate and with its metric
    """
    lines = [repr(model)]
    if model.parameterization:
        reason = model.parameterization_reason
        lines.append(f"parameterization: {model.parameterization} ({reason})")
    if model.design.origins:
        lines.append(
            f"origins: {listed_origins(dict(model.design.origins))}, from where the "
            "program counts predictors of the population and of correlated "
            "coefficients; model.priors says what has its prior there"
        )
    success = said_of_success(model.spec, model.data)
    if success:
        lines.append(f"outcome: {success}")
    lines += [f"left out: {each}" for each in model.design.said_of_left_out()]
    lines += [
        f"coefficients of {quote(factor.factor)} are uncorrelated where "
        "predictors are 0, far from their values; center(x) puts 0 among them"
        for factor in model.design.factors
        if matrix_to_zero(factor, dict(model.design.origins)) is not None
    ]
    if isinstance(model.rows, MarginalRows):
        factors = [model.design.factors[number] for number in model.rows.integrated]
        groups = " and ".join(
            f"{len(factor.labels)} groups of {quote(factor.factor)}"
            for factor in factors
        )
        lines.append(
            f"integrated out: the coefficients of {groups}, drawn back exactly"
        )
    if model.spec.pooling != "complete":
        lines += [
            f"memberships: a row gets {each.of_a_row}"
            for each in model.spec.groups
            if each.membership
        ]
    for factor, centering in zip(model.design.factors, model.centering, strict=False):
        lines.append(centering.describe(factor))
    if model.chunks is not None:
        lines.append(f"data: read in chunks from {model.chunks.named}, and not kept")
    if isinstance(model.rows, AggregatedRows):
        lines.append(
            f"rows: {model.design.rows}, collected into {model.rows.kept} cells of "
            "the same predictors and groups"
        )
    elif model.rows is not None:
        lines.append(
            f"rows: {model.design.rows}, turned into {model.rows.kept} of the same "
            "likelihood"
        )
    warmup = default_warmup(model)
    if warmup < default_warmup(model, inits="random"):
        lines.append(
            f"warm-up: {warmup} iterations, from around a pilot estimate and with "
            "its metric"
        )
    target = default_adapt_delta(model)
    if target > ADAPT_DELTA:
        lines.append(f"target acceptance rate: {target}, for there are few groups")
    return "\n".join(lines)
