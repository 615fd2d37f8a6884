"""Comparing the poolings of a model: estimates and predictive performance."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import DataError, SpecError
from stanpool.base.options import EngineChoice, Unit
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.inference.evaluation.kfold import check_folds, kfold
from stanpool.inference.evaluation.loo import loo
from stanpool.inference.prediction.integrated.group_likelihood import (
    check_population,
    grouping,
)
from stanpool.posterior.scalars import short_label
from stanpool.studies.many.fit_all import fit_all
from stanpool.studies.parameterizations import Comparison, compare_fits, mean_sd
from stanpool.studies.ranking import Ranking, rank

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stanpool.api.facade import Fit, Model

_MEASURES = {
    "elpd": "{:,.1f}",
    "rmse": "{:.3g}",
    "coverage": "{:.1%}",
    "score": "{:.3g}",
    "accuracy": "{:.1%}",
    "unreliable": "{:.0f}",
}


@public
@dataclass(frozen=True, eq=False, repr=False)
class PoolingComparison:
    """A comparison of the poolings of a model.

    Parameters
    ----------
    table
        One row per pooling: ``elpd``, ``se``, ``rmse``, ``coverage`` (of 90 %
        intervals), ``score`` and ``accuracy`` (of categories) and ``unreliable`` (the
        number of units for which importance sampling failed), for left-out ``rows`` and
        for left-out ``groups``; missing if a pooling cannot predict them.
    comparison
        The estimates of each pooling, and how it was sampled.
    fits
        The fits, from complete to partial pooling.
    rows, groups
        The rankings by left-out rows and by left-out groups; the latter is None if
        fewer than two poolings can predict new groups.
    verdict
        Which pooling predicts best, in a sentence.
    """

    table: pd.DataFrame
    comparison: Comparison
    fits: Mapping[str, Fit]
    rows: Ranking
    groups: Ranking | None
    verdict: str

    @property
    def estimates(self) -> pd.DataFrame:
        """The mean and sd of the population parameters in each pooling."""
        return self.comparison.estimates

    def plot(
        self, *, factor: str | None = None, coefficient: str = "Intercept"
    ) -> Figure:
        """Draw the estimates of the groups before and after pooling, by group size.

        See ``stanpool.plots.plot_shrinkage``.
        """
        from stanpool.plots import plot_shrinkage

        return plot_shrinkage(
            self.fits["partial"],
            self.fits.get("none"),
            complete=self.fits["complete"],
            factor=factor,
            coefficient=coefficient,
        )

    def __str__(self) -> str:
        """Write one column per pooling: estimates as mean (sd), then predictions."""
        return f"{self._cells().to_string()}\n\n{textwrap.fill(self.verdict, 88)}"

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        return self._cells().to_html(border=0) + f"<p>{escape(self.verdict)}</p>"

    def _cells(self) -> pd.DataFrame:
        """Format all numbers, with a row per quantity and a column per pooling."""
        import pandas as pd

        units = list(dict.fromkeys(self.table.columns.get_level_values(0)))
        rows = [
            (unit, measure)
            for unit in units
            for measure in _MEASURES
            if self.table[unit, measure].notna().any()
        ]
        cells = {
            name: [
                *(mean_sd(*row) for row in self.estimates[name].to_numpy()),
                *(_formatted(self.table.loc[name, row], row[1]) for row in rows),
            ]
            for name in self.fits
        }
        labels = [short_label(each) for each in self.estimates.index]
        labels += [f"new {unit}: {measure}" for unit, measure in rows]
        return pd.DataFrame(cells, index=labels)


@public
def compare_pooling(
    model: Model,
    *,
    factor: str | None = None,
    folds: int | None = None,
    reloo: bool = False,
    executor: AnyExecutor | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int | None = None,
    seed: int | None = None,
    adapt_delta: float | None = None,
    max_treedepth: int = 10,
    parallel_chains: int | None = None,
    progress: bool = True,
    sample_options: Mapping[str, Any] | None = None,
    engine: EngineChoice = "auto",
) -> PoolingComparison:
    """Fit a model in every pooling, and say which one predicts best.

    With ``complete`` pooling all groups have the same coefficients, and with ``none``
    each group has its own. If slopes vary as well, ``indicator`` has an intercept for
    each group and common slopes. The last is ``partial``. No pooling needs a single
    grouping factor; with several, only complete and partial pooling are compared.

    Parameters
    ----------
    model
        A model with groups, in any pooling.
    factor
        The grouping factor whose groups are left out; by default the first.
    folds
        The number of folds into which rows and groups are split, with a refit for each;
        by default (None) each row or group is left out without refitting.
    reloo
        Without folds, whether to refit for units for which importance sampling fails.
    executor
        What runs fits and refits, as for ``fit_many``; by default one after the other
        has all cores.
    chains, draws, warmup, seed, adapt_delta, max_treedepth, parallel_chains, \
