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
# People said of 24 things whether they would do them: "no", "perhaps" or "yes". Replace
# the things by films, and it is the data of a recommender. What would a person say to a
# thing that they were not asked about?
#
# You will learn
#
# * what crossed effects are: every user meets every item, and both are populations;
# * two ways for users to differ in taste, and not only in how much they like: slopes on
#   what is known of the items, and latent factors that are found in the answers;
# * that some users are easier to predict than others, which noise of their own says;
# * how a new user's first likes and dislikes are taken in without fitting again.
#
# The items are of verbal aggression (De Boeck and Wilson 2004): to curse, to scold or
# to shout, in four situations, two of them others' fault and two one's own; wanting to
# or doing so. Every second of 316 persons is used.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
answers = sp.load_dataset("verbagg").rename(columns={"id": "user"})
answers = answers[answers["user"] % 2 == 0].reset_index(drop=True)
answers["likes"] = (answers["resp"] != "no").astype(int)
answers["rating"] = answers["resp"].map({"no": 0.0, "perhaps": 1.0, "yes": 2.0})
# What is known of the items, each a contrast of one unit.
answers["want"] = answers["mode"].map({"do": -0.5, "want": 0.5})
answers["curse"] = answers["btype"].map({"shout": -0.5, "scold": 0.0, "curse": 0.5})
answers["others"] = answers["situ"].map({"self": -0.5, "other": 0.5})
answers[["user", "item", "resp", "likes", "rating", "want", "curse", "others"]].head()

# %% [markdown]
# Of 40 users only six answers each, chosen at random, are kept: they are nearly new.
# Their other 18 are held out, and what a model says of them is its test.

# %%
rng = np.random.default_rng(1)
nearly_new = rng.choice(answers["user"].unique(), 40, replace=False)
of_new = answers[answers["user"].isin(nearly_new)]
shuffled = of_new.sample(frac=1, random_state=1)
held_out = shuffled[shuffled.groupby("user").cumcount() >= 6]
train = answers.drop(held_out.index)
pd.Series({"answers to learn from": len(train), "held out": len(held_out)}).to_frame("")

# %% [markdown]
# ## Four models of a like
#
# * `crossed`: a user likes more or less, and an item is liked more or less. All users
#   have the items in the same order.
# * `slopes`: users differ, too, in how much more they like to want than to do, to curse
#   than to shout, and where others are to blame; the four coefficients of a user are
#   correlated in their population.
# * `rank 1`, `rank 2`: the model is not told what the items are. It adds the product of
#   scores of the user and loadings of the item, all of them unknown.
#
# The mean of all belongs to the first group term. Items come first, since each has many
# answers and is known well: centered on the mean they move with it, and the chains do
# not have to drag 158 users along.

# %%
options = {"seed": 1, "draws": 500, "warmup": 500, "progress": False}
crossed = "likes ~ 1 + (1 | item) + (1 | user)"
formulas = {
    "crossed": crossed,
    "slopes": "likes ~ 1 + (1 | item) + (1 + want + curse + others | user)",
    "rank 1": f"{crossed} + factors(user, item, rank=1)",
    "rank 2": f"{crossed} + factors(user, item, rank=2)",
}
fits = {
    name: sp.Model(each, train, family="bernoulli", parameterization="centered").fit(
        **options
    )
    for name, each in formulas.items()
}
pd.concat(
    {
        name: fit.summary(groups=False)[["mean", "sd", "r_hat", "ess_bulk"]]
        for name, fit in fits.items()
    }
).round(2)

# %% [markdown]
# What do they say of the answers that were held out? `log score` is the mean log
# probability that was given to what the user said; a coin has -0.693. `better by` is
# the gain in the sum over a user's 18 answers, to `crossed`, averaged over users, with
# its standard error. `right` is how often the likelier answer was the one given.


# %%
def probabilities(fit):
    """Return the posterior mean probability of a like of each held-out answer."""
    return fit.epred(held_out).mean(("chain", "draw")).to_numpy()


likes = held_out["likes"].to_numpy()
scores = {}
rows = {}
for name, fit in fits.items():
    p = probabilities(fit)
    scores[name] = np.log(np.where(likes == 1, p, 1 - p))
    gain = pd.Series(scores[name] - scores["crossed"]).groupby(
        held_out["user"].to_numpy()
    )
    rows[name] = {
        "log score": scores[name].mean(),
        "better by": gain.sum().mean(),
        "(SE)": gain.sum().sem(),
        "right": ((p > 0.5) == likes).mean(),
    }
pd.DataFrame(rows).T.round(3)

# %%
posterior = fits["rank 2"].posterior
loadings = posterior["loadings_item"].mean(("chain", "draw"))
items = answers.drop_duplicates("item").set_index("item").loc[loadings["item"].values]
palette = {"curse": "#D55E00", "scold": "#8C8C8C", "shout": "#0072B2"}
figure, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
for kind, color in palette.items():
    for mode, marker in (("want", "o"), ("do", "s")):
        at = ((items["btype"] == kind) & (items["mode"] == mode)).to_numpy()
        ax.scatter(
            loadings[at, 0],
            loadings[at, 1],
            color=color,
            marker=marker,
            s=36,
            label=f"{mode} {kind}",
        )
