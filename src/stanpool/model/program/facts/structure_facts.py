"""The facts about a structure on which the templates make their choices.

Templates choose and repeat, and never compute. What follows from several parts of a
structure, and each piece of Stan that is put together, gets its name here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from stanpool.language.family import FAMILIES, SIGMA
from stanpool.model.program.facts.formula_facts import (
    INVERSE_LINKS,
    composition_facts,
    formula_facts,
    own_parameters,
    sd_facts,
)
from stanpool.model.program.facts.term_facts import (
    GroupFacts,
    TermFacts,
    zero_alpha_beta,
)
from stanpool.model.program.prior_blocks import (
    PriorBlock,
    declared_number,
    free_coefficients,
    prior_block,
)
from stanpool.model.program.structure import FactorStructure, Structure, suffix_of


def facts_of(structure: Structure) -> dict[str, Any]:
    """Return the facts about a structure that the templates use."""
    blocks = {
        name: prior_block(name, used, structure) for name, used in structure.priors
    }
    return dict(
        s="",
        predicted="eta[n]",
        predictor="",
        has_unit=False,
        own=own_parameters(structure),
        family_file=f"families/{structure.family}.stan.jinja",
        link=structure.link,
        inverse_link=INVERSE_LINKS[structure.link],
        density="lpmf" if FAMILIES[structure.family].is_discrete else "lpdf",
        categories=structure.is_categorical,
        cutpoints=structure.has_cutpoints,
        cutpoint_type="ordered" if structure.has_ordered_cutpoints else "vector",
        offset=structure.offset,
        se=structure.se,
        residual=structure.residual,
        residual_correlation=structure.residual_correlation,
        weights=structure.weights,
        censored=structure.censored,
        truncated=structure.truncated,
        compressed=structure.compressed,
        crossproducts=structure.crossproducts,
        decoupled=structure.decoupled,
        has_slopes_of_z=structure.has_slopes_of_z,
        has_rows=not (structure.compressed or structure.crossproducts),
        standardized=structure.standardized,
        parameterization=structure.parameterization,
        bounds={name: block.bounds for name, block in blocks.items()},
        fixed={name: block.fixed for name, block in blocks.items()},
        special_terms=[*map(TermFacts, structure.special)],
        integrates_values=structure.integrates_values,
        samples_values=structure.samples_values,
        means_of_values=structure.means_of_values,
        means_of_factors=structure.means_of_factors,
        any_fixed=any(block.is_composed for block in blocks.values()),
        makes_coefficients=any(block.is_composed for block in blocks.values())
        or structure.has_free()
        or structure.samples_values
        or any(own.has_free for own in structure.parameters),
        declared={
            name: block.declared() for name, block in blocks.items() if block.size
        },
        priors=[block for name, block in blocks.items() if name != "b"],
        coefficients=blocks.get("b"),
        **_population_facts(structure),
        **_group_facts(structure, blocks),
        **_likelihood_facts(structure),
        **_tail_facts(structure),
    )


def _population_facts(structure: Structure) -> dict[str, Any]:
    """Return what is said of the intercept and the population's predictors."""
    intercept, categories = structure.intercept, structure.is_categorical
    if structure.pooling == "none":
        note = "the priors on intercepts apply at X = x_bar, Z = z_bar"
    else:
        prior = "cutpoints" if structure.has_cutpoints else "intercept"
        note = f"the prior on the {prior} applies at X = x_bar"
    has_x_bar = intercept or structure.has_cutpoints or structure.pooling == "none"
    if categories:
        values = "zero_first(alpha, beta)" if intercept else "zero_first(beta)"
    else:
        values = zero_alpha_beta(intercept, "")
    return dict(
        intercept=intercept,
        shrinks=structure.shrinks,
        samples_alpha_bar=intercept and bool(structure.on_ridge),
        samples_alpha_c=intercept and not structure.fixes("Intercept"),
        has_intercept_per_category=intercept and categories,
        smooths=structure.smooths,
        centers_smooths=structure.smooths,
        processes=structure.processes,
        **sd_facts("", structure.processes, is_centered=True),
        **composition_facts("", structure),
        **dict(
            zip(("sampled_beta", "sampled_K"), _sampled_beta(structure), strict=True)
        ),
        has_x_bar=has_x_bar,
        reports_intercepts=has_x_bar or bool(structure.parameters),
        x_bar_note=note,
        centered_X="X - rep_matrix(x_bar', N)" if has_x_bar else "X",
        theta_size="K + 1" if intercept else "K",
        has_offset_column=structure.offset and structure.is_grouped_glm,
        zero_alpha_beta=values,
        zero_alpha_beta_at_x_bar=values.replace("alpha", _sampled_alpha(structure)),
    )


