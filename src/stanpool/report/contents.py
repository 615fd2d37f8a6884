"""A fit -> the sections of its report, verdict first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool import plots
from stanpool.base.errors import StanpoolError
from stanpool.inference.estimates.summary import population_names
from stanpool.inference.estimates.variance import bayes_R2, icc, pooling_factors
from stanpool.inference.evaluation.cross_validation import LARGEST, score_name
from stanpool.inference.evaluation.loo import loo as leave_one_out
from stanpool.inference.evaluation.prior_sensitivity import SENSITIVE, prior_sensitivity
from stanpool.inference.prediction.group_likelihood import is_gaussian
from stanpool.language.family import FAMILIES
from stanpool.language.formula_text import formula_of
from stanpool.model.form import AS_REQUESTED
from stanpool.posterior.scalars import meanings, scalars, short_label
from stanpool.report.parts import Missing, Part, Table, attempt, facts, picture, table
from stanpool.report.record import digest_of_data, versions

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.inference.diagnostics import Diagnosis, Finding
    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.model.fit_result import FitResult

MOST_ROWS = 2000
_WORST = 10
_FEWEST_ROWS = 100
_POINTS = 30  # likelihoods of a group, where its coefficients are integrated out

# Where a finding of a check leads.
_SECTION_OF = {"funnel": "funnel", "e_bfmi": "energy"}


@dataclass(frozen=True)
class Section:
    """A part of the report with a heading."""

    id: str
    title: str
    intro: str
    parts: tuple[Part, ...]
    code: str = ""
    code_title: str = ""


@dataclass(frozen=True)
class Check:
    """A finding of the diagnosis, and where in the report to look."""

    level: str
    sentence: str
    source: str
    target: str


def checks(diagnosis: Diagnosis) -> tuple[Check, ...]:
    """List the findings, problems first, then what passed."""
    passed = [each for each in diagnosis.checks if each.level == "passed"]
    return tuple(_check(each) for each in (*diagnosis.findings, *passed))


def _check(finding: Finding) -> Check:
    target = _SECTION_OF.get(finding.check, "convergence")
    return Check(finding.level, finding.sentence, finding.source, target)


def steps(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Write what to do, with the arguments that do it."""
    found = []
    for each in diagnosis.advice:
        code = ", ".join(f"{name}={value!r}" for name, value in each.arguments.items())
        found.append(f"{each.action}{f' ({code})' if code else ''}: {each.reason}")
    return tuple(found)


def sections(
    fit: FitResult, *, summary: pd.DataFrame, shown: pd.DataFrame, loo: bool
) -> tuple[Section, ...]:
    """Write all sections after the verdict.

    Parameters
    ----------
    fit
        A fit.
    summary
        Its summary: all quantities.
    shown
        The rows of it that are printed.
    loo
        Whether to leave rows out, or a sample of very many.
    """
    return (
        _model(fit),
        _computation(fit),
        _estimates(fit, summary, shown),
        _convergence(fit, summary),
        _predictive(fit),
        _criticism(fit, loo),
        _priors(fit),
    )


def rows_shown(fit: FitResult, summary: pd.DataFrame) -> pd.DataFrame:
    """Choose the rows to print: the population's, and the worst of the groups'."""
    if len(summary) <= MOST_ROWS:
        return summary
    blocks = scalars(fit.posterior, var_names=population_names(fit))
    first = summary.index.isin([label for each in blocks for label in each.labels])
    rest = worst_first(summary[~first]).iloc[: max(0, MOST_ROWS - int(first.sum()))]
    return summary[first | summary.index.isin(rest.index)]


