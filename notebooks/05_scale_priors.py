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
# Partial pooling estimates how much groups differ: the scale $\tau$ of the population.
# There are few groups as a rule, so that the data say little about $\tau$, and its
# prior matters. How much?
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
import numpy as np
import pandas as pd

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
comparisons["3 schools"].plot()

# %%
comparisons["85 counties"].plot()

# %% [markdown]
# *Figures 1 and 2. Priors and posteriors of $\tau$. With three schools each posterior
# extends to the right as far as its prior allows; with 85 counties the four posteriors
# are the same.*
#
# ## What the prior says about a group

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
#
# ## What a uniform prior does to three schools
#
# The three estimates are 28, 8 and -3 points, with standard errors of 10 to 16. Here is
# where the schools end up. `no upper end` is the improper prior, uniform on all
# positive numbers; with three groups the posterior is only just proper.

# %%
endless = exact.known_sigma(
    comparisons["3 schools"].fits["uniform"].model, flat=["Intercept", "tau"]
)
three = {"no upper end": endless} | {
    label: posteriors["3 schools", label] for label in labels.values()
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
# and the less is said about a new school: with no upper end its effect might be
# anywhere from 250 points below to 270 above, on a test that runs from 200 to 800.
# Nobody believes that; the prior does. A uniform prior without an end has infinitely
# more mass beyond any $\tau$ than below it, and three groups are too few to overrule
# that. An upper end of $10 S$ is no cure, and neither is a wide half-Cauchy prior, half
# of whose mass lies above $2.5 S$.
#
# The half-normal and the exponential prior differ in shape, and yet agree: each says
# that schools differ by tens of points, not by hundreds. That is the kind of knowledge
# a prior on a scale must bring, and nearly always there is some.
#
# ## What to remember
#
# * Count the groups, not the rows. With dozens of groups any prior will do.
# * With fewer than about ten choose a proper prior, and choose its scale: what
#   difference between groups would surprise you? stanpool's default is an exponential
#   whose mean is the spread of the outcome, and `model.priors` says so.
# * Look at what the prior says of a new group, in the units of the outcome:
#   `model.prior_predictive()` draws it.
