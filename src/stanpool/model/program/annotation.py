"""The comment over a program that maps its numbers to the user's names."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Design
from stanpool.engine.program import StanProgram
from stanpool.model.program.render import HEADERS
from stanpool.model.program.structure import suffix_of
from stanpool.model.program.units import Scaling

_LABEL_WIDTH = 40


def annotate(
    program: StanProgram,
    design: Design,
    rows: CompressedRows | MarginalRows | None = None,
    scaling: Scaling | None = None,
) -> str:
    """Return a program's source under a comment that maps numbers to user's names.

    The comment is not part of the hashed text; names are escaped, so that no user
    string can leave it.
    """
    outcome = scaling.outcome if scaling else 1.0
    divided = "" if outcome == 1.0 else f" / {outcome:g}"
    lines = [
        f"// {name} is compiled from C++, with its gradient"
        for name in HEADERS
        if program.header and f" {name}_l" in program.source
    ]
    lines.append(f"// outcome{divided}, N = {design.rows} rows")
    lines += [
        f"// y = {number} is {_escaped(str(category))}"
        for number, category in enumerate(design.categories, 1)
    ]
    origins = dict(design.origins)
    population = _divided(
        design.coefficients, origins, scaling.population if scaling else None
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
            origins if is_moved else {},
            scaling.factors[number - 1] if scaling else None,
        )
        if not isinstance(rows, MarginalRows):
            lines += _labelled(f"Z{suffix}", varying)
        elif rows.integrated[0] == number - 1:
            lines += _labelled("Z[ : ]", varying)
    return "\n".join(lines) + "\n" + program.source


def _divided(
    labels: tuple[str, ...], origins: Mapping[str, float], scales: np.ndarray | None
) -> tuple[str, ...]:
    """Write labels for a comment, with where columns start and what divides them."""
    if scales is None:
        scales = np.ones(len(labels))
    written = []
    for label, scale in zip(labels, scales, strict=True):
        pieces = [label] if label in origins else label.split(":")
        if not origins.keys() & set(pieces):
            pieces = [label]
        text = " * ".join(_from_origin(piece, origins) for piece in pieces)
        if scale != 1:
            text = f"({text})" if text[-1] != '"' else text
            text += f" / {scale:g}"
        written.append(text)
    return tuple(written)


def _from_origin(label: str, origins: Mapping[str, float]) -> str:
    """Write a label less its origin."""
    if label not in origins:
        return _escaped(label)
    sign = "-" if origins[label] > 0 else "+"
    return f"{_escaped(label)} {sign} {abs(origins[label]):.15g}"


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
