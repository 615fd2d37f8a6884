"""Tables of models for papers: what their cells are, and that names are text."""

from __future__ import annotations

import pytest

import stanpool as sp
from simulated_fits import simulated_fit


@pytest.fixture(scope="module")
def fits() -> dict[str, sp.Fit]:
    options = {"factor": "<i>_g", "chains": 2, "draws": 200}
    return {
        name: simulated_fit(pooling=pooling, **options)
        for name, pooling in (("all & one", "complete"), ("partial", "partial"))
    }


def test_cells_are_those_of_the_verbs(fits: dict[str, sp.Fit]) -> None:
    table = sp.table(fits, prob=0.8)
    frame, partial = table.frame, fits["partial"]
    row = partial.summary(prob=0.8).loc["sigma"]
    mean, ends = frame.loc["sigma", "partial"].split(" ", 1)
    assert float(mean) == pytest.approx(row["mean"], abs=0.01)
    low, high = (float(each) for each in ends.strip("[]").split(", "))
    assert (low, high) == pytest.approx((row["q10"], row["q90"]), abs=0.03)
    assert frame.loc["tau_<i>_g[Intercept]", "all & one"] == ""
    elpd = partial.loo(progress=False).elpd
    assert frame.loc["ELPD (LOO)", "partial"].startswith(
        f"{elpd:,.1f}".replace("-", "\N{MINUS SIGN}")
    )
    assert frame.loc["R2", "partial"][:4] == f"{partial.bayes_R2()['mean'].iloc[0]:.2f}"
    assert frame.loc["groups of <i>_g", "partial"] == "6"
    assert list(frame.loc["rows"]) == ["18", "18"]


def test_densities_of_different_outcomes_are_not_to_be_compared(
    fits: dict[str, sp.Fit],
) -> None:
    said = "different outcomes or rows, and cannot be compared"
    assert said not in str(sp.table(fits))
    logs = simulated_fit(pooling="complete", seed=2, chains=2, draws=200)
    assert (logs.model.design.y != fits["partial"].model.design.y).any()
    table = sp.table({**fits, "logs": logs}, r2=False)
    for text in (str(table), table.latex, table.html):
        assert said in text
    assert said not in str(sp.table({**fits, "logs": logs}, r2=False, elpd=False))


def test_names_are_text_in_latex_and_html(fits: dict[str, sp.Fit]) -> None:
    table = sp.table(fits, elpd=False)
    assert r"all \& one & partial \\" in table.latex
    assert r"tau\_\textless{}i\textgreater{}\_g[Intercept]" in table.latex
    assert "<i>" not in table.html
    assert "tau_&lt;i&gt;_g[Intercept]" in table.html
    assert table._repr_html_() == table.html
    assert repr(table) == str(table)
    assert "ELPD" not in table.latex.partition("%")[0]


def test_a_list_is_named_after_poolings(fits: dict[str, sp.Fit]) -> None:
    table = sp.table([*fits.values()], elpd=False, r2=False)
    assert list(table.frame.columns) == ["complete", "partial"]


def test_no_model_is_refused() -> None:
    with pytest.raises(sp.SpecError, match="no model"):
        sp.table({})