def _sampled_beta(structure: Structure) -> tuple[str, str]:
    """Name the coefficients that have priors of their own, and their number."""
    return free_coefficients("") if structure.has_free() else ("beta", "K")


def _sampled_alpha(structure: Structure) -> str:
    """Name the intercept that is sampled, and that groups are centered at."""
    return "alpha_bar" if structure.on_ridge else "alpha_c"


def _group_facts(
    structure: Structure, blocks: Mapping[str, PriorBlock]
) -> dict[str, Any]:
    """Return the terms of the linear predictor, and what is said of all groups."""
    factors = [
        _group_term(structure, number, blocks)
        for number in range(1, len(structure.factors) + 1)
    ]
    terms = [TermFacts("population"), *factors, *map(TermFacts, structure.special)]
    integrated = {factor.integrated: factor for factor in factors}
    outer_first = [factors[number] for number in structure.outer_first]
    of_formulas = formula_facts(structure, blocks, factors)
    residuals = [TermFacts("residuals")] if structure.residual_correlation else []
    further = [*of_formulas["terms_of_formulas"], *residuals]
    sampled = [factor for factor in factors if not factor.integrated]
    return dict(
        **of_formulas,
        factors=factors,
        outer_first=outer_first,
        factors_by_form=_by_form([*outer_first, *of_formulas["factors_of_formulas"]]),
        terms=terms,
        terms_of_residuals=residuals,
        all_terms=[*terms, *further],
        other_terms=[*map(TermFacts, structure.special), *further],
        terms_outer_first=[
            *(terms[0], *outer_first, *terms[1 + len(factors) :]),
            *further,
        ],
        effects=[] if structure.is_grouped_glm or structure.crossproducts else terms,
        sampled=sampled,
        integrated_factors=[factor for factor in factors if factor.integrated],
        integrated=integrated.get(1),
        second=integrated.get(2),
        any_correlated=any(factor.has_Omega for factor in factors),
        chooses_center=structure.chooses_center,
        on_ridge=[factors[number] for number in structure.on_ridge],
        center="center_index" if structure.chooses_center else "mean_index",
        has_transformed_parameters=structure.intercept
        or structure.has_free()
        or bool(structure.parameters)
        or any(factor.signed for factor in factors)
        or bool(sampled)
        or structure.residual == "pooled"
        or structure.samples_values
        or "tensor" in structure.special
        or structure.standardized
        or any(block.is_composed for block in blocks.values())
        or structure.decoupled,
        has_generated_quantities=any(factor.is_reported for factor in factors)
        or any(own.factors for own in structure.parameters)
        or structure.has_cutpoints
        or "latent" in structure.special,
    )


def _by_form(factors: Sequence[GroupFacts]) -> list[dict[str, Any]]:
    """Return the factors of each form, as they are in the order of the program.

    Those that are made of others' deviations, which are noncentered, are the last.
    """
    forms = list(dict.fromkeys(factor.form for factor in factors))
    if any(factor.follows for factor in factors):
        forms.sort(key="noncentered".__eq__)
    return [
        {"form": form, "factors": [x for x in factors if x.form == form]}
        for form in forms
    ]


def _group_term(
    structure: Structure, number: int, blocks: Mapping[str, PriorBlock]
) -> GroupFacts:
    """Return what is said of one factor, counted from 1."""
    factor, s = structure.factors[number - 1], suffix_of(number)
    categories = structure.is_categorical
    return GroupFacts(
        form=_form_of(factor, structure),
        s=s,
        is_first=number == 1,
        effect="group_effect",
        correlated=factor.correlated,
        membership=factor.membership,
        group_predictors=factor.group_predictors,
        integrated=factor.integrated,
        recentered=factor.recentered,
        signed=structure.is_signed(number),
        tau=blocks[f"tau{s}"].declared(f"Q_all{s}" if categories else f"Q{s}")
        if f"tau{s}" in blocks
        else "",
        outer=tuple(suffix_of(place + 1) for place in factor.within),
        on_ridge=number - 1 in structure.on_ridge,
        decoupled=structure.has_slopes_of_z,
        has_intercept=structure.intercept,
        width=f"Q_all{s}" if categories else f"Q{s}",
        size=f"Q{s} * (C - 1)" if categories else f"Q{s}",
        known_covariance=factor.known_covariance,
        has_constants=structure.fixes(f"tau{s}"),
        population=factor.population,
        nu=declared_number(blocks.get(f"nu_u{s}")),
        rho=declared_number(blocks.get(f"rho_u{s}")),
        has_Omega=factor.has_Omega,
        joint_endings=factor.joint,
    )


