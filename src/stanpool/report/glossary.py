"""The words of a report, explained in a sentence each."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "mean, sd, median",
        "Of the posterior draws: what is known of a quantity, given data and model.",
    ),
    (
        "q5, q95",
        "Between them lies the quantity with probability 90 %, given data and model.",
    ),
    (
        "R-hat",
        "Compares chains with each other; above 1.01 they have not found the same "
        "distribution (Vehtari et al. 2021).",
    ),
    (
        "ess_bulk, ess_tail",
        "Effective sample sizes: how many independent draws the means and medians "
        "(bulk) and the ends of intervals (tail) are worth. At least 100 per chain.",
    ),
    (
        "mcse_mean",
        "Monte Carlo standard error of the mean: more draws make it smaller.",
    ),
    (
        "divergence",
        "A step of the sampler that went wrong because the posterior is too curved "
        "there. Estimates may be biased, whatever R-hat says (Betancourt 2017).",
    ),
    (
        "E-BFMI",
        "How much of the energy a transition explores; below 0.3 tails are explored "
        "slowly (Betancourt 2016).",
    ),
    (
        "funnel",
        "Where a population scale is small, the groups' coefficients are squeezed "
        "together, and a sampler with one step size does not enter.",
    ),
    (
        "complete, no and partial pooling",
        "All groups share their coefficients; each has its own and learns nothing from "
        "others; each has its own, drawn from a population that is learned.",
    ),
    (
        "centered, noncentered, adaptive, marginal",
        "Ways to compute the same model: groups' coefficients themselves, standardized "
        "deviations, between the two as far as each group's own data go, or integrated "
        "out exactly.",
    ),
    (
        "tau, Omega, sigma",
        "Standard deviations of the groups' coefficients in the population, their "
        "correlations, and the residual standard deviation.",
    ),
    (
        "b",
        "A group's own coefficients in full: the population's and its deviation.",
    ),
    (
        "elpd, loo",
        "Expected log predictive density: how well each row is predicted from the "
        "others, without refitting (leave-one-out; Vehtari et al. 2017).",
    ),
    (
        "Pareto k",
        "How far the fit without a row is from the fit with it; above 0.7 its elpd is "
        "not reliable.",
    ),
    (
        "pit",
        "The probability that the model gives to an outcome smaller than the one seen; "
        "near 0 or 1 the row is a surprise.",
    ),
)
