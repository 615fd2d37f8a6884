"""Comparing models by their out-of-sample predictive performance.

References
----------
.. [1] Vehtari, Gelman and Gabry (2017). Practical Bayesian model evaluation using
   leave-one-out cross-validation and WAIC. Statistics and Computing 27, section 5.2:
   the standard error of a difference.
.. [2] Yao, Vehtari, Simpson and Gelman (2018). Using stacking to average Bayesian
   predictive distributions. Bayesian Analysis 13(3), 917-1003.
.. [3] Sivula, Magnusson, Matamoros and Vehtari (2025). Uncertainty in Bayesian
   leave-one-out cross-validation based model comparison: differences below 4 cannot be
   distinguished from 0, whatever their standard errors.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list
from stanpool.base.options import Unit
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.inference.evaluation.loo import loo
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.api.facade import Fit

_SMALL = 4.0  # differences of elpd that are too small for a preference
_CLEAR = 2.0  # standard errors of a difference from which on it is clear
_ITERATIONS = 10_000
_CLOSE = 1e-9  # relative gain at which the iteration for weights stops


@dataclass(frozen=True, eq=False, repr=False)
class Ranking:
    """Models by their expected log predictive densities, the best first.

    Parameters
    ----------
    table
        One row per model: ``elpd`` and its standard error ``se``; ``elpd_diff``, the
        difference from the best model, which is at most 0, and its standard error
        ``se_diff``; ``p``, the effective number of parameters; ``weight`` in the
        mixture of models that predicts best (stacking); ``rmse`` of expected outcomes,
        ``coverage`` of 90 % intervals; ``score`` and ``accuracy`` of categories; and
        ``unreliable``, the number of units whose Pareto k is too large.
    results
        The cross-validations by name, the best first.
    verdict
        Which model predicts best, and whether that is clear, in a sentence.
    """

    table: pd.DataFrame
    results: Mapping[str, CrossValidation]
    verdict: str

    def __str__(self) -> str:
        """Write one row per model, and the verdict."""
        text = _shown(self.table).to_string()
        return f"{text}\n\n{textwrap.fill(self.verdict, 88)}"

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        return _shown(self.table).to_html(border=0) + f"<p>{escape(self.verdict)}</p>"


@public
def compare(
    models: Mapping[str, Fit | CrossValidation] | Sequence[Fit | CrossValidation],
    *,
    unit: Unit = "row",
    factor: str | None = None,
) -> Ranking:
    """Rank models of the same outcomes by cross-validation.

    Parameters
    ----------
    models
        Fits, to which ``loo`` is applied, or results of ``loo`` or ``kfold``, all of
        the same units. They are given by name, or in a list, and are then named after
        their pooling, formula or family.
    unit, factor
        What is left out of fits, as for ``loo``.

    Returns
    -------
    Ranking
        The best model first, with stacking weights.

    Raises
    ------
    SpecError
        If there are fewer than two models, or they are not of the same outcomes in the
        same units.
    """
    named: Mapping[str, Fit | CrossValidation] = (
        models if isinstance(models, Mapping) else named_models(models)
    )
    if len(named) < 2:
        raise SpecError(
            f"there are {len(named)} model(s) to compare; pass at least two."
        )
    results = {
        name: each
        if isinstance(each, CrossValidation)
        else loo(each, unit=unit, factor=factor)
        for name, each in named.items()
    }
    _check_alike(results)
    return rank(results)


def rank(results: Mapping[str, CrossValidation]) -> Ranking:
    """Rank cross-validations of the same units."""
    import pandas as pd

    order = sorted(results, key=lambda name: -results[name].elpd)
    pointwise = np.column_stack([results[name].units["elpd"] for name in order])
    totals = [results[order[0]].total(gap) for gap in (pointwise - pointwise[:, :1]).T]
    table = pd.DataFrame(
        {
            "elpd": [results[name].elpd for name in order],
            "se": [results[name].se for name in order],
            "elpd_diff": [total for total, _ in totals],
            "se_diff": [error for _, error in totals],
            "p": [results[name].p for name in order],
            "weight": stacking_weights(pointwise),
            "rmse": [results[name].rmse for name in order],
            "coverage": [results[name].coverage() for name in order],
            "score": [results[name].score for name in order],
            "accuracy": [results[name].accuracy for name in order],
            "unreliable": [len(results[name].unreliable) for name in order],
        },
        index=pd.Index(order, name="model"),
    )
    return Ranking(table, {name: results[name] for name in order}, _verdict(table))


def stacking_weights(pointwise: Array) -> Array:
    """Return the weights of the mixture of models that predicts the units best.

    The weights maximize the sum over units of the log of the weighted predictive
    density. They are found by expectation-maximization, which keeps them in the simplex
    and increases the sum in each iteration.

    Parameters
    ----------
    pointwise
        Log predictive densities, shape ``(units, models)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(models,)``, with the sum 1.

    Examples
    --------
    >>> stacking_weights(np.log([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])).round(3)
    array([0.708, 0.292])
    """
    density = np.exp(pointwise - pointwise.max(axis=1, keepdims=True))
    weights = np.full(density.shape[1], 1.0 / density.shape[1])
    for _ in range(_ITERATIONS):
        share = density / (density @ weights)[:, None]
        gradient = share.mean(axis=0)
        weights = weights * gradient
        # At the maximum no change of the weights increases the sum.
        if gradient.max() < 1.0 + _CLOSE:
            break
    return np.asarray(weights / weights.sum())


Model = TypeVar("Model", bound="Fit | CrossValidation")


def named_models(models: Sequence[Model]) -> dict[str, Model]:
    """Name models after their pooling, or if that does not tell them apart, after more.

    This is their formula, their family, or all three.
    """
    from stanpool.language.formulas.formula_text import stated

    specs = [each.model.spec for each in models]
    for names in (
        [spec.pooling for spec in specs],
        [stated(spec) for spec in specs],
        [spec.family for spec in specs],
        [f"{stated(spec)}, {spec.pooling}, {spec.family}" for spec in specs],
        [f"{number}: {stated(spec)}" for number, spec in enumerate(specs, 1)],
    ):
        if len(set(names)) == len(names):
            break
    return dict(zip(names, models, strict=True))


def _check_alike(results: Mapping[str, CrossValidation]) -> None:
    """Refuse results that are not of the same units of the same outcomes."""
    names = list(results)
    first = results[names[0]]
    for name in names[1:]:
        other = results[name]
        pair = quote_list([names[0], name])
        if (first.unit, first.factor, first.folds) != (
            other.unit,
            other.factor,
            other.folds,
        ):
            raise SpecError(
                f"{pair} are of different units: {first.in_one_line}, "
                f"{other.in_one_line}. Leave the same units out of both, in the same "
                "number of folds."
            )
        if not first.rows["y"].equals(other.rows["y"]):
            raise SpecError(
                f"{pair} are of different outcomes, so their densities cannot be "
                "compared: fit both to the same rows in the same order, on the same "
                "scale."
            )
        if first.folds is not None and not first.units["fold"].equals(
            other.units["fold"]
        ):
            raise SpecError(
                f"{pair} were split into different folds. Pass the same seed= to "
                "both kfold()."
            )
        if first.factor is not None and not first.units.index.equals(other.units.index):
            raise SpecError(f"{pair} have different groups of {quote(first.factor)}.")


def _verdict(table: pd.DataFrame) -> str:
    """Say which model predicts best, and whether it is clear."""
    best, second = table.index[:2]
    gap, error = -table["elpd_diff"].iloc[1], table["se_diff"].iloc[1]
    of = f"{short_label(best)} over {short_label(second)}"
    measured = f"{of}: elpd higher by {gap:.1f} (SE {error:.1f})"
    if gap < _SMALL:
        text = f"No clear preference; {measured}, too little to tell apart."
    elif gap < _CLEAR * error:
        text = f"No clear preference; {measured}."
    else:
        text = f"The data prefer {measured}."
    bad = table["unreliable"][table["unreliable"] > 0]
    if len(bad):
        units = ", ".join(f"{short_label(name)} {count}" for name, count in bad.items())
        text += (
            " Importance sampling failed for some units, so that their elpd is not "
            f"reliable ({units}); reloo=True or kfold() refits."
        )
    return text


_FORMATS = {
    "elpd": "{:,.1f}",
    "se": "{:,.1f}",
    "elpd_diff": "{:,.1f}",
    "se_diff": "{:,.1f}",
    "p": "{:,.1f}",
    "weight": "{:.2f}",
    "rmse": "{:.3g}",
    "coverage": "{:.1%}",
    "score": "{:.3g}",
    "accuracy": "{:.1%}",
    "unreliable": "{:d}",
}


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format all numbers, and omit columns that no model has."""
    import pandas as pd

    shown = pd.DataFrame(
        {
            name: ["" if pd.isna(x) else form.format(x) for x in table[name]]
            for name, form in _FORMATS.items()
            if table[name].notna().any()
        }
    )
    return shown.set_axis([short_label(name) for name in table.index], axis=0)
