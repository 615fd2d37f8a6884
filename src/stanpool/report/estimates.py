"""The sections of a report on estimates and on convergence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stanpool import plots
from stanpool.inference.estimates.summary import population_names
from stanpool.inference.estimates.variance import pooling_factors
from stanpool.model.fit_result import diverging
from stanpool.posterior.scalars import meanings, scalars, short_label
from stanpool.report.parts import (
    Part,
    Section,
    facts,
    if_available,
    is_pooled,
    picture,
    table,
    unless_large,
)

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult

MOST_ROWS = 2000
_WORST = 10


def rows_shown(fit: FitResult, summary: pd.DataFrame) -> pd.DataFrame:
    """Choose the rows to print: the population's, and the worst of the groups'."""
    if len(summary) <= MOST_ROWS:
        return summary
    blocks = scalars(fit.posterior, var_names=population_names(fit))
    first = summary.index.isin([label for each in blocks for label in each.labels])
    rest = worst_first(summary[~first]).iloc[: max(0, MOST_ROWS - int(first.sum()))]
    return summary[first | summary.index.isin(rest.index)]


def worst_first(summary: pd.DataFrame) -> pd.DataFrame:
    """Sort a summary by the smaller of the two effective sizes, missing ones last.

    Without chains there are none, and the order stays.
    """
    if "ess_bulk" not in summary:
        return summary
    least = summary[["ess_bulk", "ess_tail"]].min(axis=1)
    return summary.loc[least.sort_values(kind="stable", na_position="last").index]


def estimates(fit: FitResult, summary: pd.DataFrame, shown: pd.DataFrame) -> Section:
    """Write the section of estimates, with figures of the groups' coefficients."""
    note = "The interval from q5 to q95 is the central one with 90 % of the draws."
    if len(shown) < len(summary):
        note += (
            f" The table has {len(shown):,} of {len(summary):,} quantities: those of "
            "the population, and those of the groups that were sampled worst. "
            "fit.summary() returns all of them."
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
            "Population parameters",
            "Medians with 50 and 90 per cent intervals of the population parameters, "
            "one below the other. The numbers are in the table of estimates.",
            lambda: plots.plot_forest(fit),
        ),
    ]
    parts += _effects(fit)
    parts += _group_figures(fit)
    if is_pooled(fit):
        parts.append(
            unless_large(
                fit,
                "Pooling factors (0 is no pooling, 1 is complete pooling) and "
                "explained variance at each level",
                "pooling_factors",
                lambda caption: table("pooling", caption, pooling_factors(fit)),
            )
        )
    return Section("estimates-section", "Estimates", "", tuple(parts))


def _effects(fit: FitResult) -> Iterator[Part]:
    """Draw what the model says in the unit of the outcome."""
    yield from if_available(
        picture(
            "conditional-effects",
            "Expected outcomes along each predictor",
            "Expected outcomes with 90 per cent intervals along each predictor and "
            "each interaction of two, with all other numbers at their means and all "
            "other factors at their most frequent level, and the outcomes, or means of "
            "20 bins of them.",
            lambda: plots.plot_conditional_effects(fit),
        )
    )


def _group_figures(fit: FitResult) -> Iterator[Part]:
    """Draw the coefficients of the groups, and their regression lines."""
    varying = [
        (factor.factor, coefficient)
        for factor in fit.model.design.factors[:2]
        for coefficient in factor.coefficients[:2]
    ]
    for number, (factor, coefficient) in enumerate(varying):
        yield _caterpillar(fit, number, factor, coefficient)
    yield from if_available(
        picture(
            "group-regression",
            "Group coefficients and a group-level predictor",
            "Medians and 90 per cent intervals of the group coefficients against the "
            "group-level predictor, with the population regression line.",
            lambda: plots.plot_group_regression(fit),
        )
    )
    yield from if_available(
        picture(
            "lines",
            "Regression lines of some groups, from the smallest to the largest group",
            "Outcomes against a predictor, in a panel for each of up to twelve groups, "
            "with the expected outcome and its 90 per cent band.",
            lambda: plots.plot_lines(fit),
        )
    )


