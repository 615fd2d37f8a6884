"""The contents of the report on a fit: the verdict, and the sections after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool import plots
from stanpool.base.arrays import Indices
from stanpool.inference.diagnostics.diagnosis import in_order
from stanpool.inference.evaluation.prior_sensitivity import SENSITIVE, prior_sensitivity
from stanpool.language.formulas.formula_text import formulas_of, stated
from stanpool.model.description.equations import equations
from stanpool.model.form import AS_REQUESTED
from stanpool.plots.graph.model_graph import graph
from stanpool.posterior.scalars import short_label
from stanpool.report.criticism import criticism, predictive
from stanpool.report.estimates import approximation, convergence, estimates
from stanpool.report.parts import (
    Formulas,
    Missing,
    Section,
    facts,
    picture,
    table,
    unless_large,
)
from stanpool.report.record import digest_of_data, versions

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.inference.diagnostics import Diagnosis, Finding
    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.model.fit_result import FitResult


# The part of the report that shows more of what a check found.
_SECTION_OF = {"funnel": "funnel", "e_bfmi": "energy"}

# What the report calls entries of ``fit.engine``: which engine it is, and how CmdStan
# was installed.
_OF_ENGINE = {"name": "engine", "engine": "CmdStan"}


@dataclass(frozen=True)
class Check:
    """A finding of the diagnosis, with a link to a part of the report."""

    level: str
    sentence: str
    source: str
    target: str


def checks(diagnosis: Diagnosis, *, target: str = "") -> tuple[Check, ...]:
    """List the findings, problems first.

    Each links to the part of the report that shows more, or to ``target``.
    """
    return tuple(_check(each, target) for each in in_order(diagnosis.checks))


def _check(finding: Finding, target: str) -> Check:
    target = target or _SECTION_OF.get(finding.check, "convergence")
    return Check(finding.level, finding.sentence, finding.source, target)


def steps(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Write the advice, with the arguments to pass."""
    found = []
    for each in diagnosis.advice:
        code = ", ".join(f"{name}={value!r}" for name, value in each.arguments.items())
        found.append(f"{each.action}{f' ({code})' if code else ''}: {each.reason}")
    return tuple(found)


def sections(
    fit: FitResult,
    *,
    summary: pd.DataFrame,
    shown: pd.DataFrame,
    left_out: CrossValidation | Missing,
) -> tuple[Section, ...]:
    """Write all sections that follow the verdict.

    Parameters
    ----------
    fit
        A fit.
    summary
        The summary of all its quantities.
    shown
        The rows of the summary that are printed.
    left_out
        The result of leave-one-out cross-validation, or why there is none.
    """
    return (
        _model(fit),
        _computation(fit),
        estimates(fit, summary, shown),
        convergence(fit, summary) if fit.approximation is None else approximation(fit),
        predictive(fit),
        criticism(fit, left_out),
        _priors(fit),
    )


def _model(fit: FitResult) -> Section:
    model, spec = fit.model, fit.model.spec
    pairs: list[tuple[str, object]] = [
        ("formula", stated(spec)),
        ("family", f"{spec.family}, link {spec.link_name}"),
        ("pooling", spec.pooling),
    ]
    if model.parameterization:
        reason = model.parameterization_reason
        why = "" if reason == AS_REQUESTED else f" ({reason})"
        pairs.append(("parameterization", f"{model.parameterization}{why}"))
    pairs.append(("rows", f"{model.design.rows:,}, all rows of the data"))
    for each in model.design.factors:
        pairs.append((short_label(each.factor), _groups_in_words(each.sizes)))
    if fit.prior_only:
        pairs.append(("draws", "from the prior, without the outcome"))
    priors = model.priors.to_frame().set_index("parameter")
    return Section(
        "model",
        "Model",
        "",
        (
            facts("stated", "Model specification", pairs),
            Formulas("equations", "The model in equations", equations(model).html),
            picture(
                "graph",
                "The model as a graph",
                "Data in boxes, parameters in ellipses, and what is calculated from "
                "them, with arrows to what depends on them. Rectangles around them say "
                "how many there are. The equations say the same.",
                lambda: graph(model).figure,
            ),
            table("priors", "Priors, including the defaults", priors),
        ),
        code=model.stan_code,
        code_title="Stan program",
    )


