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
# The same hierarchical model can be written in several ways that mean the same and are
# sampled very differently. Which to take depends on how much the data say about each
# group.
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
# *Figure 1. Draws of v and x[1]; divergent transitions in orange. In the neck of the
# funnel the centered form needs steps that are far smaller than those that get anywhere
# in its mouth. It gets stuck at the neck and does not enter it.*

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
# *Figure 2. The scale of the population against one school's effect, in each form. With
# standard errors larger than the differences between schools the data leave most of the
# funnel there.*
#
# ## An experiment: how much the data say
#
# Twenty groups with means from $N(0, 0.5^2)$, and 2 to 300 observations of each, with
# standard deviation 1. The more observations, the more a group's mean is known by its
# own data, and the less it follows the population's scale. In the last data set,
# `mixed`, half of the groups have 2 observations and half have 300.

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
                "ESS": measured["min_ess_bulk"],
                "ESS per second": measured["ess_per_second"],
                "ESS per 1,000 steps": 1000
                * measured["min_ess_bulk"]
                / float(stats["n_steps"].sum()),
            }
        )
results = pd.DataFrame(results)
results.pivot(index="observations", columns="form", values="ESS per 1,000 steps").loc[
    list(sizes), list(COLORS)
].round(1)

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
place = np.arange(len(sizes))
for form, color in COLORS.items():
    of_form = results[results["form"] == form].set_index("observations")
    for ax, measure in zip(
        axes, ("divergences", "step size", "ESS per second"), strict=True
    ):
        values = of_form.loc[list(sizes), measure]
        ax.plot(place[:-1], values.iloc[:-1], "o-", color=color, label=form)
        ax.plot(place[-1:], values.iloc[-1:], "o", color=color)
        ax.set_title(measure, loc="left", fontsize="medium")
        ax.set_xticks(place, list(sizes))
        ax.set_xlabel("observations of each group")
        ax.spines[["top", "right"]].set_visible(False)
axes[0].set_yscale("symlog", linthresh=1)
axes[0].set_ylim(-0.2)
axes[2].set_yscale("log")
_ = axes[0].legend(frameon=False)

# %% [markdown]
# *Figure 3. Divergences, step size and effective draws per second (the worst of all
# quantities) of four forms, by how much the data say about each group; on the right of
# each panel the data set with small and large groups. Seconds are of one machine that
# did other things, too; the table above counts gradient evaluations instead.*
#
# * **Centered** is poor where groups know little of themselves, with small steps and a
#   few divergences, and as good as any from some hundred observations on: the group's
#   mean stands by itself.
# * **Noncentered** is the other way round. It samples how far a group is from the
#   population, in units of the population's scale; where the data say where the group
#   *is*, that ties its deviation to everything else, and steps get shorter the more
#   data there are.
# * **Adaptive** centers each group by a weight between 0 and 1, the share of its own
#   data in what is known of its mean, which a pilot estimate finds before sampling. It
#   keeps near the better of the two, and is far better than both where small and large
#   groups come together. Where the data leave open that groups do not differ at all, as
#   those of the eight schools do, it keeps near the noncentered form: the weights are
#   those of a population scale three standard errors below the estimate, so that no
#   funnel is left where chains go.
# * **Marginal** integrates the groups' means out, so no funnel is left to sample, and
#   draws them back exactly afterwards. It is good throughout.
# * With two observations of each group what differs between groups and what differs
#   within them can hardly be told apart, and the centered form hardly moves. With a
#   single observation they cannot be told apart at all, and stanpool refuses the model.
#
# ## The rule of thumb
#
# * Divergences are not noise: the centered funnel got stuck at $v = -3.2$, and a
#   seventh of $v$ is below.
# * Gaussian outcome: leave `parameterization="auto"`, which is marginal wherever that
#   is exact and fast.
# * Other outcomes: leave it, too. It is adaptive, which is noncentered for groups with
#   little data and centered for groups with much. Should it diverge, because the data
#   hardly say how much groups differ, noncentered with a higher `adapt_delta` is the
#   next to try, and a prior on the scale that says what is known.
# * For a model of your own `compare_parameterizations(model)` tries them all.
