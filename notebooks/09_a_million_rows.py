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
# # A million rows
#
# A sampler evaluates the likelihood thousands of times, and each time it
# reads all rows. Does it have to, when there are a million?
#
# You will learn
#
# * that a Gaussian likelihood needs a few numbers of each group, and not its rows;
# * that nothing is approximated by it;
# * that the rows need not even be in memory: a file of them is read once, in chunks;
# * what then takes time, and what more rows do to the estimates.

# %%
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import stanpool as sp

# %% [markdown]
# ## Simulated purchases
#
# A million purchases in 200 shops, some large and some small. The amount depends on a
# discount, in each shop a little differently. Since they are simulated, the truth is
# known.

# %%
truth = {
    "Intercept": 1.0,
    "beta[discount]": 0.5,
    "tau_shop[Intercept]": 0.5,
    "tau_shop[discount]": 0.2,
    "Omega_shop[Intercept, discount]": 0.3,
    "sigma": 1.0,
}
rng = np.random.default_rng(1)
rows, shops = 1_000_000, 200
size = rng.pareto(1.5, shops) + 0.1
shop = rng.choice(shops, rows, p=size / size.sum())
covariance = [[0.25, 0.03], [0.03, 0.04]]
own = rng.multivariate_normal([1.0, 0.5], covariance, shops)
discount = rng.standard_normal(rows)
purchases = pd.DataFrame(
    {
        "amount": own[shop, 0] + own[shop, 1] * discount + rng.standard_normal(rows),
        "discount": discount,
        "shop": shop,
    }
)
purchases["shop"].value_counts().describe()[["count", "min", "50%", "max"]].to_frame(
    "purchases of a shop"
)

# %% [markdown]
# ## What the sampler reads

# %%
formula = "amount ~ discount + (1 + discount | shop)"
start = time.perf_counter()
model = sp.Model(formula, purchases)
building = time.perf_counter() - start
model.explain().splitlines()[1:]

# %% [markdown]
# A Gaussian likelihood sees the rows through sums of squares and products alone.
# Rotating the rows of a shop, as one rotates the axes of a coordinate system, leaves
# these as they are. A QR decomposition rotates them so that two of them involve the
# shop's two coefficients, and the others do not. Another one does the same with those
# others of all shops. What is left is a regression on 403 rows, with the same
# likelihood for every value of the parameters.
#
# Moreover, the shops' coefficients are integrated out: the sampler moves in the six
# dimensions of the population, and the coefficients are drawn afterwards, exactly.

# %%
options = {"seed": 1, "draws": 500, "warmup": 500, "progress": False}
fit = model.fit(**options)
table = fit.summary(groups=False)[["mean", "sd", "q5", "q95", "r_hat", "ess_bulk"]]
table.insert(0, "truth", pd.Series(truth))
table.round(3)

# %% [markdown]
# ## Is it the same?
#
# Take the first 2,000 purchases, few enough to do without any of that: `compress=False`
# fits a program that reads the rows as they are, with all coefficients sampled.

# %%
few = purchases.head(2_000)
same = {
    "turned, integrated": sp.Model(formula, few).fit(**options),
    "rows as they are": sp.Model(formula, few, compress=False).fit(**options),
}
sp.compare_fits(same).estimates.round(3)

# %% [markdown]
# The same within the noise of the draws, and at different prices: seconds, and
# effective draws of the quantity that mixes worst.

# %%
pd.DataFrame(
    {
        name: [each.seconds, each.summary(groups=False)["ess_bulk"].min()]
        for name, each in same.items()
    },
    index=["seconds", "effective draws"],
).T.round(1)

# %% [markdown]
# ## Rows that stay on disk
#
# All that is needed of the rows are sums, and sums can be formed piece by piece. Given
# the path of a file the model reads it in chunks and keeps none of them. (So would it
# read a folder of files, or an iterator of data frames.)

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "purchases.parquet"
    purchases.to_parquet(file)
    start = time.perf_counter()
    of_file = sp.Model(formula, file)
    reading = time.perf_counter() - start
    print(f"{file.stat().st_size / 1e6:.0f} MB read in {reading:.1f} s")

pd.DataFrame(
    {
        "in memory": fit.summary(groups=False)["mean"],
        "from the file": of_file.fit(**options).summary(groups=False)["mean"],
    }
).round(4)

# %% [markdown]
# ## A thousand times as many rows

# %%
sizes = [2_000, 40_000, rows]
ladder = {2_000: same["turned, integrated"], rows: fit}
seconds = {rows: building}
for count in sizes[:2]:
    start = time.perf_counter()
    smaller = sp.Model(formula, purchases.head(count))
    seconds[count] = time.perf_counter() - start
    if count not in ladder:
        ladder[count] = smaller.fit(**options)
pd.DataFrame(
    {count: [seconds[count], ladder[count].seconds] for count in sizes},
    index=["to turn the rows (s)", "to sample (s)"],
).T.rename_axis("rows").round(2)

# %%
compared = sp.compare_fits({f"{count:,} rows": ladder[count] for count in sizes})
compared.estimates.join(pd.DataFrame({("truth", ""): truth})).round(3)

# %% [markdown]
# With all rows the residual standard deviation is known to a thousandth. The population
# is not: there are 200 shops, however much each of them sells. The first 2,000 rows
# miss the intercept slightly, as one interval in ten does.
#
# ## What to remember
#
# * More rows cost one pass over them, wherever they are, and no sampling time.
# * More rows of the same groups say no more about the population than its groups can;
#   more groups do.
# * Gaussian outcomes are reduced without loss whatever their predictors are. Binary
#   outcomes and counts are, too, where few combinations of predictors and groups occur:
#   their rows are added up. `model.explain()` says what was done, or why nothing could
#   be.
