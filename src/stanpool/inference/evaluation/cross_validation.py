"""How well a fit predicts rows, or whole groups, that are left out.

``loo`` leaves out one unit at a time without refitting, by Pareto smoothed importance
sampling (PSIS); ``kfold`` refits. A unit is a row, in which case the other rows of its
group remain, or a whole group, whose coefficients are then integrated out. No array of
the size draws x rows is kept.

References
----------
.. [1] Vehtari, Gelman and Gabry (2017). Practical Bayesian model evaluation using
   leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
.. [2] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72): the limit of k.
.. [3] Merkle, Furr and Rabe-Hesketh (2019). Bayesian comparison of latent variable
   models: conditional versus marginal likelihoods. Psychometrika 84, 802-829.
.. [4] Czado, Gneiting and Held (2009). Predictive model assessment for count data.
   Biometrics 65, 1254-1261: the randomized probability integral transform.
.. [5] Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and
   estimation. Journal of the American Statistical Association 102, 359-378: sections
   3.1 and 4.2, the Brier score and the ranked probability score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import SpecError, quote
from stanpool.base.options import Unit
from stanpool.data.likelihood import (
    draw_outcomes,
    expected_outcomes,
    known_bounds,
)
from stanpool.families.angles import within_half_turn
from stanpool.inference.prediction.integrated.group_likelihood import (
    Grouping,
)
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec
from stanpool.posterior.convergence import R_HAT_OF_REFITS
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.data.design.design import Design
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

SAMPLE = 10_000
_OF_ROWS = ("predicted", "pit", "score", "hit")
_NAMED = 5
FEWEST_DRAWS = 4  # draws of a chain that an effective sample size needs


@public
@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The result of leaving out units.

    Parameters
    ----------
    model
        The model.
    unit
        The kind of unit that was left out: ``"row"`` or ``"group"``.
    factor
        The grouping factor whose groups were left out, or None.
    folds
        The number of parts into which the units were split, each of which was left out
        of one refit; None if one unit at a time was left out by importance sampling.
    units
        One row per unit: ``elpd``, its log predictive density given the others, and,
        from importance sampling, ``p`` (the increase of that density if the unit is
        not left out), ``pareto_k`` and ``refitted``; otherwise ``fold``.
    rows
        One row per row of the data: the outcome ``y``, its expectation ``predicted``
        if its unit is left out, and ``pit``, the predicted probability of a smaller
        outcome, which is randomized for discrete outcomes, and for censored ones over
        the values that they may have; unordered categories are sorted by their
        predicted probabilities. Categories also have ``score``, between 0 and 2 if they
        are unordered, and ``hit``, whether the outcome was the most probable category.
        Values that are not defined, such as errors of censored outcomes, are missing.
    good_k
        The Pareto k up to which importance sampling is reliable with this number of
        draws, or None.
    refits
        One row per refit: ``seconds``, ``divergences``, and ``r_hat`` of the log
        density, which detects chains that got stuck.
    population
        The number of all units, of which ``units`` may be a sample.
    """

    model: PreparedModel
    unit: Unit
    factor: str | None
    folds: int | None
    units: pd.DataFrame
    rows: pd.DataFrame
    good_k: float | None
    refits: pd.DataFrame
    population: int

    @property
    def elpd(self) -> float:
        """The sum of the expected log predictive densities; higher is better."""
        return self.total(self.units["elpd"])[0]

    @property
    def se(self) -> float:
        """The standard error of ``elpd``, for units as a random sample."""
        return self.total(self.units["elpd"])[1]

    @property
    def p(self) -> float:
        """The effective number of parameters; NaN for folds."""
        return self.total(self.units["p"])[0] if "p" in self.units else float("nan")

    def total(self, values: ArrayLike) -> tuple[float, float]:
        """Return the sum of values over all units, and its standard error.

        The error is that of sampling as many units. If ``units`` is a sample of all
        units, the error of that sample is added.
        """
        values, units = np.asarray(values), self.population
        taken = len(values) if values.ndim == 1 else 0
        if not 0 < taken <= units:
            raise SpecError(
                f"values={quote(values)} must be a number for each unit, of which "
                f"there are {units}."
            )
        share = 1.0 + units / taken * (1.0 - taken / units)
        # A unit whose likelihood is 0 at all draws makes the total minus infinity.
        with np.errstate(all="ignore"):
            error = np.std(values, ddof=min(1, taken - 1)) * (units * share) ** 0.5
            return float(values.mean() * units), float(error)

    @property
    def rmse(self) -> float:
        """The root mean squared error of the expected outcomes."""
        errors = self.rows["y"] - self.rows["predicted"]
        if FAMILIES[self.model.spec.family].is_circular:
            errors = within_half_turn(errors)
        return float(np.sqrt((errors**2).mean()))

    @property
    def score(self) -> float:
        """The mean score of categories, of which lower is better; NaN otherwise.

        It is the Brier score, the sum over categories of the squared difference of the
        predicted probability from 1 or 0. For ordered categories it is the ranked
        probability score, which is the same for cumulative probabilities.
        """
        return float(self.rows["score"].mean())

    @property
    def accuracy(self) -> float:
        """The share of rows whose category was the most probable one."""
        return float(self.rows["hit"].mean())

    def coverage(self, prob: float = 0.9) -> float:
        """Return the share of outcomes in their central predictive intervals."""
        pit = self.rows["pit"].dropna()
        return float((np.abs(pit - 0.5) <= 0.5 * prob).mean()) if len(pit) else np.nan

    @property
    def unreliable(self) -> tuple[Any, ...]:
        """The units whose Pareto k is too large for importance sampling."""
        if self.good_k is None:
            return ()
        bad = ~(self.units["pareto_k"] <= self.good_k) & ~self.units["refitted"]
        return tuple(self.units.index[bad])

    def __str__(self) -> str:
        """Write the results, and which of them are unreliable."""
        lines = [f"{self._title} of {self.model!r}", ""]
        lines += [f"{name:<26}{value}" for name, value in self._figures()]
        return "\n".join([*lines, *self._caveats()])

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    @property
    def in_one_line(self) -> str:
        """What was left out, and the elpd, in one line."""
        return f"CrossValidation({self._title}, elpd {self.elpd:.1f}, SE {self.se:.1f})"

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self._figures()
        )
        notes = "".join(f"<p>{escape(each)}</p>" for each in self._caveats() if each)
        return f"<p>{escape(self._title)}</p><table>{cells}</table>{notes}"

    @property
    def _title(self) -> str:
        of = (
            self.unit if self.factor is None else f"group of {short_label(self.factor)}"
        )
        if len(self.units) < self.population:
            of += f" ({len(self.units):,} of {self.population:,} at random)"
        if self.folds is None:
            return f"Leave-one-out by {of}"
        return f"{self.folds}-fold cross-validation by {of}"

    def _figures(self) -> list[tuple[str, str]]:
        figures = [("elpd (SE)", f"{self.elpd:,.1f} ({self.se:,.1f})")]
        if np.isfinite(self.p):
            figures.append(("effective parameters", f"{self.p:,.1f}"))
        if np.isfinite(self.rmse):
            figures.append(("RMSE", f"{self.rmse:.3g}"))
        if np.isfinite(self.score):
            figures.append((score_name(self.model.spec), f"{self.score:.3g}"))
            figures.append(("most probable category", f"{self.accuracy:.1%} right"))
        if np.isfinite(self.coverage()):
            figures.append(("90% intervals cover", f"{self.coverage():.1%}"))
        return figures

    def _caveats(self) -> list[str]:
        bad, caveats = self.unreliable, []
        if bad:
            named = ", ".join(short_label(each) for each in bad[:_NAMED])
            more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            caveats.append(
                f"Pareto k is above {self.good_k:.2f} for {len(bad)} of "
                f"{len(self.units)} {self.unit}s ({named}{more}): their elpd is "
                "unreliable. loo(reloo=True) refits without each of them."
            )
        unmixed = self.refits["r_hat"] > R_HAT_OF_REFITS
        doubtful = (self.refits["divergences"] > 0) | unmixed
        if doubtful.any():
            caveats.append(
                f"{int(doubtful.sum())} of {len(self.refits)} refits had divergences "
                "or did not converge: see refits."
            )
        return ["", *caveats] if caveats else []


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The results for units and rows that were left out, which are filled in."""

    elpd: Array
    p: Array
    pareto_k: Array
    rows: dict[str, Array]

    @classmethod
    def empty(cls, units: int, rows: int) -> LeftOut:
        """Return one without results."""
        elpd, p, pareto_k = (np.full(units, np.nan) for _ in range(3))
        of_rows = {name: np.full(rows, np.nan) for name in _OF_ROWS}
        return cls(elpd, p, pareto_k, of_rows)

    def fill(self, rows: slice | Indices, found: Mapping[str, Array]) -> None:
        """Fill in the results of some rows."""
        for name, values in found.items():
            self.rows[name][rows] = values


@dataclass(frozen=True, eq=False)
class RefitScore:
    """The predictions of a refit for what was left out of it."""

    elpd: Array
    rows: Mapping[str, Array]
    seconds: float
    divergences: int
    r_hat: float


def check_unit(fit: FitResult, unit: Unit, factor: str | None) -> None:
    """Refuse a unit that cannot be left out, and draws from the prior."""
    if fit.prior_only:
        raise SpecError(
            f"{fit!r} was drawn from the prior, without the data, so that no row can "
            "be left out. Fit with prior_only=False."
        )
    if unit == "row" and factor is not None:
        raise SpecError(
            f"factor={quote(factor)} names the factor whose groups are left out: pass "
            "unit='group' as well."
        )


def predict_rows(
    spec: ModelSpec,
    design: Design,
    eta: Array,
    parameters: dict[str, Array],
    weights: Array,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Return expected outcomes and PITs of rows, averaged over weighted draws.

    ``weights`` broadcast against the draws and rows of ``eta`` and sum to 1.
    """
    if design.categories:
        expected = expected_outcomes(spec, design, eta, parameters)
        return _predict_categories(
            (weights[..., None] * expected).sum(axis=0),
            design.y.astype(int),
            is_ordered=FAMILIES[spec.family].has_cutpoints,
            rng=rng,
        )
    drawn = draw_outcomes(spec, design, rng, eta, parameters)
    # The expectation of truncated outcomes is estimated by draws.
    expected = (
        expected_outcomes(spec, design, eta, parameters)
        if spec.trunc is None
        else drawn
    )
    weights = np.broadcast_to(weights, drawn.shape)
    predicted = np.einsum("sn,sn->n", weights, expected)
    low, high = known_bounds(design)
    below = _weight_where(drawn < low, weights)
    within = _weight_where((low <= drawn) & (drawn <= high), weights)
    return {
        "predicted": np.where(low == high, predicted, np.nan),
        "pit": np.clip(below + rng.random(design.rows) * within, 0.0, 1.0),
    }


