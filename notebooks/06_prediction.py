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
# For a hierarchical model there are three kinds of groups: those that it was fitted to,
# those that it has never seen, and those about which it gets to know a little
# afterwards. Their predictions differ, because what is known about them differs.
#
# You will learn
#
# * how uncertain the prediction of a house is in a known county and in an unknown one,
#   and where the uncertainty comes from;
# * how a few houses of a new county change what is predicted for it, without fitting
#   again;
# * that groups can be understood in two ways, as parameters of which we know something
#   or as a sample that might have been another one, and that a check of the population
#   needs the second.

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

# %%
fit.plot.shrinkage()

# %% [markdown]
# *Figure 1. The intercepts of the 84 counties, with 90 % intervals, by their numbers of
# houses. For Clay only their distribution is known.*
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
# `resample` takes the coefficients of a fitted county at random: no normal distribution
# is assumed. `zero` is a county at the mean of the population, and ignores how much
# counties differ.
#
# ## A few houses of a new county
#
# Now the first houses of Clay are measured. `given=` conditions the draws on them, with
# the new county's coefficient integrated out: Bayes' theorem once more, and no refit.
# Here are the mean of Clay and another of its houses, given its first 0, 1, 2, 5 and 14
# houses; and, for comparison, what a fit to all counties says.

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
values = np.array(list(found.values()))
basement = clay[clay["floor"] == 0]["log_radon"].mean()
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
titles = ("Clay's mean", "one house in Clay")
for ax, part, title in zip(axes, (values[:, :3], values[:, 3:]), titles, strict=True):
    low, middle, high = part.T
    ax.errorbar([*map(str, found)], middle, [middle - low, high - middle], fmt="o")
    ax.axhline(basement, color="#333333", linewidth=0.8, linestyle=":")
    ax.set_xlabel("houses of Clay that are given")
    ax.set_title(title)
_ = axes[0].set_ylabel("log radon, basement")

# %% [markdown]
# *Figure 2. Predictions for Clay, medians and 90 % intervals, given its first houses,
# and after a refit with all of them. Dotted: the mean of its basements. With all 14
# houses given, the fit that had not seen Clay agrees with the one that had.*
#
# ## Two ways to understand a population
#
# The coefficients of the counties are *parameters*, about which the data tell us
# something. The counties are also a *sample* from a population, and might have been
# others. `groups="redrawn"` means the latter, and draws all counties anew.

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
# counties' averages differ? Simulate all houses again, in both ways, and look at the
# standard deviation of the counties' averages.

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

# %% [markdown]
# The observed value is well within both. With the fitted counties that says little:
# their coefficients were estimated from these very averages. With redrawn counties it
# is a test that the population could have failed, and it has passed: counties drawn
# anew differ about as much as those of Minnesota.
#
# ## What to remember
#
# * Say which group you mean: a known one, a new one, or a new one about which you know
#   something. For the first and the last their own rows count; of the new one only its
#   population is known, and how much groups vary in it.
# * The population is worth having for its spread as much as for its mean: without the
#   spread (`zero`), the interval of a new county is about a seventh as wide, and wrong.
# * A few rows of a new group can be taken into account at once. Refit when there are
#   many, or when a warning says that they change too much.
