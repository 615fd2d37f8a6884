"""Each file of the templates in a program that cmdstanpy compiles and samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import models
from stanpool.base.system.files import shipped_folder
from stanpool.density.parameters import declared_names
from stanpool.engine import compile_programs
from stanpool.model.fit_result import LOG_DENSITY
from stanpool.model.program import render
from stanpool.model.program.facts.structure_facts import facts_of

pytestmark = pytest.mark.compiled

# Names in the catalogue; the first ones are compiled for other tests as well.
QUICK = (
    "complete_pooling_bernoulli",
    "partial_pooling_gaussian_noncentered",
    "partial_pooling_gaussian_se_marginal",
)
SLOW = (
    "complete_pooling_acat",
    "complete_pooling_asymmetric_laplace",
    "complete_pooling_bernoulli_cloglog",
    "complete_pooling_bernoulli_probit",
    "complete_pooling_binomial_cloglog",
    "complete_pooling_binomial_probit",
    "complete_pooling_exponential_censored",
    "complete_pooling_gaussian_residual_ar1",
    "complete_pooling_student_t_residual_cs",
    "complete_pooling_hurdle_gamma_shape_formula_hu_formula",
    "complete_pooling_hurdle_lognormal",
    "complete_pooling_hurdle_negative_binomial",
    "complete_pooling_hurdle_negative_binomial_phi_formula_hu_formula",
    "complete_pooling_inverse_gaussian_shape_formula",
    "complete_pooling_gaussian_smooths_processes",
    "partial_pooling_gaussian_centered_group_predictors_joint_sigma_formula_group_joint",
    "partial_pooling_poisson_adaptive_smooths_monotonic",
    "partial_pooling_gaussian_noncentered_uncertain_means",
    "complete_pooling_ordinal_smooths",
    "complete_pooling_gaussian_truncated_both",
    "complete_pooling_lognormal_truncated_both",
    "complete_pooling_negative_binomial_truncated_lower",
    "complete_pooling_ordinal_cloglog_other_priors",
    "complete_pooling_ordinal_other_priors",
    "complete_pooling_ordinal_probit_other_priors",
    "complete_pooling_poisson_truncated_both",
    "complete_pooling_skew_normal",
    "complete_pooling_sratio",
    "complete_pooling_sratio_cloglog",
    "complete_pooling_sratio_probit",
    "complete_pooling_von_mises",
    "complete_pooling_weibull_truncated_both",
    "complete_pooling_zero_inflated_binomial",
    "complete_pooling_zero_inflated_binomial_zi_formula",
    "complete_pooling_zero_inflated_negative_binomial_phi_formula_zi_formula",
    "complete_pooling_zero_inflated_poisson",
    "complete_pooling_zero_one_inflated_beta",
    "no_pooling_bernoulli",
    "no_pooling_beta",
    "no_pooling_beta_binomial",
    "no_pooling_gamma",
    "no_pooling_gaussian_free_sigma_other_priors",
    "no_pooling_inverse_gaussian",
    "no_pooling_lognormal",
    "no_pooling_negative_binomial",
    "no_pooling_student_t",
    "partial_pooling_bernoulli_weights_adaptive",
    "partial_pooling_binomial_centered",
    "partial_pooling_binomial_weights_adaptive",
    "partial_pooling_categorical_adaptive_recentered",
    "partial_pooling_gaussian_centered_latent",
    "partial_pooling_gaussian_noncentered_ar1",
    "partial_pooling_gaussian_noncentered_bym2",
    "partial_pooling_gaussian_noncentered_correlated_ancestry",
    "complete_pooling_gaussian_horseshoe_priors",
    "partial_pooling_gaussian_noncentered_correlated_student_t",
    "partial_pooling_gaussian_noncentered_tensor",
    "partial_pooling_gaussian_se_marginal_integrated_integrated_plain",
    "partial_pooling_gaussian_weights_crossproducts_decoupled_adaptive_correlated_"
    "group_predictors_member",
    "partial_pooling_hurdle_gamma_weights_adaptive",
    "partial_pooling_hurdle_lognormal_adaptive_sigma_formula_hu_formula_group",
    "partial_pooling_hurdle_poisson_adaptive_hu_formula",
    "partial_pooling_hurdle_poisson_offset_adaptive",
    "partial_pooling_poisson_adaptive_car_plain",
    "partial_pooling_poisson_adaptive_plain_membership",
    "partial_pooling_poisson_adaptive_correlated_group_predictors_nested",
    "partial_pooling_poisson_weights_adaptive",
    "partial_pooling_student_t_censored_adaptive",
    "partial_pooling_zero_inflated_negative_binomial_offset_weights_adaptive",
    "partial_pooling_zero_inflated_poisson_adaptive_zi_formula_group",
    "partial_pooling_zero_one_inflated_beta_adaptive_phi_formula_zoi_formula_"
    "coi_formula_group",
)
IN_ALL = {"likelihood", "priors", "terms/population"}
IN_OTHER_TESTS = {"neals_funnel"}  # test_posteriors.py


def parts_of(model: sp.Model) -> set[str]:
    """Name the files that are in the program of a model."""
    structure = model.structure
    functions = render._functions(structure)
    found = {f"families/{structure.family}", *(f"functions/{f}" for f in functions)}
    if structure.is_grouped_glm:
        found |= {"grouped_glm"}
        functions += render._grouped_function(structure, facts_of(structure))
    found |= {
        f"cpp/{header}" for f in functions for header in render.HEADERS.get(f, ())
    }
    found |= {f"terms/{each}" for each in structure.special}
    found |= {"cutpoints"} if structure.has_cutpoints else set()
    is_marginal = structure.parameterization == "marginal"
    pooling = f"{structure.pooling}_pooling"
    found |= {{"none_pooling": "no_pooling"}.get(pooling, pooling)}
    found -= {"partial_pooling"} if is_marginal else set()
    found |= {"partial_pooling_marginal"} if is_marginal else set()
    if structure.parameterization:
        found |= {f"parameterizations/{structure.parameterization}"}
    if structure.factors:
        found |= {"terms/group"}
    if any(factor.group_predictors for factor in structure.factors):
        found |= {"group_means"}
    if structure.smooths:
        found |= {"smooths"}
    if structure.decoupled:
        found |= {"decoupled"}
    if structure.residual:
        found |= {"residual_scale"}
    if structure.residual_correlation:
        found |= {"correlated_rows", "terms/residuals"}
    return found | IN_ALL


def test_each_file_is_in_one_of_the_programs() -> None:
    folder = shipped_folder("stan_templates")
    files = {
        str(path.relative_to(folder).with_suffix("")).removesuffix(".stan")
        for path in Path(folder).rglob("*.*")
        if path.name != "README.md"
    }
    parts = (parts_of(models()[name]) for name in (*QUICK, *SLOW))
    assert set().union(*parts) == files - IN_OTHER_TESTS


@pytest.fixture(scope="module")
def together(request: pytest.FixtureRequest) -> None:
    """Compile what is tested, in half the time that it takes one by one."""
    names = (*QUICK, *SLOW) if request.config.getoption("--slow") else QUICK
    compile_programs((models()[name].program for name in names), progress=False)


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
@pytest.mark.usefixtures("together")
def test_cmdstanpy_fits_it(name: str) -> None:
    import cmdstanpy

    model = models()[name]
    compiled = model.compile(progress=False)
    assert isinstance(compiled, cmdstanpy.CmdStanModel)
    options = {"chains": 1, "seed": 1}
    by_hand = compiled.sample(
        model.stan_data(),
        **options,
        iter_warmup=100,
        iter_sampling=20,
        inits=0.1,
        show_progress=False,
    )
    drawn = by_hand.stan_variables()
    # CmdStan does not name vectors that have no entries.
    formulas = [own for own in model.design.formulas if not own.coefficients]
    empty = {f"beta_{own.parameter}" for own in formulas}
    assert set(declared_names(model.program.source)) - empty <= drawn.keys()
    assert all(np.isfinite(values).all() for values in drawn.values())
    fit = model.fit(**options, warmup=100, draws=20, progress=False)
    assert fit.engine["name"] == "cmdstan"
    assert fit.engine[LOG_DENSITY].startswith("agrees")
