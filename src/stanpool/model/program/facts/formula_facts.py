"""The facts about parameters that have formulas, on which the templates choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stanpool.language.family import FAMILIES
from stanpool.model.program.facts.term_facts import (
    GroupFacts,
    OwnParameter,
    TermFacts,
    zero_alpha_beta,
)
from stanpool.model.program.prior_blocks import (
    PriorBlock,
    declared_number,
    free_coefficients,
)
from stanpool.model.program.structure import (
    FactorStructure,
    ParameterStructure,
    Structure,
    suffix_of,
)

INVERSE_LINKS = {
    "identity": "",
    "log": "exp",
    "logit": "inv_logit",
    "probit": "Phi",
    "cloglog": "inv_cloglog",
    "tan_half": "2 * atan",
}


@dataclass(frozen=True)
class FormulaFacts:
    """What is said of a parameter that has a formula.

    Attributes
    ----------
    name
        The parameter.
    value
        How a row's value is made of the linear predictor.
    terms
        The terms of the linear predictor.
    changed
        The facts that its terms' macros are told in the place of the mean's.
    """

    name: str
    value: str
    terms: tuple[TermFacts | GroupFacts, ...]
    changed: Mapping[str, Any]


def own_parameters(structure: Structure) -> dict[str, OwnParameter]:
    """Return how programs write the family's parameters, by their names."""
    return {
        own.name: OwnParameter(
            own.name,
            own.name in structure.by_row,
            structure.has_number(own.name) and not structure.fixes(own.name),
            structure.has_rows_of_numbers,
        )
        for own in FAMILIES[structure.family].numbers
    }


def formula_facts(
    structure: Structure,
    blocks: Mapping[str, PriorBlock],
    factors: Sequence[GroupFacts],
) -> dict[str, Any]:
    """Return what is said of the parameters that have formulas.

    Parameters
    ----------
    structure, blocks
        The structure, and the layouts of priors by classes.
    factors
        What is said of the mean's grouping factors.
    """
    of_formulas = _factors(structure, blocks, factors)
    formulas = [
        _formula(own, structure, blocks, of_formulas) for own in structure.parameters
    ]
    return dict(
        formulas=formulas,
        factors_of_formulas=list(of_formulas.values()),
        terms_of_formulas=[term for own in formulas for term in own.terms],
    )


def _factors(
    structure: Structure,
    blocks: Mapping[str, PriorBlock],
    factors: Sequence[GroupFacts],
) -> dict[str, GroupFacts]:
    """Return what is said of the grouping factors of formulas, by their endings."""
    known, found = {each.s: each for each in factors}, dict[str, GroupFacts]()
    for own in structure.parameters:
        for number, factor in enumerate(own.factors, 1):
            before = tuple((known | found)[s] for s in factor.joint[: factor.place])
            s = suffix_of(number, own.parameter)
            found[s] = replace(_factor(own, s, factor, blocks), joint=before)
    return found


def sd_facts(s: str, has_processes: bool, *, is_centered: bool) -> dict[str, str]:
    """Write the standard deviations of the coefficients of smooths.

    Parameters
    ----------
    s
        How names end.
    has_processes
        Whether they follow from the length scales of Gaussian processes, too.
    is_centered
        Whether coefficients are centered as far as the data say.
    """
    tau = f"tau_s{s}[smooth{s}]"
    if not is_centered:
        return dict(sd_of_smooths=f"exp(log_sd_s{s})" if has_processes else tau)
    if has_processes:
        return dict(
            sd_of_smooths="exp((1 - centeredness_s) .* log_sd_s)",
            sd_of_z_s="exp(centeredness_s .* log_sd_s)",
        )
    return dict(
        sd_of_smooths=f"pow({tau}, 1 - centeredness_s)",
        sd_of_z_s=f"pow({tau}, centeredness_s)",
    )


