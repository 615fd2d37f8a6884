"""Tables of the reference, made of the package's own tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from stanpool.cli import exits, main
from stanpool.data.datasets import list_datasets, load_dataset
from stanpool.inference.diagnostics import checks, funnel, learned, outcomes
from stanpool.language import vocabulary
from stanpool.language.family import CUTPOINT, FAMILIES, SIGMA, Family, FamilyParameter
from stanpool.language.prior import DISTRIBUTIONS
from stanpool.posterior.convergence import R_HAT

# What the families' own table lacks: the mean and the variance of an outcome, and what
# the family is for. ``mu`` is the inverse link of the linear predictor.
MOMENTS = {
    "gaussian": ("mu", "sigma^2", "measurements"),
    "student_t": (
        "mu",
        "sigma^2 * nu / (nu - 2)",
        "measurements with outliers; the variance is finite for nu > 2",
    ),
    "skew_normal": (
        "mu",
        "sigma^2",
        "measurements that are skewed to one side; slant says to which",
    ),
    "asymmetric_laplace": (
        "mu + sigma * (1 - 2 * quantile) / (quantile * (1 - quantile))",
        "sigma^2 * (1 / quantile^2 + 1 / (1 - quantile)^2)",
        "quantile regression: mu is the median, or what `quantile(0.9)` of the "
        "outcomes are below",
    ),
    "von_mises": (
        "",
        "",
        "directions and times of day, as angles in radians; mu is the mean direction, "
        "and kappa large where outcomes are near it",
    ),
    "lognormal": (
        "exp(mu + sigma^2 / 2)",
        "(exp(sigma^2) - 1) * exp(2 * mu + sigma^2)",
        "positive measurements of which the logarithm is normal",
    ),
    "gamma": ("mu", "mu^2 / shape", "positive measurements, costs, durations"),
    "exponential": ("mu", "mu^2", "times to an event at a constant rate"),
    "weibull": (
        "mu",
        "mu^2 * (gamma(1 + 2 / shape) / gamma(1 + 1 / shape)^2 - 1)",
        "times to an event at a rate that rises or falls",
    ),
    "inverse_gaussian": ("mu", "mu^3 / shape", "positive, strongly skewed outcomes"),
    "bernoulli": ("mu", "mu * (1 - mu)", "yes or no"),
    "binomial": (
        "trials * mu",
        "trials * mu * (1 - mu)",
        "successes of a known number of trials",
    ),
    "beta_binomial": (
        "trials * mu",
        "trials * mu * (1 - mu) * (phi + trials) / (phi + 1)",
        "the same with more scatter than binomial outcomes have",
    ),
    "beta": ("mu", "mu * (1 - mu) / (1 + phi)", "proportions between 0 and 1"),
    "zero_one_inflated_beta": (
        "zoi * coi + (1 - zoi) * mu",
        "zoi * coi + (1 - zoi) * (mu^2 + mu * (1 - mu) / (1 + phi)) "
        "- (zoi * coi + (1 - zoi) * mu)^2",
        "proportions that are 0 or 1 with the probability zoi, and 1 with the "
        "probability coi if they are either",
    ),
    "poisson": ("mu", "mu", "counts"),
    "negative_binomial": (
        "mu",
        "mu + mu^2 / phi",
        "counts with more scatter than poisson ones have",
    ),
    "zero_inflated_poisson": (
        "(1 - zi) * mu",
        "(1 - zi) * (mu + zi * mu^2)",
        "counts of which some are 0 for another reason: zi is their share",
    ),
    "zero_inflated_negative_binomial": (
        "(1 - zi) * mu",
        "(1 - zi) * (mu + mu^2 / phi + zi * mu^2)",
        "the same with more scatter",
    ),
    "hurdle_poisson": (
        "(1 - hu) * mu / (1 - exp(-mu))",
        "(1 - hu) * (mu + mu^2) / (1 - exp(-mu)) - ((1 - hu) * mu / (1 - exp(-mu)))^2",
        "counts that are 0 with the probability hu, and else positive",
    ),
    "hurdle_negative_binomial": (
        "(1 - hu) * mu / (1 - (1 + mu / phi)^-phi)",
        "(1 - hu) * (mu + mu^2 / phi + mu^2) / (1 - (1 + mu / phi)^-phi) "
        "- ((1 - hu) * mu / (1 - (1 + mu / phi)^-phi))^2",
        "the same with more scatter",
    ),
    "zero_inflated_binomial": (
        "(1 - zi) * trials * mu",
        "(1 - zi) * trials * mu * (1 - mu + zi * trials * mu)",
        "successes of trials, of which some rows have none for another reason",
    ),
    "hurdle_gamma": (
        "(1 - hu) * mu",
        "(1 - hu) * (mu^2 / shape + hu * mu^2)",
        "amounts, such as costs, that are 0 with the probability hu",
    ),
    "hurdle_lognormal": (
        "(1 - hu) * exp(mu + sigma^2 / 2)",
        "(1 - hu) * (exp(sigma^2) - 1 + hu) * exp(2 * mu + sigma^2)",
        "the same, where the logarithm of positive amounts is normal",
    ),
    "ordinal": ("", "", "ordered categories, such as answers from 1 to 5"),
    "sratio": (
        "",
        "",
        "ordered categories that are reached one after another, such as degrees, or "
        "the years until something happens",
    ),
    "acat": ("", "", "ordered categories, of which neighbours are compared"),
    "categorical": ("", "", "categories without an order"),
}
_KINDS = {
    "row": "the value of each row follows from that row",
    "taken": "one number, taken from the rows of the fit and kept for new rows",
    "frozen": "a column that needs such numbers, which are kept for new rows",
    "basis": "several columns, a term of its own",
    "levels": "a category, a term of its own",
    "smooth": "a penalised smooth, a term with which nothing interacts",
}
_LIMITS = {
    "R_HAT": R_HAT,
    "ESS_PER_CHAIN": checks.ESS_PER_CHAIN,
    "E_BFMI": checks.E_BFMI,
    "CHAINS": checks.CHAINS,
    "FEW_DIVERGENCES": checks.FEW_DIVERGENCES,
    "LOW_AUC": funnel.LOW_AUC,
    "BREAK_EVEN": funnel.BREAK_EVEN,
    "WELL_INFORMED": funnel.WELL_INFORMED,
    "INEFFICIENT": funnel.INEFFICIENT,
    "OUTCOMES_LIMIT": outcomes.LIMIT,
    "FEWEST_DIVERGENCES": funnel.FEWEST_DIVERGENCES,
    "LEAST_NATS": learned.LEAST_NATS,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(*texts: str) -> str:
    return ", ".join(f"`{text}`" for text in texts)


def families() -> str:
    """Return the overview: each family, its outcome, links and parts."""
    return table(
        ("family", "for", "links, the default first", "parts of the outcome"),
        (
            (
                f"[`{each.name}`](#{each.name.replace('_', '-')})",
                MOMENTS[each.name][2],
                _code(*each.links),
                _code(*each.parts, "weights"),
            )
            for each in FAMILIES.values()
        ),
    )


def family_details() -> str:
    """Return a section for each family."""
    return "\n\n".join(_family(each) for each in FAMILIES.values())


def _family(family: Family) -> str:
    mean, variance, purpose = MOMENTS[family.name]
    distribution = (
        f"P({family.event}) = inverse_link(cutpoint[c] - eta)"
        if family.has_cutpoints
        else family.written
    )
    rows = [("distribution", f"`{distribution}`"), ("outcome", _outcome(family))]
    if mean:
        rows += [("mean", f"`{mean}`"), ("variance", f"`{variance}`")]
    rows.append(("links", _code(*family.links)))
    rows.append(("parts of the outcome", _code(*family.parts, "weights")))
    rows += [(f"`{own.name}`", _default(own)) for own in family.parameters]
    heading = f"### {family.name.replace('_', ' ')}"
    sentence = f'`family="{family.name}"`: {purpose}.'
    return f"{heading}\n\n{sentence}\n\n{table(('', ''), rows)}"


def _outcome(family: Family) -> str:
    said = {
        "real": "a number",
        "positive": "a positive number",
        "nonnegative": "a number from 0 on",
        "proportion": "a number above 0 and below 1",
        "share": "a number from 0 to 1",
        "angle": "an angle from -pi to pi",
        "binary": "0 and 1, False and True, or text or a categorical of two levels, "
        "the second of which is success",
        "count": "a whole number from 0 on",
        "ordered": "an ordered categorical, or whole numbers",
        "categories": "text or a categorical; the first category is the reference",
    }[family.outcome]
    if "trials" in family.parts:
        said += "; its trials are stated as `y | trials(n)`"
    return said


def _default(own: FamilyParameter) -> str:
    if own == SIGMA:
        return "exponential, its mean the standard deviation of the outcome (rstanarm)"
    if own.name == CUTPOINT.name:
        return "student_t with 3 degrees of freedom, its scale that of the link (brms)"
    unit = " times the mean outcome" if own.has_outcome_units else ""
    lower = f", above {own.lower:g}" if own.lower is not None else ""
    return f"`{own.prior}`{unit}{lower} ({own.source})"


def distributions() -> str:
    """Return the distributions that priors may have."""
    supports = {
        "real": "any number; cut off at 0 for a positive parameter",
        "positive": "positive numbers",
        "bounded": "between two bounds",
        "correlation": "correlation matrices",
        "simplex": "probabilities of categories",
        "shrinkage": "all coefficients of the population together",
        "point": "a single number: the parameter is not estimated",
    }
    return table(
        ("distribution", "of"),
        ((f"`{d.usage}`", supports[d.support]) for d in DISTRIBUTIONS.values()),
    )


def functions() -> str:
    """Return every function of formulas, by kind."""
    text = []
    for kind, said in _KINDS.items():
        found = {n: f for n, f in vocabulary.FUNCTIONS.items() if f.kind == kind}
        rows = ((f"`{name}({_arguments(f)})`") for name, f in sorted(found.items()))
        text.append(f"**{said[0].upper()}{said[1:]}:** {', '.join(rows)}.")
    return "\n\n".join(text)


def _arguments(function: vocabulary.Function) -> str:
    columns = "xyz"[: function.columns]
    return ", ".join((*columns, *(f"{name}=" for name in function.settings)))


def contrasts() -> str:
    """Return the codings of levels."""
    return ", ".join(
        f"`{name}({', '.join(f'{each}=' for each in takes)})`"
        for name, takes in vocabulary.CONTRASTS.items()
    )


def instead() -> str:
    """Return what to write in place of functions that other tools have."""
    found: dict[str, list[str]] = {}
    for name, words in vocabulary._INSTEAD.items():
        found.setdefault(words, []).append(name)
    return table(
        ("you would write", "here"),
        ((_code(*names), _sentence(words)) for words, names in found.items()),
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def commands() -> str:
    """Return a section for each command, as its ``--help`` is."""
    context = click.Context(main, info_name="stanpool")
    names = main.list_commands(context)
    return "\n\n".join(
        _command(main.get_command(context, name), name) for name in names
    )


def _command(command: Any, name: str) -> str:
    context = click.Context(command, info_name=f"stanpool {name}")
    usage = re.sub(r"\s+", " ", command.get_usage(context)).removeprefix("Usage: ")
    rows = [
        (f"`{shown[0]}`", shown[1].replace("<", "&lt;"))
        for each in command.params
        if (shown := each.get_help_record(context)) is not None
    ]
    help_text = re.sub(
        r"\s*\n\s*(?=\S)", " ", inspect.cleandoc(command.help).replace("\n\n", "\0")
    )
    examples = re.sub(r"^Examples?:\n", "", (command.epilog or "").replace("\b\n", ""))
    examples = "\n".join(line.removeprefix("  ") for line in examples.splitlines())
    text = f"## `stanpool {name}`\n\n```sh\n{usage}\n```\n\n"
    text += help_text.replace("\0", "\n\n").replace("\b", "")
    text += f"\n\n{table(('option', ''), rows)}"
    return f"{text}\n\n```sh\n{examples.strip()}\n```" if examples.strip() else text


def exit_codes() -> str:
    """Return how commands end."""
    return table(
        ("code", "meaning"),
        (
            ("0", "no error"),
            (str(exits.FOUND_PROBLEMS), "problems were found and `--strict` was given"),
            (str(exits.BAD_INPUT), "bad input: a formula, data, a file, an option"),
            (str(exits.ENGINE_TROUBLE), "trouble with the engine"),
            (str(exits.INTERRUPTED), "interrupted by Ctrl-C"),
            ("128 + n", "ended by signal n"),
        ),
    )


def datasets() -> str:
    """Return the data sets that stanpool has."""
    found = {name: load_dataset(name) for name in list_datasets()}
    return table(
        ("name", "rows", "columns"),
        (
            (f"`{name}`", f"{len(data):,}", _code(*map(str, data.columns)))
            for name, data in found.items()
        ),
    )


# What pages may write in double braces.
NAMES: dict[str, Callable[[], str] | float] = {
    **{
        each.__name__: each
        for each in (
            families,
            family_details,
            distributions,
            functions,
            contrasts,
            instead,
            commands,
            exit_codes,
            datasets,
        )
    },
    **_LIMITS,
}
