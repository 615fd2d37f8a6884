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
import numpy as np
import pandas as pd

import stanpool as sp

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
options = {"seed": 1, "progress": False}
formulas = {
    "schools": "mathgain ~ 1 + (1 | school)",
    "schools and classrooms": "mathgain ~ 1 + (1 | school/room)",
}
fits = {
    name: sp.Model(each, classroom).fit(**options) for name, each in formulas.items()
}
three = fits["schools and classrooms"]
three.diagnose()

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
three.plot.caterpillar(factor="school")

# %% [markdown]
# *Figure 1. The schools, with 90 % and 50 % intervals. With some eleven students each,
# few can be told from the mean.*
#
# The school with most classrooms, room by room:

# %%
school = rooms["school"].value_counts().index[0]
of_school = classroom[classroom["school"] == school].groupby("room")["mathgain"]
table = of_school.agg(students="size", observed="mean")
deviations = three.ranef(factor="school:room")["mean"].droplevel("coefficient")
its_mean = three.coef(factor="school")["mean"].droplevel("coefficient")[school]
table["estimated"] = (
    its_mean + deviations[[f"{school}:{r}" for r in table.index]].values
)
print(f"school {school}: {its_mean:.1f}")
table.round(1)

# %% [markdown]
# A classroom is pulled towards its school, and the school towards all others: two steps
# of partial pooling. Single students move their classroom's estimate only a little.
#
# ## A new classroom
#
# What would be the mean gain of another classroom of a known school? The two-level
# model knows no classrooms, so its answer is the school's mean. The three-level model
# adds how classrooms of one school differ.

# %%
known = pd.DataFrame({"school": [school], "room": [0]})
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
tops["3.5"].plot.prior_posterior(var_names=["tau_school"])

# %% [markdown]
# *Figure 2. The prior with mean 3.5 on the scale of the schools, and its posterior.*
#
# Even the prior that expects less than half of what is found moves the schools' scale
# by about half a posterior standard deviation only, and what it takes from them the
# classrooms receive; the mean gain does not move. Hyperparameters at the top are seen
# by all groups at once, so that the data speak loudest there. With three schools it
# would be different: see `05_scale_priors`.
