"""The comment above a program: what was done to the data, and what its numbers mean."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from stanpool.base.options import Parameterization
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.centers import labels_of_group_predictors
from stanpool.data.design.design import Design
from stanpool.engine.values.program import StanProgram
from stanpool.model.program.population_means import holders_of_means
from stanpool.model.program.render import functions_in_cpp
from stanpool.model.program.structure import suffix_of
from stanpool.model.program.units import Scaling
from stanpool.model.terms.of_design import special_terms

Rows = CompressedRows | Crossproducts | MarginalRows | AggregatedRows

_LABEL_WIDTH = 40  # characters of a name, before it is cut
_WIDTH = 88  # characters of a line of the comment


def annotate(
    program: StanProgram,
    design: Design,
    rows: Rows | None,
    scaling: Scaling,
    parameterization: Parameterization | None,
) -> str:
    """Return a program's source under a comment for the person who reads it.

    The comment says what was done to the data, how to see the plain program, and which
    of the user's names belong to which numbers. It is not part of the hashed text.
    Names are escaped, so that no user string can leave it.
    """
    lines = _what_was_done(design, rows, parameterization)
    lines += [
        f"CmdStan compiles {name} from equivalent C++ code with an analytic gradient"
        for name in functions_in_cpp(program)
    ]
    lines += _named_numbers(design, rows, scaling)
    return "\n".join([*(f"// {line}" for line in lines), program.source])


def reduced(design: Design, rows: CompressedRows | Crossproducts | MarginalRows) -> str:
    """Say what takes the place of the rows."""
    if isinstance(rows, Crossproducts):
        return (
            f"replaced by {rows.kept} crossproducts of the columns of the "
            f"{len(rows.estimate)} coefficients"
        )
    verb = "reduced to" if rows.kept < design.rows else "replaced by"
    return f"{verb} {rows.kept} by a QR decomposition"


def _named_numbers(
    design: Design,
    rows: Rows | None,
    scaling: Scaling,
) -> list[str]:
    """Say which of the user's names belong to which numbers of the program."""
    if isinstance(rows, AggregatedRows):
        design, rows = rows.design, None
    divided = "" if scaling.outcome == 1.0 else f" / {scaling.outcome:g}"
    is_reduced = rows is not None and not isinstance(rows, Crossproducts)
    count = "in the reduced rows" if is_reduced else f"in N = {design.rows} rows"
    lines = [f"y is the outcome{divided} {count}"]
    if rows is not None:
        lines.append("The equations are those of the data's own rows")
    lines += [
        f"y = {number} is {_escaped(str(category))}"
        for number, category in enumerate(design.categories, 1)
    ]
    centers = dict(design.centers)
    population = _written(design.coefficients, centers, scaling.population)
    if is_reduced and design.intercept:
        population = (_escaped("Intercept"), *population)
    lines += _columns("X", population, is_reduced=is_reduced)
    for number, factor in enumerate(design.factors, 1):
        suffix = suffix_of(number)
        lines.append(
            f"b{suffix}[j] are the coefficients of group j of "
            f"{_escaped(factor.factor)}, one of J{suffix} = {len(factor.labels)} groups"
        )
        lines += [
            f"column {factor.varying.index(label) + 1} of mu{suffix} is 0: that of the "
            f"population is in b{suffix_of(holder + 1)}"
            for label, holder in holders_of_means(design, number - 1).items()
        ]
        is_first = isinstance(rows, MarginalRows) and rows.integrated[0] == number - 1
        if is_first or not isinstance(rows, MarginalRows):
            is_centered = "Intercept" in factor.varying and not factor.uncorrelated
            own, scales = centers if is_centered else {}, scaling.factors[number - 1]
            varying = _written(factor.varying, own, scales)
            name = "Z" if is_first else f"Z{suffix}"
            lines += _columns(name, varying, is_reduced=is_reduced)
        if factor.U is not None:  # predictors that are constant within groups
            labels = labels_of_group_predictors(factor, design.coefficients)
            levels = _written(labels, centers, scaling.group_level[number - 1])
            lines += _columns(f"U{suffix}", levels)
    for predictor in design.formulas:
        end, of = f"_{predictor.parameter}", dict(predictor.centers)
        units = scaling.formulas[predictor.parameter]
        names = _written(predictor.coefficients, of, units.population)
        lines += _columns(f"X{end}", names)
        for number, factor in enumerate(predictor.factors, 1):
            own = {} if factor.uncorrelated else of
            names = _written(factor.varying, own, units.factors[number - 1])
            lines += _columns(f"Z{end}{suffix_of(number)}", names)
    if design.residual is not None:
        lines.append(
            f"sigma_j[j] is the residual scale of group j of "
            f"{_escaped(design.residual.factor)}"
        )
    lines += [
        f"{name} has a row for each of the {side.size} levels of "
        f"{_escaped(side.column)}"
        for term in special_terms(design)
        for name, side in term.stan_rows()
    ]
    return lines


