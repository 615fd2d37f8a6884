"""The settings of a fit: what was given, and defaults for the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.base.arrays import check_memory
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.options import Method
from stanpool.density.parameters import declared_names
from stanpool.engine.values.settings import SampleSettings, warmup_draws
from stanpool.language.family import FAMILIES
from stanpool.posterior.labelled_draws import numbers_of_draw
from stanpool.sampling.initial_values import pilot_metric

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel

_WARMUP, _WARMUP_OF_FEW, _WARMUP_OF_GROUPS = 1000, 500, 300
# Of chains that are warmed up briefly; see ``default_warmup``.
_LEAST_CENTEREDNESS = 0.2
ADAPT_DELTA = 0.8  # Stan's default
_ADAPT_DELTA_OF_FEW, _FEW_GROUPS = 0.9, 10
_ADAPT_DELTA_OF_SMOOTHS = 0.98
_ADAPT_DELTA_OF_HORSESHOE = 0.99
_ADAPT_DELTA_OF_PROCESSES = 0.99
_ADAPT_DELTA_OF_WALKS = 0.95
METRIC = {"metric", "inv_metric"}
"""Arguments of cmdstanpy's that replace the metric of the pilot estimate."""


def settings_of(
    model: PreparedModel,
    *,
    chains: int = 4,
    draws: int = 1000,
    warmup: int | None = None,
    seed: int | None = None,
    adapt_delta: float | None = None,
    inits: Any = None,
    prior_only: bool = False,
    sample_options: Mapping[str, Any] | None = None,
    method: Method = "nuts",
    save_warmup: bool = False,
    **others: Any,
) -> SampleSettings:
    """Return the settings of a fit, with defaults for values that are None.

    Parameters
    ----------
    model
        The model.
    chains, draws, warmup, seed, adapt_delta, inits, prior_only, sample_options, \
    method, save_warmup, others
        As for ``Model.fit``.

    Raises
    ------
    SpecError
        If a value is out of its range, or has no meaning for the method.
    OutOfMemoryError
        If the draws do not fit into memory.
    """
    given = {"warmup": warmup, "adapt_delta": adapt_delta}
    if method != "nuts":
        _refuse_of_chains(method, given | {"save_warmup": save_warmup or None})
        chains, draws, warmup = 1, chains * draws, 0
    check_names_of_inits(model, inits)
    if warmup is None:
        warmup = default_warmup(
            model, inits=inits, prior_only=prior_only, sample_options=sample_options
        )
    settings = SampleSettings(
        chains=chains,
        draws=draws,
        warmup=warmup,
        seed=random_seed() if seed is None else seed,
        adapt_delta=(
            default_adapt_delta(model)[0] if adapt_delta is None else adapt_delta
        ),
        inits=inits,
        sample_options=tuple(sorted((sample_options or {}).items())),
        method=method,
        save_warmup=save_warmup,
        **others,
    )
    check_size(model, settings)
    return settings


def _refuse_of_chains(method: Method, given: Mapping[str, Any]) -> None:
    """Refuse what has a meaning for Markov chains only."""
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise SpecError(
            f"method={quote(method)} has no Markov chains, so that {named[0]}= has no "
            "meaning. Leave it out; method='nuts' has chains."
        )


def check_names_of_inits(model: PreparedModel, inits: Any) -> None:
    """Refuse initial values of parameters that the program does not have.

    Parameters
    ----------
    model, inits
        The model, and what was given, in any form that cmdstanpy takes.

    Raises
    ------
    SpecError
        With the nearest name.
    """
    known = declared_names(model.program.source)
    for each in inits if isinstance(inits, list | tuple) else [inits]:
        unknown = [name for name in _names_in(each) if name not in known]
        if unknown:
            raise SpecError(
                f"inits has a value for {quote_list(unknown)}, and the parameters of "
                f"the Stan program are {quote_list(known, 30)}."
                f"{suggestion(str(unknown[0]), known)} They are in the units of "
                "model.stan_data(), and model.stan_code declares them."
            )


def _names_in(inits: Any) -> Collection[Any]:
    """Return the names of initial values: of a mapping, or of a file of JSON."""
    if isinstance(inits, Mapping):
        return inits.keys()
    if not isinstance(inits, str | os.PathLike):
        return ()
    with suppress(OSError, ValueError):  # the engine says what is wrong with a file
        written = json.loads(Path(inits).read_text("utf-8"))
        return written.keys() if isinstance(written, dict) else ()
    return ()


def check_size(model: PreparedModel, settings: SampleSettings) -> None:
    """Refuse more draws than fit into memory.

    Parameters
    ----------
    model, settings
        What to fit, and how.

    Raises
    ------
    OutOfMemoryError
        With how much memory the draws would take.
    """
    of_each = settings.draws // settings.thin + warmup_draws(settings)
    kept = settings.chains * max(1, of_each)
    check_memory(
        f"{kept:,} draws of {model!r}",
        kept * numbers_of_draw(model.design),
        "Pass fewer draws= or chains=, or keep every tenth by thin=10.",
    )


def random_seed() -> int:
    """Return a random seed from the operating system."""
    return int.from_bytes(os.urandom(4), "little")


