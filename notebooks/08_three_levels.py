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
# # Students in classrooms in schools
#
# 1190 first-graders sat in 312 classrooms of 107 schools; how much they gained in
# mathematics since kindergarten is known. Schools differ. But is it the schools, or the
# classrooms in them?
#
# You will learn
#
# * how a level is added to a model, and what becomes of the others;
# * how much a school's estimate owes to its classrooms, and what that says of a new
#   classroom in a known school;
# * that with 107 schools the prior at the top hardly matters.
#
# The data are those of West, Welch and Galecki, Linear Mixed Models, chapter 4.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
classroom = sp.load_dataset("classroom").rename(
    columns={"schoolid": "school", "classid": "room"}
)
rooms = classroom.drop_duplicates("room")
pd.DataFrame(
    {
        "students of a classroom": classroom["room"].value_counts().describe(),
        "classrooms of a school": rooms["school"].value_counts().describe(),
    }
).loc[["count", "min", "50%", "max"]]

# %% [markdown]
# Half of the classrooms have four students or fewer. None could be estimated by itself.
#
# ## Adding a level
#
# `(1 | school/room)` is short for two terms: schools, and classrooms within schools.

# %%
options = {"seed": 1, "draws": 500, "warmup": 500, "progress": False}
formulas = {
    "schools": "mathgain ~ 1 + (1 | school)",
    "schools and classrooms": "mathgain ~ 1 + (1 | school/room)",
}
fits = {
    name: sp.Model(each, classroom).fit(**options) for name, each in formulas.items()
}
three = fits["schools and classrooms"]
three

# %%
sp.compare_fits(fits).estimates.round(2)

# %% [markdown]
# Restricted maximum likelihood finds 8.80, 9.96 and 32.07 for the standard deviations
# of schools, classrooms and students; the posterior means are close.
#
# The two-level model had 10.5 for schools. Part of that was classrooms: a school with
# two or three of them has a mean that varies because they do. It also had more for the
# students, which now belongs to classrooms, too. In shares of the variance:

# %%
pd.concat({name: fit.icc() for name, fit in fits.items()}).round(2)

# %% [markdown]
# Two students of one school, but of different classrooms, have a correlation of 0.06;
# two of one classroom have the sum of both shares. The model without classrooms says
# 0.09 for either.
#
# ## What a school's estimate is made of

# %%
school_draws = three.posterior["b_school"].isel(school_coefficient=0)
room_draws = three.posterior["b_school:room"].isel({"school:room_coefficient": 0})
most = rooms["school"].value_counts()
shown = most[most >= 4].index[:6]
figure, axes = plt.subplots(1, 6, figsize=(11, 3.4), sharey=True, layout="constrained")
axes[0].set_ylabel("difference from the mean gain")
mean = float(three.posterior["Intercept"].mean())
for ax, school in zip(axes, sorted(shown), strict=True):
    rows = classroom[classroom["school"] == school]
    of_school = (
        school_draws.sel(school=school) - three.posterior["Intercept"]
    ).quantile([0.05, 0.5, 0.95], ("chain", "draw"))
    ax.axhspan(float(of_school[0]), float(of_school[2]), color="#8C8C8C", alpha=0.25)
    ax.axhline(float(of_school[1]), color="#333333", linewidth=1)
    for place, (room, students) in enumerate(rows.groupby("room")):
        own = room_draws.sel({"school:room": f"{school}:{room}"}) + school_draws.sel(
            school=school
        )
        own = own - three.posterior["Intercept"]
        low, middle, high = own.quantile([0.05, 0.5, 0.95], ("chain", "draw"))
        ax.vlines(place, low, high, color="#0072B2", alpha=0.4, linewidth=3)
        ax.plot(place, middle, "o", color="#0072B2", markersize=4)
        observed = students["mathgain"].mean() - mean
        ax.plot(place, observed, "o", color="#D55E00", fillstyle="none", markersize=5)
    ax.set_title(f"school {school}", loc="left", fontsize="small")
    ax.set_xticks([])
    ax.set_xlabel(f"{place + 1} classrooms")
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 1. Six of the schools with most classrooms: the school (grey: median and 90 %
# interval), its classrooms (blue) and their observed means (orange circles). A
# classroom is drawn to its school, and the school to all others: two steps of partial
# pooling. The circle at the top of school 15 is a single student, and moves its
# classroom little.*
#
# ## A new classroom
#
# What would be the mean gain of another classroom of a known school? The two-level
# model knows no classrooms, so its answer is the school's mean. The three-level model
# adds how classrooms of one school differ.

# %%
known = pd.DataFrame({"school": [shown[0]], "room": [0]})
# No school and no classroom has the number 0.
new = pd.DataFrame({"school": [0], "room": [0]})
widths = {}
for name, fit in fits.items():
    means = [
        fit.epred(each, new_groups="population", seed=1).quantile([0.05, 0.5, 0.95])
        for each in (known, new)
    ]
    widths[name] = np.concatenate(means)
pd.DataFrame(
    widths,
    index=pd.MultiIndex.from_product(
        [["known school", "new school"], ["5 %", "50 %", "95 %"]]
    ),
).T.round(1)

# %% [markdown]
# For a known school the three-level interval is twice as wide: knowing the school, we
# do not know the classroom, and the two-level model does not see that.
#
# ## The prior at the top
#
# The scale of the schools has an exponential prior, whose mean is that of the outcome's
# scale, 35 points. Take 3.5 and 350 instead: a prior that says that schools are nearly
# the same, and one that says nearly nothing.

# %%
tops = {"35 (default)": three}
for mean in (3.5, 350):
    model = sp.Model(
        formulas["schools and classrooms"],
        classroom,
        priors={"tau_school": f"exponential({1 / mean})"},
    )
    tops[f"{mean:g}"] = model.fit(**options)
tops = {name: tops[name] for name in ("3.5", "35 (default)", "350")}
sp.compare_fits(tops).estimates.round(2)

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharex=True, layout="constrained")
parts = {"schools": "tau_school", "classrooms": "tau_school:room"}
for ax, (title, parameter) in zip(axes, parts.items(), strict=True):
    for (name, fit), color in zip(
        tops.items(), ("#D55E00", "#0072B2", "#009E73"), strict=True
    ):
        draws = fit.posterior[parameter].to_numpy().ravel()
        bins = np.linspace(0, 18, 37)
        ax.hist(draws, bins, density=True, histtype="step", color=color, label=name)
    ax.set_title(f"standard deviation of {title}", loc="left", fontsize="medium")
    ax.set_xlabel("points")
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
_ = axes[0].legend(title="prior mean", frameon=False, loc="upper left")

# %% [markdown]
# *Figure 2. The posterior of both scales under three priors on that of the schools,
# whose means are a hundred times apart.*
#
# Even the prior that expects less than half of what is found moves the schools' scale
# by about half a posterior standard deviation only, and what it takes from them the
# classrooms receive; the mean gain does not move. Hyperparameters at the top are seen
# by all groups at once, so that the data speak loudest there. With three schools it
# would be different: see `05_scale_priors`.
