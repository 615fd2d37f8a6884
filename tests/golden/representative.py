"""Models that stand for all of the catalogue in tests that go through it.

What is asked of fits depends on the outcome and on how groups are modeled, and hardly
on both together. So the default run takes models in which each choice is made at least
once, each family has each pooling and each link, and each two choices about groups
have met that meet anywhere. The other models are slow. The densities, likelihoods and
programs themselves are those of all models in every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache, reduce
from itertools import combinations, count, product
from operator import or_
from typing import Any

import pytest

import stanpool as sp
from stanpool.model.program.structure import Structure

_numbers = count()

Choice = tuple[str, Any]
# Those that say how groups are modeled; all of a FactorStructure are, too.
OF_GROUPS = {"pooling", "parameterization", "intercept", "special", "residual"}


def each_model(models: Mapping[str, sp.Model]) -> list[Any]:
    """Return names of models for ``parametrize``, all but the representative slow."""
    chosen = representative(models)
    return [
        pytest.param(name, marks=() if name in chosen else pytest.mark.slow)
        for name in models
    ]


def representative(models: Mapping[str, sp.Model]) -> set[str]:
    """Choose models that together have all that is in any of them, the richest first.

    Examples
    --------
    >>> from golden.catalogue import models
    >>> 50 < len(representative(models())) < len(models()) / 2
    True
    """
    has = {name: _bits(model) for name, model in models.items()}
    left = reduce(or_, has.values(), 0)
    chosen = set()
    while left:
        richest = max(has, key=lambda name: (has[name] & left).bit_count())
        chosen.add(richest)
        left &= ~has[richest]
    return chosen


def _bits(model: sp.Model) -> int:
    """Return the choices of a model as a set of bits, which is quick to intersect."""
    return _bits_of(model.structure, bool(model.design.centers))


@cache
def _bits_of(structure: Structure, has_centers: bool) -> int:
    choices = combined_choices(structure, has_centers)
    return reduce(or_, (1 << _place(choice) for choice in choices))


@cache
def _place(choice: frozenset[Choice]) -> int:
    """Number a choice, or two that are combined."""
    return next(_numbers)


def combined_choices(
    structure: Structure, has_centers: bool
) -> Iterator[frozenset[Choice]]:
    """Yield each choice that a model makes, and the pairs that must be tried."""
    of_groups, others = set(), set()
    for field in fields(structure):
        value = getattr(structure, field.name)
        if field.name == "factors":
            of_groups.add(("factors", len(value)))
            of_groups |= {
                (each.name, getattr(factor, each.name))
                for factor in value
                for each in fields(factor)
            }
        elif field.name == "priors":
            others |= {
                item for block, names in value for item in product([block], names)
            }
        elif field.name in OF_GROUPS:
            of_groups.add((field.name, value))
        else:
            others.add((field.name, value))
    others.add(("centers", has_centers))
    yield from (frozenset([choice]) for choice in of_groups | others)
    yield from (frozenset(pair) for pair in combinations(of_groups, 2))
    family = ("family", structure.family)
    for name in ("pooling", "link"):
        yield frozenset([family, (name, getattr(structure, name))])
