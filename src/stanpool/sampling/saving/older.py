"""Fits that older versions saved: read in the newest format, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stanpool.base.errors import DataError, quote
from stanpool.language.formulas.formula import quote_name
from stanpool.language.model_spec import ModelSpec
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.terms.names import GroupNames

if TYPE_CHECKING:
    import xarray as xr


def in_newest_format(written: Any) -> Any:
    """Return the content of model.json in the newest format."""
    spec = written.get("spec") if isinstance(written, dict) else None
    if isinstance(spec, dict) and "group" in spec:  # before several factors
        group = spec.pop("group")
        spec["groups"] = [] if group is None else [group]
    if isinstance(spec, dict) and "functions" not in written:
        _quote_columns(spec)  # before they were expressions
    return written


def _quote_columns(spec: dict[str, Any]) -> None:
    """Write the columns of the parts of an outcome as expressions."""
    for part in ("trials", "se", "exposure", "weights", "cens", "cens_upper"):
        if isinstance(spec.get(part), str):
            spec[part] = quote_name(spec[part])
    if isinstance(spec.get("trunc"), list):
        bounds = spec["trunc"]
        spec["trunc"] = [quote_name(b) if isinstance(b, str) else b for b in bounds]


def refuse_sums(spec: ModelSpec) -> None:
    """Refuse a fit with sums over the groups of a row, which are means now."""
    for each in spec.groups:
        if each.membership == "labels" and not each.weights:
            raise DataError(
                "it was saved when mm() without weights was the sum over the groups of "
                f"{quote(each.factor)}; now it is their mean, so that the draws have "
                "another meaning. Fit again; for the sum, pass weights= with a column "
                "of ones for each membership."
            )


def refuse_correlated(model: PreparedModel, tree: xr.DataTree) -> None:
    """Refuse a fit in which ``||`` meant uncorrelated for centered predictors."""
    for factor in model.design.factors:
        if factor.uncorrelated and GroupNames.of(factor.factor).Omega in tree.posterior:
            raise DataError(
                "it was saved when '||' meant, for predictors far from 0, that "
                "coefficients of centered predictors are uncorrelated. Now '||' refers "
                "to predictors at 0, where the coefficients of "
                f"{quote(factor.factor)} are correlated in its draws. Fit again; with "
                "center(x) instead of x, the model is like the one that was fitted."
            )
