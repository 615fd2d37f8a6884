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
# # What does each state think, if the sample is not like the population?
#
# A survey of 1,500 people reaches old people more easily than young ones, and only a
# dozen people in a small state. Multilevel regression and poststratification (Gelman
# and Little 1997) deals with both: a hierarchical model estimates the share of people
# of each age who say yes in each state, and the census says how large each group is.
#
# You will learn
#
# * how to go from a fit to estimates of a population, in one call;
# * how much they change by pooling, and by the weights of the population;
# * what can be said about a state in which nobody was asked.
#
# The survey is simulated, so that the truth is known. The populations of the states are
# those of the census of 2020 (U.S. Census Bureau, apportionment counts), as if all of
# them were adults; the shares of four ages are about those of the nation's adults, with
# more old people in some states than in others.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80

# Residents of each state, in thousands, and its region.
REGIONS = {
    "Northeast": "CT 3606, ME 1362, MA 7030, NH 1378, NJ 9289, NY 20201, PA 13003, "
    "RI 1097, VT 643",
    "Midwest": "IL 12813, IN 6786, IA 3190, KS 2938, MI 10077, MN 5706, MO 6155, "
    "NE 1962, ND 779, OH 11799, SD 887, WI 5894",
    "South": "AL 5024, AR 3012, DE 990, FL 21538, GA 10712, KY 4506, LA 4658, MD 6177, "
    "MS 2961, NC 10439, OK 3959, SC 5118, TN 6911, TX 29146, VA 8631, WV 1794",
    "West": "AK 733, AZ 7152, CA 39538, CO 5774, HI 1455, ID 1839, MT 1084, NV 3105, "
    "NM 2118, OR 4237, UT 3272, WA 7705, WY 577",
}
states = pd.DataFrame(
    [
        (*each.split(), region)
        for region, text in REGIONS.items()
        for each in text.split(", ")
    ],
    columns=["state", "thousands", "region"],
).astype({"thousands": int})
AGES = ["18-29", "30-44", "45-64", "65+"]
SHARES = np.array([0.21, 0.25, 0.32, 0.22])

# %% [markdown]
# ## A population, and a survey of it
#
# The population has a cell for each age in each state. The opinion depends on age, on
# the region and on the state; the younger, the more often people say yes. Old people
# answer four times as often as young ones.

# %%
rng = np.random.default_rng(2020)
older = rng.normal(0, 0.15, len(states))
shares = SHARES * np.exp(np.outer(older, [-1, -0.5, 0.5, 1]))
shares /= shares.sum(axis=1, keepdims=True)
cells = states.merge(pd.DataFrame({"age": AGES}), how="cross")
cells["n"] = (1000 * cells["thousands"] * shares.ravel()).round()

of_age = dict(zip(AGES, [0.9, 0.4, -0.3, -0.9], strict=True))
of_region = {"Northeast": 0.5, "Midwest": 0.0, "South": -0.6, "West": 0.3}
of_state = dict(zip(states["state"], rng.normal(0, 0.4, len(states)), strict=True))
eta = (
    cells["age"].map(of_age)
    + cells["region"].map(of_region)
    + cells["state"].map(of_state)
)
cells["truth"] = 1 / (1 + np.exp(-eta))

asked = cells[cells["state"] != "WY"]  # nobody in Wyoming is asked
chance = asked["n"] * asked["age"].map(dict(zip(AGES, [1, 2, 3, 4], strict=True)))
people = asked.sample(1500, replace=True, weights=chance, random_state=7)
survey = people[["state", "region", "age"]].reset_index(drop=True)
survey["yes"] = rng.binomial(1, people["truth"])
survey.head()

# %%
population = cells.groupby("age")["n"].sum() / cells["n"].sum()
pd.DataFrame(
    {"sample": survey["age"].value_counts(normalize=True), "census": population}
)

# %% [markdown]
# ## The model, and the states
#
# `poststratify` computes the expected share of each cell at each draw, and averages
# cells by their sizes. Wyoming is in the census and not in the fit: its effect is drawn
# from the distribution of the states' effects, and added to that of its region.

# %%
model = sp.Model("yes ~ age + region + (1 | state)", survey, family="bernoulli")
fit = model.fit(seed=1, progress=False)
fit.diagnose()

# %%
census = cells.drop(columns=["truth", "thousands"])
estimates = fit.poststratify(census, by="state", weights="n", seed=1)
estimates.head()

# %% [markdown]
# ## What the truth says
#
# Three estimates of each state: the share among those who were asked, the model's share
# for the people who were asked, and the share of the population.


# %%
def average(frame, column):
    """Return the mean of a column by state, weighted by people."""
    total = (frame[column] * frame["n"]).groupby(frame["state"]).sum()
    return total / frame.groupby("state")["n"].sum()


truth = average(cells, "truth")
compared = pd.DataFrame(
    {"truth": truth, "asked": survey.groupby("state")["yes"].mean()}
)
of_sample = fit.predictions(by="state").set_index("state")["estimate"]
compared["pooled"] = of_sample.rename(index=str)
compared["poststratified"] = estimates.set_index("state")["estimate"]
errors = compared[["asked", "pooled", "poststratified"]].sub(truth, axis=0)
(errors**2).mean().pow(0.5).rename("root mean squared error").to_frame().round(3)

# %%
inside = estimates.set_index("state")
covered = (inside["lower"] < truth) & (truth < inside["upper"])
print(f"{covered.sum()} of {len(covered)} states are within their 90 % interval")
inside.loc[["WY", "CA"], ["estimate", "lower", "upper"]].assign(truth=truth).round(2)

# %%
order = truth.sort_values().index
figure, ax = plt.subplots(figsize=(7, 8), layout="constrained")
at = np.arange(len(order))
ax.hlines(at, inside.loc[order, "lower"], inside.loc[order, "upper"], color="C0")
ax.scatter(inside.loc[order, "estimate"], at, color="C0", s=20, label="poststratified")
ax.scatter(compared.loc[order, "asked"], at, color="0.6", s=14, label="of those asked")
ax.scatter(truth[order], at, color="C1", marker="|", s=60, label="truth")
ax.set_yticks(at, order, fontsize=7)
ax.set_xlabel("share that says yes, with 90 % intervals")
ax.legend(loc="lower right")
ax.set_title("States, from the lowest share to the highest")
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The sample says yes less often than the population, because it is older; weighting by
# the census corrects most of this. In states with few people the shares of those who
# were asked are scattered between 0 and 1, while the model's are near those of their
# region. About Wyoming, where nobody was asked, the model knows the region and no more,
# and its wide interval says so.
#
# ## The nation, and the regions

# %%
nation = fit.poststratify(census, weights="n", seed=1)
regions = fit.poststratify(census, by="region", weights="n", seed=1)
table = pd.concat([nation.assign(region="all"), regions], ignore_index=True)
table["asked"] = [survey["yes"].mean(), *survey.groupby("region")["yes"].mean()]
yes = cells["truth"] * cells["n"]
by_region = yes.groupby(cells["region"]).sum() / cells.groupby("region")["n"].sum()
table["truth"] = [yes.sum() / cells["n"].sum(), *by_region]
table[["region", "asked", "estimate", "lower", "upper", "truth"]].round(3)