def _groups_in_words(sizes: Indices) -> str:
    """Say how many groups there are, and how many rows they have."""
    few, many = sizes.min(), sizes.max()
    if few == many:
        rows = f"{few:,} row{'s' if few != 1 else ''} each"
    else:
        rows = f"{few:,} to {many:,} rows, median {np.median(sizes):,.0f}"
    return f"{len(sizes):,} groups of {rows}"


def _computation(fit: FitResult) -> Section:
    settings, found = fit.settings, versions()
    drawn: list[tuple[str, object]] = [
        ("chains", settings.chains),
        (
            "draws per chain",
            f"{settings.draws:,} after {settings.warmup:,} of warm-up",
        ),
        ("adapt_delta", settings.adapt_delta),
        ("max_treedepth", settings.max_treedepth),
    ]
    if fit.approximation is not None:
        drawn = [("method", fit.approximation.named), ("draws", f"{settings.draws:,}")]
    pairs: list[tuple[str, object]] = [
        *drawn,
        ("seed", settings.seed),
        ("sampling time", f"{fit.seconds:.1f} s"),
        *((_OF_ENGINE.get(name, name), value) for name, value in fit.engine.items()),
        *found.items(),
        ("program", f"{fit.program.name}, SHA-256 {fit.program.digest}"),
        ("data", f"SHA-256 {digest_of_data(fit.model)}"),
    ]
    return Section(
        "computation",
        "Computation",
        "",
        (facts("settings", "Settings, versions and checksums", pairs),),
        code=_reproduce(fit),
        code_title="Code that reproduces these draws",
    )


def _reproduce(fit: FitResult) -> str:
    """Write the call that gives the same draws."""
    spec, settings = fit.model.spec, fit.settings
    options: dict[str, Any] = {
        "family": spec.family,
        "pooling": spec.pooling,
        "parameterization": fit.model.parameterization or "auto",
    }
    if spec.link is not None:
        options["link"] = spec.link
    if spec.residual is not None:
        options["residual"] = spec.residual
    if spec.group_predictors:
        options["group_predictors"] = list(spec.group_predictors)
    if spec.priors:
        options["priors"] = {name: str(prior) for name, prior in spec.priors}
    if not spec.center_predictors:
        options["center_predictors"] = False
    lines = "".join(f"    {name}={value!r},\n" for name, value in options.items())
    names = ["chains", "draws", "warmup", "seed", "adapt_delta", "max_treedepth"]
    if fit.approximation is not None:
        names = ["method", "chains", "draws", "seed"]
    how = ", ".join(f"{name}={getattr(settings, name)!r}" for name in names)
    formulas = formulas_of(spec)
    written = formulas if len(formulas) > 1 else formulas[0]
    return (
        "import stanpool as sp\n\nmodel = sp.Model(\n"
        f"    {written!r},\n    data,\n{lines})\nfit = model.fit({how})\n"
    )


def _priors(fit: FitResult) -> Section:
    return Section(
        "learning",
        "Priors and posteriors",
        "Where the posterior is like the prior, the data were not informative.",
        (
            picture(
                "prior-posterior",
                "Priors and posteriors of the population parameters",
                "Densities of the prior and the posterior of each population "
                "parameter. The numbers are in the tables of priors and of estimates.",
                lambda: plots.plot_prior_posterior(fit),
            ),
            unless_large(
                fit,
                "Sensitivity to the priors and to the data (power scaling)",
                "prior_sensitivity",
                lambda caption: table(
                    "sensitivity",
                    caption,
                    prior_sensitivity(fit).rename_axis("quantity"),
                    note=f"Above {SENSITIVE}, the posterior depends on it.",
                ),
            ),
        ),
    )
