# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Batting averages: what do forty-five at-bats say?
#
# In April 1970 eighteen baseball players had each been at bat 45 times. How good will
# each of them be over the rest of the season? The data of Efron and Morris (1975) made
# shrinkage famous, because the answer is known: the season was played.
#
# You will learn
#
# * how a normal model with known standard errors shrinks each player towards all of
#   them, and how much better that is;
# * that the exact posterior (one-dimensional quadrature), Stan and a binomial model of
#   the hits themselves agree;
# * how to check a published figure: the standard error that is printed with this
#   example cannot be the one that was used;
# * the difference between predicting a player who was seen and one who was not.

# %%
import numpy as np
import pandas as pd

import stanpool as sp
from stanpool import exact

batters = sp.load_dataset("baseball")
batters[["player", "at_bats", "hits", "average", "remaining_at_bats", "theta"]].head()

# %% [markdown]
# `average` is what was seen in 45 at-bats, `theta` what the player hit in the rest of
# the season. It is nearly the truth, since it rests on several hundred at-bats.
#
# ## Which standard error?
#
# The model is
#
# $$y_j \sim N(\theta_j, \sigma^2), \qquad \theta_j \sim N(\mu, \tau^2), \qquad
# p(\mu, \tau^2) \propto 1,$$
#
# as in Lin Zhang's lecture 'Hierarchical Models', which prints medians and 95 %
# intervals for seven players. The lecture states $\sigma^2 = 0.6^2$. A batting average
# with a standard error of 0.6 would say nothing at all, so this is a misprint. The
# binomial standard deviation of 45 at-bats at the overall average is another number:

# %%
mean = batters["average"].mean()
binomial_se = np.sqrt(mean * (1 - mean) / 45)
float(round(binomial_se, 4))

# %% [markdown]
# Which standard error do the published intervals imply? `exact.known_sigma` finds the
# posterior without any simulation, so we can simply try.

# %%
published = pd.DataFrame(
    {
        "Roberto Clemente": (0.309, 0.239, 0.418),
        "Frank Robinson": (0.299, 0.234, 0.403),
        "Jay Johnstone": (0.286, 0.219, 0.380),
        "Ron Santo": (0.259, 0.178, 0.332),
        "Del Unser": (0.253, 0.166, 0.322),
        "Thurman Munson": (0.240, 0.143, 0.304),
        "Max Alvis": (0.231, 0.130, 0.298),
    },
    index=["median", "low", "high"],
).T


def known_sigma(se):
    """Return the exact posterior, flat on the population's mean and variance."""
    model = sp.Model("average | se(se) ~ 1 + (1 | player)", batters.assign(se=se))
    return exact.known_sigma(model, flat=["Intercept", "tau^2"])


def intervals(posterior):
    """Tabulate medians and 95 % intervals of the players."""
    levels = {"median": 0.5, "low": 0.025, "high": 0.975}
    return pd.DataFrame(
        {name: posterior.theta.ppf(level) for name, level in levels.items()},
        index=list(posterior.model.design.group_labels),
    )


def largest_gap(se):
    """Return by how much the published figures are missed at most."""
    found = intervals(known_sigma(se)).loc[published.index]
    return float((found - published).abs().to_numpy().max())


candidates = [0.05, 0.055, 0.06, 0.0625, 0.065, binomial_se, 0.07, 0.08, 0.6]
pd.Series([largest_gap(se) for se in candidates], np.round(candidates, 4)).rename(
    "largest difference from the published figures"
).round(4).to_frame()

# %% [markdown]
# Differences of a few thousandths are what a thousand simulated draws leave. The
# intervals were made with a standard error near **0.0625**, a little less than the
# binomial 0.0658, and nowhere near 0.6. We use 0.0625 from here on.
#
# ## Shrinkage

# %%
posterior = known_sigma(0.0625)
table = intervals(posterior)
table.insert(0, "observed", posterior.y)
table["truth"] = batters.set_index("player")["theta"]
table = table.sort_values("observed", ascending=False)
table.round(3)

# %%
figure = sp.plots.plot_caterpillar(posterior.draw(np.random.default_rng(1)), prob=0.95)
ax = figure.axes[0]
players = table.loc[[label.get_text() for label in ax.get_yticklabels()]]
ax.plot(players["observed"], ax.get_yticks(), "kx", label="observed in 45 at-bats")
ax.plot(players["truth"], ax.get_yticks(), "D", color="#009E73", label="rest of season")
ax.legend(frameon=False, loc="lower right")
figure

# %% [markdown]
# *Figure 1. Eighteen players: medians and intervals, drawn from the exact posterior.
# Observed averages (crosses) are pulled towards the mean of all; what the players did
# later (diamonds) lies near the estimates of partial pooling, and not near the observed
# averages.*
#
# How much better is that? Add up squared errors, and count for how many players the
# shrunken estimate is nearer to the truth.

