"""The pilot estimate as a table: estimates and standard errors in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.engine.values.draws import NamedDraws
from stanpool.families.functions import LINKS
from stanpool.language.family import FAMILIES
from stanpool.model.program.structure import suffix_of
from stanpool.posterior.labelled_draws import build_posterior
from stanpool.posterior.recenter import uncenter_posterior
from stanpool.posterior.scalars import group_dims, is_of_groups, scalars
from stanpool.sampling.initial_values import variance_of_log_sigma

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.pilot.estimate import PilotEstimate
    from stanpool.model.prepared_model import PreparedModel

_STEP = 1e-4  # of differences, in logarithms or standard errors


def quick(model: PreparedModel) -> pd.DataFrame:
    """Estimate a partially pooled model in milliseconds, without Stan.

    This is the pilot estimate around which chains start: penalized quasi-likelihood
    [1]_, or for gaussian outcomes the solution of the normal equations, with scales
    that agree with the groups' deviations. It is approximate, and can be rough for
    binary outcomes and few groups; ``model.fit()`` samples the posterior.

    Parameters
    ----------
    model
        A partially pooled model.

    Returns
    -------
    pandas.DataFrame
        One row for each parameter of the population, with the labels of
        ``Fit.summary``. The columns are ``estimate`` and ``se``, its standard error,
        which is missing where the estimate has none.

    Raises
    ------
    SpecError
        If there is no such estimate of the model.

    References
    ----------
    .. [1] Breslow and Clayton (1993). Approximate inference in generalized linear mixed
       models. Journal of the American Statistical Association 88(421), 9-25.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)",
    ...                  sp.load_dataset("radon"))
    >>> model.quick().round(2)
    approximate (pilot)    estimate    se
    Intercept                  1.46  0.05
    beta[floor]               -0.69  0.07
    tau_county[Intercept]      0.33  0.05
    sigma                      0.76  0.02
    """
    import pandas as pd

    pilot = _pilot_of(model)
    moves = _moves(model, pilot)
    draws = NamedDraws(_variables(model, pilot, moves))
    posterior = build_posterior(
        model.scaling.undone(draws), model.design, model.structure
    )
    posterior = uncenter_posterior(model, posterior)
    dims = group_dims(model.design)
    names = [
        str(n) for n, v in posterior.data_vars.items() if not is_of_groups(v, dims)
    ]
    labels, values = list[str](), list[Array]()
    for each in scalars(posterior, var_names=names):
        labels += each.labels
        values.append(each.draws[0].T)  # (scalar, move)
    at = np.concatenate(values)
    slopes = (at[:, 1:] - at[:, :1]) / _STEP
    return pd.DataFrame(
        {"estimate": at[:, 0], "se": _errors(slopes, moves)}, index=labels
    ).rename_axis(columns="approximate (pilot)")


def _pilot_of(model: PreparedModel) -> PilotEstimate:
    """Return the pilot estimate, or say why there is none and what to do."""
    reason = "the search for it did not converge"
    if model.spec.pooling != "partial":
        reason = f"it needs partial pooling, and pooling={model.spec.pooling!r}"
    elif model.design.formulas:
        name = model.design.formulas[0].parameter
        reason = f"it takes {name} as one number, and {name} has a formula"
    elif model.spec.uncertain:
        name = model.spec.uncertain[0].name
        reason = f"it takes the values of {name} as known, and they are not"
    elif model.design.special:
        reason = "it does not estimate latent factors"
    elif model.design.smooths:
        reason = "it does not estimate the scales of smooths"
    elif model.pilot is not None:
        return model.pilot
    raise SpecError(
        f"quick() has no estimate of this model: {reason}. "
        "model.fit(method='laplace') takes a second or two."
    )


@dataclass(frozen=True, eq=False)
class _Moves:
    """The parameters by which the estimate is moved, one at a time.

    Attributes
    ----------
    theta, covariance
        The population's coefficients, ``(P, ...)``, and the covariance of their errors.
    variances
        Of the errors of logarithms of scales and the like, by name and place; NaN if
        unknown.
    """

    theta: Array
    covariance: Array
    variances: Mapping[tuple[str, Any], float]

    @property
    def count(self) -> int:
        """How many moves there are."""
        return self.theta.size + len(self.variances)

    def of(self, name: str, place: Any = ()) -> Array:
        """Return the steps of a parameter in the estimate and after each move."""
        found = np.zeros(1 + self.count)
        names = list(self.variances)
        if (name, place) in names:
            found[1 + self.theta.size + names.index((name, place))] = _STEP
        return found


def _moves(model: PreparedModel, pilot: PilotEstimate) -> _Moves:
    """List the parameters, with the variances of their errors."""
    known: dict[tuple[str, Any], float] = {}
    for number, own in enumerate(pilot.factors, 1):
        for q, error in enumerate(own.scale_errors):
            known[f"tau{suffix_of(number)}", q] = float(error) ** 2
    if pilot.residual is not None:
        known["tau_sigma", ()] = float(pilot.residual.scale_errors[0]) ** 2
    for own_name, value in pilot.parameters.items():
        for place in np.ndindex(np.shape(value)):
            is_sigma = own_name == "sigma"
            variance = variance_of_log_sigma(model, pilot) if is_sigma else np.nan
            known[own_name, place] = variance
    return _Moves(pilot.theta, pilot.theta_covariance, known)


def _variables(
    model: PreparedModel, pilot: PilotEstimate, moves: _Moves
) -> Mapping[str, Array]:
    """Return the variables of the program at the estimate, and after each move.

    Their shapes are ``(1, 1 + moves, ...)``.
    """
    design, family = model.scaling.design(model.design), FAMILIES[model.spec.family]
    first = int(design.intercept)
    steps = np.zeros((1 + moves.count, moves.theta.size))
    steps[1 : 1 + moves.theta.size] = _STEP * np.eye(moves.theta.size)
    theta = pilot.theta + steps.reshape(-1, *moves.theta.shape)  # (R, P, ...)
    beta = theta[:, first:]
    shift = np.tensordot(beta, design.x_bar, axes=(1, 0))
    found = {"beta": beta}
    if first:
        found["alpha"] = theta[:, 0] - shift
    for own in family.parameters:
        if own.name not in pilot.parameters:
            continue
        value = np.asarray(pilot.parameters[own.name], dtype=float)
        moved = [moves.of(own.name, place) for place in np.ndindex(value.shape)]
        step = np.stack(moved, axis=1).reshape(-1, *value.shape)
        if own.name == "cutpoint":
            found[own.name] = value + step + shift[:, None]
        else:
            link = LINKS[own.link]
            found[own.stan_variable] = link.inverse(link.apply(value) + step)
    for number, (factor, of_groups) in enumerate(
        zip(design.factors, pilot.factors, strict=True), 1
    ):
        end, tau, Omega = suffix_of(number), of_groups.tau, of_groups.Omega
        logs = [moves.of(f"tau{end}", q) for q in range(len(tau))]
        found[f"tau{end}"] = tau * np.exp(np.stack(logs, axis=1))
        found[f"Omega{end}"] = np.broadcast_to(Omega, (len(theta), *Omega.shape))
        found[f"b{end}"] = np.zeros((len(theta), len(factor.labels), len(tau)))
    if pilot.residual is not None and design.residual is not None:
        spread = pilot.residual.tau[0] * np.exp(moves.of("tau_sigma"))
        found["tau_sigma"] = spread
        found["sigma_j"] = np.ones((len(theta), len(design.residual.labels)))
    return {name: values[np.newaxis] for name, values in found.items()}


def _errors(slopes: Array, moves: _Moves) -> Array:
    """Return standard errors by the slopes in all parameters: ``(scalar,)``."""
    size = moves.theta.size
    # Shapes (scalar, category, P): categories were estimated apart.
    covariance = np.atleast_3d(moves.covariance.T).T
    of_theta = slopes[:, :size].reshape(len(slopes), -1, len(covariance))
    variance = np.einsum("spc,cpq,sqc->s", of_theta, covariance, of_theta)
    for slope, each in zip(slopes[:, size:].T, moves.variances.values(), strict=True):
        variance += np.where(np.abs(slope) > 1e-9, np.square(slope) * each, 0.0)
    errors = np.sqrt(variance)
    return np.asarray(np.where(errors > 0, errors, np.nan))
