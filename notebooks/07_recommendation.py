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
# People were asked whether they would do each of 24 things, and said "no", "perhaps" or
# "yes". Replace the things by films, and these are the data of a recommender. What
# would a person say about a thing that they were not asked about?
#
# You will learn
#
# * what crossed effects are: every user meets every item, and both are populations;
# * two ways for users to differ in taste, and not only in how much they like: slopes on
#   what is known of the items, and latent factors that are found in the answers;
# * that some users are easier to predict than others, which a residual standard
#   deviation for each user expresses;
# * how a new user's first likes and dislikes are taken into account without a refit.
#
# The items are of verbal aggression (De Boeck and Wilson 2004): to curse, to scold or
# to shout, in four situations, two of them others' fault and two one's own; wanting to
# or doing so. 316 persons answered.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
answers = sp.load_dataset("verbagg").rename(columns={"id": "user"})
answers["likes"] = (answers["resp"] != "no").astype(int)
answers["rating"] = answers["resp"].map({"no": 0.0, "perhaps": 1.0, "yes": 2.0})
# What is known of the items, each a contrast of one unit.
answers["want"] = answers["mode"].map({"do": -0.5, "want": 0.5})
answers["curse"] = answers["btype"].map({"shout": -0.5, "scold": 0.0, "curse": 0.5})
answers["others"] = answers["situ"].map({"self": -0.5, "other": 0.5})
answers[["user", "item", "resp", "likes", "rating", "want", "curse", "others"]].head()

# %% [markdown]
# Of 100 users only six answers each, chosen at random, are kept: they are nearly new.
# Of the others four are held out. What a model says of the answers that were held out
# is its test.

# %%
rng = np.random.default_rng(1)
nearly_new = rng.choice(answers["user"].unique(), 100, replace=False)
shuffled = answers.sample(frac=1, random_state=1)
kept = np.where(shuffled["user"].isin(nearly_new), 6, 20)
held_out = shuffled[shuffled.groupby("user").cumcount() >= kept]
train = answers.drop(held_out.index)
held_out_of = held_out["user"].to_numpy()
is_new = np.isin(held_out_of, nearly_new)
pd.Series(
    {
        "answers to learn from": len(train),
        "held out, of users who are nearly new": is_new.sum(),
        "held out, of the others": (~is_new).sum(),
    }
).to_frame("")

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
# answers and is known well: a mean that moves takes 24 items along, and not 316 users.

# %%
options = {"seed": 1, "progress": False}
crossed = "likes ~ 1 + (1 | item) + (1 | user)"
formulas = {
    "crossed": crossed,
    "slopes": "likes ~ 1 + (1 | item) + (1 + want + curse + others | user)",
    "rank 1": f"{crossed} + factors(user, item, rank=1)",
    "rank 2": f"{crossed} + factors(user, item, rank=2)",
}
fits = {
    name: sp.Model(each, train, family="bernoulli").fit(**options)
    for name, each in formulas.items()
}
pd.concat(
    {
        name: fit.summary(groups=False)[["mean", "sd", "r_hat", "ess_bulk"]]
        for name, fit in fits.items()
    }
).round(2)

# %% [markdown]
# What do they say about the answers that were held out? `log score` is the mean log
# probability that was given to what the user said; a coin has -0.693. `better by` is
# the gain over `crossed` in a user's sum of log probabilities, the mean over users, and
# its standard error. `right` is how often the likelier answer was the one given.


# %%
def log_scores(fit):
    """Return the log predictive density of each answer that was held out."""
    return np.log(np.exp(fit.log_lik(held_out)).mean(("chain", "draw")).to_numpy())


def gains(scores, others, rows):
    """Return each user's gain in the sum of log densities."""
    return pd.Series((scores - others)[rows]).groupby(held_out_of[rows]).sum()


scores = {name: log_scores(fit) for name, fit in fits.items()}
table = {}
for who, rows in {"nearly new users": is_new, "the others": ~is_new}.items():
    for name, values in scores.items():
        gain = gains(values, scores["crossed"], rows)
        table[who, name] = {
            "log score": values[rows].mean(),
            "better by": gain.mean(),
            "(SE)": gain.sem(),
            "right": (values[rows] > np.log(0.5)).mean(),
        }
pd.DataFrame(table).T.round(3)

# %% [markdown]
# Of users with twenty known answers all models of taste say more than `crossed`, by
# several standard errors. Two factors that know nothing of the items say nearly as much
# as slopes on what is known of them, one factor half. Of users with six known answers
# there is less to learn of their taste: over 18 answers the gain is hardly larger than
# that of the others over four, about two standard errors, and the likelier answer is
# right no more often.

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
# not told what the items are, and sets shouting apart from cursing, and wanting to
# curse apart from doing so. The axes are arbitrary, since a rotation of both factors
# gives the same predictions; what counts is which items lie together.*
#
# ## Users who are hard to predict
#
# The answers have three grades, and some users vary more between them than others. Here
# they are treated as ratings, first with one residual standard deviation, or noise, for
# all users, and then with one for each user, whose logarithm comes from a population. A
# normal distribution of three grades is rough, but it is how recommenders treat
# stars.

# %%
shorter = options | {"draws": 250, "warmup": 250}
rating = "rating ~ 1 + (1 | item) + (1 | user)"
noise = {
    "one noise": sp.Model(rating, train).fit(**shorter),
    "noise of each user": sp.Model(rating, train, residual="user").fit(**shorter),
}
everyone = np.ones(len(held_out), dtype=bool)
common, own = (log_scores(fit) for fit in noise.values())
gain = gains(own, common, everyone)
pd.Series({"better by": gain.mean(), "(SE)": gain.sem()}).to_frame("").T.round(3)

# %%
sigma = noise["noise of each user"].posterior["sigma_user"]
low, middle, high = (sigma.quantile(q, ("chain", "draw")) for q in (0.05, 0.5, 0.95))
order = np.argsort(middle.to_numpy())
few = np.isin(sigma["user"].to_numpy()[order], nearly_new)
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
place = np.arange(len(order))
colors = np.where(few, "#D55E00", "#0072B2")
ax.vlines(place, low[order], high[order], color=colors, alpha=0.3, linewidth=1)
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
# Who are they? Here are the mean ratings of the twenty users with least and with most
# noise.

# %%
mean_rating = train.groupby("user")["rating"].mean()
named = sigma["user"].to_numpy()[order]
pd.Series(
    {
        "least noise": mean_rating[named[:20]].mean(),
        "all": mean_rating.mean(),
        "most noise": mean_rating[named[-20:]].mean(),
    }
).to_frame("mean rating").round(2)

# %% [markdown]
# Those with least noise say "no" to nearly everything (and a few "yes"). On a scale
# with ends noise and mean are not independent, which a normal distribution does not
# know: `family="ordinal"` would. Still, ratings that were held out are predicted better
# with a noise of each user's own.
#
# ## A new user
#
# A new user is a draw from the population, about whom the first answers say more: here
# are two users who both like two of four items, but not the same two. `given=`
# conditions the new user's coefficients on these answers, without a refit.

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
# With latent factors each user has an order of their own, too. But `given=` does not
# update scores: a new user's answers have to join the data, and the model is fitted
# again, as it was above for the hundred users who were nearly new.
#
# ## What to remember
#
# * Crossed effects are the baseline: how much a user likes, and how much an item is
#   liked. They have one order of items for all.
# * What is known of the items goes into slopes that vary over users; what is not known
#   may be found by latent factors, which need more answers.
# * Test on what a recommender is for: answers that were held out, of users of whom
#   little is known.