# %%
raw = table["observed"] - table["truth"]
shrunken = table["median"] - table["truth"]
pd.Series(
    {
        "squared errors, observed averages": round((raw**2).sum(), 3),
        "squared errors, shrunken": round((shrunken**2).sum(), 3),
        "players for whom shrunken is nearer": int((shrunken.abs() < raw.abs()).sum()),
        "truths inside their 95 % interval": int(
            table["truth"].between(table["low"], table["high"]).sum()
        ),
    },
    dtype=object,
).to_frame("")

# %% [markdown]
# The published figures are .075, .022 and 16 of 18. The observed averages are the best
# unbiased estimates of each player taken alone; for all players together there are far
# better ones.
#
# ## The same by Stan
#
# Stan needs proper priors: here weak ones, a normal on the mean and an exponential with
# mean 0.1 on the scale. `validate` compares the fit with quadrature under the same
# priors.

# %%
model = sp.Model(
    "average | se(se) ~ 1 + (1 | player)",
    batters.assign(se=0.0625),
    priors={"Intercept": "normal(0.25, 0.2)", "tau": "exponential(10)"},
)
fit = model.fit(seed=1970, adapt_delta=0.98, progress=False)
fit.diagnose()

# %%
sp.validate(fit, seed=1)

# %% [markdown]
# ## Hits are counts
#
# A normal model of averages is an approximation. The hits themselves are binomial, and
# players then vary on the logit scale:

# %%
binomial = sp.Model(
    "hits | trials(at_bats) ~ 1 + (1 | player)",
    batters,
    family="binomial",
    priors={"Intercept": "normal(-1, 1)", "tau": "exponential(2)"},
)
hits = binomial.fit(seed=1970, adapt_delta=0.98, progress=False)
hits.diagnose()


# %%
def ability(draws):
    """Turn draws of log odds into medians and intervals of averages."""
    quantiles = (1 / (1 + np.exp(-draws))).quantile(
        [0.5, 0.025, 0.975], ("chain", "draw")
    )
    return quantiles.to_numpy()


of_player = hits.posterior["b_player"].isel(player_coefficient=0)
rates = pd.DataFrame(
    ability(of_player).T,
    columns=["median", "low", "high"],
    index=of_player["player"].to_numpy(),
).loc[table.index]
errors = {
    "observed averages": raw,
    "normal, flat prior": shrunken,
    "normal, exponential prior": intervals(exact.known_sigma(model))["median"]
    - table["truth"],
    "binomial, exponential prior": rates["median"] - table["truth"],
}
pd.Series({name: round((each**2).sum(), 4) for name, each in errors.items()}).to_frame(
    "squared errors"
)

# %% [markdown]
# All three are far better than the observed averages. The binomial model does not need
# a standard error that somebody has to guess. It shrinks further than the flat prior
# does (Clemente to .281 instead of .309), and so does the normal model with an
# exponential prior: eighteen players say little about the scale of the population, and
# a prior that is flat on the variance favours large ones. Notebook 05 is about that.
#
# ## A player who was seen, and one who was not
#
# Clemente will be at bat 367 more times. How many hits? His own ability is known about
# as well as the interval above says, and binomial chance comes on top. Of a player who
# has not been seen yet only the population is known: his ability is a draw from it.

# %%
future = pd.DataFrame(
    {"player": ["Roberto Clemente", "a new player"], "at_bats": [367, 367]}
)
predicted = hits.predict(future, new_groups="population", seed=1)
quantiles = predicted.quantile([0.025, 0.25, 0.5, 0.75, 0.975], ("chain", "draw"))
pd.DataFrame(
    quantiles.to_numpy().T,
    index=future["player"],
    columns=["2.5 %", "25 %", "50 %", "75 %", "97.5 %"],
).round()

# %% [markdown]
# Clemente made 127. More hits are predicted for him than for a player who has not been
# seen, but hardly with less uncertainty: 45 at-bats say something, but not much. For
# the rest of the season of all eighteen, 95 % intervals should hold about seventeen of
# the truths:

# %%
rest = batters.assign(at_bats=batters["remaining_at_bats"])
low, high = hits.predict(rest, seed=1).quantile([0.025, 0.975], ("chain", "draw"))
inside = (low <= batters["remaining_hits"]) & (batters["remaining_hits"] <= high)
int(inside.sum())

# %% [markdown]
# ## What to remember
#
# * Estimates of many similar things are better together than each alone: here the
#   squared error falls to less than a third.
# * How far to shrink is learned from the data: from how much the averages differ beyond
#   what chance explains in 45 at-bats.
# * A published analysis can be checked from its own output. This one holds, but with
#   another standard error than the printed one.
