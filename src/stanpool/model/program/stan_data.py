"""The data dictionary that goes with a rendered program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import (
    MarginalRows,
    pilot_of_rest,
    scale_units,
)
from stanpool.data.design.design import Design
from stanpool.language.prior import DISTRIBUTIONS, Prior
from stanpool.model.pilot.centering import Centering, centered_elsewhere
from stanpool.model.pilot.decoupling import Decoupling
from stanpool.model.pilot.smooths import SmoothEstimate
from stanpool.model.priors.in_force import PriorRow, class_of
from stanpool.model.program.prior_blocks import (
    UNSTATED,
    variable_of,
)
from stanpool.model.program.structure import Structure, base_and_number
from stanpool.model.terms.of_design import predictors_of
from stanpool.model.terms.term import ProgramData

_MOST_UNITS = 100.0  # largest multiplier, in standard errors


def stan_data(
    design: Design,
    priors: Iterable[PriorRow],
    structure: Structure,
    *,
    prior_only: bool,
    rows: CompressedRows | Crossproducts | MarginalRows | None = None,
    centering: Sequence[Centering] = (),
    decoupling: Decoupling | None = None,
    smooths: SmoothEstimate | None = None,
) -> dict[str, Any]:
    """Build the data dictionary that goes with a rendered program.

    Parameters
    ----------
    design, priors, structure
        The data, the priors in force, and the structure that was rendered.
    prior_only
        Leave the outcome out, so that the fit draws from the prior.
    rows
        What the program sees in the place of the data's rows, if anything.
    centering
        For the adaptive program: how far the coefficients of each factor are centered.
    decoupling
        How the population's coefficients are sampled apart from the groups', if so.
    smooths
        An estimate of the smooths, if there are any.

    Returns
    -------
    dict
        Stan's data by name, as numbers and NumPy arrays.
    """
    if design.residual_correlation is not None:
        design = design.take(design.residual_correlation.order)
    data = _data_of_rows(design, rows)
    if structure.standardized:
        assert isinstance(rows, MarginalRows)
        pilot = _pilot_data(design, rows, prior_only=prior_only)
        left = ("beta_offset", "beta_multiplier") if structure.decoupled else ()
        data |= {name: pilot[name] for name in pilot if name not in left}
    program = program_data(design, structure, rows, centering, decoupling, smooths)
    if decoupling is not None:
        data |= decoupling.data()
    for predictor in predictors_of(design, structure):
        for term in predictor.all:
            data |= term.stan_data(program)
    data |= _prior_data(list(priors), structure)
    for bound in data.keys() & {"lower_b", "upper_b"}:
        data[bound] = np.tile(data[bound], (data["J"], 1))
    data["prior_only"] = int(prior_only)
    return data


def _data_of_rows(
    design: Design, rows: CompressedRows | Crossproducts | MarginalRows | None
) -> dict[str, Any]:
    """Return the data of the rows, or of what takes their place."""
    if rows is None:
        return _row_data(design)
    if isinstance(rows, Crossproducts):
        return _crossproduct_data(design, rows)
    return _reduced_data(design, rows)


def program_data(
    design: Design,
    structure: Structure,
    rows: CompressedRows | Crossproducts | MarginalRows | None,
    centering: Sequence[Centering],
    decoupling: Decoupling | None = None,
    smooths: SmoothEstimate | None = None,
) -> ProgramData:
    """Return what decides the data of terms besides their design."""
    units: dict[int, Array] = {}
    if isinstance(rows, MarginalRows):
        found = scale_units(rows, design).items()
        units = {n: unit for n, unit in found if structure.is_signed(n + 1)}
    chosen = elsewhere_of(design, structure, centering)
    is_adaptive = structure.parameterization == "adaptive"
    own = centering if is_adaptive else ()
    return ProgramData(structure, rows, own, chosen, units, decoupling, smooths)


def elsewhere_of(
    design: Design, structure: Structure, centering: Sequence[Centering]
) -> Sequence[frozenset[str]]:
    """Return the coefficients that are not centered at their means, by factor."""
    if not structure.chooses_center:
        return ()
    return centered_elsewhere(design.factors, centering, structure.within)


def _censoring_data(design: Design, censored: np.ndarray) -> dict[str, Any]:
    """Return the rows of each kind of outcome, known or censored."""
    data: dict[str, Any] = {}
    for kind, code in (("observed", 0), ("left", -1), ("right", 1), ("interval", 2)):
        rows = np.flatnonzero(censored == code) + 1
        data |= {f"n_{kind}": len(rows), kind: rows}
    upper = design.y if design.y_upper is None else design.y_upper
    data["y_upper"] = np.where(censored == 2, upper, design.y)
    return data


def _row_data(design: Design) -> dict[str, Any]:
    """Return the data of the rows."""
    data: dict[str, Any] = {"N": len(design.X), "y": design.y}
    if design.categories:
        data["C"] = len(design.categories)
        data["y"] = design.y + 1
    parts = {
        "trials": design.trials,
        "se": design.se,
        "offsets": design.offset,
        "weights": design.weights,
        "y_min": design.lower,
        "y_max": design.upper,
    }
    data |= {name: values for name, values in parts.items() if values is not None}
    if design.censored is not None:
        data |= _censoring_data(design, design.censored)
    return data


def _crossproduct_data(design: Design, rows: Crossproducts) -> dict[str, Any]:
    """Return the data of crossproducts."""
    data: dict[str, Any] = {
        "N_rows": rows.weight,
        "K_theta": len(rows.estimate),
        "theta_hat": rows.estimate,
        "squares": rows.squares,
        "products": rows.products,
        "nnz_gram": len(rows.gram),
        "gram": rows.gram,
        "gram_row": rows.row + 1,
        "gram_column": rows.column + 1,
    }
    return data | ({"y_shift": rows.y_shift} if design.intercept else {})


def _reduced_data(
    design: Design, rows: CompressedRows | MarginalRows
) -> dict[str, Any]:
    """Return the data of reduced rows."""
    data: dict[str, Any] = {}
    if isinstance(rows, MarginalRows):
        groups, rest = rows.groups, rows.rows.rest
        second = np.zeros(rest.shape[1], dtype=bool)
        second[rows.second] = True
        other = ~second
        other[-1] = False
        data |= {
            "K_X": int(other.sum()),
            "J_reduced": len(groups.count),
            "y": groups.X[:, :, -1].T,
            "X": groups.X[:, :, other].swapaxes(0, 1),
            "Z": groups.Z.swapaxes(0, 1),
            "n_groups": groups.count,
            "N_rest": len(rest),
            "y_rest": rest[:, -1],
            "X_rest": rest[:, other],
        }
        if second.any():
            A, A_rest = groups.X[:, :, second], rest[:, second]
            group, column = np.nonzero(A.any(axis=1))
            told = [rest[:, -1:], rest[:, other], A_rest]
            data |= {
                "nnz_A": len(group),
                "A": A[group, :, column].T,
                "A_column": column + 1,
                "A_row_start": np.searchsorted(group, np.arange(len(A) + 1)) + 1,
                "A_crossproducts": A_rest.T @ np.concatenate(told, axis=1),
            }
        scales = {
            "group_sigma": groups.scale,
            "group_sigma_rest": rows.rows.scale_of_rest,
        }
    else:
        data |= {"N": rows.kept, "K_X": rows.X.shape[1], "y": rows.y, "X": rows.X}
        scales = {"group_sigma": rows.scale}
    if design.intercept:
        data["y_shift"] = rows.y_shift
    if design.residual is not None:
        data |= {name: scale + 1 for name, scale in scales.items()}
        data["N_zero_rows"] = rows.zeros
    elif design.se is None:
        data["N_zero_rows"] = float(rows.zeros[0])
    return data


def _pilot_data(
    design: Design, rows: MarginalRows, *, prior_only: bool
) -> dict[str, Any]:
    """Return the offsets and multipliers of coefficients and the residual scale."""
    first = int(design.intercept)
    own = slice(first, first + len(design.mean.free))
    found = pilot_of_rest(rows)
    # The multipliers give these parameters the same spread in the sampler's coordinates
    # as the mean and the scale of J groups have, since a warm-up starts with one scale.
    units = min(math.sqrt(2.0 * len(rows.rows.Z)), _MOST_UNITS)
    data: dict[str, Any] = {
        "beta_offset": found.theta[own],
        "beta_multiplier": np.nan_to_num(units * found.theta_sd[own], nan=1.0),
        "log_sigma_offset": found.log_sigma,
        "log_sigma_multiplier": units * found.log_sigma_sd,
    }
    if prior_only or not rows.are_many:
        # In the prior, or with some of the rows, these estimates do not apply.
        data = {k: 0.0 * x + float(k.endswith("_multiplier")) for k, x in data.items()}
    return data


def _prior_data(rows: list[PriorRow], structure: Structure) -> dict[str, Any]:
    """Return the numbers of the priors, by the names that the program declares."""
    data: dict[str, Any] = {}
    for name, distributions in structure.priors:
        members = [row.prior.canonical for row in rows if row.parameter_class == name]
        variable, size = variable_of(name, structure)
        single = size is None
        if name in structure.bounded:
            estimated = [prior for prior in members if not prior.is_constant]
            data |= _bounds_data(name, estimated, single=single)
        if structure.fixes(name):
            variable += base_and_number(name)[1]
            data |= _constant_data(variable, members, single=single)
        for distribution in distributions:
            if distribution in UNSTATED:
                continue
            stem = f"{name}_{distribution}" if len(distributions) > 1 else name
            at = [
                position
                for position, prior in enumerate(members, 1)
                if prior.distribution == distribution
            ]
            chosen = [members[position - 1].named_arguments for position in at]
            if len(distributions) > 1:
                data[f"n_{stem}"] = len(at)
                data[f"at_{stem}"] = np.array(at)
            for argument in DISTRIBUTIONS[distribution].arguments:
                values = np.array([each[argument] for each in chosen], dtype=float)
                data[f"prior_{stem}_{argument}"] = (
                    float(values[0])
                    if single or distribution == "dirichlet"
                    else values
                )
    return data


def _constant_data(
    variable: str, members: list[Prior], *, single: bool
) -> dict[str, Any]:
    """Return the constants of a class, and which of its members are none."""
    if single:
        return {f"{variable}_constant": members[0].arguments[0]}
    constants = [prior.arguments[0] if prior.is_constant else 0.0 for prior in members]
    at = [n for n, prior in enumerate(members, 1) if not prior.is_constant]
    return {
        f"n_{variable}_estimated": len(at),
        f"at_{variable}_estimated": np.array(at, dtype=int),
        f"{variable}_constant": np.array(constants),
    }


def _bounds_data(name: str, members: list[Prior], *, single: bool) -> dict[str, Any]:
    """Return between which values the members of a class are declared."""
    least, most = class_of(name).bounds
    lower, upper = (
        np.array([prior.bounds[side] for prior in members]) for side in (0, 1)
    )
    lower, upper = np.maximum(lower, least), np.minimum(upper, most)
    if single:
        return {f"lower_{name}": float(lower[0]), f"upper_{name}": float(upper[0])}
    return {f"lower_{name}": lower, f"upper_{name}": upper}
