"""Draw every figure, and write the page that shows them: ``python docs/gallery.py``.

The models are fitted to data sets that stanpool has, without a compiler. The site draws
them anew when it is built.
"""

from __future__ import annotations

import inspect
import json
import os
import warnings
from pathlib import Path
from typing import Any

import stanpool as sp

HERE = Path(__file__).parent
BENCH = HERE.parent / "tests" / "benchmarks" / "results.json"
SECTIONS = {
    "What the model says": (
        "sp.plots.plot_graph(fit.model)",
        "fit.plot.conditional_effects()",
        'fit.plot.predictions("floor", lines_of="county")',
        'verbal.plot.predictions(["Anger", "Gender", "btype"])',
        "verbal.plot.comparisons()",
        'verbal.plot.slopes("Anger", condition="btype")',
        'catheters.plot.survival("sex", groups="population")',
    ),
    "Estimates": (
        'fit.plot.forest(kind="halfeye")',
        'schools.plot.caterpillar(kind="halfeye")',
        "sleep.plot.lines()",
        "fit.plot.group_regression()",
        "fit.plot.shrinkage(no_pooling)",
        "field.plot.map(squares)",
        "fit.plot.prior_posterior()",
        "sp.plots.plot_scale_priors(several_priors)",
        "fit.plot.influence()",
    ),
    "Whether the model looks like the data": (
        "fit.plot.predictive()",
        'sleep.plot.predictive(kind="groups")',
        "sleep.plot.residuals()",
        "fit.plot.statistics()",
        "sp.plots.plot_pit(fit.loo())",
        "sp.plots.plot_pareto_k(fit.loo())",
    ),
    "Whether the draws can be trusted": (
        "schools.plot.traces()",
        'sp.plots.plot_funnel({"centered": centered, "noncentered": noncentered})',
        "schools.plot.pairs()",
        "schools.plot.autocorrelation()",
        "schools.plot.energy()",
    ),
    "Studies by simulation": (
        "sp.plots.plot_calibration(calibration)",
        "sp.plots.plot_design(study)",
    ),
    "The speed of tools": ("sp.plots.plot_bench(record)",),
}


# The page begins with these lines, which are what is run.
MODELS = """
import pandas as pd
import stanpool as sp

radon = sp.load_dataset("radon")
eight = sp.Model("y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools"))
sleepstudy, verbagg = sp.load_dataset("sleepstudy"), sp.load_dataset("verbagg")

fit = sp.Model("log_radon ~ floor + log_uranium + (floor | county)", radon).fit(seed=1)
no_pooling = sp.Model("log_radon ~ floor + (1 | county)", radon, pooling="none").fit(
    seed=1
)
schools = eight.fit(seed=1)
centered = eight.with_(parameterization="centered").fit(seed=1)
noncentered = eight.with_(parameterization="noncentered").fit(seed=1)
sleep = sp.Model("Reaction ~ Days + (Days | Subject)", sleepstudy).fit(seed=1)
verbal = sp.Model(
    "r2 ~ Anger * Gender + btype + (1 | id)", verbagg, family="bernoulli"
).fit(seed=1)
catheters = sp.Model(
    "time | cens(1 - status) ~ sex + (1 | id)",
    sp.load_dataset("kidney").replace({"sex": {1: "male", 2: "female"}}),
    family="weibull",
).fit(seed=1)
several_priors = sp.compare_scale_priors(eight, seed=1)


def square(i, j):
    ring = [[j, i], [j + 1, i], [j + 1, i + 1], [j, i + 1], [j, i]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": f"{i}-{j}", "geometry": shape}


places = [(i, j) for i in range(6) for j in range(6)]
squares = {"type": "FeatureCollection", "features": [square(*at) for at in places]}
wheat = pd.DataFrame({"plot": [f"{i}-{j}" for i, j in places]})
wheat["tonnes"] = [4 + (i * j % 7) / 10 + i / 4 - j / 5 for i, j in places]
field = sp.Model(
    "tonnes ~ 1 + icar(plot, W)", wheat, covariances={"W": squares}
).fit(seed=1)

calibration = sp.sbc(eight, simulations=100, seed=1)
pupils = pd.DataFrame(
    {"school": [*"aaaabbbb"], "treated": [0, 0, 0, 0, 1, 1, 1, 1], "score": [*range(8)]}
)
study = sp.design(
    sp.Model("score ~ treated + (1 | school)", pupils),
    goal="beta[treated]",
    assume={
        "Intercept": 0,
        "beta[treated]": 0.5,
        "tau_school[Intercept]": 0.3,
        "sigma": 1,
    },
    groups=[10, 20, 40],
    rows=[5, 20],
    simulations=25,
    seed=1,
)
""".strip()


def fits() -> dict[str, Any]:
    """Fit the models whose figures are drawn, without a compiler.

    ``record`` is what ``stanpool bench`` has found, which takes long.
    """
    os.environ.setdefault("STANPOOL_ENGINE", "stanli")
    names: dict[str, Any] = {"record": json.loads(BENCH.read_text("utf-8"))}
    exec(MODELS, names)  # the lines above
    return names


def write(place: Path) -> None:
    """Draw the figures and write the page, in a folder."""
    folder = place / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    names, drawn = fits(), []
    page = [
        "# Gallery",
        "",
        "Every figure, as `python docs/gallery.py` draws it. `fit.plot.<name>()` is",
        "`sp.plots.plot_<name>(fit)`; each returns a figure of matplotlib, those of",
        "one panel draw on given axes with `ax=`, and all follow what you have set in",
        "`matplotlib.rcParams`. The fits are",
        "",
        f"```py\n{MODELS}\n```",
        "",
        "and `record` is the content of the file `bench.json` that `stanpool bench`",
        "writes.",
    ]
    for section, calls in SECTIONS.items():
        page += ["", f"## {section}"]
        for call in calls:
            figure = eval(call, names)  # the calls are those above
            name = call.partition("(")[0].removeprefix("sp.plots.plot_").split(".")[-1]
            file = f"{name}.png"
            if file in drawn:
                file = f"{name}_{sum(each.startswith(name) for each in drawn) + 1}.png"
            drawn.append(file)
            figure.savefig(folder / file, dpi=72)
            draw = getattr(sp.plots, f"plot_{name}")
            about = inspect.getdoc(draw).partition("\n")[0].replace("``", "`")
            page += [
                "",
                f"### `{call}`",
                "",
                about,
                "",
                f"![{about}](figures/{file})",
            ]
    (place / "gallery.md").write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(HERE)