ax.axhline(0, color="#8C8C8C", linewidth=0.8, linestyle=":")
ax.axvline(0, color="#8C8C8C", linewidth=0.8, linestyle=":")
ax.set_xlabel("loading on the first factor")
ax.set_ylabel("loading on the second factor")
ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 1. Posterior means of the items' loadings on two latent factors. The model was
# not told what the items are. The axes may be turned; what counts is which items lie on
# the same side.*
#
# ## Users who are hard to predict
#
# The answers have three grades, and some users move among them more than others. Here
# they are taken for a rating, with one noise for all, and with a noise of each user's
# own, whose logarithm comes from a population. A normal distribution of three grades is
# rough, but it is what recommenders do with stars.

# %%
shorter = options | {"draws": 250, "warmup": 250}
rating = "rating ~ 1 + (1 | item) + (1 | user)"
noise = {
    "one noise": sp.Model(rating, train).fit(**shorter),
    "noise of each user": sp.Model(rating, train, residual="user").fit(**shorter),
}
by_user = {
    name: pd.Series(
        np.log(np.exp(fit.log_lik(held_out)).mean(("chain", "draw")).to_numpy())
    ).groupby(held_out["user"].to_numpy())
    for name, fit in noise.items()
}
gain = by_user["noise of each user"].sum() - by_user["one noise"].sum()
pd.Series({"better by": gain.mean(), "(SE)": gain.sem()}).to_frame("").T.round(3)

# %%
own = noise["noise of each user"].posterior["sigma_user"]
low, middle, high = (own.quantile(q, ("chain", "draw")) for q in (0.05, 0.5, 0.95))
order = np.argsort(middle.to_numpy())
few = np.isin(own["user"].to_numpy()[order], nearly_new)
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
place = np.arange(len(order))
colors = np.where(few, "#D55E00", "#0072B2")
ax.vlines(place, low[order], high[order], color=colors, alpha=0.3, linewidth=2)
ax.scatter(place, middle[order], color=colors, s=8, zorder=2)
ax.axhline(
    float(noise["one noise"].posterior["sigma"].mean()), color="#333333", linewidth=0.8
)
ax.set_xticks([])
ax.set_xlabel("users, in order")
ax.set_ylabel("noise of the ratings")
ax.set_ylim(0)
ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 2. The standard deviation of each user's ratings around what is expected,
# medians and 90 % intervals, and that of all in the model with one noise (line). Users
# of whom six answers are known (orange) stay near the middle of the population.*
#
# At the low end are those who say "no" to nearly everything: on a scale with an end,
# noise and mean are not independent, which a normal distribution does not know.
#
# ## A new user
#
# A new user is a draw from the population. The first answers say which one: here two
# users who both like two of four items, but not the same two. `given=` integrates the
# new user's coefficients over what they may be; nothing is fitted again.

# %%
asked = ["S1WantCurse", "S4DoCurse", "S2WantShout", "S3DoShout"]
known = answers.drop_duplicates("item").drop(columns=["user", "likes"])
wanted = known[~known["item"].isin(asked)].assign(user=0)
asked_of = known.set_index("item").loc[asked].reset_index().assign(user=0)
users = {
    "nothing known": None,
    "likes to curse, not to shout": [1, 1, 0, 0],
    "likes to shout, not to curse": [0, 0, 1, 1],
}
chances = {}
for model in ("crossed", "slopes"):
    for name, said in users.items():
        given = None if said is None else asked_of.assign(likes=said)
        drawn = fits[model].epred(wanted, new_groups="population", given=given, seed=1)
        chances[model, name] = drawn.mean(("chain", "draw")).to_numpy()
chances = pd.DataFrame(chances, index=wanted["item"].to_numpy())
chances["slopes"].sort_values("nothing known", ascending=False).head(8).round(2)

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, model in zip(axes, ("crossed", "slopes"), strict=True):
    ranked = chances[model].sort_values("nothing known")
    styles = zip(users, ("#8C8C8C", "#0072B2", "#D55E00"), strict=True)
    for name, color in styles:
        ax.plot(np.arange(len(ranked)), ranked[name], "o-", color=color, label=name)
    ax.set_title(model, loc="left", fontsize="medium")
    ax.set_xlabel("the other items, from least to most liked by all")
    ax.set_ylim(0, 1)
    ax.set_xticks([])
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("probability of a like")
_ = axes[1].legend(frameon=False, fontsize="small", loc="upper left")

# %% [markdown]
# *Figure 3. What is expected of two new users of whom four answers are known, and of a
# user of whom nothing is. To crossed effects both are the same, a user who likes two of
# four. With slopes each has an order of items of their own.*
#
# Latent factors, too, give orders of their own. What new rows say of scores is not
# taken in by `given=`: for them a new user's answers join the data, and the model is
# fitted again, as it was above for the forty who were nearly new.
#
# ## What to take along
#
# * Crossed effects are the baseline: how much a user likes, and how much an item is
#   liked. They have one order of items for all.
# * What is known of the items goes into slopes that vary over users; what is not known
#   may be found by latent factors, which need more answers.
# * Test on what a recommender is for: answers that were held out, of users of whom
#   little is known.
