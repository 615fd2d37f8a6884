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
# # Schools and homework: does homework help, and everywhere?
#
# The maths scores of 260 students in 10 schools, and how much time they spend on
# homework each week (a part of NELS-88, made known by Kreft and De Leeuw 1998).
#
# You will learn
#
# * how one least-squares line through all students, and one for each school, contradict
#   each other;
# * how to draw the intercepts and slopes of schools from a population, with priors of
#   your own, and how to read the result: traces, lines, estimates of schools;
# * that there are two ways to leave data out, students or whole schools, that they
#   answer different questions, and that the best model for one need not be the best for
#   the other.

# %%
import numpy as np
import pandas as pd

import stanpool as sp

students = sp.load_dataset("schools_homework").rename(columns={"schnum": "school"})
students[["school", "homework", "math"]].describe().loc[
    ["count", "mean", "std", "min", "max"]
].round(1)

# %% [markdown]
# ## Least squares, all together and school by school


# %%
def least_squares(rows):
    """Return intercept and slope of a straight line."""
    slope, intercept = np.polyfit(rows["homework"], rows["math"], 1)
    return pd.Series({"intercept": intercept, "slope": slope, "students": len(rows)})


together = least_squares(students)
by_school = pd.DataFrame(
    {school: least_squares(rows) for school, rows in students.groupby("school")}
).T
pd.concat([by_school, together.to_frame("all").T]).round(2)

# %% [markdown]
# One line for all says that an hour of homework goes with 3.6 points more. Taken one by
# one, half of the schools say so too, with steeper lines; in the others the line is
# flat or falls. Neither is the whole story: the line for all mixes what happens within
# schools with how schools differ, and the lines of single schools rest on some twenty
# students each.
#
# ## Intercepts and slopes from a population
#
# $$y_i \sim N(a_{j[i]} + b_{j[i]} x_i, \epsilon^2), \qquad
# a_j \sim N(\mu_a, \sigma_a^2), \qquad b_j \sim N(\mu_b, \sigma_b^2)$$
#
# with $\mu_a \sim N(40, 50)$, $\sigma_a \sim \text{Half-}N(50)$, $\mu_b \sim N(0, 10)$,
# $\sigma_b \sim \text{Half-}N(5)$ and $\epsilon \sim \text{Half-Cauchy}(5)$. `||` keeps
# intercepts and slopes uncorrelated, as these formulas do. `center_predictors=False`
# makes the prior on the intercept one on the score without homework.

# %%
model = sp.Model(
    "math ~ homework + (1 + homework || school)",
    students,
    center_predictors=False,
    priors={
        "Intercept": "normal(40, 50)",
        "beta[homework]": "normal(0, 10)",
        "tau_school[Intercept]": "half_normal(50)",
        "tau_school[homework]": "half_normal(5)",
        "sigma": "half_cauchy(5)",
    },
)
model.priors

# %%
fit = model.fit(seed=1, progress=False)
fit.diagnose()

# %%
fit.summary(groups=False)[["mean", "sd", "q5", "q95", "r_hat", "ess_bulk"]].round(2)

# %%
fit.plot.traces(quantities=["beta[homework]", "tau_school[homework]"])

# %% [markdown]
# *Figure 1. The traces of the four chains, and the ranks of their draws. The chains
# cannot be told apart, as it should be.*
#
# An average school gains two points for an hour of homework, give or take three; but
# the slopes have a standard deviation of nearly five, so that hardly any school is like
# the average one.
#
# ## School by school
#
# The same model with one line for all (`complete`), and with a line for each school
# under the same priors (`none`):

# %%
fits = {"partial": fit} | {
    pooling: model.with_(pooling=pooling).fit(seed=1, progress=False)
    for pooling in ("complete", "none")
}
fit.plot.lines(fits["none"], complete=fits["complete"], count=10)

# %% [markdown]
# *Figure 2. The students of each school and three lines: of the school alone (no
# pooling), of all schools (complete pooling), and from the population of lines, with
# its 90 % band. Where no student does much homework the band widens: the data say
# nothing there.*

# %%
fit.plot.shrinkage(fits["none"], complete=fits["complete"], coefficient="homework")

# %% [markdown]
# *Figure 3. Points for an hour of homework in each school. Schools differ so much that
# little is pooled. School 5, whose slope is the least certain, is pulled most.*
#
# ## Which model predicts better? It depends on what
#
# Each model is refitted ten times without a tenth of the students of every school, whom
# it then predicts; and ten times without one of the schools, which it predicts from its
# students' homework alone. RMSD is the root mean squared difference between the scores
# that were left out and their predicted means.

# %%
options = {"folds": 10, "seed": 1, "progress": False}
students_out = {name: each.kfold(unit="row", **options) for name, each in fits.items()}
schools_out = {
    name: fits[name].kfold(unit="group", **options) for name in ("partial", "complete")
}
rmsd = pd.DataFrame(
    {
        "students left out": {name: each.rmse for name, each in students_out.items()},
        "schools left out": {name: each.rmse for name, each in schools_out.items()},
    }
)
# Without pooling nothing is learned for a new school: its line is that of the prior.
rmsd.loc["none", "schools left out"] = np.sqrt(((students["math"] - 40) ** 2).mean())
rmsd.loc[["complete", "none", "partial"]].round(2)

# %% [markdown]
# A mean is not a whole prediction. How well do the predicted distributions cover the
# scores that were left out? `elpd` is the sum of the log predictive densities, jointly
# for the students of a school where schools are left out; `coverage` is the share of
# scores within their 90 % intervals.

# %%
sp.compare(students_out)

# %%
sp.compare(schools_out)

# %% [markdown]
# * **Another student of these schools.** Separate regressions and partial pooling
#   predict equally well, with an RMSD of 6.9 points against 9.7 for the one line: with
#   twenty students and more in each school, there is little to gain from the others.
# * **Another school.** Without pooling nothing is learned about it, and the prior mean
#   of 40 points is off by 16. The single guess of complete pooling is slightly closer
#   than that of partial pooling, with an RMSD of 10.8 against 11. But complete pooling
#   takes the students of a new school for one more sample from all students, and is too
#   sure: 85 % of scores lie in its 90 % intervals, and its `elpd` is lower by about
#   twice the standard error of the difference, which is not known well from ten
#   schools. Partial pooling knows that a school may lie anywhere in a population of
#   lines. Its intervals are wide, and contain 98 % of scores: ten schools leave much
#   unknown about their population, too.
#
# ## What to remember
#
# * A slope may vary between groups as much as an intercept. Here that is the finding:
#   more homework goes with better scores in some schools and with worse ones in others,
#   and why is a question about schools.
# * Decide what you want to predict before you compare models: students, or schools.
# * The best single guess and the best distribution need not come from the same model.
