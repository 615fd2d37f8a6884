"""A report holds what it must, as text, and works in a browser without a network."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import stanpool as sp
from browser import CHROMIUM, Page
from simulated_fits import fit_of_prior, simulated_fit
from stanpool.report import contents, criticism, estimates, parts
from stanpool.report.record import data_digest
from stanpool.studies.pooling.poolings import (
    PoolingComparison,
    build_pooling_comparison,
)

EVIL = "</script><script>document.title='taken'</script>"
LABELS = (EVIL, "<img src=x onerror=\"document.title='taken'\">", "b & c", "x" * 10_000)
LABELS += ("größe\n\u2028😀", "{{ 7 * 7 }}")

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


class Outline(HTMLParser):
    """Collects the elements of a page, and the text of the last one of a kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """Return a fit with divergences and labels that would be code."""
    return simulated_fit(
        labels=LABELS,
        factor="<b>school</b>",
        parameterization="centered",
        neck=0.05,
        draws=100,
    )


@pytest.fixture(scope="module")
def page(fit: sp.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def not_reached(*_: object, **__: object) -> None:
        raise AssertionError("rows were left out a second time")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stanpool.inference.diagnostics.outcomes.loo", not_reached)
        return fit.report(tmp_path_factory.mktemp("report") / "deep" / "radon.html")


@pytest.fixture(scope="module")
def outline(page: Path) -> Outline:
    return Outline(page.read_text("utf-8"))


def test_a_report_that_cannot_be_written_is_not_made(
    fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_reached(*_: object, **__: object) -> None:
        raise AssertionError("work before the path was tried")

    monkeypatch.setattr("stanpool.report.write.diagnose", not_reached)
    for path in (tmp_path / ("x" * 1000), tmp_path):
        with pytest.raises(sp.StanpoolError, match="cannot write"):
            fit.report(path)


def test_the_verdict_comes_first_and_links_to_its_section(page: Path) -> None:
    text = page.read_text("utf-8")
    body = text[text.index("<main>") :]
    assert body.index("problems found") < body.index("<table")
    assert '<a href="#funnel">see funnel</a>' in body
    assert 'id="funnel"' in body
    assert "Fit the noncentered form" in body


def test_every_link_has_its_place(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for attributes in outline.all("a")}
    assert links <= {f"#{each}" for each in ids}


def test_every_figure_has_words(outline: Outline) -> None:
    images = outline.all("img")
    assert len(images) == 16  # no lines: there is no predictor
    for each in images:
        assert len(each["alt"] or "") > 40
        assert (each["src"] or "").startswith("data:image/png;base64,")


def test_the_model_is_there_in_equations_and_as_a_graph(page: Path) -> None:
    text = page.read_text()
    assert '<figure id="equations" class="formulas">' in text
    assert "<math><mrow>" in text
    assert '<figure id="graph">' in text


def test_labels_stay_text(outline: Outline, page: Path) -> None:
    assert len(outline.all("script")) == 2
    assert not any("onerror" in attributes for _, attributes in outline.tags)
    text = page.read_text("utf-8")
    assert "&lt;/script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "x" * 100 not in text[: text.index('<script type="application/json"')]


def test_the_record_is_json_with_everything(fit: sp.Fit, outline: Outline) -> None:
    record = json.loads(outline.scripts[0])
    assert record["diagnosis"]["verdict"] == fit.diagnose().verdict
    assert record["outcomes"]["subject"] == "The model and the outcomes"
    assert record["data_sha256"] == data_digest(fit.model.data)
    summary = fit.summary()
    assert [row["quantity"] for row in record["estimates"]] == list(summary.index)
    means = [row["mean"] for row in record["estimates"]]
    assert means == pytest.approx(summary["mean"].to_list())
    assert {row["parameter"] for row in record["priors"]} == {
        row.parameter for row in fit.model.priors
    }


def test_the_call_that_repeats_the_fit_states_the_same_model() -> None:
    data = sp.load_dataset("radon")
    model = sp.Model(
        "log_radon ~ floor + (1 + floor || county)",
        data,
        parameterization="centered",
        priors={"tau": "exponential(2)"},
        center_predictors=False,
    )
    fit = replace(simulated_fit(), model=model, program=model.program)
    code = contents._reproduce(fit)
    names = {"data": data}
    exec(code[: code.index("fit =")], names)
    assert names["model"].spec == model.spec
    assert names["model"].program == model.program


def test_many_quantities_are_cut_to_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MOST_ROWS", 10)
    fit = simulated_fit(labels=tuple(f"g{k}" for k in range(30)), draws=50)
    summary = fit.summary()
    shown = estimates.rows_shown(fit, summary)
    assert list(shown.index[:3]) == ["Intercept", "tau_school[Intercept]", "sigma"]
    assert len(shown) == 10
    least = summary[["ess_bulk", "ess_tail"]].min(axis=1)
    assert least[shown.index[3:]].max() <= least.drop(shown.index).min()


@pytest.mark.usefixtures("blank_figures")
def test_what_a_model_lacks_is_said(tmp_path: Path) -> None:
    """Without groups, without numbers as outcomes, without leaving rows out."""
    data = {"y": ["a", "b", "c", "a", "b", "a"], "x": [1, 2, 3, 4, 5, 7]}
    model = sp.Model("y ~ x", data, family="categorical", pooling="complete")
    fit = _with_stats(fit_of_prior(model, chains=4, draws=50))
    text = fit.report(tmp_path / "a.html", loo=False, title="T & <i>").read_text()
    assert "switched off (loo=False)" in text
    assert "Observed and predicted mean outcomes" not in text
    assert "<title>T &amp; &lt;i&gt;</title>" in text
    with pytest.warns(sp.PriorWarning):
        model = sp.Model("x ~ 1", data, pooling="complete", priors={"sigma": "flat()"})
    proper = model.with_(priors=())
    fit = replace(_with_stats(fit_of_prior(proper, chains=4, draws=50)), model=model)
    text = fit.report(tmp_path / "b.html").read_text()
    assert text.count(" cannot be shown: ") == 2
    assert "improper" in text


@pytest.mark.usefixtures("blank_figures")
def test_very_many_rows_are_sampled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parts, "LARGEST_ARRAY", 40_000)
    monkeypatch.setattr(criticism, "LARGEST_ARRAY", 40_000)
    monkeypatch.setattr(criticism, "_FEWEST_ROWS", 10)
    fit = simulated_fit(rows_per_group=50, draws=100)  # 300 rows at 400 draws
    text = fit.report(tmp_path / "a.html").read_text()
    assert "a sample of 100 of 300; totals are for all rows" in text
    assert text.count("this takes long for 300 rows") == 3


@pytest.fixture(scope="module")
def poolings() -> PoolingComparison:
    """Return poolings of fits whose draws are from their priors."""
    formula = "log_radon ~ floor + (1 | county)"
    model = sp.Model(formula, sp.load_dataset("radon").head(60))
    fits = {
        pooling: _with_stats(
            fit_of_prior(model.with_(pooling=pooling), chains=4, draws=50)
        )
        for pooling in ("complete", "none", "partial")
    }
    rows = {name: fit.loo(progress=False) for name, fit in fits.items()}
    groups = {
        name: fits[name].loo(unit="group", progress=False) for name in ("partial",)
    }
    return build_pooling_comparison(fits, rows, groups)


@pytest.mark.usefixtures("blank_figures")
def test_poolings_are_put_side_by_side(
    poolings: PoolingComparison, tmp_path: Path
) -> None:
    with pytest.raises(sp.StanpoolError, match="cannot write"):
        sp.report_comparison(poolings, tmp_path)
    path = sp.report_comparison(poolings, tmp_path / "poolings.html", title="<i>")
    outline = Outline(path.read_text("utf-8"))
    assert len(outline.all("img")) == 2
    assert not outline.all("i")
    record = json.loads(outline.scripts[0])
    assert record["verdict"] == poolings.verdict
    assert set(record["diagnoses"]) == {"complete", "none", "partial"}
    best = record["left_out_rows"][0]
    assert best["elpd"] == pytest.approx(poolings.rows.table["elpd"].iloc[0])
    assert "New groups</b> cannot be shown: fewer than two" in path.read_text()


@in_a_browser
def test_the_poolings_open_without_complaints(
    poolings: PoolingComparison, tmp_path: Path
) -> None:
    path = sp.report_comparison(poolings, tmp_path / "poolings.html")
    with Page(path) as browser:
        assert browser.said == []
        assert browser.run("document.querySelectorAll('table.sortable').length") == 3


def _with_stats(fit: sp.Fit) -> sp.Fit:
    """Return a made-up fit with statistics of a sampler."""
    tree = fit.tree.copy()
    stats = simulated_fit(draws=fit.posterior.sizes["draw"]).sample_stats
    tree["sample_stats"] = stats
    return replace(fit, tree=tree)


@in_a_browser
def test_the_page_opens_without_a_network_and_without_complaints(page: Path) -> None:
    with Page(page) as browser:
        assert browser.run("document.title") != "taken"
        assert browser.said == []
        asked = [each for each in browser.asked if not each.startswith("data:")]
        assert asked == [page.as_uri()]
        assert browser.run("[...document.images].every(i => i.naturalWidth > 100)")
        wide = "document.documentElement.scrollWidth - innerWidth"
        assert browser.run(wide) <= 0
        assert browser.pdf().startswith(b"%PDF")


@in_a_browser
def test_tables_are_sorted_and_searched_with_the_keyboard(
    page: Path, fit: sp.Fit
) -> None:
    summary = fit.summary()
    first = "document.querySelector('#estimates tbody tr').cells[2].dataset.value"
    visible = "document.querySelectorAll('#estimates tbody tr:not([hidden])').length"
    with Page(page) as browser:
        browser.run("document.querySelectorAll('#estimates th button')[2].focus()")
        for expected in (summary["mean"].min(), summary["mean"].max()):
            browser.press("Enter", code=13, text="\r")
            assert float(browser.run(first)) == pytest.approx(expected)
        sorting = "document.querySelectorAll('#estimates th')[2].ariaSort"
        assert browser.run(sorting) == "descending"
        browser.run("document.getElementById('estimates-search').focus()")
        for letter in "b & c":
            browser.press(letter, text=letter)
        assert browser.run(visible) == 1
        count = "document.getElementById('estimates-count').textContent"
        assert browser.run(count) == f"1 of {len(summary)}"
        # By what a quantity belongs to, too.
        write = "(() => {{const e = document.getElementById('estimates-search'); "
        write += "e.value = '{}'; e.dispatchEvent(new Event('input'));}})()"
        for words, found in (("scale over", 1), ("population", 1), ("outcome", 1)):
            browser.run(write.format(words))
            assert browser.run(visible) == found, words
        assert browser.said == []


@in_a_browser
def test_a_narrow_and_dark_screen_is_served(page: Path) -> None:
    with Page(page, width=400) as browser:
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=390,
            height=800,
            deviceScaleFactor=1,
            mobile=True,
        )
        browser.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        assert browser.run("document.documentElement.scrollWidth") <= 390
        for part in ("caption span", ".plain td"):
            boxes = f"[...document.querySelectorAll('{part}')]"
            right = browser.run(f"{boxes}.map(e => e.getBoundingClientRect().right)")
            assert max(right) <= 390, part
        paper = "getComputedStyle(document.body).backgroundColor"
        assert browser.run(paper) == "rgb(15, 20, 25)"