progress, sample_options, engine
        As for ``Model.fit``, the same for each pooling.

    Raises
    ------
    SpecError
        If the model has no groups.
    """
    models = models_by_pooling(model)
    units = grouping(models["partial"], factor)
    if folds is not None:  # before anything is fitted
        check_folds(folds, model.design.rows, "rows")
        if any(map(_predicts_groups, models.values())):
            check_folds(folds, len(units.labels), "groups")
    fits = fit_all(
        models,
        chains=chains,
        draws=draws,
        warmup=warmup,
        seed=seed,
        adapt_delta=adapt_delta,
        max_treedepth=max_treedepth,
        parallel_chains=parallel_chains,
        executor=executor,
        progress=progress,
        sample_options=sample_options,
        engine=engine,
    )

    def left_out(fit: Fit, unit: Unit) -> CrossValidation:
        chosen = factor if unit == "group" else None
        common: dict[str, Any] = {"executor": executor, "progress": progress}
        if folds is None:
            return loo(fit, unit=unit, factor=chosen, reloo=reloo, **common)
        return kfold(fit, folds=folds, unit=unit, factor=chosen, **common)

    return build_pooling_comparison(
        fits,
        {name: left_out(fit, "row") for name, fit in fits.items()},
        {
            name: left_out(fit, "group")
            for name, fit in fits.items()
            if _predicts_groups(fit.model)
        },
    )


def build_pooling_comparison(
    fits: Mapping[str, Fit],
    rows: Mapping[str, CrossValidation],
    groups: Mapping[str, CrossValidation],
) -> PoolingComparison:
    """Compare fits and their cross-validations by rows and by groups."""
    import pandas as pd

    measures = ["elpd", "se", "rmse", "coverage", "score", "accuracy", "unreliable"]
    rankings = {"rows": rank(rows)}
    if len(groups) > 1:
        rankings["groups"] = rank(groups)
    table = pd.concat(
        {
            unit: ranking.table[measures].reindex(list(fits))
            for unit, ranking in rankings.items()
        },
        axis=1,
    )
    table.index.name = "pooling"
    return PoolingComparison(
        table=table,
        comparison=compare_fits(fits),
        fits=dict(fits),
        rows=rankings["rows"],
        groups=rankings.get("groups"),
        verdict=_verdict(rankings, list(fits)),
    )


def models_by_pooling(model: Model) -> dict[str, Model]:
    """Return the model in every pooling that it can have."""
    if not model.spec.groups:
        raise SpecError(
            f"{model!r} has no groups to pool. Add a group term such as (1 | county)."
        )
    models = {"complete": model.with_(pooling="complete")}
    term = model.spec.groups[0]
    if len(model.spec.groups) == 1:
        try:
            models["none"] = model.with_(pooling="none")
            if term.intercept and term.terms:
                alone = replace(term, terms=())
                models["indicator"] = model.with_(pooling="none", groups=(alone,))
        except (SpecError, DataError):  # the data do not allow this model
            pass
    models["partial"] = model.with_(pooling="partial")
    return models


def _predicts_groups(model: Model) -> bool:
    try:
        check_population(model)
    except SpecError:
        return False
    return True


def _verdict(rankings: Mapping[str, Ranking], names: list[str]) -> str:
    """Say which pooling predicts new rows, and new groups, best."""
    text = f"New rows of these groups: {rankings['rows'].verdict}"
    if "groups" not in rankings:
        return f"{text} New groups are not compared."
    text += f" New groups: {rankings['groups'].verdict}"
    blind = [name for name in names if name not in rankings["groups"].results]
    if blind:
        text += f" No pooling ({' and '.join(blind)}) cannot predict new groups."
    return text


def _formatted(value: Any, measure: str) -> str:
    return _MEASURES[measure].format(value) if np.isfinite(value) else "-"
