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
# # Three poolings of radon in Minnesota
#
# Radon was measured in 919 houses in 85 counties of Minnesota. Some counties have more
# than a hundred houses, some have one. What is the level of each county, and how much
# does it matter whether the measurement was taken in the basement?
#
# You will learn
#
# * what complete pooling, no pooling (own intercepts, or own regressions) and partial
#   pooling say about the same counties, and what each gets wrong;
# * how far a county is pulled to the others: by how little it says itself;
# * what a predictor of the counties, the uranium in their soil, does to all that.
#
# The analysis follows Gelman and Hill (2007), chapter 12.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

radon = sp.load_dataset("radon")
radon[["county", "floor", "log_radon", "log_uranium"]].head()

# %%
houses = radon["county"].value_counts()
houses.describe()[["count", "min", "50%", "max"]].to_frame("houses of a county")

# %% [markdown]
# `floor` is 0 where radon was measured in the basement and 1 on the first floor. Each
# county may have its own intercept and its own effect of the floor:

# %%
model = sp.Model("log_radon ~ floor + (1 + floor | county)", radon)
ladder = sp.compare_pooling(model, seed=1, progress=False)
ladder

# %% [markdown]
# `complete` takes all houses for one county. `indicator` gives each county an intercept
# of its own, with a common effect of the floor: a regression with 85 indicator
# variables. `none` gives each county its own regression, too. `partial` draws the
# counties' coefficients from a population that is learned from all of them. Below the
# estimates stands how well each predicts houses, and whole counties, that were left
# out.
#
# ## Eight counties
#
# The lines of each pooling over the data, from counties with few houses to counties
# with many.

# %%
counties = [
    "LAC QUI PARLE",
    "AITKIN",
    "KOOCHICHING",
    "DOUGLAS",
    "CLAY",
    "STEARNS",
    "RAMSEY",
    "ST LOUIS",
]
colors = {"complete": "#8C8C8C", "none": "#D55E00", "partial": "#0072B2"}


def line(fit, county):
    """Return a county's expected log radon in the basement and on the first floor."""
    posterior = fit.posterior.mean(("chain", "draw"))
    if "b_county" in posterior:
        own = posterior["b_county"].sel(county=county)
        intercept = float(own.sel(county_coefficient="Intercept"))
        slope = float(own.sel(county_coefficient="floor"))
    else:
        intercept = float(posterior["Intercept"])
        slope = float(posterior["beta"].sel(coefficient="floor"))
    return np.array([intercept, intercept + slope])


figure, axes = plt.subplots(
    2, 4, figsize=(10, 4.8), sharex=True, sharey=True, layout="constrained"
)
axes[0, 0].set_ylabel("log radon")
axes[1, 0].set_ylabel("log radon")
jitter = np.random.default_rng(1)
for ax, county in zip(axes.flat, counties, strict=True):
    rows = radon[radon["county"] == county]
    x = rows["floor"] + jitter.uniform(-0.06, 0.06, len(rows))
    ax.plot(x, rows["log_radon"], "o", color="#333333", markersize=2.5, alpha=0.6)
    for name, color in colors.items():
        style = "--" if name == "complete" else "-"
        ends = line(ladder.fits[name], county)
        ax.plot([0, 1], ends, style, color=color, label=name)
    ax.set_title(f"{county}, {len(rows)}", fontsize="small", loc="left")
    ax.set_xticks([0, 1], ["basement", "first floor"])
    ax.set_ylim(-1.2, 3.6)
    ax.spines[["top", "right"]].set_visible(False)
_ = figure.legend(
    *axes[0, 0].get_legend_handles_labels(),
    loc="outside upper center",
    ncols=3,
    frameon=False,
)

# %% [markdown]
# *Figure 1. Eight counties and their numbers of houses. Complete pooling has one line
# for all. Without pooling a county's line follows its own houses, however few: in
# Aitkin, Koochiching and Ramsey it even rises from the basement to the first floor, on
# the word of a few houses. Partial pooling lies between, and near the county's own line
# where there are many houses.*
#
# ## Who is pulled, and how far?

# %%
figure = sp.plots.plot_shrinkage(
    ladder.fits["partial"], ladder.fits["none"], complete=ladder.fits["complete"]
)
figure

# %% [markdown]
# *Figure 2. The counties' intercepts against their numbers of houses: without pooling
# (open circles), with partial pooling and 90 % intervals (dots), and two lines: the
# mean of the population, and the one intercept of complete pooling. On the left, where
# counties have few houses, estimates without pooling scatter most, since each rests on
# next to nothing; those are pulled most.*
#
# How wrong can no pooling be? Look at the counties that it ranks highest.

# %%
own = {
    name: fit.posterior["b_county"]
    .sel(county_coefficient="Intercept")
    .mean(("chain", "draw"))
    .to_series()
    for name, fit in ladder.fits.items()
    if name in ("indicator", "none", "partial")
}
ranked = pd.DataFrame(own)
ranked.insert(0, "houses", houses[ranked.index])
ranked.sort_values("none", ascending=False).head(6).round(2)

# %% [markdown]
# Five of the six have four houses or fewer, and the intercept of Marshall's own
# regression rests on four basements. The top of an unpooled ranking is the place where
# chance collects; partial pooling takes it back.
#
# ## Uranium in the soil
#
# Counties are not alike for no reason. The uranium in a county's soil is known, and it
# moves the mean of the county's intercept. It is constant within counties, which
# stanpool sees by itself:

# %%
plain = sp.Model("log_radon ~ floor + (1 | county)", radon)
uranium = sp.Model("log_radon ~ floor + log_uranium + (1 | county)", radon)
fits = {
    "without uranium": plain.fit(seed=1, progress=False),
    "with uranium": uranium.fit(seed=1, progress=False),
}
sp.compare_fits(fits).estimates.round(3)

# %%
figure, axes = plt.subplots(
    1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained"
)
axes[0].set_ylabel("county's intercept")
level = radon.groupby("county")["log_uranium"].first()
at = np.linspace(level.min(), level.max(), 2)
for ax, (name, fit) in zip(axes, fits.items(), strict=True):
    intercepts = fit.posterior["b_county"].isel(county_coefficient=0)
    low, middle, high = (
        intercepts.quantile(q, ("chain", "draw")) for q in (0.05, 0.5, 0.95)
    )
    x = level[intercepts["county"].to_numpy()]
    ax.vlines(x, low, high, color="#0072B2", alpha=0.25)
    ax.plot(x, middle, "o", color="#0072B2", markersize=3)
    means = fit.posterior.mean(("chain", "draw"))
    slope = 0.0
    if "log_uranium" in means["coefficient"]:
        slope = float(means["beta"].sel(coefficient="log_uranium"))
    ax.plot(at, float(means["Intercept"]) + slope * at, color="#D55E00")
    ax.set_title(name, loc="left", fontsize="medium")
    ax.set_xlabel("log uranium of the county's soil")
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 3. The counties' intercepts (medians, 90 % intervals) against uranium, and the
# mean of the population (line). Given uranium, counties are pulled to the line of
# counties like them, not to the mean of all. What sets counties apart beyond that has a
# scale of 0.16 instead of 0.33, and their intervals are narrower.*
#
# ## What each gets wrong
#
# * **Complete pooling** denies that counties differ. It is wrong about nearly every
#   one, and too sure.
# * **No pooling** takes each county at its word, also those with two houses. It
#   overstates how much counties differ, its extremes are noise, and it knows nothing of
#   a county that was not measured.
# * **Partial pooling** is a compromise that the data choose, county by county. It needs
#   one assumption more: that the counties are a population. Predictors of the counties
#   make that a milder one.
