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
# * how to give intercept and slope of each school a population, with priors of your
#   own, and how to read the result: trace, posteriors, predictions;
# * that there are two ways to leave data out, students or whole schools, that they ask
#   different questions, and that what predicts the one well need not predict the other.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 70
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

# %%
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), sharex=True, sharey=True, layout="constrained"
)
hours = np.array([0, 7])
jitter = np.random.default_rng(1).uniform(-0.15, 0.15, len(students))
schools_of = students.groupby("school")
palette = dict(zip(by_school.index, plt.colormaps["tab10"].colors, strict=True))
shade = students["school"].map(palette)
left.scatter(students["homework"] + jitter, students["math"], s=6, color="#8C8C8C")
left.plot(hours, together["intercept"] + together["slope"] * hours, color="#333333")
right.scatter(students["homework"] + jitter, students["math"], s=6, color=shade)
for school, own_line in by_school.iterrows():
    seen = schools_of.get_group(school)["homework"].agg(["min", "max"])
    ends = own_line["intercept"] + own_line["slope"] * seen
    right.plot(seen, ends, color=palette[school])
    below = -10 if school == 8 else -3  # its line ends where that of school 10 does
    at = seen["max"], ends["max"]
    right.annotate(f"{school}", at, (3, below), textcoords="offset points")
left.set_title("one line for all", loc="left", fontsize="medium")
right.set_title("one line for each school", loc="left", fontsize="medium")
left.set_ylabel("maths score")
for ax in (left, right):
    ax.set_xlabel("hours of homework")
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 1. Least squares. Left: all students, and one line through them. Right: the
# same students coloured by school, and a line for each school, as far as its students
# go.*
#
# One line for all says that an hour of homework goes with 3.6 points more. Taken one by
# one, half of the schools say so too, more steeply; in the others the line is flat or
# falls. Both cannot be the whole story: the line for all mixes what happens within
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
# intercepts and slopes uncorrelated, as these formulas do; `center_predictors=False`
# makes the prior on the intercept one at no homework.

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
figure, axes = plt.subplots(5, 2, figsize=(8, 6.4), layout="constrained")
posterior = fit.posterior
chosen = {
    "Intercept": posterior["Intercept"],
    "beta[homework]": posterior["beta"].sel(coefficient="homework"),
    "tau_school[Intercept]": posterior["tau_school"].sel(
        school_coefficient="Intercept"
    ),
    "tau_school[homework]": posterior["tau_school"].sel(school_coefficient="homework"),
    "sigma": posterior["sigma"],
}
colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
for (left, right), (name, draws) in zip(axes, chosen.items(), strict=True):
    for chain, color in zip(draws.to_numpy(), colors, strict=True):
        left.plot(chain[::10], color=color, linewidth=0.5)
        right.hist(chain, bins=40, histtype="step", density=True, color=color)
    left.set_title(name, loc="left", fontsize="small")
    right.set_yticks([])
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# *Figure 2. The four chains (left, every tenth draw) and their histograms (right), one
# colour each. They cannot be told apart, as it should be.*
#
# An average school gains two points for an hour of homework, give or take three; but
# the scale of the slopes, nearly five, says that there is no such thing as an average
# school.
#
# ## School by school

# %%
own = posterior["b_school"]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
place = np.arange(len(by_school))
for ax, coefficient, column in zip(
    axes, ("Intercept", "homework"), ("intercept", "slope"), strict=True
):
    draws = own.sel(school_coefficient=coefficient)
    low, middle, high = (
        draws.quantile(q, ("chain", "draw")) for q in (0.025, 0.5, 0.975)
    )
    population = float(
        posterior["Intercept"].mean()
        if coefficient == "Intercept"
        else posterior["beta"].sel(coefficient="homework").mean()
    )
    ax.axvline(population, color="#8C8C8C", linewidth=0.8)
    ax.hlines(place, low, high, color="#0072B2", alpha=0.4, linewidth=4)
    ax.plot(middle, place, "o", color="#0072B2", label="partial pooling, 95 %")
    ax.plot(by_school[column], place, "x", color="#333333", label="least squares")
    ax.set_xlabel(
        {"intercept": "score without homework", "slope": "points for an hour"}[column]
    )
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yticks(place, [f"school {school}" for school in by_school.index])
axes[0].invert_yaxis()
_ = figure.legend(
    *axes[0].get_legend_handles_labels(),
    loc="outside upper center",
    ncols=2,
    frameon=False,
)

