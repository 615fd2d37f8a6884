"""A grouping factor of a fit: its coefficients, their draws and their unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.estimates.coefficients import no_such_factor
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.model.terms.names import GroupNames
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior
    from stanpool.model.prepared_model import PreparedModel


def model_of(fit: HasPosterior) -> PreparedModel:
    """Return the model, or refuse draws of an exact sampler that has none."""
    if fit.model is None:
        raise SpecError(
            f"{fit!r} has no stanpool model; use plot_forest, plot_traces or "
            "plot_pairs."
        )
    return fit.model


def with_model(fit: HasPosterior) -> FitResult:
    """Return draws with a model, which are used like a fit, and refuse others."""
    model_of(fit)
    return cast("FitResult", fit)


def factor_of(fit: HasPosterior, factor: str | None, coefficient: str) -> FactorDesign:
    """Return the factor over which a coefficient varies."""
    model = model_of(fit)
    factors = {each.factor: each for each in model.design.factors}
    name = model.design.factor if factor is None else factor
    found = None if name is None else factors.get(name)
    if found is None:
        raise no_such_factor(model, name)
    if coefficient not in found.coefficients:
        raise SpecError(
            f"{quote(coefficient)} does not vary over {quote(name)} in "
            f"{model!r}; {quote_list(found.coefficients)} do."
            + suggestion(coefficient, found.coefficients)
        )
    return found


def group_draws(fit: HasPosterior, factor: FactorDesign, coefficient: str) -> Array:
    """Return the draws of a coefficient of all groups, ``(chain, draw, group)``."""
    names = GroupNames.of(factor.factor)
    selected = fit.posterior[names.b].sel({names.coefficient: coefficient})
    draws: Array = selected.transpose("chain", "draw", ...).to_numpy()
    return draws


def unit_of(fit: HasPosterior) -> str:
    """Return the name of the scale of coefficients."""
    spec = model_of(fit).spec
    outcome = short_label(outcome_name(spec))
    if spec.link_name == "log" or FAMILIES[spec.family].is_of_logs:
        return f"log {outcome}"
    names = {"identity": outcome, "logit": "log odds"}
    return names.get(spec.link_name, spec.link_name)
