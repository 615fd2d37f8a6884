"""Equations and graphs of models: names are escaped, and long models stay short."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.mathtext import MathTextParser

import stanpool as sp
from golden.catalogue import models
from stanpool.language.family import FAMILIES
from stanpool.model.description.describe import describe
from stanpool.model.description.graph import Graph, graph_of
from stanpool.model.description.notation import Indexed, Label, Symbol, Vector
from stanpool.model.description.writers.latex import latex, upright
from stanpool.model.description.writers.plain_text import plain

NAMES = ("hits %", "dose_µg", "a$b", "x^2~y\\z", "<b>&\"q'`", "d-e: f [1]", "{#}")


@pytest.fixture(scope="module")
def odd() -> sp.Model:
    rng = np.random.default_rng(1)
    data = {name: rng.normal(size=40) for name in NAMES}
    data["g{1}#<i>"] = rng.choice(list("ab&<"), 40)
    outcome, *predictors = (f"`{name.replace('`', '``')}`" for name in NAMES)
    terms = " + ".join(predictors)
    formula = f"{outcome} ~ {terms} + (1 + `a$b` | `g{{1}}#<i>`)"
    return sp.Model(formula, pd.DataFrame(data))


class _Texts(HTMLParser):
    """Collects the elements of a page and their text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_latex_has_no_character_of_a_name_with_a_meaning(odd: sp.Model) -> None:
    text = odd.equations().latex
    neutral = r"\\text\{.\}|\{[^\w\\]\}|\\[_%&#${}\\ ]|&(&| |\\sim|=|\\quad)"
    bare = re.sub(neutral, "", text)
    assert not set('%#$&~`"<>') & set(bare)
    assert bare.count("{") == bare.count("}")
    assert "^" not in re.sub(r"\\hat", "", bare)
    assert text.isascii() or all(
        f"\\text{{{char}}}" in text for char in text if not char.isascii()
    )


@pytest.mark.parametrize("name", NAMES)
def test_mathtext_reads_an_escaped_name(name: str) -> None:
    # Of what LaTeX reads, matplotlib's own reader knows enough for single names.
    readable = re.sub(r"\\text\{.\}|\\&", "x", upright(name))
    MathTextParser("agg").parse(f"${readable}$")


def test_html_has_no_element_of_a_name(odd: sp.Model) -> None:
    page = _Texts(odd.equations().html)
    assert not {"b", "i"} & page.tags
    shown = page.text.replace("\N{NO-BREAK SPACE}", " ")
    for name in (*NAMES, "g{1}#<i>"):
        assert name in shown


def test_text_has_all_names_and_no_control_characters() -> None:
    data = {"y": [1.0, 2.0, 4.0], "a\x1b[31m\nb": [1.0, 0.0, 3.0]}
    model = sp.Model("y ~ `a\x1b[31m\nb`", data, pooling="complete")
    text = model.equations().text
    assert "`a [31m b`[i]" in text
    assert "\x1b" not in text + model.equations().latex + model.equations().html
    assert "\x1b" not in model.graph().dot


def test_equations_show_themselves(odd: sp.Model) -> None:
    equations = odd.equations()
    assert repr(equations) == str(equations) == equations.text
    assert equations._repr_latex_() == f"$$\n{equations.latex}\n$$"
    assert equations._repr_html_() == equations.html


def test_each_family_says_how_it_is_written() -> None:
    by_family = {model.spec.family: model for model in models().values()}
    assert set(by_family) == set(FAMILIES)
    for name, family in FAMILIES.items():
        text = by_family[name].equations().text
        for own in family.parameter_names:
            symbol = plain(Indexed(Symbol(own))) if own != "cutpoint" else "κ"
            assert symbol in text, (name, own)


