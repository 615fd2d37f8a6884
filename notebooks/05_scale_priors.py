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
# Each posterior is found twice: sampled by Stan, and by quadrature. With known standard
# errors the posterior is a one-dimensional integral, and `exact.known_sigma` computes
# it. So what differs between two lines of a table is the prior, and not the sampler.

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
# `compare_scale_priors` fits a model under four priors on $\tau$ that people use. With
# $S$ a scale that one would believe, 25 points for schools and 1 for log radon, these
# are uniform up to $10 S$, half-Cauchy of scale $2.5 S$ (wide), half-normal of scale
# $S$, and exponential of mean $S$.

# %%
unit = {"3 schools": 25.0, "8 schools": 25.0, "85 counties": 1.0}
comparisons = {
    name: sp.compare_scale_priors(
        sp.Model("y | se(se) ~ 1 + (1 | group)", data),
        scale=unit[name],
        seed=1,
        progress=False,
    )
    for name, data in groups.items()
}
comparisons["3 schools"]

# %%
comparisons["8 schools"]

# %%
comparisons["85 counties"]

# %% [markdown]
# `pooling` is how far groups are pooled: 0 not at all, 1 completely.
#
# ## The same without a sampler

# %%
labels = {
    "uniform": "uniform",
    "half_cauchy": "half-Cauchy",
    "half_normal": "half-normal",
    "exponential": "exponential",
}
posteriors = {
    (name, label): exact.known_sigma(comparison.fits[prior].model)
    for name, comparison in comparisons.items()
    for prior, label in labels.items()
}
drawn = {
    (name, label): comparison.fits[prior].posterior["tau_group"].to_numpy().ravel()
    for name, comparison in comparisons.items()
    for prior, label in labels.items()
}
levels = [0.05, 0.5, 0.95]
pd.DataFrame(
    {
        case: np.concatenate(
            [posteriors[case].tau.ppf(levels), np.quantile(drawn[case], levels)]
        )
        for case in posteriors
    },
    index=pd.MultiIndex.from_product(
        [["tau, by quadrature", "tau, by Stan"], ["5 %", "50 %", "95 %"]]
    ),
).T.round(2)

# %% [markdown]
# They agree within the noise of four thousand draws. `validate` makes that precise: it
# compares means and standard deviations of all quantities, here for three schools under
# the uniform prior, where the tail is longest.

# %%
sp.validate(comparisons["3 schools"].fits["uniform"], seed=1)

# %%
colors = dict(
    zip(labels.values(), ("#D55E00", "#CC79A7", "#009E73", "#0072B2"), strict=True)
)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
axes[0].set_ylabel("density")
ends = {"3 schools": 80, "8 schools": 30, "85 counties": 0.6}
for ax, name in zip(axes, groups, strict=True):
    tau = np.linspace(ends[name] / 1000, ends[name], 400)
    scale = unit[name]
    shapes = {
        "uniform": stats.uniform(scale=10 * scale),
        "half-Cauchy": stats.halfcauchy(scale=2.5 * scale),
        "half-normal": stats.halfnorm(scale=scale),
        "exponential": stats.expon(scale=scale),
    }
    edges = np.linspace(0, ends[name], 41)
    for label, color in colors.items():
        draws = drawn[name, label]
        heights = np.histogram(draws, edges)[0] / (len(draws) * np.diff(edges))
        ax.stairs(heights, edges, color=color, alpha=0.35)
        ax.plot(tau, posteriors[name, label].tau.pdf(tau), color=color, label=label)
        ax.plot(tau, shapes[label].pdf(tau), color=color, linestyle=":")
    ax.set_title(name, loc="left", fontsize="medium")
    if name == "3 schools":
        ax.legend(frameon=False)
    ax.set_xlabel(r"$\tau$")
    ax.set_yticks([])
    ax.set_xlim(0, ends[name])
    ax.set_ylim(0)
    ax.spines[["top", "right", "left"]].set_visible(False)

