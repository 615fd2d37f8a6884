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
# # Centered, noncentered, or neither?
#
# The same hierarchical model can be written in several ways that have the same meaning
# and are sampled very differently. Which one to choose depends on how much the data say
# about each group.
#
# You will learn
#
# * what a funnel is, why no step size can explore it, and how a change of variables
#   removes it;
# * how to compare parameterizations of your own model in one call;
# * from an experiment, when the centered form is the better one and when the
#   noncentered one, and what two others do about it: the adaptive form, which centers
#   each group as far as its own data go, and the marginal form, which integrates the
#   groups out where outcomes are gaussian.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import stanpool as sp

plt.rcParams["figure.dpi"] = 80
COLORS = {
    "centered": "#D55E00",
    "noncentered": "#0072B2",
    "adaptive": "#CC79A7",
    "marginal": "#009E73",
}

# %% [markdown]
# ## Neal's funnel
#
# $v \sim N(0, 3^2)$ and $x_1, \dots, x_9 \sim N(0, e^{v})$: a population without any
# data. Here is the centered program:

# %%
SETTINGS = sp.engine.SampleSettings(chains=4, draws=1000, seed=3)


def sample_funnel(form):
    """Draw from the funnel written in one form."""
    program = sp.neals_funnel(form)
    executable = sp.engine.compile_program(
        program.source, name=program.name, progress=False
    )
    return sp.engine.sample(executable, {"D": 9, "scale": 3}, SETTINGS, progress=False)


print(sp.neals_funnel("centered").source)

# %%
funnels = {form: sample_funnel(form) for form in ("centered", "noncentered")}
figure, axes = plt.subplots(
    1, 2, figsize=(9, 4), sharex=True, sharey=True, layout="constrained"
)
rows = {}
for ax, (form, drawn) in zip(axes, funnels.items(), strict=True):
    v, x = drawn.stan_variable("v"), drawn.stan_variable("x")[..., 0]
    diverging = drawn.sampler_variable("divergent__") > 0
    ax.plot(x[~diverging], v[~diverging], ".", color="#0072B2", markersize=1.5)
    ax.plot(x[diverging], v[diverging], ".", color="#D55E00", markersize=4)
    ax.set_title(
        f"{form}, {int(diverging.sum())} divergences", loc="left", fontsize="medium"
    )
    ax.set_xlabel("x[1]")
    ax.spines[["top", "right"]].set_visible(False)
    rows[form] = [v.mean(), v.std(), *np.quantile(v, [0.01, 0.05, 0.5, 0.95])]
axes[0].set(xlim=(-25, 25), ylim=(-10, 10), ylabel="v")
rows["truth"] = [0, 3, -6.98, -4.93, 0, 4.93]

# %% [markdown]
# *Figure 1. Draws of v and x[1], with divergent transitions in orange. In the neck of
# the funnel the centered form would need far smaller steps than in its mouth. Chains
# stop at the neck and do not enter it.*

# %%
pd.DataFrame(rows, index=["mean", "sd", "1 %", "5 %", "50 %", "95 %"]).T.round(2)

# %% [markdown]
# $v$ is normal with mean 0 and standard deviation 3, so we know the truth. The
# noncentered form draws $z_i \sim N(0, 1)$ and computes $x_i = z_i e^{v/2}$: what is
# sampled is a round ball.
#
# ## Eight schools

# %%
schools = sp.Model(
    "y | se(sigma) ~ 1 + (1 | school)",
    sp.load_dataset("eight_schools"),
    parameterization="centered",
)
comparison = sp.compare_parameterizations(
    schools,
    parameterizations=list(COLORS),
    seed=1,
    progress=False,
)
comparison.table[
    ["divergences", "max_r_hat", "min_ess_bulk", "mean_leapfrog_steps"]
].round(2)

# %%
comparison.fits["centered"].diagnose()

# %%
comparison.plot()

