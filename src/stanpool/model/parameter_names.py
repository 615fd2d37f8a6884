"""The names and dimensions of a posterior's variables."""

from __future__ import annotations

from dataclasses import dataclass

from stanpool.base.errors import SpecError, quote
from stanpool.data.design.design import Design, LatentDesign
from stanpool.language.prior import parameter_classes


def _reserved() -> set[str]:
    """Return the names that every posterior keeps for what is in the model itself."""
    own = {
        name
        for name, known in parameter_classes().items()
        if known.indexed != "varying"
    }
    dims = ("chain", "draw", "row", "coefficient", "category", "between", "latent")
    return {".", *dims, *own}


@dataclass(frozen=True)
class GroupNames:
    """The names that belong to a grouping factor in the posterior.

    Examples
    --------
    >>> GroupNames.of("county").b, GroupNames.of("county").coefficient
    ('b_county', 'county_coefficient')
    """

    group: str
    coefficient: str
    coefficient_2: str
    tau: str
    Omega: str
    b: str
    sigma: str
    tau_sigma: str

    @classmethod
    def of(cls, factor: str) -> GroupNames:
        """Return the names for a column; ``/``, a path in xarray, becomes ``:``."""
        name = factor.replace("/", ":")
        return cls(
            group=f"{name}_" if name in _reserved() else name,
            coefficient=f"{name}_coefficient",
            coefficient_2=f"{name}_coefficient_2",
            tau=f"tau_{name}",
            Omega=f"Omega_{name}",
            b=f"b_{name}",
            sigma=f"sigma_{name}",
            tau_sigma=f"tau_sigma_{name}",
        )


@dataclass(frozen=True)
class LatentNames:
    """The names of latent factors in the posterior.

    Attributes
    ----------
    scores, loadings
        Variables, such as ``scores_user`` and ``loadings_item``.
    scored, loaded
        Their dimensions beside ``latent``.
    """

    scores: str
    loadings: str
    scored: str
    loaded: str

    @classmethod
    def of(cls, latent: LatentDesign) -> LatentNames:
        """Return the names for the columns of both sides."""
        scored, loaded = (
            GroupNames.of(name) for name in (latent.scores_of, latent.loadings_of)
        )
        return cls(
            scores=f"scores_{latent.scores_of.replace('/', ':')}",
            loadings=f"loadings_{latent.loadings_of.replace('/', ':')}",
            scored=scored.group,
            loaded=loaded.group,
        )


def check_names(design: Design) -> None:
    """Refuse columns whose names give the posterior two things of one name.

    Raises
    ------
    SpecError
        Such as a factor ``sigma_g`` beside residual scales of ``g``: the scale of its
        coefficients would be ``tau_sigma_g``, and so the spread of these.
    """
    owners = dict.fromkeys(_reserved() - {"tau_sigma"}, "the model itself")

    def claim(owner: str, *names: str) -> None:
        for name in names:
            if owners.setdefault(name, owner) != owner:
                raise SpecError(
                    f"{owner} and {owners[name]} would both have the name "
                    f"{quote(name)} in the posterior. Rename a column."
                )

    def claim_column(name: str, *dims: str) -> None:
        claim(f"column {quote(name)}", *dims)

    for factor in design.factors:
        own = GroupNames.of(factor.factor)
        claim_column(factor.factor, own.group)
        claim(
            f"the grouping factor {quote(factor.factor)}",
            *(own.coefficient, own.coefficient_2, own.tau, own.Omega, own.b),
        )
    if design.residual is not None:
        name = design.residual.factor
        own = GroupNames.of(name)
        claim_column(name, own.group)
        claim(f"residual={quote(name)}", own.sigma, own.tau_sigma, "tau_sigma")
    if design.latent is not None:
        both = LatentNames.of(design.latent)
        claim_column(design.latent.scores_of, both.scored)
        claim_column(design.latent.loadings_of, both.loaded)
        claim("factors()", both.scores, both.loadings)
