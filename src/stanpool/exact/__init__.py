"""Exact and Gibbs samplers: posteriors that do not depend on Stan.

Closed forms and quadrature (``normal``, ``known_sigma``, ``linear``, ``rates``,
``beta_binomial``, ``gamma_poisson``) give distributions without Monte Carlo error, and
independent draws of them; ``gibbs`` gives draws of a Gaussian multilevel regression.
Draws carry the names and labels of a ``Fit``, so that summaries and plots take either.
All random numbers come from the ``numpy.random.Generator`` that the caller passes.
"""

from stanpool.exact.conjugate_groups import (
    BetaBinomialPosterior,
    GammaPoissonPosterior,
    beta_binomial,
    gamma_poisson,
)
from stanpool.exact.conjugate_normal import NormalPosterior, normal
from stanpool.exact.draws import ExactDraws
from stanpool.exact.linear import LinearPosterior, linear
from stanpool.exact.panels import TauPosterior
from stanpool.exact.quadrature import (
    KnownSigmaPosterior,
    NormalMixture,
    known_sigma,
)
from stanpool.exact.rates import RatesPosterior, rates
from stanpool.exact.regression import PlugInWarning, gibbs

__all__ = [
    "BetaBinomialPosterior",
    "ExactDraws",
    "GammaPoissonPosterior",
    "KnownSigmaPosterior",
    "LinearPosterior",
    "NormalMixture",
    "NormalPosterior",
    "PlugInWarning",
    "RatesPosterior",
    "TauPosterior",
    "beta_binomial",
    "gamma_poisson",
    "gibbs",
    "known_sigma",
    "linear",
    "normal",
    "rates",
]
