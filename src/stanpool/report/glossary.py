"""Short explanations of the terms in a report."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "mean, sd, median",
        "The mean, standard deviation and median of the posterior draws of a quantity.",
    ),
    (
        "q5, q95",
        "The quantity lies between them with probability 90 %, given the data and the "
        "model.",
    ),
    (
        "R-hat",
        "Compares the chains with each other; above 1.01 they have not converged to "
        "the same distribution (Vehtari et al. 2021).",
    ),
    (
        "ess_bulk, ess_tail",
        "Effective sample sizes: the number of independent draws that would estimate "
        "means and medians (bulk) or the ends of intervals (tail) as precisely. There "
        "should be at least 100 per chain.",
    ),
    (
        "mcse_mean",
        "Monte Carlo standard error of the mean; more draws make it smaller.",
    ),
    (
        "divergence",
        "A transition whose simulation failed because the posterior is too strongly "
        "curved for the step size. Estimates may be biased even if R-hat is near 1 "
        "(Betancourt 2017).",
    ),
    (
        "E-BFMI",
        "Energy Bayesian fraction of missing information: how far transitions change "
        "the energy. Below 0.3 the tails are explored slowly (Betancourt 2016).",
    ),
    (
        "funnel",
        "The shape of a posterior in which the groups' coefficients are close together "
        "where their population scale is small. A sampler with one step size for the "
        "whole posterior does not reach its narrow part.",
    ),
    (
        "complete, no and partial pooling",
        "With complete pooling, all groups have the same coefficients. With no "
        "pooling, the coefficients of each group are estimated from its data alone. "
        "With partial pooling, they come from a population distribution, which is "
        "estimated too.",
    ),
    (
        "centered, noncentered, adaptive, marginal",
        "Parameterizations of the same model. The parameters are the groups' "
        "coefficients (centered), their standardized deviations (noncentered) or "
        "something between the two that depends on each group's information "
        "(adaptive); or the coefficients are integrated out exactly (marginal).",
    ),
    (
        "tau, Omega, sigma",
        "The standard deviations of the groups' coefficients in the population, the "
        "correlations of the coefficients, and the residual standard deviation.",
    ),
    (
        "b",
        "The coefficients of a group: the population's plus the group's deviation.",
    ),
    (
        "elpd, loo",
        "Expected log predictive density: how well each row is predicted from the "
        "others (leave-one-out), estimated without refitting (Vehtari et al. 2017).",
    ),
    (
        "Pareto k",
        "How much the posterior without a row differs from that with it; above 0.7 the "
        "estimate of the row's elpd is unreliable.",
    ),
    (
        "pit",
        "Probability integral transform: the probability that the model gives to an "
        "outcome smaller than the observed one. Near 0 or 1 the outcome is surprising.",
    ),
)
