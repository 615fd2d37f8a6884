"""Models of several outcomes, as models of rows that have one outcome each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stanpool.api.facade import Model
from stanpool.base.arguments import public
from stanpool.base.options import Parameterization
from stanpool.data.tables.outcomes import stack_outcomes
from stanpool.language.formulas.several_outcomes import stacked_formulas
from stanpool.language.prior import Prior
from stanpool.language.vocabulary import as_functions


@public
def several_outcomes(
    formulas: Sequence[str] | Mapping[str, str],
    data: Any,
    *,
    family: str = "gaussian",
    parameterization: Parameterization = "auto",
    priors: Mapping[str, str | Prior] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Model:
    """State a model of two outcomes, whose residuals are correlated.

    The outcomes of a row are normal about their linear predictors, each with a residual
    scale of its own, and the residuals of a row are correlated. The model is one of
    rows that have one outcome each, which ``stack_outcomes`` makes and
    ``model.data`` has; what is printed of the model are their formulas.

    Parameters
    ----------
    formulas
        A formula of each of two outcomes, such as ``["height ~ age + (1 |p| school)",
        "weight ~ age + (1 |p| school)"]``, or right-hand sides by outcomes.
        Coefficients of groups are correlated within an outcome and, where their terms
        share an id, between outcomes.
    data
        A table with a column for each outcome, of which some may be missing in a row.
    family
        ``"gaussian"``, or ``"student_t"`` for a multivariate Student-t distribution.
    parameterization, priors, functions
        As for ``Model``. Parameters are named by outcomes: the intercept of ``height``
        is ``beta[height]``, its slope ``beta[height:age]``, the logarithm of its
        residual scale ``beta_sigma[height]``, and the scale of its coefficients of
        schools ``tau_school[height]``; ``Omega_school`` has the correlations of these,
        and ``residual_rho`` is that of the residuals of two outcomes.

    Raises
    ------
    DataError
        If the data cannot serve the model.
    SpecError
        If a formula or an option is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> x, noise = np.arange(8.0), np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    >>> data = {"a": x + noise, "b": noise - x, "x": x}
    >>> several_outcomes(["a ~ x", "b ~ x"], data).design.coefficients
    ('a', 'b', 'a:x', 'b:x')
    """
    own = as_functions(functions)
    stated = stacked_formulas(formulas, dict(own))
    return Model(
        list(stated.formulas),
        stack_outcomes(data, stated.outcomes),
        family=family,
        parameterization=parameterization,
        priors=priors,
        functions=functions,
    )