def worst_first(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort a summary by the smaller of the two effective sizes; none at the end."""
    least = summary[["ess_bulk", "ess_tail"]].min(axis=1)
    return summary.loc[least.sort_values(kind="stable", na_position="last").index]


def _model(fit: FitResult) -> Section:
    model, spec = fit.model, fit.model.spec
    pairs: list[tuple[str, object]] = [
        ("formula", formula_of(spec)),
        ("family", f"{spec.family}, link {spec.link_name}"),
        ("pooling", spec.pooling),
    ]
    if model.parameterization:
        reason = model.parameterization_reason
        why = "" if reason == AS_REQUESTED else f" ({reason})"
        pairs.append(("parameterization", f"{model.parameterization}{why}"))
    pairs.append(("rows", f"{model.design.rows:,}; none were dropped"))
    for each in model.design.factors:
        sizes = each.sizes
        pairs.append(
            (
                short_label(each.factor),
                f"{len(each.labels):,} groups of {sizes.min():,} to {sizes.max():,} "
                f"rows, median {np.median(sizes):,.0f}",
            )
        )
    if fit.prior_only:
        pairs.append(("draws", "from the prior: the outcome was left out"))
    priors = model.priors.to_frame().set_index("parameter")
    return Section(
        "model",
        "Model",
        "",
        (
            facts("stated", "The model as stated", pairs),
            table("priors", "Priors in force, defaults included", priors),
        ),
        code=model.stan_code,
        code_title="Stan program",
    )


def _computation(fit: FitResult) -> Section:
    settings, found = fit.settings, versions()
    pairs: list[tuple[str, object]] = [
        ("chains", settings.chains),
        ("draws per chain", f"{settings.draws:,} after {settings.warmup:,} of warm-up"),
        ("seed", settings.seed),
        ("adapt_delta", settings.adapt_delta),
        ("max_treedepth", settings.max_treedepth),
        ("sampling took", f"{fit.seconds:.1f} s"),
        *((name, value) for name, value in fit.engine.items()),
        *((name, value) for name, value in found.items()),
        ("program", f"{fit.program.name}, SHA-256 {fit.program.digest}"),
        ("data", f"SHA-256 {digest_of_data(fit.model)}"),
    ]
    return Section(
        "computation",
        "Computation",
        "",
        (facts("settings", "Settings, versions and digests", pairs),),
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
    names = ("chains", "draws", "warmup", "seed", "adapt_delta", "max_treedepth")
    how = ", ".join(f"{name}={getattr(settings, name)!r}" for name in names)
    return (
        "import stanpool as sp\n\nmodel = sp.Model(\n"
        f"    {formula_of(spec)!r},\n    data,\n{lines})\nfit = model.fit({how})\n"
    )


def _estimates(fit: FitResult, summary: pd.DataFrame, shown: pd.DataFrame) -> Section:
    note = "Intervals from q5 to q95 are central and have 90 % of the draws."
    if len(shown) < len(summary):
        note += (
            f" Of {len(summary):,} quantities {len(shown):,} are printed: those of the "
            "population, and of the groups those that mixed worst. fit.summary() has "
            "all."
        )
    parts: list[Part] = [
        table(
            "estimates",
            "Estimates",
            _with_meanings(fit, shown),
            searchable=True,
            note=note,
        ),
        picture(
            "forest",
            "Quantities of the population",
            "Medians with 50 and 90 per cent intervals of the population's quantities, "
            "one below the other. The numbers are in the table of estimates.",
            lambda: plots.plot_forest(fit),
        ),
    ]
    varying = [
        (factor.factor, coefficient)
        for factor in fit.model.design.factors[:2]
        for coefficient in factor.coefficients[:2]
    ]
    for number, (factor, coefficient) in enumerate(varying):
        parts.append(_caterpillar(fit, number, factor, coefficient))
    parts += _if_there(
        picture(
            "group-regression",
            "Groups' coefficients against a group-level predictor",
            "Medians and 90 per cent intervals of the groups' coefficients over the "
            "group-level predictor, with the regression of their population.",
            lambda: plots.plot_group_regression(fit),
        )
    )
    parts += _if_there(
        picture(
            "lines",
            "Regressions of some groups, from the smallest to the largest",
            "Outcomes over a predictor in a panel for each of up to twelve groups, "
            "with the expected outcome and its 90 per cent band.",
            lambda: plots.plot_lines(fit),
        )
    )
    if _is_pooled(fit):
        parts.append(
            _of_all_rows(
                fit,
                "How far groups are pooled (0 not at all, 1 completely), and what "
                "predictors explain at each level",
                "pooling_factors",
                lambda caption: table("pooling", caption, pooling_factors(fit)),
            )
        )
    return Section("estimates-section", "Estimates", "", tuple(parts))


def _with_meanings(fit: FitResult, summary: pd.DataFrame) -> pd.DataFrame:
    """Say of each quantity of a summary what it belongs to."""
    of = meanings(fit.posterior, fit.model.design)
    table = summary.rename_axis("quantity")
    table.insert(0, "of", [of[str(label)] for label in table.index])
    return table


def _if_there(part: Part) -> list[Part]:
    """Leave out a part that not every model is expected to have."""
    return [] if isinstance(part, Missing) else [part]


def _caterpillar(fit: FitResult, number: int, factor: str, coefficient: str) -> Part:
    name = f"{short_label(coefficient)} by {short_label(factor)}"
    return picture(
        f"groups-{number + 1}",
        name,
        f"{name}: medians of all groups in order, with 50 and 90 per cent intervals. "
        "The numbers are in the table of estimates.",
        lambda: plots.plot_caterpillar(fit, factor=factor, coefficient=coefficient),
    )


def _convergence(fit: FitResult, summary: pd.DataFrame) -> Section:
    worst = worst_first(summary).head(_WORST)
    quantities = [str(label) for label in worst.index[:4]]
    columns = ["r_hat", "ess_bulk", "ess_tail", "mcse_mean", "mean", "sd"]
    parts: list[Part] = [
        table(
            "worst",
            "The quantities that mixed worst, by effective sample size",
            _with_meanings(fit, worst[columns]),
        ),
        picture(
            "traces",
            "Traces and ranks of the worst quantities",
            "For each of the worst quantities the draws of each chain in order, and "
            "histograms of their ranks among all draws. "
            + _mixing_in_words(worst.head(4)),
            lambda: plots.plot_traces(fit, quantities=quantities),
        ),
        picture(
            "autocorrelation",
            "Autocorrelation of the worst quantities",
            "For each of the worst quantities and each chain, the correlation of draws "
            "with those up to 50 draws earlier; the sooner it comes to 0 the better.",
            lambda: plots.plot_autocorrelation(fit, quantities=quantities),
        ),
        picture(
            "energy",
            "Energy",
            "Densities of the energy and of its change from draw to draw; they should "
            "be about as wide as each other.",
            lambda: plots.plot_energy(fit),
        ),
    ]
    if fit.model.parameterization is not None:
        count = int(fit.sample_stats["diverging"].sum())
        parts.append(
            picture(
                "funnel",
                "A population scale against the coefficient of one group",
                f"Draws of a population scale and of the coefficient of the group that "
                f"the scale affects most; {count:,} divergent transitions are marked.",
                lambda: plots.plot_funnel(fit),
            )
        )
    return Section(
        "convergence",
        "Convergence, worst first",
        "Chains that agree look alike: traces without drift, ranks spread evenly.",
        tuple(parts),
    )


def _mixing_in_words(worst: pd.DataFrame) -> str:
    words = (
        f"{short_label(label)}: R-hat {row['r_hat']:.3f}, bulk effective size "
        f"{row['ess_bulk']:.0f}"
        for label, row in worst.iterrows()
    )
    return "; ".join(words) + "."


def _predictive(fit: FitResult) -> Section:
    title = "Predictive checks"
    if fit.model.design.censored is not None:
        reason = "censored outcomes cannot be put beside predictions, which are not."
        missing = Missing("A check of outcomes, seen and predicted,", reason)
        return Section("predictive-section", title, "", (missing,))
    parts: list[Part] = [
        picture(
            "predictive",
            "Outcomes, seen and predicted",
            "The distribution of the observed outcomes over distributions of outcomes "
            "drawn from the fitted model for the same rows.",
            lambda: plots.plot_predictive(fit),
        )
    ]
    if fit.model.design.factors:
        parts.append(
            picture(
                "predictive-groups",
                "Mean outcomes of the groups, seen and predicted",
                "The observed mean outcome of each group, in order, over the interval "
                "that has 90 per cent of the predicted means.",
                lambda: plots.plot_predictive(fit, kind="groups"),
            )
        )
    if FAMILIES[fit.model.spec.family].outcome == "count":
        parts.append(
            picture(
                "rootogram",
                "Counts, seen and predicted (hanging rootogram)",
                "Square roots of how often each count was seen hang from those of how "
                "often it is predicted; where they end away from 0 the model is off.",
                lambda: plots.plot_predictive(fit, kind="rootogram"),
            )
        )
    if fit.model.spec.groups:
        parts += _if_there(
            picture(
                "residuals",
                "Residuals of each group",
                "Residuals of rows, group by group in the order of their means, with "
                "the interval that has 90 per cent of predicted means of residuals.",
                lambda: plots.plot_residuals(fit),
            )
        )
    parts += _if_there(
        picture(
            "statistics",
            "Mean, spread, smallest and largest outcome, seen and predicted",
            "Histograms of four statistics of predicted outcomes, with those of the "
            "observed ones as lines, and how many predictions are above.",
            lambda: plots.plot_statistics(fit),
        )
    )
    parts.append(
        picture(
            "prior-predictive",
            "Outcomes before the data were seen",
            "The distribution of the observed outcomes over distributions of outcomes "
            "drawn from the priors alone.",
            lambda: plots.plot_predictive(fit, prior=True),
        )
    )
    return Section(
        "predictive-section",
        title,
        "If the model fits, outcomes drawn from it look like the observed ones.",
        tuple(parts),
    )


def _criticism(fit: FitResult, loo: bool) -> Section:
    parts: list[Part] = []
    if loo:
        parts += _left_out(fit)
    else:
        parts.append(
            Missing("Leave-one-out cross-validation", "switched off by loo=False.")
        )
    if _is_pooled(fit):
        parts.append(_influence(fit))
    if FAMILIES[fit.model.spec.family].outcome not in ("ordered", "categories"):
        parts.append(
            _of_all_rows(
                fit,
                "Share of the variance that is explained",
                "bayes_R2",
                lambda caption: table(
                    "r2", caption, bayes_R2(fit).rename_axis("quantity")
                ),
            )
        )
    if _is_pooled(fit):
        caption = "Share of each grouping factor in the variance of a new row"
        parts.append(
            attempt(
                caption, lambda: table("icc", caption, icc(fit).rename_axis("factor"))
            )
        )
    return Section("criticism", "What the model misses", "", tuple(parts))


def _is_pooled(fit: FitResult) -> bool:
    return fit.model.spec.pooling == "partial" and bool(fit.model.design.factors)


def _size(fit: FitResult) -> int:
    """Count rows times draws."""
    sizes = fit.posterior.sizes
    return int(fit.model.design.rows * sizes["chain"] * sizes["draw"])


def _of_all_rows(
    fit: FitResult, caption: str, method: str, make: Callable[[str], Part]
) -> Part:
    """Make a part that takes all rows at all draws, unless they are very many."""
    if _size(fit) > LARGEST:
        rows = fit.model.design.rows
        reason = f"{rows:,} rows at all draws take long; see fit.{method}()."
        return Missing(caption, reason)
    return attempt(caption, lambda: make(caption))


def _influence(fit: FitResult) -> Part:
    """Draw what leaving groups out does, unless it takes long."""
    caption = "How far estimates move where a group is left out"
    spec = fit.model.spec
    is_exact = is_gaussian(fit.model.design, spec.family, spec.link_name)
    if _size(fit) * (1 if is_exact else _POINTS) > LARGEST:
        reason = "groups of so many rows take long to integrate; see fit.influence()."
        return Missing(caption, reason)
    return picture(
        "influence",
        caption,
        "For each group, that of most influence first, the move of the quantity of the "
        "population that moves most without it, in posterior standard deviations.",
        lambda: plots.plot_influence(fit),
    )


def _left_out(fit: FitResult) -> Iterator[Part]:
    rows = fit.model.design.rows
    sample = max(_FEWEST_ROWS, LARGEST * rows // _size(fit))
    try:
        result = leave_one_out(
            fit, progress=False, sample=sample if sample < rows else None
        )
    except StanpoolError as reason:
        yield Missing("Leave-one-out cross-validation", str(reason))
        return
    yield _loo_figures(result)
    yield _worst_rows(result)
    yield picture(
        "pareto-k",
        "Pareto k of each row",
        f"Pareto k by row: {len(result.unreliable):,} of {len(result.units):,} "
        f"are above {result.good_k:.2f}, where it is not reliable.",
        lambda: plots.plot_pareto_k(result),
    )
    yield from _if_there(
        picture(
            "pit",
            "Calibration of the rows left out (LOO-PIT)",
            "The distribution of the predicted probabilities of smaller outcomes, less "
            "the uniform one, with the band that it leaves if miscalibrated.",
            lambda: plots.plot_pit(result),
        )
    )


def _loo_figures(result: CrossValidation) -> Table:
    pairs: list[tuple[str, object]] = [
        ("rows left out", f"{len(result.units):,} of {result.population:,}"),
        ("elpd (higher is better)", f"{result.elpd:,.1f}, SE {result.se:,.1f}"),
        ("effective parameters", f"{result.p:,.1f}"),
    ]
    if len(result.units) < result.population:
        pairs[0] = (pairs[0][0], f"a sample of {pairs[0][1]}; totals are scaled up")
    if np.isfinite(result.rmse):
        pairs.append(("RMSE of unseen rows", f"{result.rmse:.4g}"))
    if np.isfinite(result.score):
        name = f"{score_name(result.model.spec)} of unseen rows"
        pairs.append((name, f"{result.score:.4g}"))
        pairs.append(("most probable category came out", f"{result.accuracy:.1%}"))
    if np.isfinite(result.coverage()):
        pairs.append(("90% intervals cover", f"{result.coverage():.1%}"))
    pairs.append(
        ("Pareto k too large", f"{len(result.unreliable):,} of {len(result.units):,}")
    )
    return facts("loo", "Each row predicted from the others", pairs)


def _worst_rows(result: CrossValidation) -> Table:
    """Name the rows that the model predicts worst."""
    columns = ["elpd", "pareto_k"]
    worst = result.units.sort_values("elpd", kind="stable")[columns].head(_WORST)
    seen = result.rows.loc[worst.index, ["y", "predicted", "pit"]]
    if result.model.design.categories:
        names = np.array([str(each) for each in result.model.design.categories])
        seen = seen.assign(y=names[seen["y"].astype(int)]).drop(columns="predicted")
    return table(
        "surprising",
        "The most surprising rows, counted from 0",
        worst.join(seen).rename_axis("row"),
        note="pit: the predicted probability of a smaller outcome.",
    )


def _priors(fit: FitResult) -> Section:
    return Section(
        "learning",
        "What the data taught",
        "Where prior and posterior are alike, the data had nothing to say.",
        (
            picture(
                "prior-posterior",
                "Priors and posteriors of the population's quantities",
                "Densities of prior and posterior of each of the population's "
                "quantities. The numbers are in the tables of priors and of estimates.",
                lambda: plots.plot_prior_posterior(fit),
            ),
            _of_all_rows(
                fit,
                "Sensitivity to the priors and to the data (power scaling)",
                "prior_sensitivity",
                lambda caption: table(
                    "sensitivity",
                    caption,
                    prior_sensitivity(fit).rename_axis("quantity"),
                    note=f"Above {SENSITIVE} a posterior moves with it.",
                ),
            ),
        ),
    )