# %% [markdown]
# *Figure 2. The scale of the population against one school's effect, in each form. The
# standard errors are larger than the differences between schools, so that the data
# leave most of the funnel of the prior in place.*
#
# ## An experiment: how much the data say
#
# Twenty groups with means from $N(0, 0.5^2)$, and 2 to 300 observations of each, with
# standard deviation 1. The more observations there are, the better a group's mean is
# known from its own data, and the less it depends on the population's scale. In the
# last data set, `mixed`, half of the groups have 2 observations and half have 300.

# %%
sizes = {str(size): [size] * 20 for size in (2, 4, 10, 30, 100, 300)}
sizes["mixed"] = [2, 300] * 10


def simulate(size):
    """Simulate twenty groups of these sizes."""
    rng = np.random.default_rng(7)
    means = rng.normal(0, 0.5, 20)
    group = np.repeat(np.arange(20), size)
    return pd.DataFrame(
        {"y": rng.normal(means[group], 1), "group": [f"g{j:02}" for j in group]}
    )


results = []
for name, size in sizes.items():
    fits = sp.compare_parameterizations(
        sp.Model("y ~ 1 + (1 | group)", simulate(size)),
        parameterizations=list(COLORS),
        seed=1,
        progress=False,
    )
    for form, fit in fits.fits.items():
        measured, stats = fits.table.loc[form], fit.sample_stats
        results.append(
            {
                "observations": name,
                "form": form,
                "divergences": int(measured["divergences"]),
                "step size": float(stats["step_size"].mean()),
                "ESS per 1,000 steps": 1000
                * measured["min_ess_bulk"]
                / float(stats["n_steps"].sum()),
            }
        )
results = pd.DataFrame(results)
table = results.pivot(index="observations", columns="form").loc[list(sizes)]
table["ESS per 1,000 steps"][list(COLORS)].round(1)

# %%
measures = ["divergences", "step size", "ESS per 1,000 steps"]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
for ax, measure in zip(axes, measures, strict=True):
    curves = table[measure][list(COLORS)]
    curves.plot(ax=ax, style="o-", color=COLORS, title=measure, legend=ax is axes[0])
axes[0].set_yscale("symlog", linthresh=1)
_ = axes[0].set_ylim(-0.2)
# %% [markdown]
# *Figure 3. Divergences, step size and effective draws per 1,000 steps (of the quantity
# that mixes worst) of four forms, by how much the data say about each group. The last
# place is the data set with small and large groups.*
#
# * **Centered** is poor where groups have little data: steps are small, and
#   transitions diverge. From some hundred observations on it is as good as any form,
#   since each group's mean is known from its own data.
# * **Noncentered** is the other way round. It samples how far a group is from the
#   population's mean, in units of the population's standard deviation. Where the data
#   determine where the group *is*, this distance depends on all other parameters, and
#   steps get shorter the more data there are.
# * **Adaptive** centers each group by a weight between 0 and 1: the share of the
#   information about the group's mean that comes from its own data, by a pilot estimate
#   before sampling. It stays close to the better of the two, and is far better than
#   both where small and large groups occur together. Where groups may not differ at
#   all, as the eight schools may not, it is nearly noncentered: the weights are those
#   of a population scale three standard errors below the estimate, so that there is no
#   funnel where the chains go.
# * **Marginal** integrates the groups' means out, so that no funnel is left to sample,
#   and draws them afterwards, exactly. It is good throughout.
# * With two observations of each group, differences between groups can hardly be told
#   from differences within them, and the centered form hardly moves. With a single
#   observation they cannot be told apart at all, and stanpool refuses the model.
#
# ## The rule of thumb
#
# * Divergences are not noise: the centered funnel hardly got below $v = -3.2$, where a
#   seventh of the distribution of $v$ is.
# * Gaussian outcomes: keep `parameterization="auto"`, which is marginal wherever that
#   is exact and fast.
# * Other outcomes: keep it, too. It is adaptive: noncentered for groups with little
#   data, and centered for groups with much. If transitions diverge because the data say
#   little about how much groups differ, try the noncentered form with a higher
#   `adapt_delta`, and a prior on the scale that states what is known.
# * For a model of your own, `compare_parameterizations(model)` tries all of them.
