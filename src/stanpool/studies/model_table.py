"""Models side by side in a table for a paper: estimates, fit, groups, rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, StanpoolError
from stanpool.inference.estimates.summary import summary
from stanpool.inference.estimates.summary_table import rounded_cells
from stanpool.inference.estimates.variance import bayes_R2
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.inference.evaluation.loo import loo
from stanpool.language.family import FAMILIES
from stanpool.posterior.intervals import interval_levels, quantile_name
from stanpool.posterior.scalars import short_label
from stanpool.studies.ranking import named_models

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.api.facade import Fit

_MINUS = "\N{MINUS SIGN}"
_ESCAPED = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    _MINUS: "$-$",
}


@dataclass(frozen=True, eq=False, repr=False)
class ModelTable:
    """Models side by side, to print, for notebooks and for papers.

    Attributes
    ----------
    frame
        The cells as text: a row for each quantity, a column for each model.
    rule
        After how many rows, those of the estimates, a line is drawn.
    caption
        What the cells are.
    """

    frame: pd.DataFrame
    rule: int
    caption: str

    @property
    def latex(self) -> str:
        """A ``tabular`` environment of LaTeX, with rules of the package booktabs."""
        columns = "l" + "r" * self.frame.shape[1]
        head = " & ".join(["", *(_latex(name) for name in self.frame.columns)])
        lines = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", f"{head} \\\\"]
        lines.append(r"\midrule")
        for number, (name, row) in enumerate(self.frame.iterrows()):
            if number == self.rule:
                lines.append(r"\midrule")
            lines.append(" & ".join(map(_latex, (str(name), *row))) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", f"% {_latex(self.caption)}"]
        return "\n".join(lines)

    @property
    def html(self) -> str:
        """A table of HTML, with every name escaped."""
        head = "".join(f"<th>{escape(str(name))}</th>" for name in self.frame.columns)
        body = []
        for number, (name, row) in enumerate(self.frame.iterrows()):
            line = ' style="border-top:1px solid"' if number == self.rule else ""
            cells = "".join(
                f'<td style="text-align:right">{escape(cell)}</td>' for cell in row
            )
            body.append(f"<tr{line}><th>{escape(str(name))}</th>{cells}</tr>")
        return (
            f"<table><thead><tr><th></th>{head}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table><p>{escape(self.caption)}</p>"
        )

    def __str__(self) -> str:
        """Write the table and what its cells are."""
        shown = self.frame.rename(index=short_label, columns=short_label)
        return f"{shown.to_string()}\n\n{self.caption}"

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Return the HTML."""
        return self.html


@public
def table(
    models: Mapping[str, Fit] | Sequence[Fit],
    *,
    prob: float = 0.9,
    elpd: bool = True,
    r2: bool = True,
) -> ModelTable:
    """Put the estimates of models side by side, as tables of papers do.

    Parameters
    ----------
    models
        Fits, by name, or in a list; they are then named after their pooling,
        formula or family.
    prob
        The probability of the central intervals.
    elpd
        Whether to add the expected log predictive density of left-out rows, by ``loo``.
        It can be compared among models of the same outcomes; otherwise a note says that
        it cannot.
    r2
        Whether to add the explained share of the variance, by ``bayes_R2``, where
        outcomes have a variance.

    Returns
    -------
    ModelTable
        It prints as text and is shown in notebooks; ``.latex`` and ``.html`` are for
        papers. Estimates are posterior means with intervals, rounded to what their
        Monte Carlo standard errors support.

    Raises
    ------
    SpecError
        If there is no model, or ``prob`` is not between 0 and 1.

    Examples
    --------
    >>> import stanpool as sp
    >>> radon = sp.load_dataset("radon")
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", radon)
    >>> poolings = {name: model.with_(pooling=name) for name in ("complete", "partial")}
    >>> fits = {name: m.fit(seed=1) for name, m in poolings.items()}  # doctest: +SKIP
    >>> sp.table(fits)  # doctest: +SKIP
    """
    import pandas as pd

    levels = interval_levels(prob)
    named = models if isinstance(models, Mapping) else named_models(models)
    if not named:
        raise SpecError("there is no model to show; pass at least one fit.")
    estimates: dict[str, dict[str, str]] = {}
    others: dict[str, dict[str, str]] = {}
    results = _left_out(named) if elpd else {}
    for model, fit in named.items():
        for name, cell in _estimates(fit, prob, levels):
            estimates.setdefault(name, {})[str(model)] = cell
        for name, cell in _others(fit, results.get(model), r2):
            others.setdefault(name, {})[str(model)] = cell
    rows = estimates | others
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=[*map(str, named)])
    caption = (
        f"Posterior means and {100 * prob:g} % intervals; ELPD and R2 with SE, sd."
    )
    outcomes = [each.rows["y"] for each in results.values()]
    if not all(each.equals(outcomes[0]) for each in outcomes):
        caption += (
            " The ELPDs are of different outcomes or rows, and cannot be compared."
        )
    return ModelTable(frame.fillna(""), len(estimates), caption)


def _left_out(named: Mapping[str, Fit]) -> dict[str, CrossValidation]:
    """Return leave-one-out cross-validation of the fits whose rows were kept."""
    results = {}
    for name, fit in named.items():
        with suppress(StanpoolError):  # such as of rows that were not kept
            results[name] = loo(fit, progress=False)
    return results


def _estimates(
    fit: Fit, prob: float, levels: tuple[float, float]
) -> Iterator[tuple[str, str]]:
    """Yield the population's estimates, as a mean and an interval."""
    estimates = summary(fit, groups=False, prob=prob)
    cells = rounded_cells(estimates)
    columns = [cells[name] for name in ("mean", *map(quantile_name, levels))]
    for name, mean, low, high in zip(estimates.index, *columns, strict=True):
        yield str(name), f"{mean} [{low}, {high}]".replace("-", _MINUS)


def _others(
    fit: Fit, result: CrossValidation | None, r2: bool
) -> Iterator[tuple[str, str]]:
    """Yield how the model predicts, and of what."""
    design, family = fit.model.design, FAMILIES[fit.model.spec.family]
    if result is not None:
        found = f"{result.elpd:,.1f} ({result.se:.1f})"
        yield "ELPD (LOO)", found.replace("-", _MINUS)
    if r2 and not family.has_categories:
        try:
            explained = bayes_R2(fit).iloc[0]
            yield "R2", f"{explained['mean']:.2f} ({explained['sd']:.2f})"
        except StanpoolError:
            yield "R2", ""
    for factor in design.factors:
        yield f"groups of {factor.factor}", f"{len(factor.labels):,}"
    yield "rows", f"{design.rows:,}"


def _latex(text: object) -> str:
    """Escape a text for LaTeX."""
    return "".join(
        _ESCAPED.get(char, char if char.isprintable() else " ") for char in str(text)
    )