def _weight_where(holds: NDArray[np.bool_], weights: Array) -> Array:
    """Return the weight of the draws at which something holds, for each row."""
    if not holds.any():  # no draw of a continuous outcome is equal to it
        return np.zeros(holds.shape[1])
    return np.asarray(np.where(holds, weights, 0.0).sum(axis=0))


def _predict_categories(
    probability: Array, y: Array, *, is_ordered: bool, rng: np.random.Generator
) -> dict[str, Array]:
    """Return PITs and scores of categories from probabilities of shape ``(N, K)``."""
    rows, came_out = np.arange(len(y)), np.eye(probability.shape[1])[y]
    seen = probability[rows, y]
    if is_ordered:
        below = probability.cumsum(axis=1)[rows, y] - seen
        error = (probability - came_out).cumsum(axis=1)
    else:
        # An order that does not depend on the outcome: ties are by category.
        order = np.argsort(-probability, axis=1, kind="stable")
        place = np.argsort(order, axis=1, kind="stable")
        below = (probability * (place < place[rows, y][:, None])).sum(axis=1)
        error = probability - came_out
    return {
        "pit": np.clip(below + rng.random(len(y)) * seen, 0.0, 1.0),
        "score": (error**2).sum(axis=1),
        "hit": (probability.argmax(axis=1) == y).astype(float),
    }