def _form_of(factor: FactorStructure, structure: Structure) -> str:
    """Name a factor's form: in a marginal program some are not integrated out."""
    is_left = structure.parameterization == "marginal" and not factor.integrated
    if is_left or not factor.has_forms:
        return "noncentered"
    return structure.parameterization or "none"


def _likelihood_facts(structure: Structure) -> dict[str, Any]:
    """Return what is said of the rows, from eta to the log likelihood."""
    alpha = _alpha(structure)
    effect = "group_effect" if structure.factors else ""
    offset = "offsets" if structure.offset else ""
    of_values = "x_effect" if "uncertain" in structure.special else ""
    is_grouped = structure.is_grouped_glm
    by_row = structure.weights and not is_grouped
    may_be_fused = not (by_row or structure.censored or structure.truncated)
    return dict(
        alpha=alpha,
        rest_of_eta=" + ".join(filter(None, (alpha, offset, effect, of_values))) or "0",
        group_effect=effect or "0",
        eta_type="matrix[N, C - 1]" if structure.is_categorical else "vector[N]",
        theta=_theta(structure),
        grouped=_grouped(structure) if is_grouped else None,
        may_be_fused=may_be_fused,
        may_be_glm=may_be_fused and structure.by_row <= {"sigma"},
        row_by_row=by_row,
        times_scale=partial(_times_scale, structure),
        **_scale_facts(structure),
        has_se_per_row=structure.se is not None and not structure.compressed,
        has_scale_per_row=structure.residual is not None
        or structure.se == "added"
        or structure.integrates_values,
    )


def _scale_facts(structure: Structure) -> dict[str, Any]:
    """Write how vectors are multiplied with the scale of rows, and divided by it."""
    by_row = "sigma" in structure.by_row
    name = "scale" if structure.residual else "sigma"
    times, over = (".*", "./") if by_row or structure.residual else ("*", "/")
    return dict(
        of_scale=lambda vector: f"{name} {times} {vector}",
        over_scale=f"{over} {name}",
        is_joint_t=bool(structure.residual_correlation) and structure.has_number("nu"),
    )


def _times_scale(structure: Structure, at: str) -> str:
    """Write the sign of the products of a skewness with the scale of rows."""
    is_scale_per_row = structure.residual or structure.se or "sigma" in structure.by_row
    both = "slant" in structure.by_row and is_scale_per_row
    return ".*" if both and at != "[n]" else "*"


def _tail_facts(structure: Structure) -> dict[str, Any]:
    """Return how tails are written of outcomes that are censored or truncated.

    Counts have functions of single rows; one at its lower bound is seen. The upper tail
    of normal outcomes is the lower one of their negatives: Stan's is 0 from 8.25
    standard deviations on.
    """
    family = FAMILIES[structure.family]
    per_row = structure.weights or family.is_discrete
    at = "[n]" if per_row else ""
    return dict(
        bound_type="array[N] int<lower=0>" if family.is_discrete else "vector[N]",
        has_tail_per_row=per_row,
        seen_above=f"y_min{at}" + (" - 1" if family.is_discrete else ""),
        seen_up_to=f"y_max{at}",
        upper_tail="lcdf" if family.is_gaussian else "lccdf",
        minus="-" if family.is_gaussian else "",
    )


def _alpha(structure: Structure) -> str:
    """Write the intercept as it is added to the rows' linear predictors."""
    if not structure.intercept:
        return ""
    # A single row of intercepts is broadcast by the GLM of complete pooling only.
    if structure.is_categorical:
        return "rep_matrix(alpha_c, N)"
    return "alpha_c"


def _theta(structure: Structure) -> str:
    """Write the coefficients of the reduced rows: population, then other factors."""
    if structure.crossproducts:
        return _theta_of_crossproducts(structure)
    theta = "append_row(alpha_c - y_shift, beta)" if structure.intercept else "beta"
    for number, factor in enumerate(structure.factors, 1):
        if not (factor.integrated or structure.compressed):
            suffix = suffix_of(number)
            theta = f"append_row({theta}, to_vector(u{suffix}'))"
    return theta


def _theta_of_crossproducts(structure: Structure) -> str:
    """Write the coefficients of all columns, one factor after the other."""
    first = "append_row(alpha - y_shift, beta)" if structure.intercept else "beta"
    effects = [f"to_vector(u{s})" for s in _endings(structure)]
    return _joined("append_row", [first, *effects])