# %% [markdown]
# *Figure 3. Intercepts and slopes of the schools: least squares (crosses), posterior
# medians and 95 % intervals, and the means of the population (lines). Schools differ so
# much that little is pooled. School 5, whose slope is the least certain, is pulled
# most.*

# %%
grid = pd.DataFrame(
    [(school, hours) for school in by_school.index for hours in range(8)],
    columns=["school", "homework"],
)
expected = fit.epred(grid)
predicted = fit.predict(grid, seed=1).quantile([0.05, 0.95], ("chain", "draw"))
figure, axes = plt.subplots(
    2, 5, figsize=(10, 4.8), sharex=True, sharey=True, layout="constrained"
)
axes[0, 0].set_ylabel("maths score")
axes[1, 0].set_ylabel("maths score")
some = np.random.default_rng(1).integers(0, expected.sizes["draw"], 40)
for ax, school in zip(axes.flat, by_school.index, strict=True):
    rows = students[students["school"] == school]
    at = np.flatnonzero(grid["school"] == school)
    x = grid["homework"].to_numpy()[at]
    ax.fill_between(x, *predicted[:, at], color="#0072B2", alpha=0.12, linewidth=0)
    ax.plot(x, expected[0, some][:, at].T, color="#0072B2", alpha=0.15, linewidth=0.8)
    for each, style, color in (
        (together, ":", "#8C8C8C"),
        (by_school.loc[school], "--", "#333333"),
    ):
        ax.plot(x, each["intercept"] + each["slope"] * x, style, color=color)
    ax.plot(rows["homework"], rows["math"], "o", color="#333333", markersize=2.5)
    ax.set_title(f"school {school}", fontsize="small", loc="left")
    ax.spines[["top", "right"]].set_visible(False)
figure.supxlabel("hours of homework", fontsize="medium")
_ = axes[0, 0].set_ylim(20, 85)

# %% [markdown]
# *Figure 4. Each school's students, forty draws of its line (blue) and 90 % predictive
# intervals of a further student (band), beside the least-squares lines of the school
# (dashed) and of all students (dotted). Where no student does much homework the lines
# fan out: the data say nothing there.*
#
# ## Which model predicts better? It depends on what
#
# The same model with one line for all (`complete`), with a line for each school under
# the same priors (`none`), and with lines from a population (`partial`). Each is
# refitted ten times without a tenth of the students of every school, and predicts them;
# and ten times without one of the schools, and predicts it from its students' homework
# alone. RMSD is the root mean squared difference between the scores that were left out
# and their predicted means.

# %%
fits = {"partial": fit} | {
    pooling: model.with_(pooling=pooling).fit(seed=1, progress=False)
    for pooling in ("complete", "none")
}
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
# A mean is not a prediction. How well do the predicted distributions hold what was
# left out? `elpd` is the sum of its log predictive densities, jointly of the students
# of a school where schools are left out; `coverage` the share of scores in their 90 %
# intervals.

# %%
sp.compare(students_out)

# %%
sp.compare(schools_out)

# %% [markdown]
# * **Another student of these schools.** Own regressions and partial pooling do equally
#   well, with an RMSD of 6.9 points against 9.7 for the one line: with twenty students
#   and more each school speaks for itself, and there is little left to pool.
# * **Another school.** Without pooling nothing is learned for it, and the prior's guess
#   of 40 points is off by 16. Complete pooling comes a little nearer with its single
#   guess than partial pooling does, an RMSD of 10.8 against 11. But it takes a new
#   school for one more sample from the line of all, and is too sure: 85 % of scores lie
#   in its 90 % intervals, and its `elpd` is lower by about twice the standard error of
#   the difference, which with ten schools is not known well. Partial pooling knows that
#   a school may lie anywhere in a population of lines. Its intervals are wide, 98 % of
#   scores lie in them: ten schools, too, leave much unknown of their population.
#
# ## What to take along
#
# * A slope may differ between groups as much as an intercept. Here that is the finding:
#   more homework goes with better scores in some schools, with worse ones in others,
#   and why is a question about schools.
# * Ask what you want to predict before you compare models: students, or schools.
# * The best single guess and the best distribution need not come from the same model.