def composition_facts(
    s: str, own: Structure | ParameterStructure
) -> dict[str, bool | str]:
    """Say what the coefficients of a linear predictor are put together of.

    Parameters
    ----------
    s
        How names end.
    own
        What decides the text about the linear predictor.
    """
    has_both = own.smooths and own.monotonic
    beta = f"beta_free{s}"
    for part in ["beta_s"] * own.smooths + ["beta_m"] * own.monotonic:
        beta = f"append_row({beta}, {part}{s})"
    parts = ["beta_free", *["beta_s"] * own.smooths, *["beta_m"] * own.monotonic]
    return dict(
        monotonic=own.monotonic,
        has_free=own.smooths or own.monotonic,
        has_both=has_both,
        size_of_smooths=f"K_s{s}" if has_both else f"K{s} - K_free{s}",
        composed_beta=beta,
        parts_of_beta=", ".join(f"{part}{s}" for part in parts),
    )


def _formula(
    own: ParameterStructure,
    structure: Structure,
    blocks: Mapping[str, PriorBlock],
    of_formulas: Mapping[str, GroupFacts],
) -> FormulaFacts:
    """Return what is said of one parameter that has a formula."""
    name, s = own.parameter, f"_{own.parameter}"
    kind = f"population of {name}"
    numbers = range(1, len(own.factors) + 1)
    factors = [of_formulas[suffix_of(number, name)] for number in numbers]
    inverse = INVERSE_LINKS[own.link]
    has_unit = structure.has_log_unit(name)
    parts = [f"alpha_c{s}" if own.intercept else "", f"X_c{s} * beta{s}"]
    beta, K = f"beta{s}", f"K{s}"
    if own.has_free:
        beta, K = free_coefficients(s)
    eta = " + ".join(filter(None, parts)) + (" - log_unit" if has_unit else "")
    known = {
        kind: blocks[f"{kind}{s}"]
        for kind in ("Intercept", "beta", "tau_s", "lengthscale", "steps")
        if f"{kind}{s}" in blocks
    }
    bounds = {kind: block.bounds for kind, block in known.items()}
    if has_unit and own.intercept and not bounds["Intercept"]:
        bounds["Intercept"] = "<offset=log_unit>"
    predicted = f"{name}[n]" if own.link == "identity" else f"{own.link}({name}[n])"
    return FormulaFacts(
        name,
        f"{inverse}(eta{s})" if inverse else f"eta{s}",
        (TermFacts(kind), *factors),
        dict(
            s=s,
            predicted=predicted,
            predictor=eta,
            has_unit=has_unit,
            bounds=bounds,
            declared={k: block.declared() for k, block in known.items() if block.size},
            intercept=own.intercept,
            smooths=own.smooths,
            processes=own.processes,
            centers_smooths=False,
            **sd_facts(s, own.processes, is_centered=False),
            **composition_facts(s, own),
            sampled_beta=beta,
            sampled_K=K,
            categories=False,
            cutpoints=False,
            decoupled=False,
            standardized=False,
            shrinks=False,
            samples_alpha_bar=False,
            samples_alpha_c=own.intercept and not known["Intercept"].fixed,
            has_intercept_per_category=False,
            has_x_bar=own.intercept,
            x_bar_note="where the prior on the intercept applies",
            centered_X=f"X{s} - rep_matrix(x_bar{s}', N)" if own.intercept else f"X{s}",
            has_offset_column=False,
            zero_alpha_beta=zero_alpha_beta(own.intercept, s),
        ),
    )


def _factor(
    own: ParameterStructure,
    s: str,
    factor: FactorStructure,
    blocks: Mapping[str, PriorBlock],
) -> GroupFacts:
    """Return what is said of one of its grouping factors, whose names end with s."""
    return GroupFacts(
        form="noncentered",
        s=s,
        is_first=False,
        effect=f"eta_{own.parameter}",
        correlated=factor.correlated,
        membership=factor.membership,
        group_predictors=False,
        integrated=0,
        recentered=False,
        signed=False,
        tau=blocks[f"tau{s}"].declared(),
        outer=(),
        on_ridge=False,
        decoupled=False,
        has_intercept=own.intercept,
        width=f"Q{s}",
        size=f"Q{s}",
        known_covariance=factor.known_covariance,
        has_constants=blocks[f"tau{s}"].fixed,
        population=factor.population,
        nu=declared_number(blocks.get(f"nu_u{s}")),
        rho=declared_number(blocks.get(f"rho_u{s}")),
        kind=f"group of {own.parameter}",
        is_apart=True,
        has_Omega=factor.has_Omega,
        joint_endings=factor.joint,
    )