def score_name(spec: ModelSpec) -> str:
    """Name the score of a family's categories."""
    is_ordered = FAMILIES[spec.family].has_cutpoints
    return "ranked probability score" if is_ordered else "Brier score"


def labelled_result(
    model: PreparedModel, rows: Indices, units: Grouping | None, found: LeftOut
) -> CrossValidation:
    """Label the results for rows or groups."""
    import pandas as pd

    of_rows = pd.Index(rows, name="row")
    index = of_rows if units is None else pd.Index(units.labels, name=units.factor)
    return CrossValidation(
        model=model,
        unit="row" if units is None else "group",
        factor=None if units is None else units.factor,
        folds=None,
        units=pd.DataFrame(
            {
                "elpd": found.elpd,
                "p": found.p,
                "pareto_k": found.pareto_k,
                "refitted": False,
            },
            index=index,
        ),
        rows=pd.DataFrame({"y": model.design.y[rows], **found.rows}, index=of_rows),
        good_k=None,
        refits=refit_table([]),
        population=model.design.rows if units is None else len(units.labels),
    )


def refit_table(scores: Sequence[RefitScore]) -> pd.DataFrame:
    """Return the time and the convergence of each refit, one row each."""
    import pandas as pd

    return pd.DataFrame(
        {
            "seconds": [each.seconds for each in scores],
            "divergences": [each.divergences for each in scores],
            "r_hat": [each.r_hat for each in scores],
        }
    )