def _what_was_done(
    design: Design,
    rows: Rows | None,
    parameterization: Parameterization | None,
) -> list[str]:
    """Say how the program differs from the plain one; nothing if it does not."""
    done = []
    if isinstance(rows, AggregatedRows):
        done.append(
            f"The {design.rows} rows of the data are aggregated into {rows.kept}, one "
            "for each combination of predictors and groups."
        )
    elif rows is not None:
        done.append(
            f"The {design.rows} rows of the data are {reduced(design, rows)}; the "
            "likelihood is the same."
        )
    if isinstance(rows, MarginalRows):
        factors = [_escaped(design.factors[each].factor) for each in rows.integrated]
        done.append(
            f"The coefficients of the groups of {' and '.join(factors)} are integrated "
            "out of the likelihood, and drawn after sampling."
        )
    elif parameterization == "adaptive":
        done.append(
            "The form of each group's coefficients is between centered and "
            "noncentered, as its data suggest (centeredness). The model is the same "
            "in every form."
        )
    if not done:
        return []
    plain = ['parameterization="noncentered"'] if parameterization else []
    plain += ["compress=False"] if rows is not None else []
    wrapped = [line for each in done for line in textwrap.wrap(each, _WIDTH - 3)]
    return [
        *wrapped,
        "To see the program without this:",
        f"  model.with_({', '.join(plain)}).stan_code",
    ]


def _written(
    labels: Sequence[str], centers: Mapping[str, float], scales: np.ndarray
) -> tuple[str, ...]:
    """Write labels for a comment, with what is subtracted and what divides them."""
    written = []
    for label, scale in zip(labels, scales, strict=True):
        pieces = [label] if label in centers else label.split(":")
        if not centers.keys() & set(pieces):
            pieces = [label]
        text = " * ".join(_minus_center(piece, centers) for piece in pieces)
        if scale != 1:
            text = f"({text})" if text[-1] != '"' else text
            text += f" / {scale:g}"
        written.append(text)
    return tuple(written)


def _minus_center(label: str, centers: Mapping[str, float]) -> str:
    """Write a label minus its centering constant."""
    if label not in centers:
        return _escaped(label)
    sign = "-" if centers[label] > 0 else "+"
    return f"{_escaped(label)} {sign} {abs(centers[label]):.15g}"


def _columns(
    matrix: str, labels: tuple[str, ...], *, is_reduced: bool = False
) -> list[str]:
    """Say what the columns of a matrix are, or are made of."""
    verb = "is made of" if is_reduced else "is"
    return [
        f"column {number} of {matrix} {verb} {label}"
        for number, label in enumerate(labels, 1)
    ]


def _escaped(text: str) -> str:
    """Write a user string as one short line of ASCII."""
    quoted = json.dumps(
        text[:_LABEL_WIDTH] + ("..." if len(text) > _LABEL_WIDTH else "")
    )
    return quoted
