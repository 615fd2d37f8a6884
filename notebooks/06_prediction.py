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
# # Predicting known groups, new groups, and groups hardly known
#
# A hierarchical model knows three kinds of groups: those it was fitted to, those it has
# never seen, and those of which it gets to see a little. It predicts each differently,
# because each is known differently.
#
# You will learn
#
# * how far the prediction of a house in a known county, and in an unknown one, may be
#   off, and where the uncertainty comes from;
# * how a few houses of a new county change what is predicted for it, without fitting
#   again;
# * that groups can be read in two ways, as parameters that are known now or as missing
#   data that might have been others, and that a check of the population needs the
#   second.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
radon = sp.load_dataset("radon")
is_clay = radon["county"] == "CLAY"
clay = radon[is_clay].sample(frac=1, random_state=1)
fit = sp.Model("log_radon ~ floor + (1 | county)", radon[~is_clay]).fit(
    seed=1, progress=False
)
fit

# %% [markdown]
# The model has seen 84 counties; Clay, with its 14 houses, was left out.
#
# ## A house in the basement of three counties

# %%
LEVELS = [0.05, 0.5, 0.95]


def quantiles(draws):
    """Return the 5 %, 50 % and 95 % quantiles over all draws."""
    return draws.quantile(LEVELS, ("chain", "draw")).to_numpy().T


houses = pd.DataFrame(
    {"county": ["ST LOUIS", "LAC QUI PARLE", "CLAY"], "floor": [0, 0, 0]}
)
means = fit.epred(houses, new_groups="population", seed=1)
outcomes = fit.predict(houses, new_groups="population", seed=1)
seen = radon[~is_clay]["county"].value_counts().reindex(houses["county"]).fillna(0)
table = pd.DataFrame(
    np.hstack([quantiles(means), quantiles(outcomes)]).round(2),
    index=houses["county"],
    columns=pd.MultiIndex.from_product(
        [["the county's mean", "one house"], ["5 %", "50 %", "95 %"]]
    ),
)
table.set_index(seen.astype(int).to_numpy(), append=True).rename_axis(
    ["county", "houses seen"]
)

# %% [markdown]
# * **St. Louis** has been seen 116 times: its mean is known to a tenth or so.
# * **Lac qui Parle** has been seen twice: its mean is known hardly better than that of
#   a county that was not seen at all, though it is placed higher.
# * **Clay** is new. Its mean is a draw from the population: `new_groups="population"`
#   draws one for each posterior draw, so that all rows of a new county agree with each
#   other.
#
# For a single house it makes less of a difference, since houses of one county differ
# more than counties do.
#
# A new group is an assumption, so it must be asked for: without `new_groups` an unknown
# county is an error.

# %%
try:
    fit.predict(houses)
except sp.DataError as error:
    message = str(error)
message

# %%
choices = {}
for choice in ("population", "resample", "zero"):
    drawn = fit.epred(houses.tail(1), new_groups=choice, seed=1)
    choices[choice] = quantiles(drawn)[0]
pd.DataFrame(choices, index=["5 %", "50 %", "95 %"]).T.round(2)

# %% [markdown]
# `resample` takes the coefficients of one of the fitted counties, at random: no normal
# distribution is assumed. `zero` is a county at the mean of the population, and says
# nothing of how counties differ.
#
# ## A few houses of a new county
#
# Now the first houses of Clay are measured. `given=` conditions the draws on them, with
# the new county's coefficient integrated out: Bayes' theorem once more, and no refit.
# Here are Clay's mean and a further house of it, given its first 0, 1, 2, 5 and 14
# houses; and, to compare, what a fit to all counties says.

# %%
house = houses.tail(1)
counts = [0, 1, 2, 5, 14]
found = {}
for count in counts:
    given = clay.head(count) if count else None
    options = {"new_groups": "population", "given": given, "seed": 1}
    found[count] = np.concatenate(
        [
            quantiles(fit.epred(house, **options))[0],
            quantiles(fit.predict(house, **options))[0],
        ]
    )
