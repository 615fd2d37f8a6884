"""What is found, how it reads, and what is advised."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from scipy.special import gammaln, psi

import stanpool as sp
from simulated_fits import autocorrelated, changed, simulated_fit
from stanpool.inference.diagnostics import Advice, Diagnosis, Finding, diagnose
from stanpool.inference.diagnostics.checks import measure_mixing
from stanpool.inference.diagnostics.learned import check_learned
from stanpool.model.terms.names import GroupNames


def levels(fit):
    return {each.check: each.level for each in diagnose(fit).checks}


def finding(fit, check):
    (found,) = [each for each in diagnose(fit).findings if each.check == check]
    return found


def slow(fit, *names, rho=0.98, seed=5):
    """Replace population draws by autocorrelated ones of unit variance."""
    rng = np.random.default_rng(seed)
    new = {}
    for name in names:
        values = fit.posterior[name].to_numpy()
        series = autocorrelated(rng, (*values.shape[:2], 1), np.array([rho]))
        new[name] = np.exp(series.reshape(values.shape))
    return changed(fit, "posterior", **new)


def test_independent_draws_are_ok():
    diagnosis = diagnose(simulated_fit(draws=1000))
    assert diagnosis.ok
    assert diagnosis.findings == ()
    assert diagnosis.advice == ()
    assert {each.level for each in diagnosis.checks} == {"passed"}


def test_every_check_names_its_threshold_and_source():
    checks = {each.check: each for each in diagnose(simulated_fit()).checks}
    assert checks["r_hat"].threshold == 1.01
    assert checks["ess_bulk"].threshold == checks["ess_tail"].threshold == 400
    assert checks["e_bfmi"].threshold == 0.3
    assert checks["divergences"].threshold == 0
    assert all(each.source and each.sentence for each in checks.values())


def test_chains_that_disagree():
    fit = simulated_fit()
    sigma = fit.posterior["sigma"].to_numpy().copy()
    sigma[0] += 1
    found = finding(changed(fit, "posterior", sigma=sigma), "r_hat")
    assert found.level == "problem"
    assert found.parameters == ("sigma",)
    assert found.measured > 1.1


def test_a_quantity_that_never_moved():
    fit = simulated_fit()
    sigma = np.ones_like(fit.posterior["sigma"].to_numpy())
    found = finding(changed(fit, "posterior", sigma=sigma), "r_hat")
    assert found.parameters == ("sigma",)
    assert "never moved" in found.sentence


def test_groups_of_offending_coefficients_are_named():
    fit = simulated_fit()
    b = fit.posterior["b_school"].to_numpy().copy()
    b[0, :, 2] += 30
    b[1, :, 4] += 50
    found = finding(changed(fit, "posterior", b_school=b), "r_hat")
    assert set(found.groups) == {"C", "E"}


def test_rejected_proposals_are_a_note_with_their_reason():
    assert "rejections" not in levels(simulated_fit())
    often, seldom = "normal_lpdf: Scale parameter is 0", "inv_gamma_lpdf: is nan"
    fit = dataclasses.replace(simulated_fit(), rejections={seldom: 1, often: 4})
    found = finding(fit, "rejections")
    assert found.level == "note"
    assert found.measured == 5
    assert often in found.sentence


def test_few_effective_draws():
    found = finding(slow(simulated_fit(), "sigma"), "ess_bulk")
    assert found.parameters == ("sigma",)
    assert found.measured < found.threshold == 400


def test_draws_that_are_not_finite():
    fit = simulated_fit()
    sigma = fit.posterior["sigma"].to_numpy().copy()
    sigma[0, 0] = np.inf
    diagnosis = diagnose(changed(fit, "posterior", sigma=sigma))
    assert not diagnosis.ok
    assert [each.check for each in diagnosis.findings] == ["finite"]


def test_low_bfmi():
    fit = simulated_fit()
    energy = np.random.default_rng(1).normal(size=(4, 500)).cumsum(axis=1)
    found = finding(changed(fit, "sample_stats", energy=energy), "e_bfmi")
    assert found.measured < 0.3


def test_tree_depth_is_a_note_and_does_not_fail():
    fit = simulated_fit(information=0.3)
    reached = np.zeros((4, 500), bool)
    reached[0, :3] = True
    diagnosis = diagnose(changed(fit, "sample_stats", reached_max_treedepth=reached))
    assert diagnosis.ok
    (found,) = diagnosis.findings
    assert (found.check, found.level, found.measured) == ("tree_depth", "note", 3)
    assert diagnosis.advice[0].arguments == {"max_treedepth": 12}


@pytest.mark.parametrize(("chains", "level"), [(1, "problem"), (2, "note")])
def test_few_chains(chains, level):
    diagnosis = diagnose(simulated_fit(chains=chains, draws=2000))
    assert {each.check: each.level for each in diagnosis.findings} == {"chains": level}
    assert diagnosis.advice[0].arguments == {"chains": 4}


@pytest.mark.parametrize("chains", [1, 4])
def test_draws_too_few_to_check(chains):
    diagnosis = diagnose(simulated_fit(draws=3, chains=chains))
    assert not diagnosis.ok
    assert "too short for any check" in str(diagnosis)
    assert not diagnose(simulated_fit(draws=4, chains=chains)).ok


def test_divergences_in_the_neck_name_the_scale_and_the_group():
    fit = simulated_fit(parameterization="centered", neck=0.05, loud=3)
    found = finding(fit, "funnel")
    assert found.level == "problem"
    assert found.parameters == ("tau_school[Intercept]",)
    assert found.groups[0] == "D"
    assert found.measured == 0.0
    assert "small tau_school[Intercept]" in found.sentence


def test_divergences_elsewhere_are_not_called_a_funnel():
    fit = simulated_fit(parameterization="centered", information=0.9)
    diverging = np.random.default_rng(2).random((4, 500)) < 0.02
    fit = changed(fit, "sample_stats", diverging=diverging)
    assert levels(fit)["divergences"] == "problem"
    assert levels(fit)["funnel"] == "note"
    assert diagnose(fit).advice[0].arguments == {"adapt_delta": 0.95}


@pytest.mark.parametrize(
    ("count", "draws", "level"),
    # 2000 and 8000 independent draws: a tenth of the square roots are 4.5 and 8.9.
    [(4, 500, "note"), (6, 500, "problem"), (6, 2000, "note"), (300, 2000, "problem")],
)
def test_a_few_divergences_weigh_less_than_many(count, draws, level):
    fit = simulated_fit(draws=draws)
    diverging = np.zeros(4 * draws, dtype=bool)
    diverging[np.random.default_rng(3).choice(4 * draws, count, replace=False)] = True
    fit = changed(fit, "sample_stats", diverging=diverging.reshape(4, draws))
    assert levels(fit)["divergences"] == level
    assert diagnose(fit).ok == (level == "note")
    assert bool(diagnose(fit).advice) == (level == "problem")


def test_a_few_divergences_of_draws_that_mix_badly_are_a_problem():
    fit = slow(simulated_fit(draws=2000), "sigma")
    diverging = np.zeros((4, 2000), dtype=bool)
    diverging[0, :3] = True
    fit = changed(fit, "sample_stats", diverging=diverging)
    assert levels(fit)["divergences"] == "problem"


def of_prior(fit, rng):
    """Draws of tau from its default prior, exponential."""
    (row,) = (each for each in fit.model.priors if each.parameter_class == "tau")
    scale = 1 / row.prior.arguments[0]
    return rng.exponential(scale, fit.posterior["tau_school"].shape), scale


def test_a_scale_whose_posterior_is_its_prior_is_named():
    fit = simulated_fit(draws=1000)
    tau, _ = of_prior(fit, np.random.default_rng(4))
    fit = changed(fit, "posterior", tau_school=tau)
    found = finding(fit, "learned")
    assert found.level == "note"
    assert found.parameters == ("tau_school[Intercept]",)
    assert "The posterior of tau_school[Intercept] is its prior, expo" in found.sentence
    (advice,) = diagnose(fit).advice
    assert "State a prior on tau_school[Intercept]" in advice.action
    assert diagnose(fit).ok
    assert diagnose(dataclasses.replace(fit, prior_only=True)).findings == ()


@pytest.mark.parametrize(("shape", "is_prior"), [(1.1, True), (1.4, False)])
def test_what_data_tell_is_the_divergence_from_the_prior(shape, is_prior):
    """A gamma of shape a and scale 1 is log(1 / Gamma(a)) + (a - 1) psi(a) from exp(1).

    0.0066 and 0.0929 nats, and the limit is 0.0527.
    """
    fit = simulated_fit(draws=4000)
    rng = np.random.default_rng(5)
    _, scale = of_prior(fit, rng)
    tau = scale * rng.gamma(shape, size=(4, 4000, 1))
    fit = changed(fit, "posterior", tau_school=tau)
    assert ("learned" in levels(fit)) == is_prior
    expected = -gammaln(shape) + (shape - 1) * psi(shape)
    if is_prior:
        assert finding(fit, "learned").measured == pytest.approx(expected, abs=0.003)
    else:
        assert expected > 0.0527


@pytest.mark.parametrize(
    ("prior", "is_prior"),
    [("exponential(0.1)", False), ("half_cauchy(25)", False), ("exponential(1)", True)],
)
def test_the_eight_schools_tell_little_of_tau_but_not_nothing(prior, is_prior):
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        sp.load_dataset("eight_schools"),
        priors={"tau": prior},
    )
    fit = sp.exact.known_sigma(model).draw(np.random.default_rng(6))
    mixed = measure_mixing(fit)
    assert bool(check_learned(fit.posterior, model.priors, mixed)) == is_prior


def test_what_is_known_of_the_draws_is_not_computed_again(monkeypatch):
    fit = simulated_fit()
    table = fit.summary()
    monkeypatch.delattr("stanpool.posterior.convergence._describe_block")
    assert measure_mixing(fit).ess_bulk.min() == table["ess_bulk"].min()
    assert fit.diagnose().checks
    assert fit.summary(prob=0.5)["q25"].between(table["q5"], table["median"]).all()
    with pytest.raises(NameError):
        simulated_fit().diagnose()


def test_too_few_divergences_are_not_located():
    fit = simulated_fit(neck=0.001)
    assert fit.sample_stats["diverging"].sum() == 2
    assert "too few" in finding(fit, "funnel").sentence


@pytest.mark.parametrize(
    ("parameterization", "information", "advised"),
    [
        ("centered", 0.1, {"parameterization": "noncentered"}),
        ("noncentered", 0.9, {"parameterization": "centered"}),
        ("noncentered", 0.1, {"adapt_delta": 0.95}),
    ],
)
def test_advice_on_divergences_follows_form_and_information(
    parameterization, information, advised
):
    fit = simulated_fit(parameterization=parameterization, information=information)
    diverging = np.random.default_rng(2).random((4, 500)) < 0.02
    fit = changed(fit, "sample_stats", diverging=diverging)
    assert diagnose(fit).advice[0].arguments == advised


def test_a_neck_calls_for_the_noncentered_form_whatever_groups_know():
    fit = simulated_fit(parameterization="centered", information=0.9, neck=0.05)
    assert diagnose(fit).advice[0].arguments == {"parameterization": "noncentered"}


@pytest.mark.parametrize(
    ("parameterization", "information", "advised"),
    [
        ("centered", 0.1, "noncentered"),
        ("noncentered", 0.9, "centered"),
    ],
)
def test_silent_trouble_is_advised_on_without_divergences(
    parameterization, information, advised
):
    fit = simulated_fit(parameterization=parameterization, information=information)
    diagnosis = diagnose(slow(fit, "sigma"))
    assert not diagnosis.ok
    assert diagnosis.advice[0].arguments == {"parameterization": advised}


@pytest.mark.parametrize("parameterization", ["centered", "noncentered"])
def test_groups_that_differ_call_for_the_adaptive_form(parameterization):
    fit = simulated_fit(parameterization=parameterization, information=0.02)
    names = GroupNames.of("school")
    mean = fit.posterior["Intercept"].to_numpy()[..., None, None]
    share = np.where(np.arange(6) % 2, 1.0, 0.2)[:, None]
    b = mean + share * (fit.posterior[names.b].to_numpy() - mean)
    fit = changed(fit, "posterior", **{names.b: b})
    first, second = diagnose(slow(fit, "sigma")).advice[:2]
    assert first.arguments == {"parameterization": "adaptive"}
    assert second.arguments == {"parameterization": "marginal"}
    # Where a program on the rows as they are was asked for, that one is not to be had.
    plain = dataclasses.replace(fit, model=fit.model.with_(compress=False))
    forms = [each.arguments for each in diagnose(slow(plain, "sigma")).advice]
    assert {"parameterization": "marginal"} not in forms


@pytest.mark.parametrize(
    ("adapt_delta", "advised"),
    [(0.8, {"adapt_delta": 0.95}), (0.95, {"adapt_delta": 0.99}), (0.999, {})],
)
def test_smaller_steps_until_the_prior_is_to_blame(adapt_delta, advised):
    fit = simulated_fit(information=0.1, neck=0.02, adapt_delta=adapt_delta)
    assert diagnose(fit).advice[0].arguments == advised


def test_divergences_of_a_run_that_mixes_badly_call_for_a_longer_one_too():
    fit = slow(simulated_fit(information=0.3, neck=0.02), "sigma")
    (advice,) = diagnose(fit).advice
    assert advice.arguments["adapt_delta"] == 0.95
    assert advice.arguments["draws"] > 500
    assert advice.arguments["warmup"] == 2 * fit.settings.warmup


def test_short_runs_are_told_how_long():
    fit = slow(simulated_fit(information=0.3), "sigma", rho=0.8)
    diagnosis = diagnose(fit)
    ess = finding(fit, "ess_bulk").measured
    times = diagnosis.advice[0].arguments["draws"] / 500
    assert times == max(2, np.ceil(1.2 * 400 / ess))


def test_a_slow_form_is_noted_although_all_checks_pass():
    fit = simulated_fit(information=0.9, draws=3000)
    diagnosis = diagnose(slow(fit, "sigma", rho=0.8))
    assert diagnosis.ok
    (found,) = diagnosis.findings
    assert (found.check, found.level) == ("efficiency", "note")
    assert diagnosis.advice[0].arguments == {"parameterization": "centered"}


def test_scales_that_trade_off_are_told_apart_from_a_wrong_form():
    fit = slow(simulated_fit(parameterization="centered", information=0.6), "sigma")
    mu, sigma = (fit.posterior[name].to_numpy() for name in ("Intercept", "sigma"))
    noise = np.sqrt(0.4) * np.random.default_rng(1).normal(size=(4, 500, 6, 1))
    fit = changed(
        fit,
        "posterior",
        tau_school=1 / sigma[..., None],
        b_school=mu[..., None, None] + noise / sigma[..., None, None],
    )
    (advice,) = diagnose(fit).advice
    assert "trade off" in advice.reason
    assert advice.arguments == {}


def test_every_draw_divergent():
    fit = changed(simulated_fit(), "sample_stats", diverging=np.ones((4, 500), bool))
    assert "do not depend" in finding(fit, "funnel").sentence


def test_divergences_without_groups_blame_the_coefficients():
    fit = simulated_fit(pooling="complete", neck=0.05)
    (advice,) = diagnose(fit).advice
    assert advice.arguments == {"adapt_delta": 0.95}
    assert "tau" not in advice.reason


@pytest.mark.parametrize("pooling", ["none", "complete"])
def test_other_poolings_have_no_funnel(pooling):
    fit = simulated_fit(pooling=pooling, draws=1000)
    assert diagnose(fit).ok
    assert "funnel" not in levels(fit)


def test_reads_as_words():
    text = str(diagnose(simulated_fit(parameterization="centered", neck=0.05)))
    assert text.startswith("Partial pooling over school, centered: 2 problems found.")
    assert "What to do:" in text
    assert max(map(len, text.splitlines())) <= 88


def test_labels_stay_text_in_html_and_on_the_terminal():
    fit = simulated_fit(
        factor="<script>alert(1)</script>",
        labels=("<img src=x>", "two\nlines", "C", "x" * 10_000),
        parameterization="centered",
        neck=0.05,
    )
    diagnosis = diagnose(fit)
    html = diagnosis._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert len(str(diagnosis)) < 4000


def test_values_are_frozen_and_can_be_sent_to_another_process():
    diagnosis = diagnose(simulated_fit(parameterization="centered", neck=0.05))
    with pytest.raises(dataclasses.FrozenInstanceError):
        diagnosis.advice = ()
    assert pickle.loads(pickle.dumps(diagnosis)) == diagnosis
    hash(diagnosis)


def test_problems_come_before_notes():
    note = Finding("tree_depth", "note", 1, 0, "source", "note.")
    problem = Finding("r_hat", "problem", 2, 1.01, "source", "problem.")
    diagnosis = Diagnosis("Fit", (note, problem), (Advice("Act", "because."),))
    assert diagnosis.findings == (problem, note)
    assert not diagnosis.ok
    assert diagnosis.verdict == "Fit: 1 problem found."
