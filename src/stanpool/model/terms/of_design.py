"""The terms of a design."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stanpool.base.errors import SpecError, quote
from stanpool.data.design.design import Design
from stanpool.model.terms.latent import LatentTerm
from stanpool.model.terms.names import Claim, GroupNames, reserved
from stanpool.model.terms.term import Term

# Classes of terms, by the kind of their design.
_SPECIAL: Mapping[str, Callable[[Any], Term]] = {"latent": LatentTerm}


def special_terms(design: Design) -> tuple[Term, ...]:
    """Return the terms that are neither the population's nor of a grouping factor."""
    return tuple(_SPECIAL[each.kind](each) for each in design.special)


def check_names(design: Design) -> None:
    """Refuse columns whose names give the posterior two things of one name.

    Raises
    ------
    SpecError
        Such as a factor ``sigma_g`` beside residual scales of ``g``: the scale of its
        coefficients would be ``tau_sigma_g``, and so the spread of these.
    """
    owners = dict.fromkeys(reserved() - {"tau_sigma"}, "the model itself")
    for claim in _claims(design):
        for name in claim.names:
            if owners.setdefault(name, claim.owner) != claim.owner:
                raise SpecError(
                    f"{claim.owner} and {owners[name]} would both have the name "
                    f"{quote(name)} in the posterior. Rename a column."
                )


def _claims(design: Design) -> Iterator[Claim]:
    """Yield the names that terms take in the posterior."""
    for factor in design.factors:
        own = GroupNames.of(factor.factor)
        yield Claim.of_column(factor.factor, own.group)
        yield Claim(
            f"the grouping factor {quote(factor.factor)}",
            (own.coefficient, own.coefficient_2, own.tau, own.Omega, own.b),
        )
    if design.residual is not None:
        name = design.residual.factor
        own = GroupNames.of(name)
        yield Claim.of_column(name, own.group)
        names = (own.sigma, own.tau_sigma, "tau_sigma")
        yield Claim(f"residual={quote(name)}", names)
    for term in special_terms(design):
        yield from term.claims()
