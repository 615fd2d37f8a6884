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
# than a hundred houses, others have one. What is the radon level of each county, and
# how much does it matter whether the measurement was taken in the basement?
#
# You will learn
#
# * what complete pooling, no pooling (own intercepts, or own regressions) and partial
#   pooling say about the same counties, and what each gets wrong;
# * how far a county is pulled towards the others: the further, the fewer houses it has;
# * what changes with a predictor of the counties, the uranium in their soil.
#
# The analysis follows Gelman and Hill (2007), chapter 12.

# %%
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
# `complete` treats all houses as if they were in one county. `indicator` gives each
# county its own intercept, with a common effect of the floor: a regression with 85
# indicator variables. `none` gives each county a regression of its own. `partial` draws
# the counties' coefficients from a population that is estimated from all of them. Below
# the estimates the table says how well each predicts houses, and whole counties, that
# were left out.
#
# ## Eight counties
#
# What three poolings say, with the data, from counties with few houses to counties with
# many.

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
partial = ladder.fits["partial"]
partial.plot.lines(
    ladder.fits["none"], complete=ladder.fits["complete"], groups=counties
)

# %% [markdown]
# *Figure 1. Eight counties: their houses, in the basement (0) and on the first floor
# (1), and the means of three poolings. Complete pooling has the same two means for all
# counties. Without pooling a county's means follow its own houses, however few: in
# Aitkin, Koochiching and Ramsey radon even rises from the basement to the first floor,
# on the evidence of a few houses. Partial pooling lies between the two, and near the
# county's own means where there are many houses.*
#
# ## Which counties are pulled, and how far?

# %%
partial.plot.shrinkage(ladder.fits["none"], complete=ladder.fits["complete"])

# %% [markdown]
# *Figure 2. The counties' intercepts against their numbers of houses: without pooling
# (open circles), with partial pooling and 90 % intervals (dots), the mean of the
# population, and the one intercept of complete pooling. On the left, where counties
# have few houses, the estimates without pooling scatter most, since each rests on very
# little, and they are pulled most.*
#
# How wrong can no pooling be? Look at the counties that it ranks highest.

# %%
own = {
    name: ladder.fits[name].coef()["mean"].xs("Intercept", level="coefficient")
    for name in ("indicator", "none", "partial")
}
ranked = pd.DataFrame(own)
ranked.insert(0, "houses", houses[ranked.index])
ranked.sort_values("none", ascending=False).head(6).round(2)

# %% [markdown]
# Five of the six have four houses or fewer, and the intercept of Marshall's own
# regression rests on four basements. At the top of an unpooled ranking we find the
# counties where chance was largest; partial pooling corrects for that.
#
# ## Uranium in the soil
#
# There are reasons why counties differ. The uranium in a county's soil is known, and
# may predict the county's intercept. It is constant within counties, which stanpool
# detects by itself:

# %%
plain = sp.Model("log_radon ~ floor + (1 | county)", radon)
uranium = sp.Model("log_radon ~ floor + log_uranium + (1 | county)", radon)
fits = {
    "without uranium": plain.fit(seed=1, progress=False),
    "with uranium": uranium.fit(seed=1, progress=False),
}
sp.compare_fits(fits).estimates.round(3)

# %%
fits["with uranium"].plot.group_regression()

# %% [markdown]
# *Figure 3. The counties' intercepts (90 % intervals) against uranium, and their
# regression. Given uranium, a county is pulled to the counties whose soil is like its
# own, and not to the mean of all. The standard deviation of the counties about the line
# is 0.16; about a common mean it was 0.33.*
#
# ## What each gets wrong
#
# * **Complete pooling** denies that counties differ. It is wrong about nearly every
#   one of them, and its intervals are too narrow.
# * **No pooling** takes each county's data at face value, even if there are only two
#   houses. It overstates how much counties differ, its extremes are noise, and it says
#   nothing about a county that was not measured.
# * **Partial pooling** is a compromise between the two that the data determine, county
#   by county. It needs one more assumption: that the counties are a sample from a
#   population. Predictors of the counties make this assumption a milder one.