everything = sp.Model("log_radon ~ floor + (1 | county)", radon).fit(
    seed=1, progress=False
)
found["refit"] = np.concatenate(
    [
        quantiles(everything.epred(house))[0],
        quantiles(everything.predict(house, seed=1))[0],
    ]
)
pd.DataFrame(found, index=table.columns).T.round(2)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
place = np.arange(len(found))
values = np.array(list(found.values()))
basement = clay[clay["floor"] == 0]["log_radon"].mean()
for ax, part, title in zip(
    axes,
    (values[:, :3], values[:, 3:]),
    ("Clay's mean", "one house in Clay"),
    strict=True,
):
    colors = ["#0072B2"] * len(counts) + ["#D55E00"]
    ax.vlines(place, part[:, 0], part[:, 2], color=colors, alpha=0.4, linewidth=4)
    ax.scatter(place, part[:, 1], color=colors, zorder=2)
    ax.axhline(basement, color="#333333", linewidth=0.8, linestyle=":")
    ax.set_xticks(place, [*map(str, counts), "refit"])
    ax.set_xlabel("houses of Clay that are given")
    ax.set_title(title, loc="left", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
_ = axes[0].set_ylabel("log radon, basement")

# %% [markdown]
# *Figure 1. What is predicted for Clay, medians and 90 % intervals, given its first
# houses (blue), and after a refit with all of them (orange). Dotted: the mean of its
# basements. With all 14 houses given, the fit that had not seen Clay agrees with the
# one that had.*
#
# ## Two readings of a population
#
# The counties of the fit are *parameters* that the data have told us about. They are
# also *missing data*: one sample of counties from a population, which might have been
# others. `groups="redrawn"` takes the second reading and draws all counties anew.

# %%
row = radon[radon["county"] == "ST LOUIS"].head(1)
pd.DataFrame(
    [
        quantiles(everything.predict(row, groups=reading, seed=1))[0]
        for reading in ("fitted", "redrawn")
    ],
    index=["fitted: St. Louis", "redrawn: a county like any other"],
    columns=["5 %", "50 %", "95 %"],
).round(2)

# %% [markdown]
# The difference matters when the model is checked. Does it reproduce how much the
# counties' averages differ? Simulate all houses again, under both readings, and look at
# the standard deviation of the counties' averages.

# %%
codes = pd.factorize(radon["county"])[0]
houses_of = np.bincount(codes)


def spread(log_radon):
    """Return the standard deviation of the counties' averages."""
    return float(np.std(np.bincount(codes, log_radon) / houses_of))


observed = spread(radon["log_radon"])
simulated = {}
for reading in ("fitted", "redrawn"):
    drawn = everything.predict(groups=reading, draws=400, seed=1).to_numpy()
    simulated[reading] = [spread(each) for each in drawn.reshape(-1, len(radon))]
pd.DataFrame(
    {
        "simulated, 5 %": {k: np.quantile(v, 0.05) for k, v in simulated.items()},
        "95 %": {k: np.quantile(v, 0.95) for k, v in simulated.items()},
        "observed": observed,
    }
).round(3)

# %%
figure, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
bins = np.linspace(0.3, 0.75, 40)
for (reading, values), color in zip(
    simulated.items(), ("#0072B2", "#D55E00"), strict=True
):
    ax.hist(values, bins, histtype="step", color=color, label=reading, linewidth=1.5)
ax.axvline(observed, color="#333333", linewidth=0.8)
ax.set_xlabel("standard deviation of the counties' averages")
ax.set_yticks([])
ax.legend(frameon=False)
ax.spines[["top", "right", "left"]].set_visible(False)

# %% [markdown]
# *Figure 2. How much counties' averages differ in simulated data: with the fitted
# counties, and with counties redrawn; and in the data (line).*
#
# The data lie well within both. Under the first reading that says little: the counties'
# own coefficients were learned from these very averages. Under the second it is a test
# that the population could have failed, and it has passed: counties drawn anew differ
# about as much as those of Minnesota.
#
# ## What to take along
#
# * Say which group you mean: a known one, a new one, or a new one of which you know
#   something. The first and the last use what its own rows say; the new one has the
#   population, and its spread counts.
# * The population is worth having for its spread as much as for its mean: leave it out
#   (`zero`), and the interval of a new county is about a seventh as wide, and wrong.
# * A few rows of a new group can be taken in at once. Refit when there are many, or
#   when you are warned that they say too much.
