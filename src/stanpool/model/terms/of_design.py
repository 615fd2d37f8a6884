"""The terms of a design: those of each parameter's linear predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stanpool.base.errors import SpecError, quote
from stanpool.data.design.design import Design, ParameterDesign
from stanpool.data.design.nesting import outer_first
from stanpool.model.priors.defaults import cutpoint_labels
from stanpool.model.program.structure import Structure
from stanpool.model.terms.group import GroupTerm
from stanpool.model.terms.names import Claim, reserved
from stanpool.model.terms.population import PopulationTerm
from stanpool.model.terms.residuals import ResidualTerm
from stanpool.model.terms.special.latent import LatentTerm
from stanpool.model.terms.special.tensor import TensorTerm
from stanpool.model.terms.special.uncertain import UncertainTerm
from stanpool.model.terms.term import ProgramData, SpecialTerm, Term

# Classes of terms, by the kind of their design.
_SPECIAL: Mapping[str, Callable[[Any], SpecialTerm]] = {
    "latent": LatentTerm,
    "tensor": TensorTerm,
    "uncertain": UncertainTerm,
}


@dataclass(frozen=True, eq=False)
class PredictorTerms:
    """The terms of the linear predictor of one parameter.

    Attributes
    ----------
    design
        The linear predictor.
    population, groups, special
        Its terms, by kinds.
    residuals
        The correlation of residuals, if this is the predictor of the mean and there is
        one.
    """

    design: ParameterDesign
    population: PopulationTerm
    groups: tuple[GroupTerm, ...]
    special: tuple[SpecialTerm, ...]
    residuals: tuple[ResidualTerm, ...] = ()

    @property
    def all(self) -> list[Term]:
        """All terms, in the order in which programs and posteriors have them."""
        return [self.population, *self.groups, *self.special, *self.residuals]

    def in_order(self, program: ProgramData) -> list[int]:
        """Return the places of all terms: those come first that others are centered at.

        Groups come after those that they are within, and after those that move the
        intercept, which neither are within others nor have others within them.
        """

        def stays(place: int) -> bool:
            ridge = self.groups[place].ridge(program)
            return ridge is None or not ridge.direction.any()

        groups = outer_first([term.form.within for term in self.groups])
        first = 1 + len(groups)
        places = [1 + place for place in sorted(groups, key=stays)]
        return [0, *places, *range(first, len(self.all))]


def predictors_of(design: Design, structure: Structure) -> tuple[PredictorTerms, ...]:
    """Return the terms of each parameter's linear predictor, the mean's first.

    Parameters
    ----------
    design, structure
        The data with labels, and the structure of the program.
    """
    return tuple(
        predictor_of(design, structure, own.parameter) for own in design.predictors
    )


def predictor_of(
    design: Design, structure: Structure, parameter: str = "mean"
) -> PredictorTerms:
    """Return the terms of the linear predictor of one parameter."""
    own = design.parameter(parameter)
    assert own is not None
    is_mean = parameter == "mean"
    has_cutpoints = is_mean and structure.has_cutpoints
    is_categorical = is_mean and structure.is_categorical
    population = PopulationTerm(
        own,
        categories=design.categories[1:] if is_categorical else (),
        cutpoints=cutpoint_labels(design) if has_cutpoints else (),
        shrinks=is_mean and structure.shrinks,
        is_ordered=structure.has_ordered_cutpoints,
    )
    pooled = structure.pooling == "partial"
    groups = tuple(
        GroupTerm(own, number, form, pooled=pooled, has_cutpoints=has_cutpoints)
        for number, form in enumerate(structure.factors_of(parameter))
    )
    correlated = design.residual_correlation if is_mean else None
    residuals = () if correlated is None else (ResidualTerm(correlated),)
    return PredictorTerms(own, population, groups, _special(own), residuals)


def special_terms(design: Design) -> tuple[SpecialTerm, ...]:
    """Return the terms that are neither the population's nor of a grouping factor."""
    return _special(design.mean)


def _special(own: ParameterDesign) -> tuple[SpecialTerm, ...]:
    return tuple(_SPECIAL[each.kind](each) for each in own.special)


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
    for own in design.predictors:
        yield from PopulationTerm(own).claims()
        for number, _ in enumerate(own.factors):
            yield from GroupTerm(own, number).claims()
    for term in special_terms(design):
        yield from term.claims()
