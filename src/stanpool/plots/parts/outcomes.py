"""Outcomes of rows on the scale of lines: shares of trials, rates of exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.language.expression import Call, Name, parse, written
from stanpool.language.formulas.formula import outcome_name
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult


def outcomes_of(fit: FitResult) -> Array:
    """Return outcomes on the scale of the lines, which may be shares or rates."""
    y = fit.model.design.y.astype(float)
    return np.asarray(y / sizes_of(fit, fit.model.data))


def sizes_of(fit: FitResult, rows: pd.DataFrame) -> Array:
    """Return the trials or the exposure of rows, or ones."""
    spec, encodings = fit.model.spec, fit.model.design.encodings
    text = spec.trials or spec.exposure
    if text is None or encodings is None:
        return np.ones(len(rows))
    sizes = encodings.expressions[text].of(rows)
    return np.maximum(sizes, 1) if spec.trials else np.asarray(sizes)


def outcome_label(fit: FitResult) -> str:
    """Name the outcome, or the share or the rate that it is drawn as."""
    spec = fit.model.spec
    name = short_label(outcome_name(spec))
    if spec.trials is not None:
        return f"{name}, share of {short_label(_bare(spec.trials))}"
    return f"{name} / {short_label(_bare(spec.exposure))}" if spec.exposure else name


def _bare(text: str) -> str:
    """Return an expression as it is written in labels."""
    node = parse(text)
    shown = written(node, bare=True)
    return shown if isinstance(node, Name | Call) else f"({shown})"
