"""The comment above a program: what was done to the data, and what its numbers mean."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

import numpy as np

from stanpool.base.options import Parameterization
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Design
from stanpool.engine.program import StanProgram
from stanpool.model.program.render import HEADERS
from stanpool.model.program.structure import suffix_of
from stanpool.model.program.units import Scaling

_LABEL_WIDTH = 40  # characters
_WIDTH = 88  # characters of a line


def annotate(
    program: StanProgram,
    design: Design,
    rows: CompressedRows | MarginalRows | AggregatedRows | None = None,
    scaling: Scaling | None = None,
    parameterization: Parameterization | None = None,
) -> str:
    """Return a program's source under a comment for the person who reads it.

    The comment says what was done to the data, how to see the plain program, and which
    of the user's names belong to which numbers. It is not part of the hashed text.
    Names are escaped, so that no user string can leave it.
    """
    lines = _what_was_done(design, rows, parameterization)
    if isinstance(rows, AggregatedRows):
        design, rows = rows.design, None
    outcome = scaling.outcome if scaling else 1.0
    divided = "" if outcome == 1.0 else f" / {outcome:g}"
    lines += [
        f"// {name} is compiled from C++, with its gradient"
        for name in HEADERS
        if program.header and f" {name}_l" in program.source
    ]
    lines.append(f"// y is the outcome{divided}, N = {design.rows} rows")
    lines += [
        f"// y = {number} is {_escaped(str(category))}"
        for number, category in enumerate(design.categories, 1)
    ]
    centers = dict(design.centers)
    population = _divided(
        design.coefficients, centers, scaling.population if scaling else None
    )
    if rows is not None and design.intercept:
        population = (_escaped("Intercept"), *population)
    marginal = isinstance(rows, MarginalRows)
    lines += _labelled("X[ : ]" if marginal else "X", population)
    for number, factor in enumerate(design.factors, 1):
        suffix = suffix_of(number)
        groups = f"J{suffix} = {len(factor.labels)} groups of {_escaped(factor.factor)}"
        lines.append(f"// {groups}")
        is_moved = "Intercept" in factor.varying and not factor.uncorrelated
        varying = _divided(
            factor.varying,
            centers if is_moved else {},
            scaling.factors[number - 1] if scaling else None,
        )
        if not isinstance(rows, MarginalRows):
            lines += _labelled(f"Z{suffix}", varying)
        elif rows.integrated[0] == number - 1:
            lines += _labelled("Z[ : ]", varying)
    return "\n".join(lines) + "\n" + program.source


def _what_was_done(
    design: Design,
    rows: CompressedRows | MarginalRows | AggregatedRows | None,
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
            f"The {design.rows} rows of the data are reduced to {rows.kept} by a QR "
            "decomposition; the likelihood is the same."
        )
    if isinstance(rows, MarginalRows):
        factors = [_escaped(design.factors[each].factor) for each in rows.integrated]
        done.append(
            f"The coefficients of the groups of {' and '.join(factors)} are integrated "
            "out of the likelihood, and drawn after sampling."
        )
    elif parameterization == "adaptive":
        done.append(
            "Each group's coefficients are centered to a degree (w) of their own; this "
            "changes the coordinates of the sampler, and not the model."
        )
    if not done:
        return []
    plain = ['parameterization="noncentered"'] if parameterization else []
    plain += ["compress=False"] if rows is not None else []
    done.append(f"The plain program: model.with_({', '.join(plain)}).stan_code")
    wrapped = (textwrap.wrap(each, _WIDTH - 3) for each in done)
    return [f"// {line}" for lines in wrapped for line in lines]


def _divided(
    labels: tuple[str, ...], centers: Mapping[str, float], scales: np.ndarray | None
) -> tuple[str, ...]:
    """Write labels for a comment, with what is subtracted and what divides them."""
    if scales is None:
        scales = np.ones(len(labels))
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


def _labelled(matrix: str, labels: tuple[str, ...]) -> list[str]:
    """Describe the columns of a matrix in a comment."""
    return [
        f"// {matrix}[ : , {number}] is {label}"
        for number, label in enumerate(labels, 1)
    ]


def _escaped(text: str) -> str:
    """Write a user string as one short line of ASCII."""
    quoted = json.dumps(
        text[:_LABEL_WIDTH] + ("..." if len(text) > _LABEL_WIDTH else "")
    )
    return quoted
