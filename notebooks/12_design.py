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
# # How many schools, and how many pupils in each?
#
# A teaching method is to be tried out: half of the schools will use it, chosen at
# random, and the pupils take a test at the end of the year. Schools are expensive, and
# pupils are cheap. What would such a study find?
#
# You will learn
#
# * why more pupils in the same schools soon help no more;
# * what a study of little power finds when it finds something;
# * what is assumed, and how to see how much depends on it.

# %%
import numpy as np
import pandas as pd

import stanpool as sp

# %% [markdown]
# The table says what the rows will look like: schools, of which half are treated, and
# pupils. Its outcome is not used. What is assumed is in units of the standard deviation
# between pupils of a school: the method raises the mean by 0.4, and the means of
# schools differ by 0.3.

# %%
pupils = pd.DataFrame(
    {
        "school": np.repeat([*"abcd"], 2),
        "treated": np.repeat([0, 1, 0, 1], 2),
        "score": [0.0, 1.0, 0.5, 1.5, -0.5, 1.0, 0.0, 2.0],
    }
)
model = sp.Model("score ~ treated + (1 | school)", pupils)
assume = {
    "Intercept": 0,
    "beta[treated]": 0.4,
    "tau_school[Intercept]": 0.3,
    "sigma": 1,
}
found = sp.design(
    model,
    goal="beta[treated]",
    assume=assume,
    groups=[10, 20, 40],
    rows=[5, 20],
    simulations=60,
    chains=1,
    seed=1,
    progress=False,
)
found

# %%
found.plot()

# %% [markdown]
# Four times as many pupils in each school are not four times as many schools. The mean
# of a school differs from that of all schools by 0.3, however many of its pupils are
# tested: with $J$ schools of $n$ pupils, the variance of the difference is
# $4 (0.3^2 + 1 / n) / J$, which $n$ makes no smaller than $0.36 / J$.

# %% [markdown]
# ## What is found where little can be found
#
# With ten schools, most studies find nothing. Those that do have found too much, since
# only estimates that are large by chance have intervals without 0:

# %%
found.plot(measure="exaggeration")

# %% [markdown]
# So a small study that "worked" is no good reason to expect the same of the next one.
# The last sentences of the summary say where these averages are of few results.
#
# ## What if schools differ more?
#
# All this rests on what was assumed. If the means of schools differ by 0.5:

# %%
other = sp.design(
    model,
    goal="beta[treated]",
    assume={**assume, "tau_school[Intercept]": 0.5},
    groups=[20, 40],
    rows=[20],
    simulations=60,
    chains=1,
    seed=1,
    progress=False,
)
other

# %% [markdown]
# Sixty simulations for each design leave an uncertainty that the intervals show. For a
# decision take a thousand, on all cores, or on a cluster by `executor=`.
