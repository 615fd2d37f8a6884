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
# # From data to a report: a whole analysis, of counts
#
# How many ticks does a grouse chick carry, and where are most of them? 403 chicks from
# 118 broods were examined in three years (Elston et al. 2001).
#
# You will learn
#
# * the steps of an analysis, in order: look at the data, state a model and look at its
#   priors, fit, diagnose, check, compare, interpret, predict, report;
# * that a wrong model can have good draws, and how counts show that it is wrong;
# * how to do the same at the command line.

# %%
import tempfile
from pathlib import Path

import stanpool as sp

options = {"seed": 1, "progress": False}

# %% [markdown]
# ## Look at the data
#
# Years are labels and not numbers, and height is in hundreds of metres.

# %%
ticks = sp.load_dataset("grouseticks")
ticks = ticks.assign(year=ticks["YEAR"].astype(str), height=ticks["HEIGHT"] / 100)
ticks.groupby("year")["TICKS"].agg(["count", "mean", "median", "var", "max"]).round(1)

# %% [markdown]
# The variances are far above the means. In a Poisson distribution they are equal, so
# that differences between heights and between broods would have to explain the rest.
# How many chicks does a brood have?

# %%
ticks.groupby("BROOD").size().value_counts().sort_index().rename("broods").to_frame().T

# %% [markdown]
# ## State a model
#
# Counts are Poisson, their logarithms depend on year and height, and broods differ.

# %%
formula = "TICKS ~ year + center(height) + (1 | BROOD)"
model = sp.Model(formula, ticks, family="poisson")
model.equations()

# %%
model.priors

# %% [markdown]
# What do these priors say about counts, before data are seen?

# %%
counts = model.prior_predictive(seed=1)["prior_predictive"]["y"]
counts.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).to_series().to_frame("ticks")

# %% [markdown]
# From none to far more than anybody has counted: the priors are wide, and leave it to
# the data.
#
# ## Fit, and diagnose the draws
#
# Two verdicts follow. The first is about the draws: can they be trusted?

# %%
poisson = model.fit(**options)
poisson.diagnose()

# %% [markdown]
# ## Check the model
#
# The second is about the model: do the data look like data from it?

# %%
poisson.check_outcomes()

# %%
poisson.plot.statistics()

# %% [markdown]
# *Figure 1. Four statistics of the counts (lines) and of counts that the model predicts
# (bars). They would not show what is wrong: the checks above look at each count.*
#
# The draws are good and the model is not. Chicks of one brood differ by more than a
# Poisson distribution allows. The advice is a family with a parameter for that:

# %%
fit = model.with_(family="negative_binomial").fit(**options)
print(fit.diagnose().verdict)
fit.check_outcomes()

# %%
fit.plot.predictive(kind="rootogram")

# %% [markdown]
# *Figure 2. How often each count occurs, and how often the model expects it.*
#
# ## Compare
#
# How well does each model predict a chick that was left out? And do the 63 locations
# add anything, given the broods? Their scale is hard to tell from that of the broods,
# so this fit takes smaller steps, and more of them.

# %%
places = sp.Model(
    "TICKS ~ year + center(height) + (1 | LOCATION) + (1 | BROOD)",
    ticks,
    family="negative_binomial",
).fit(adapt_delta=0.95, draws=2000, **options)
print(places.diagnose().verdict)
sp.compare({"poisson": poisson, "negative binomial": fit, "and locations": places})

# %% [markdown]
# The negative binomial model predicts much better than the Poisson model: importance
# sampling fails for some chicks, but the difference is far larger than these could make
# up for. Locations make no difference that can be told from none, so we go on without
# them.
#
# ## Interpret

# %%
fit.summary(groups=False)

# %%
fit.plot.predictions(["height", "year"])

# %% [markdown]
# *Figure 3. Expected ticks by height and year, with 90 % intervals, and the counts.*
#
# Coefficients are differences of logarithms, and what they mean for counts is a ratio.
# For a new brood: how many times as many ticks are there a hundred metres higher, and
# in other years?

# %%
fit.comparisons({"height": [4.2, 5.2]}, comparison="ratio", groups="population")

# %%
fit.comparisons("year", comparison="ratio", groups="population")

# %%
fit.plot.caterpillar()

# %% [markdown]
# *Figure 4. The broods, and the mean that year and height predict for each of them
# (dashes). Broods differ a lot.*
#
# ## Predict
#
# How many ticks will chicks carry in broods that nobody has seen, at two heights?

# %%
fit.predict(
    {"year": ["96", "96"], "height": [4.2, 5.2], "BROOD": [1, 2]},
    new_groups="population",
    summary=True,
    events={"none": lambda count: count == 0, "over 20": lambda count: count > 20},
    seed=1,
)

# %% [markdown]
# ## Report
#
# One file has everything, and can be read without a network: diagnosis, model, priors,
# program, estimates, checks.

# %%
with tempfile.TemporaryDirectory() as folder:
    report = Path(folder) / "ticks.html"
    fit.report(report)
    print(f"{report.name}: {report.stat().st_size / 1e6:.1f} MB")

# %% [markdown]
# ## At the command line
#
# The same in four commands, with year and height as they are in the file:
#
# ```sh
# stanpool fit grouseticks --family negative_binomial --seed 1 --out ticks.fit \
#     --formula 'TICKS ~ C(YEAR) + center(HEIGHT) + (1 | BROOD)'
# stanpool report ticks.fit
# stanpool comparisons ticks.fit --variables YEAR --comparison ratio
# stanpool predict ticks.fit new_chicks.csv --new-groups population --out predicted.csv
# ```