def default_warmup(
    model: PreparedModel,
    *,
    inits: Any = None,
    prior_only: bool = False,
    sample_options: Mapping[str, Any] | None = None,
) -> int:
    """Return the default number of warm-up iterations.

    It is Stan's default, unless chains start around the pilot estimate with its metric.
    Then half of it does for the few parameters of the marginal form, and for those of
    crossed groups that are sampled apart from the population's. In the adaptive form
    300 do for binary, count and ordinal outcomes where groups are neither correlated
    nor nested and inform the pilot: the mean of their centeredness is a fifth or more.
    Step sizes and metrics have settled then.

    With 300 in place of 1000, the smallest ESS of 1000 gradients, those of the warm-up
    included, was 1.39 to 1.49 times as high for cbpp, wine (ordinal), and simulated
    negative binomial and binary outcomes, means of three or four seeds, by either
    engine; after the warm-up it was 0.89 to 1.05 times. Where the mean centeredness is
    0.06 (binary outcomes of 300 groups of 8 rows), it was 1.04 times by CmdStan, and
    one of four seeds did not converge. Correlated coefficients gained 1.07 (sleepstudy
    with student_t) to 1.45 times, but what is drawn after the warm-up lost up to a
    third. Groups within groups gained 1.5 times, but one of three seeds of classroom
    with student_t and 400 iterations had a chain that had not arrived. Weibull times
    (kidney, groups of two) gained 1.5 times, but two of five seeds had an R-hat above
    1.01, and none with 1000.

    Parameters
    ----------
    model, inits, prior_only, sample_options
        The model, and arguments as for ``Model.fit``.
    """
    is_plain = inits is None and not prior_only
    is_plain &= not METRIC & (sample_options or {}).keys()
    is_marginal = model.parameterization == "marginal"
    has_few = is_marginal or model.structure.has_slopes_of_z
    is_short = has_few or _are_informative(model)
    if not is_plain or not is_short or pilot_metric(model) is None:
        return _WARMUP
    return _WARMUP_OF_FEW if has_few else _WARMUP_OF_GROUPS


def _are_informative(model: PreparedModel) -> bool:
    """Whether groups are plain, and their data say much about their coefficients."""
    may_be = model.parameterization == "adaptive"
    may_be &= FAMILIES[model.spec.family].settles_soon
    if not may_be or not model.centering:
        return False
    is_plain = not any(x.correlated or x.within for x in model.structure.factors)
    means = [each.centeredness.mean() for each in model.centering]
    return is_plain and min(means) >= _LEAST_CENTEREDNESS


def _has_one_row_each(model: PreparedModel) -> bool:
    """Whether groups of a known covariance have no rows to compare."""
    factors = model.design.factors
    return any(own.root is not None and own.sizes.max() <= 1 for own in factors)


def default_adapt_delta(model: PreparedModel) -> tuple[float, str]:
    """Return the default target acceptance rate, and why it is not Stan's, if so.

    It is Stan's default, except for few groups whose coefficients are integrated out:
    the smaller the population scale, the smaller is the uncertainty of the population
    mean, so that steps that suit most of the posterior are too long in some of it. Of
    simulated data with 3 to 5 groups of 10 rows, a few in a hundred had a divergence at
    0.8, and one of 368 at 0.9; with 6 to 10 groups, one of 632 at 0.8 and none at 0.9.

    Groups within groups in the adaptive form keep Stan's default. The smallest ESS of
    1000 gradients at 0.8, 0.9 and 0.95, means of four seeds: 2.3, 2.9 and 2.2 of lme4's
    grouseticks (with up to 169, 23 and 12 divergences), 20, 12 and 9 of classroom with
    student_t, and 14, 10 and 8 of cbpp with a level for each row.

    Where a smooth may be a straight line, its scale may be 0 or well above, and its
    coefficients are narrow where it is large. The smallest ESS of 1000 gradients, and
    divergences, at 0.8, 0.95 and 0.98: 21, 12 and 10 with 13, 17 and 1 of 400 rows of
    four smooths of which one is straight, and 11, 6 and 6 with 27, 4 and 7 of 100 rows.

    A horseshoe prior is a funnel of each coefficient and of all. Divergences of 4000
    draws at 0.8, 0.95 and 0.99: 4, 28 and 0 of 60 predictors in 200 rows, 4, 2 and 0
    of 20 in 300, and 3, 0 and 0 of 40 with a binary outcome.

    Where groups of a known covariance have one row each, such as the years of a walk,
    data may not tell whether there are residuals, and the intercept is the narrower
    the smaller these are. Of 40 simulated years, rw1 had 93 to 120 divergences in 4000
    draws at 0.8, 49 to 55 at 0.9, and 18 at 0.95 and 9 to 17 at 0.99; rw2 had 21 to 25,
    4, and 0 or 1.

    With Gaussian processes, four simulations of 200 rows, three processes and 10 groups
    had 2 to 5 divergences in 4000 draws at 0.98, and none at 0.99.

    Parameters
    ----------
    model
        The model.
    """
    if model.structure.shrinks:
        return _ADAPT_DELTA_OF_HORSESHOE, "coefficients have a horseshoe prior"
    if any(own.processes for own in model.design.predictors):
        return _ADAPT_DELTA_OF_PROCESSES, "there are Gaussian processes"
    if any(own.scaled for own in model.design.predictors):
        return _ADAPT_DELTA_OF_SMOOTHS, "there are smooths"
    if model.parameterization != "marginal":
        return ADAPT_DELTA, ""
    places = model.structure.integrated
    fewest = min(len(model.design.factors[place].labels) for place in places)
    if _has_one_row_each(model):
        return _ADAPT_DELTA_OF_WALKS, "groups with a known covariance have one row each"
    if fewest <= _FEW_GROUPS:
        return _ADAPT_DELTA_OF_FEW, "there are few groups"
    return ADAPT_DELTA, ""