def _with_meanings(fit: FitResult, summary: pd.DataFrame) -> pd.DataFrame:
    """Add to a summary what each quantity is a parameter of."""
    of = meanings(fit.posterior, fit.model.design)
    table = summary.rename_axis("quantity")
    table.insert(0, "of", [of[str(label)] for label in table.index])
    return table


def _caterpillar(fit: FitResult, number: int, factor: str, coefficient: str) -> Part:
    name = f"{short_label(coefficient)} by {short_label(factor)}"
    return picture(
        f"groups-{number + 1}",
        name,
        f"{name}: medians of all groups, sorted, with 50 and 90 per cent intervals. "
        "The numbers are in the table of estimates.",
        lambda: plots.plot_caterpillar(fit, factor=factor, coefficient=coefficient),
    )


def convergence(fit: FitResult, summary: pd.DataFrame) -> Section:
    """Write the section on convergence, which shows the worst quantities."""
    worst = worst_first(summary).head(_WORST)
    quantities = [str(label) for label in worst.index[:4]]
    columns = ["r_hat", "ess_bulk", "ess_tail", "mcse_mean", "mean", "sd"]
    parts: list[Part] = [
        table(
            "worst",
            "The quantities with the smallest effective sample sizes",
            _with_meanings(fit, worst[columns]),
        ),
        picture(
            "traces",
            "Traces and ranks of the worst quantities",
            "For each of the worst quantities, the draws of each chain in order and a "
            "histogram of their ranks among all draws. "
            + _mixing_in_words(worst.head(4)),
            lambda: plots.plot_traces(fit, quantities=quantities),
        ),
        picture(
            "autocorrelation",
            "Autocorrelation of the worst quantities",
            "For each of the worst quantities and each chain, the correlation of draws "
            "with those up to 50 draws earlier; it should fall to 0 quickly.",
            lambda: plots.plot_autocorrelation(fit, quantities=quantities),
        ),
        picture(
            "energy",
            "Energy",
            "Densities of the energy and of its change from draw to draw; they should "
            "be about equally wide.",
            lambda: plots.plot_energy(fit),
        ),
    ]
    if fit.model.parameterization is not None:
        count = int(diverging(fit).sum())
        parts.append(
            picture(
                "funnel",
                "A population scale and the coefficient of one group",
                f"Draws of a population scale against those of the coefficient of one "
                f"group, with {count:,} divergent transitions marked.",
                lambda: plots.plot_funnel(fit),
            )
        )
    return Section(
        "convergence",
        "Convergence",
        "If the chains agree, their traces show no drift and their ranks are uniform. "
        "The quantities that were sampled worst come first.",
        tuple(parts),
    )


def approximation(fit: FitResult) -> Section:
    """Write the section on an approximation, in the place of that on convergence."""
    found = fit.approximation
    assert found is not None
    pairs: list[tuple[str, object]] = [
        ("draws of", f"a {found.named}"),
        ("Pareto k-hat", f"{found.pareto_k:.2f}"),
        ("limit of k-hat", f"{found.limit:.2f}"),
        ("importance ratios", f"{found.proposals:,}"),
        ("draws of the posterior that they are worth", f"{found.effective:,.0f}"),
        ("draws chosen by their weights", "yes" if found.is_weighted else "no"),
    ]
    return Section(
        "convergence",
        "Approximation",
        "These are not draws of Markov chains: R-hat, effective sample sizes, "
        "divergences and E-BFMI do not apply. Pareto k-hat says whether importance "
        "sampling can correct the approximation.",
        (facts("approximation", "How good the approximation is", pairs),),
    )


def _mixing_in_words(worst: pd.DataFrame) -> str:
    """Write R-hat and the effective sample size of some quantities."""
    words = (
        f"{short_label(label)}: R-hat {row['r_hat']:.3f}, bulk effective sample size "
        f"{row['ess_bulk']:.0f}"
        for label, row in worst.iterrows()
    )
    return "; ".join(words) + "."
