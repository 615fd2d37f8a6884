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
# # The prior on a population's scale, with 3, 8 and 85 groups
#
# Partial pooling learns how far groups differ: the scale $\tau$ of the population.
# Groups are few as a rule, so the data say little about $\tau$, and its prior counts.
# How much?
#
# You will learn
#
# * that with 85 groups four very different priors lead to the same place, and that with
#   3 they do not;
# * how a uniform prior on $\tau$ undoes the pooling when groups are few;
# * what a prior on $\tau$ says about a group that has not been seen, and why that is
#   the place to look when you choose one.
#
# Everything here is exact: with known standard errors the posterior is a
# one-dimensional integral, and `exact.known_sigma` computes it. What differs between
# two lines of a table is the prior and nothing else.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

import stanpool as sp
from stanpool import exact

# %% [markdown]
# ## Three sets of groups
#
# * **8 schools** (Rubin 1981): effects of coaching, with standard errors between 9 and
#   18 points.
# * **3 schools**: the first three of these, as in Gelman (2006), where the trouble with
#   flat priors was shown.
# * **85 counties** of Minnesota: mean log radon of the houses in each, less the effect
#   of the floor, with standard errors from the residual standard deviation.

# %%
schools = sp.load_dataset("eight_schools").rename(
    columns={"school": "group", "sigma": "se"}
)
radon = sp.load_dataset("radon")
radon["adjusted"] = radon["log_radon"] + 0.7 * radon["floor"]
by_county = radon.groupby("county")["adjusted"]
within = radon["adjusted"] - by_county.transform("mean")
residual_sd = np.sqrt((within**2).sum() / (len(radon) - by_county.ngroups))
counties = pd.DataFrame(
    {"y": by_county.mean(), "se": residual_sd / np.sqrt(by_county.size())}
).rename_axis("group")
counties = counties.reset_index()

groups = {"3 schools": schools.head(3), "8 schools": schools, "85 counties": counties}
unit = {"3 schools": 25.0, "8 schools": 25.0, "85 counties": 1.0}
pd.DataFrame(
    {
        name: [len(data), data["y"].std(), data["se"].median()]
        for name, data in groups.items()
    },
    index=["groups", "sd of the estimates", "median standard error"],
).T.round(2)

# %% [markdown]
# ## Four priors
#
# Uniform on $\tau$, and a half-Cauchy, a half-normal and an exponential of scale 25
# points for schools, 1 for log radon. The uniform one has no upper end, so it is
# improper; with three groups or more the posterior is proper all the same.

# %%
priors = {
    "uniform": None,
    "half-Cauchy": "half_cauchy({})",
    "half-normal": "half_normal({})",
    "exponential": "exponential({})",
}
colors = dict(zip(priors, ("#D55E00", "#CC79A7", "#009E73", "#0072B2"), strict=True))


def solve(name, prior):
    """Return the exact posterior of one set of groups under one prior."""
    model = sp.Model("y | se(se) ~ 1 + (1 | group)", groups[name])
    if priors[prior] is None:
        return exact.known_sigma(model, flat=["Intercept", "tau"])
    scale = 1 / unit[name] if prior == "exponential" else unit[name]
    text = priors[prior].format(scale)
    return exact.known_sigma(
        sp.Model("y | se(se) ~ 1 + (1 | group)", groups[name], priors={"tau": text}),
        flat=["Intercept"],
    )


posteriors = {(name, prior): solve(name, prior) for name in groups for prior in priors}

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
axes[0].set_ylabel("density")
ends = {"3 schools": 60, "8 schools": 30, "85 counties": 0.8}
for ax, name in zip(axes, groups, strict=True):
    tau = np.linspace(ends[name] / 1000, ends[name], 400)
    scale = unit[name]
    shapes = {
        "half-Cauchy": stats.halfcauchy(scale=scale),
        "half-normal": stats.halfnorm(scale=scale),
        "exponential": stats.expon(scale=scale),
    }
    for prior, color in colors.items():
        ax.plot(tau, posteriors[name, prior].tau.pdf(tau), color=color, label=prior)
        if prior in shapes:
            ax.plot(tau, shapes[prior].pdf(tau), color=color, linestyle=":")
    ax.set_title(name, loc="left", fontsize="medium")
    if name == "3 schools":
        ax.legend(frameon=False)
    ax.set_xlabel(r"$\tau$")
    ax.set_yticks([])
    ax.set_xlim(0, ends[name])
    ax.set_ylim(0)
    ax.spines[["top", "right", "left"]].set_visible(False)