def _endings(structure: Structure) -> list[str]:
    """Return how the names of each factor's variables end."""
    return [suffix_of(number) for number in range(1, len(structure.factors) + 1)]


def grouped_glm(structure: Structure) -> str:
    """Name the likelihood of all rows and groups."""
    kind = "weighted" if structure.weights else "grouped"
    return f"{kind}_{structure.family}_{structure.link}_glm"


def _grouped(structure: Structure) -> dict[str, Any]:
    """Write the likelihood of all rows and groups: its arguments, and what they are."""
    endings = _endings(structure)
    effects = "b_c" if structure.pooling == "none" else "u"
    own = _own_arguments(structure)
    arguments = (
        *own,
        "X_c",
        _alpha_of_grouped(structure),
        "append_row(beta, 1)" if structure.offset else "beta",
        "Z_all" if _has_Z_all(structure) else _columns(structure, 0),
        "u_index",
        _joined("append_row", [_by_position(structure, effects, s) for s in endings]),
    )
    is_discrete = FAMILIES[structure.family].is_discrete
    one, many = "real", "vector"
    if structure.is_categorical:
        one, many = "row_vector", "matrix"
    declared = (
        "array[] int y" if is_discrete else "vector y",
        *(f"{kind} {name}" for name, kind in own.items()),
        f"matrix X, {one} alpha, {many} beta, matrix Z, array[,] int u_index, {many} u",
    )
    return {
        "name": grouped_glm(structure),
        "declared": ", ".join(declared),
        "arguments": ", ".join(arguments),
        "unnormalized": "lupmf" if is_discrete else "lupdf",
        **_places_of_grouped(structure),
    }


def _places_of_grouped(structure: Structure) -> dict[str, Any]:
    """Write where rows find the groups' coefficients, and what these go with."""
    endings = _endings(structure)
    widths = [
        f"M{s} * Q{s}" if factor.membership else f"Q{s}"
        for s, factor in zip(endings, structure.factors, strict=True)
    ]
    befores = [
        " + ".join(f"J{s} * Q{s}" for s in endings[:number]) or "0"
        for number in range(len(endings))
    ]
    places = {
        f"places{s}": (width, f"u_positions(group{s}, J{s}, Q{s}, {before})")
        for s, width, before in zip(endings, widths, befores, strict=True)
    }
    several = len(places) > 1
    columns = [_columns(structure, number) for number in range(len(endings))]
    return {
        "places": [(name, *each) for name, each in places.items()] if several else [],
        "width": " + ".join(widths),
        "Z_all": _joined("append_col", columns) if _has_Z_all(structure) else "",
        "u_index": _joined("append_array", [*places])
        if several
        else places["places"][1],
    }


def _own_arguments(structure: Structure) -> dict[str, str]:
    """Return what the likelihood is told besides the predictor, and its types."""
    family = FAMILIES[structure.family]
    told = {"weights": "vector"} if structure.weights else {}
    if "trials" in family.parts:
        told["trials"] = "array[] int"
    for each in family.parameters:
        if each == SIGMA and structure.residual:
            told |= {"sigma_j": "vector", "group_sigma": "array[] int"}
        else:
            told[each.stan_variable] = "vector" if each.size else "real"
    return told


def _alpha_of_grouped(structure: Structure) -> str:
    """Write the intercept as the likelihood of all rows and groups takes it."""
    if structure.intercept:
        return "alpha_c"
    return "zeros_row_vector(C - 1)" if structure.is_categorical else "0"


def _by_position(structure: Structure, effects: str, s: str) -> str:
    """Write a factor's coefficients one after the other, for each category."""
    if structure.is_categorical:
        return f"to_matrix({effects}{s}, J{s} * Q{s}, C - 1)"
    return f"to_vector({effects}{s})"


def _has_Z_all(structure: Structure) -> bool:
    """Whether the columns that go with the groups' coefficients are put together."""
    return len(structure.factors) > 1 or structure.factors[0].membership


def _columns(structure: Structure, number: int) -> str:
    """Write the columns that go with a factor's coefficients, counted from 0."""
    Z = "Z_c" if structure.pooling == "none" else "Z"
    s = suffix_of(number + 1)
    if structure.factors[number].membership:
        return f"membership_Z({Z}{s}, weight{s})"
    return f"{Z}{s}"


def _joined(function: str, parts: Sequence[str]) -> str:
    """Write how a Stan function of two arguments joins several."""
    first, *rest = parts
    return f"{function}({first}, {_joined(function, rest)})" if rest else first
