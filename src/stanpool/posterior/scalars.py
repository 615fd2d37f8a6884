"""A posterior as scalars with labels, and labels written short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.data.design.design import TermOfRows
from stanpool.model.terms.names import SMOOTH_COEFFICIENT, WITH_ZEROS, GroupNames
from stanpool.posterior.convergence import describe, moments
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design
    from stanpool.model.fit_result import FitResult, HasPosterior
    from stanpool.model.prepared_model import PreparedModel
    from stanpool.model.priors.in_force import PriorRow


@dataclass(frozen=True, eq=False)
class Scalars:
    """One posterior variable as scalars: labels, positions, and a view of the draws.

    Parameters
    ----------
    variable
        Its name, such as ``"b_county"``.
    labels
        Of each scalar, such as ``"b_county[AITKIN, floor]"``.
    positions
        The index of each scalar in the variable's own dimensions, shape
        ``(scalar, dimension)``.
    draws
        Shape ``(chain, draw, scalar)``.
    """

    variable: str
    labels: tuple[str, ...]
    positions: NDArray[np.intp]
    draws: NDArray[np.float64]


def scalars(
    posterior: xr.Dataset, *, var_names: Sequence[str] | None = None
) -> Iterator[Scalars]:
    """Take a posterior apart into labelled scalars, one variable at a time.

    Of a correlation matrix only the upper triangle is kept: its diagonal is constant
    and its other half says the same again. Of loadings those that are 0 are left out.
    """
    for name in posterior.data_vars if var_names is None else var_names:
        variable = posterior[name].transpose("chain", "draw", ...)
        shape = variable.shape[2:]
        positions = np.argwhere(np.ones(shape, dtype=bool))
        draws = variable.to_numpy().reshape(*variable.shape[:2], -1)
        if is_correlation(variable):
            upper = positions[:, 0] < positions[:, 1]
            positions, draws = positions[upper], draws[:, :, upper]
        elif WITH_ZEROS.intersection(map(str, variable.dims)):
            moves = draws.any(axis=(0, 1))
            positions, draws = positions[moves], draws[:, :, moves]
        yield Scalars(str(name), _labels(variable, positions), positions, draws)


def described(
    posterior: xr.Dataset,
    kept: dict[str, dict[Any, Array]],
    *,
    var_names: Sequence[str] | None = None,
    prob: float = 0.9,
) -> Iterator[tuple[Scalars, Mapping[Any, Array]]]:
    """Yield the scalars of each variable, and what ``convergence.describe`` says.

    Parameters
    ----------
    posterior
        The draws.
    kept
        What was computed of them before, by variable, to which this adds: that of the
        fit, or an empty one.
    var_names
        The variables; by default all.
    prob
        The probability of the central interval, whose quantiles, and the median, are
        there by their levels.
    """
    levels = (0.5, *interval_levels(prob))
    for block in scalars(posterior, var_names=var_names):
        found = kept.setdefault(block.variable, {})
        if not found:
            found |= describe(block.draws, (*levels, *interval_levels(0.9)))
        elif not found.keys() >= {*levels}:
            found |= moments(block.draws, levels)
        yield block, found


def is_correlation(variable: xr.DataArray) -> bool:
    """Say whether a variable is a matrix of correlations among coefficients."""
    return str(variable.name).startswith("Omega") and variable.ndim == 4


def _labels(variable: xr.DataArray, positions: NDArray[np.intp]) -> tuple[str, ...]:
    dims = variable.dims[2:]
    if not dims:
        return (str(variable.name),)
    coordinates = [[str(value) for value in variable[dim].to_numpy()] for dim in dims]
    return tuple(
        f"{variable.name}[{', '.join(map(list.__getitem__, coordinates, row))}]"
        for row in positions.tolist()
    )


def group_dims(design: Design) -> frozenset[str]:
    """Name the dimensions of the posterior that run over groups."""
    factors = [each.factor for own in design.predictors for each in own.factors]
    factors += [side.column for term in design.special for side in term.sides]
    smooths = {
        SMOOTH_COEFFICIENT + f"_{own.parameter}" * (own.parameter != "mean")
        for own in design.predictors
        if own.smooths
    }
    values = {
        rows
        for term in design.special
        if isinstance(term, TermOfRows)
        for rows in term.rows_of_values
    }
    of_groups = frozenset(GroupNames.of(factor).group for factor in factors)
    return of_groups | smooths | values


def dims_of_groups(fit: HasPosterior) -> frozenset[str]:
    """Name the dimensions over groups of a fit, or of draws that have no model."""
    if fit.model is not None:
        return group_dims(fit.model.design)
    factor = getattr(fit, "factor", None)
    return frozenset() if factor is None else frozenset({GroupNames.of(factor).group})


def is_of_groups(variable: xr.DataArray, dims: frozenset[str]) -> bool:
    """Say whether a variable has a value for each group."""
    return not dims.isdisjoint(map(str, variable.dims))


def scale_draws(fit: FitResult, parameter: str) -> np.ndarray:
    """Return draws of a population scale where its prior is, ``(chain * draw,)``."""
    variable = f"tau_{factor_of_scale(fit.model, fit.model.priors[parameter])}"
    for each in scalars(center_fit(fit).posterior, var_names=[variable]):
        found = each.draws[:, :, each.labels.index(parameter)]
    return np.asarray(found.ravel())


def factor_of_scale(model: PreparedModel, row: PriorRow) -> str:
    """Name the factor of a scale by the number of its class: 2 of ``tau_2``."""
    number = int(row.parameter_class.partition("_")[2] or 1)
    return model.design.factors[number - 1].factor


def meanings(posterior: xr.Dataset, design: Design) -> dict[str, str]:
    """Say what each scalar of a posterior belongs to.

    Returns
    -------
    dict
        By the scalar's label: ``"population"``, ``"scale over county"``, ``"correlation
        over county"``, ``"county AITKIN"``, or ``"outcome"`` for what else the family
        has.
    """
    dims = group_dims(design)
    over: dict[str, str] = {}
    for own in design.predictors:
        for each in own.factors:
            names = GroupNames.of(each.factor, own.parameter)
            over |= {
                names.tau: f"scale over {each.factor}",
                names.Omega: f"correlation over {each.factor}",
            }
    found: dict[str, str] = {}
    for block in scalars(posterior):
        dim = next(iter(posterior[block.variable].dims[2:]), None)
        if dim in dims:
            groups = [str(each) for each in posterior[dim].to_numpy()]
            texts = [f"{dim} {groups[place]}" for place in block.positions[:, 0]]
        else:
            is_mean = block.variable in ("Intercept", "beta")
            other = "population" if is_mean else "outcome"
            texts = [over.get(block.variable, other)] * len(block.labels)
        found.update(zip(block.labels, texts, strict=True))
    return found


def short_label(label: object, limit: int = 40) -> str:
    r"""Write a user's label on one line of at most ``limit`` characters.

    A label of spaces only is quoted, so that it can be seen; a whole number has no
    decimals, although pandas makes floats of a column with missing values.

    Examples
    --------
    >>> short_label("ST.\n LOUIS")
    'ST. LOUIS'
    >>> short_label("x" * 100, limit=10)
    'xxxxxxx...'
    >>> short_label("")
    "''"
    >>> short_label(2.0)
    '2'
    """
    text = _on_one_line(label) or repr(str(label)[: limit - 2])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def short_labels(labels: Iterable[object], limit: int = 40) -> list[str]:
    """Write labels that stand side by side; those cut to the same text keep their ends.

    Examples
    --------
    >>> short_labels(["Omega_county[Intercept, floor]", "Omega_county[Intercept, soil]",
    ...               "sigma"], limit=17)
    ['Omeg...pt, floor]', 'Omeg...ept, soil]', 'sigma']
    """
    labels = list(labels)
    texts = [short_label(label, limit) for label in labels]
    often = Counter(texts)
    return [
        _without_middle(label, limit) if often[text] > 1 else text
        for label, text in zip(labels, texts, strict=True)
    ]


def _without_middle(label: object, limit: int) -> str:
    """Write a label on one line, whose middle goes if it is too long."""
    text = _on_one_line(label) or short_label(label, limit)
    head = (limit - 3) // 3
    tail = limit - 3 - head
    return text if len(text) <= limit else f"{text[:head]}...{text[-tail:]}"


def _on_one_line(label: object) -> str:
    """Write what can be printed of a label, with single spaces, and 1.0 as 1."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    printable = (char if char.isprintable() else " " for char in str(label)[:1000])
    return " ".join("".join(printable).split())