# %% [markdown]
# *Figure 1. Posterior densities of $\tau$ (lines) and their priors (dots). With three
# schools the posterior under the uniform prior runs out to the right and keeps going;
# the others are held back by their priors. With 85 counties the lines lie on each
# other.*

# %%
rows = {}
for (name, prior), posterior in posteriors.items():
    weight = posterior.tau.weights
    kept = posterior.tau.nodes**2 / (
        posterior.tau.nodes**2 + np.median(posterior.se) ** 2
    )
    low, median, high = posterior.tau.ppf([0.05, 0.5, 0.95])
    new = [float(posterior.new_theta.ppf(level)) for level in (0.025, 0.975)]
    rows[name, prior] = {
        "tau, 5 %": low,
        "median": median,
        "95 %": high,
        "weight of own data": weight @ kept,
        "new group, 2.5 %": new[0],
        "97.5 %": new[1],
    }
table = pd.DataFrame(rows).T
table.round(2)

# %% [markdown]
# `weight of own data` is the posterior mean of $\tau^2 / (\tau^2 + \sigma^2)$ for a
# group with the median standard error: 0 is complete pooling, 1 is none.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
place = np.arange(len(groups))
for offset, (prior, color) in enumerate(colors.items()):
    at = place + 0.17 * (offset - 1.5)
    own = [table.loc[(name, prior), "weight of own data"] for name in groups]
    axes[0].plot(own, at, "o", color=color, label=prior)
    for y, name in zip(at, groups, strict=True):
        low, high = (
            table.loc[(name, prior), ["new group, 2.5 %", "97.5 %"]] / unit[name]
        )
        axes[1].plot([low, high], [y, y], color=color, linewidth=3)
axes[0].set_xlim(0, 1)
axes[1].set_xlim(-8, 10)
axes[0].legend(frameon=False)
for ax, label in zip(
    axes,
    ("weight of a group's own data", "95 % interval of a new group, in prior scales"),
    strict=True,
):
    ax.set_yticks(place, list(groups))
    ax.invert_yaxis()
    ax.set_xlabel(label)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 2. Left: how much a group with a typical standard error is left to its own
# data. Right: what each prior lets us expect of a group that has not been seen, in
# units of the prior's scale (25 points, or 1 on the log scale). The interval of the
# uniform prior with three schools goes on beyond the figure, to more than ten scales on
# either side.*
#
# ## What a uniform prior does to three schools
#
# The three estimates are 28, 8 and -3 points, with standard errors of 10 to 16. Here is
# where the schools end up:

# %%
three = {prior: posteriors["3 schools", prior].theta.ppf(0.5) for prior in priors} | {
    "observed": groups["3 schools"]["y"].to_numpy()
}
pd.DataFrame(three, index=["A", "B", "C"])[["observed", *priors]].round(1)

# %% [markdown]
# Under the uniform prior the schools stay nearest to what was observed: most of the
# pooling is gone, and a new school might be anywhere between 250 points below and 270
# above, on a test that runs from 200 to 800. No one believes that; the prior does.
# Uniform on $\tau$ puts all but nothing of its mass on any finite range, and three
# groups are too few to overrule it.
#
# The three proper priors differ in their tails (the half-Cauchy allows far larger
# scales than the half-normal), and yet agree: each says that schools differ by tens of
# points, not by hundreds. That is the kind of knowledge a prior on a scale must bring,
# and nearly always there is some.
#
# ## What to take along
#
# * Count the groups, not the rows. With dozens of groups any prior will do.
# * With fewer than about ten choose a proper prior, and choose its scale: what
#   difference between groups would surprise you? stanpool's default is an exponential
#   whose mean is the spread of the outcome, and `model.priors` says so.
# * Look at what the prior says of a new group, in the units of the outcome:
#   `model.prior_predictive()` draws it.