def test_many_predictors_are_a_sum() -> None:
    rng = np.random.default_rng(2)
    names = [f"x{number}" for number in range(30)]
    data = pd.DataFrame({name: rng.normal(size=50) for name in ["y", *names]})
    model = sp.Model("y ~ " + " + ".join(names), data, pooling="complete")
    assert "sum over p = 1..30 of β[p]·x[p, i]" in model.equations().text
    assert len(model.equations().text) < 700
    assert len(model.graph().graph.nodes) < 8


def test_levels_and_products_are_written_out() -> None:
    data = {
        "y": [1.0, 2.0, 4.0, 3.0, 2.5, 7.0],
        "k": ["a", "b", "a", "b", "b", "a"],
        "x": [1.0, 2.0, 3.0, 5.0, 8.0, 2.0],
    }
    model = sp.Model("y ~ k*x + I(x**2) + np.log(x)", data, pooling="complete")
    text = model.equations().text
    assert "[k[i] = b]" in text
    assert "·[k[i] = b]·x[i]" in text
    assert "·x[i]²" in text
    assert "·log(x[i])" in text


def test_letters_of_groups_are_not_names_of_columns() -> None:
    data = {"y": [1.0, 2.0, 4.0, 3.0], "j": list("aabb"), "k": list("abab")}
    model = sp.Model("y ~ 1 + (1 | j) + (1 | k)", data, parameterization="centered")
    assert [each.letter for each in describe(model).plates] == ["i", "h", "q"]


def _edges(graph: Graph) -> set[tuple[str, str]]:
    labels = {node.name: node.label[0] for node in graph.nodes}
    return {(labels[a], labels[b]) for a, b in graph.edges}


def test_the_graph_of_a_hierarchical_model() -> None:
    model = models()["partial_pooling_gaussian_centered_correlated"]
    graph = graph_of(describe(model))
    assert _edges(graph) == {
        ("μ[i]", "y[i]"),
        ("σ", "y[i]"),
        ("x1[i]", "μ[i]"),
        ("x2[i]", "μ[i]"),
        ("β_x1", "μ[i]"),
        ("α[j], β_x2[j]", "μ[i]"),
        ("α", "α[j], β_x2[j]"),
        ("β_x2", "α[j], β_x2[j]"),
        ("Σ", "α[j], β_x2[j]"),
        ("τ_α", "Σ"),
        ("τ_x2", "Σ"),
        ("Ω", "Σ"),
    }
    kinds = {node.label[0]: (node.kind, node.plate) for node in graph.nodes}
    assert kinds["y[i]"] == ("outcome", "i")
    assert kinds["x1[i]"] == ("data", "i")
    assert kinds["α[j], β_x2[j]"] == ("parameter", "j")
    assert kinds["Σ"] == ("calculated", "")
    assert graph.title("j") == "j = 1, ..., 4: g"


@pytest.mark.parametrize("name", list(models()))
def test_graphs_are_connected_and_have_a_figure(name: str) -> None:
    model = models()[name]
    graph = graph_of(describe(model))
    assert graph.nodes[0].kind == "outcome"
    observed = {node.name for node in graph.nodes if node.kind == "outcome"}
    reached, rest = observed, set(graph.edges)
    while found := {edge for edge in rest if edge[1] in reached}:
        reached |= {start for start, _ in found}
        rest -= found
    assert reached == {node.name for node in graph.nodes}


def test_dot_quotes_names(odd: sp.Model) -> None:
    dot = odd.graph().dot
    assert r'[label="`hits %`[i]\n~ Normal", shape=ellipse' in dot
    assert 'label="j = 1, ..., 4: g{1}#<i>"' in dot
    for label in re.findall(r"label=(\"(?:[^\"\\]|\\.)*\")", dot):
        assert "\n" not in label


def test_a_vector_for_each_category() -> None:
    c = Symbol("c")
    vector = Vector((Indexed(Symbol("alpha"), at=(c,)),), c)
    assert plain(vector) == "(α[c] for each c)"
    assert latex(vector).endswith("_{c}")
    assert latex(Indexed(Label("x_1"), at=(c,))) == r"\mathrm{x\_1}_{c}"
