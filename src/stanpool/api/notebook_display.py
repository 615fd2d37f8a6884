"""Models and fits as HTML for notebooks, with every label escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from stanpool.inference.estimates.summary import summary
from stanpool.model.fit_result import diverging
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


def model_html(model: PreparedModel) -> str:
    """Write a model, its priors, and its program, which can be unfolded."""
    priors = model.priors.to_frame()
    priors["parameter"] = priors["parameter"].map(short_label)
    return (
        f"<p><b>{escape(repr(model))}</b></p>"
        f"{priors.to_html(index=False, border=0)}"
        "<details><summary>Stan program</summary>"
        f"<pre>{escape(model.stan_code)}</pre></details>"
    )


def fit_html(fit: FitResult) -> str:
    """Write a fit, its population parameters, and the number of divergences."""
    from stanpool.inference.estimates.summary_table import summary_html

    table = summary(fit, groups=False)
    count = int(diverging(fit).sum())
    said = f"{count:,} divergent transitions" if count else "No transition diverged"
    if fit.approximation is not None:
        said = f"Pareto k-hat {fit.approximation.pareto_k:.2f}"
    return (
        f"<p><b>{escape(repr(fit))}</b></p>"
        f"{summary_html(table)}"
        f"<p>{said}; <code>fit.diagnose()</code> says whether the draws can be trusted."
        "</p>"
    )