# %% [markdown]
# *Figure 1. Posterior densities of $\tau$ by quadrature (lines) and from Stan's draws
# (steps), and their priors (dots). With three schools each posterior runs out to the
# right as far as its prior lets it; with 85 counties the lines lie on each other.*
#
# ## What the prior says of a group

# %%
rows = {}
for (name, label), posterior in posteriors.items():
    squared = posterior.tau.nodes**2
    kept = squared / (squared + np.median(posterior.se) ** 2)
    rows[name, label] = {
        "weight of own data": posterior.tau.weights @ kept,
        "new group, 2.5 %": float(posterior.new_theta.ppf(0.025)),
        "97.5 %": float(posterior.new_theta.ppf(0.975)),
    }
table = pd.DataFrame(rows).T
table.round(2)

# %% [markdown]
# `weight of own data` is the posterior mean of $\tau^2 / (\tau^2 + \sigma^2)$ for a
# group with the median standard error: 0 is complete pooling, 1 is none. The interval
# is of the true mean of a group that has not been seen.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
place = np.arange(len(groups))
for offset, (label, color) in enumerate(colors.items()):
    at = place + 0.17 * (offset - 1.5)
    own = [table.loc[(name, label), "weight of own data"] for name in groups]
    axes[0].plot(own, at, "o", color=color, label=label)
    for y, name in zip(at, groups, strict=True):
        low, high = (
            table.loc[(name, label), ["new group, 2.5 %", "97.5 %"]] / unit[name]
        )
        axes[1].plot([low, high], [y, y], color=color, linewidth=3)
axes[0].set_xlim(0, 1)
axes[0].legend(frameon=False)
for ax, label in zip(
    axes,
    ("weight of a group's own data", "95 % interval of a new group, in units of S"),
    strict=True,
):
    ax.set_yticks(place, list(groups))
    ax.invert_yaxis()
    ax.set_xlabel(label)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 2. Left: how much a group with a typical standard error is left to its own
# data. Right: what each prior lets us expect of a group that has not been seen, in
# units of $S$ (25 points, or 1 on the log scale).*
#
# ## What a uniform prior does to three schools
#
# The three estimates are 28, 8 and -3 points, with standard errors of 10 to 16. Here is
# where the schools end up. `no upper end` is the improper prior, uniform on all
# positive numbers; with three groups the posterior is still proper, if only just.

# %%
endless = exact.known_sigma(
    comparisons["3 schools"].fits["uniform"].model, flat=["Intercept", "tau"]
)
three = {"no upper end": endless} | {
    label: posteriors["3 schools", label] for label in colors
}
new_group = {
    label: [float(each.new_theta.ppf(level)) for level in (0.025, 0.975)]
    for label, each in three.items()
}
pd.DataFrame(
    {
        "observed": [*groups["3 schools"]["y"], np.nan, np.nan],
        **{
            label: [*each.theta.ppf(0.5), *new_group[label]]
            for label, each in three.items()
        },
    },
    index=["A", "B", "C", "new school, 2.5 %", "97.5 %"],
).round(1)

# %% [markdown]
# The further a prior lets $\tau$ go, the nearer the schools stay to what was observed,
# and the less is said of a new school: with no upper end it might be anywhere between
# 250 points below and 270 above, on a test that runs from 200 to 800. No one believes
# that; the prior does. A uniform prior without an end has infinitely more mass beyond
# any $\tau$ than below it, and three groups are too few to overrule that. An upper end
# of $10 S$ is no cure, and neither is a wide half-Cauchy prior, half of whose mass lies
# above $2.5 S$.
#
# The half-normal and the exponential prior differ in shape, and yet agree: each says
# that schools differ by tens of points, not by hundreds. That is the kind of knowledge
# a prior on a scale must bring, and nearly always there is some.
#
# ## What to take along
#
# * Count the groups, not the rows. With dozens of groups any prior will do.
# * With fewer than about ten choose a proper prior, and choose its scale: what
#   difference between groups would surprise you? stanpool's default is an exponential
#   whose mean is the spread of the outcome, and `model.priors` says so.
# * Look at what the prior says of a new group, in the units of the outcome:
#   `model.prior_predictive()` draws it.
