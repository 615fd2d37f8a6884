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
# # Recommendation: users by items
#
# Seventy-nine people said of 24 things whether they would do them: "yes" or "no".
# Replace the things by films, and it is the data of a recommender. What would a person
# say to a thing that they were not asked about?
#
# You will learn
#
# * what crossed effects are: every user meets every item, and both are populations;
# * what a latent factor adds: users who differ in taste, and not only in how much they
#   like;
# * how a new user's first likes and dislikes are taken in without fitting again.
#
# The items are of verbal aggression (De Boeck and Wilson 2004): to curse, scold or
# shout, in four situations, wanting to or doing so. Every fourth of 316 persons is
# used.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
answers = sp.load_dataset("verbagg").rename(columns={"id": "user"})
answers = answers[answers["user"] % 4 == 0]
answers["likes"] = (answers["r2"] == "Y").astype(int)
answers[["user", "item", "likes"]].head()

# %% [markdown]
# ## Crossed effects, and a latent factor
#
# In `crossed` a user likes more or less, and an item is liked more or less. `factor`
# adds the product of a score of the user and a loading of the item, both unknown: two
# users who like equally much may like different things.

# %%
options = {"seed": 1, "draws": 500, "warmup": 500, "progress": False}
crossed = "likes ~ 1 + (1 | user) + (1 | item)"
formulas = {"crossed": crossed, "factor": f"{crossed} + factors(user, item, rank=1)"}
fits = {
    name: sp.Model(each, answers, family="bernoulli").fit(**options)
    for name, each in formulas.items()
}
pd.concat(
    {
        name: fit.summary(groups=False)[["mean", "sd", "r_hat", "ess_bulk"]]
        for name, fit in fits.items()
    }
).round(2)

# %% [markdown]
# R-hat is a little above 1.01, and effective draws are some hundreds: enough for the
# figures below, and for publication one would draw more. Which predicts answers that
# were left out better?

# %%
left_out = {name: fit.loo() for name, fit in fits.items()}
sp.compare(left_out)

# %%
loadings = fits["factor"].posterior["loadings_item"].isel(latent=0)
low, middle, high = (loadings.quantile(q, ("chain", "draw")) for q in (0.05, 0.5, 0.95))
order = np.argsort(middle.to_numpy())
kind = answers.drop_duplicates("item").set_index("item")["btype"]
palette = {"curse": "#D55E00", "scold": "#8C8C8C", "shout": "#0072B2"}
colors = kind[loadings["item"].to_numpy()[order]].map(palette).to_numpy()
figure, ax = plt.subplots(figsize=(6, 4.8), layout="constrained")
place = np.arange(len(order))
ax.hlines(place, low[order], high[order], color=colors, alpha=0.4, linewidth=3)
ax.scatter(middle[order], place, color=colors, s=18, zorder=2)
ax.axvline(0, color="#333333", linewidth=0.8, linestyle=":")
ax.set_yticks(place, loadings["item"].to_numpy()[order], fontsize="x-small")
ax.set_xlabel("loading")
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 1. The items' loadings on the latent factor, medians and 90 % intervals: to
# curse (orange), to scold (grey) and to shout (blue). The model was not told which is
# which. What it found sets cursing apart from shouting.*
#
# ## A new user
#
# A new user is a draw from the population. The first answers say which one: here two
# users who like, and dislike, the same four items. `given=` integrates the new user's
# coefficient over what it may be.

# %%
items = sorted(answers["item"].unique())
ask = items[::6]
rest = [item for item in items if item not in ask]
wanted = pd.DataFrame({"user": 0, "item": rest})
expected = {}
for name, liked in {"nothing known": None, "four likes": 1, "four dislikes": 0}.items():
    known = None
    if liked is not None:
        known = pd.DataFrame({"user": 0, "item": ask, "likes": liked})
    drawn = fits["crossed"].epred(wanted, new_groups="population", given=known, seed=1)
    expected[name] = drawn.mean(("chain", "draw")).to_numpy()
chances = pd.DataFrame(expected, index=rest)
chances.sort_values("nothing known", ascending=False).head(6).round(2)

# %%
figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
ranked = chances.sort_values("nothing known")
styles = zip(chances, ("#8C8C8C", "#0072B2", "#D55E00"), strict=True)
for name, color in styles:
    ax.plot(np.arange(len(ranked)), ranked[name], "o-", color=color, label=name)
ax.set_xlabel("the other items, from least to most liked")
ax.set_ylabel("probability of a like")
ax.set_ylim(0, 1)
ax.set_xticks([])
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 2. What a new user is expected to say of the other items, given nothing, four
# likes and four dislikes.*
#
# With crossed effects alone the order of the items is the same for every user. Orders
# that differ take the latent factor; for it a new user's answers are taken in by
# fitting again, since `given=` does not go with it.
