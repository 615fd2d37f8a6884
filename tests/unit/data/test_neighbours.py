"""Neighbours: matched by labels, checked, and what covariance they make."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.covariance.known import are_same, as_covariances
from stanpool.data.design.covariance.neighbours import Neighbours
from stanpool.language.formulas.formula import parse_formula

# A square, a pair, and two islands.
LABELS = ["a", "b", "c", "d", "p", "q", "x", "y"]
PAIRS = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("p", "q")]
FORMULA = "y ~ 1 + icar(region, W)"


def adjacency() -> pd.DataFrame:
    W = pd.DataFrame(0.0, index=LABELS, columns=LABELS)
    for one, other in PAIRS:
        W.loc[one, other] = W.loc[other, one] = 1.0
    return W


def edges() -> pd.DataFrame:
    return pd.DataFrame(PAIRS, columns=["one", "other"])


def data() -> pd.DataFrame:
    region = ["b", "a", "d", "b", "p", "x", "a", "q"]  # none of c and y
    y = np.random.default_rng(4).normal(size=len(region))
    return pd.DataFrame({"y": y, "region": region})


def model(W: pd.DataFrame, frame: pd.DataFrame | None = None) -> sp.Model:
    return sp.Model(FORMULA, data() if frame is None else frame, covariances={"W": W})


def between(found: sp.Model) -> pd.DataFrame:
    """Return the covariance of the regions that the program has, by their labels."""
    factor = found.design.factors[0]
    assert factor.root is not None
    root = factor.root.times(np.eye(factor.root.columns))
    return pd.DataFrame(root @ root.T, index=factor.labels, columns=factor.labels)


def test_pairs_need_no_names_of_columns() -> None:
    """As of ``pd.DataFrame(pairs)``, whose columns are 0 and 1 as its rows are."""
    for pairs in (PAIRS, PAIRS[:2]):
        named, plain = (pd.DataFrame(pairs, columns=x) for x in (["a", "b"], [0, 1]))
        assert are_same(as_covariances({"W": named}), as_covariances({"W": plain}))


def test_the_covariance_is_the_scaled_inverse_of_the_precision() -> None:
    A = between(model(adjacency())).loc[LABELS, LABELS].to_numpy()
    precision = np.diag(adjacency().sum(axis=1)) - adjacency().to_numpy()
    square, pair = slice(0, 4), slice(4, 6)
    for own in (square, pair):
        inverse = np.linalg.pinv(precision[own, own])
        expected = inverse / np.exp(np.log(np.diag(inverse)).mean())
        np.testing.assert_allclose(A[own, own], expected, atol=1e-12)
        # Deviations have the sum 0: it has no variance.
        assert A[own, own].sum() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(A[6:, 6:], np.eye(2), atol=1e-12)
    assert not A[:4, 4:].any()


def test_there_is_one_column_less_for_each_component() -> None:
    root = model(adjacency()).design.factors[0].root
    assert root is not None
    assert root.columns == 3 + 1 + 2


@pytest.mark.parametrize("seed", range(3))
def test_neither_rows_nor_labels_nor_pairs_count_by_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = data().iloc[rng.permutation(len(data()))]
    levels = [LABELS[at] for at in rng.permutation(8) if LABELS[at] not in "cy"]
    frame["region"] = pd.Categorical(frame["region"], categories=levels)
    W = adjacency().iloc[rng.permutation(8)].iloc[:, rng.permutation(8)]
    found, expected = model(W, frame), between(model(adjacency()))
    factor = found.design.factors[0]
    assert [factor.labels[at] for at in factor.index] == frame["region"].tolist()
    order = list(expected)
    np.testing.assert_allclose(between(found).loc[order, order], expected, atol=1e-12)


def test_an_edge_list_says_what_a_matrix_says() -> None:
    connected = adjacency().loc["a":"q", "a":"q"]
    both_ways = pd.concat(
        [edges(), edges()[["other", "one"]].set_axis(["one", "other"], axis=1)]
    )
    one, *others = (as_covariances({"W": W}) for W in (connected, edges(), both_ways))
    for other in others:
        assert are_same(one, other)
    assert not are_same(one, as_covariances({"W": edges()[:-1]}))


def test_numbered_regions_are_found_by_their_numbers() -> None:
    frame = data().iloc[:4].assign(region=[2, 1, 10, 2])
    W = pd.DataFrame({"from": [1.0, 2.0, 10.0], "to": [2, 10, 3]})
    assert model(W, frame).design.factors[0].labels == (1, 2, 10, 3)


def test_weights_are_precisions_of_differences() -> None:
    W = adjacency().loc["a":"d", "a":"d"]
    W.loc["a", "b"] = W.loc["b", "a"] = 4.0
    ((_, known),) = as_covariances({"W": W})
    assert known.labels == ("a", "b", "c", "d")
    A = known.intrinsic_covariance()
    of_ab, of_cd = (A[i, i] + A[j, j] - 2 * A[i, j] for i, j in ((0, 1), (2, 3)))
    # A cycle is two ways from one to the other, with variances of 1/4 and 3, or of 1
    # and 2.25: precisions in parallel are added up.
    assert of_ab / of_cd == pytest.approx((1 + 1 / 2.25) / (4 + 1 / 3), rel=1e-10)


def _with(one: str, other: str, value: float) -> pd.DataFrame:
    W = adjacency()
    W.loc[one, other] = value
    return W


@pytest.mark.parametrize(
    ("W", "said"),
    [
        (_with("a", "c", 1.0), "not symmetric: it has 1 in the row of 'a' and the col"),
        (_with("b", "b", 1.0), "the adjacency 'W' has 'b' as its own neighbour"),
        (_with("a", "b", -1.0), "has -1 for 'a' and 'b'"),
        (_with("a", "b", np.nan), "has nan for 'a' and 'b'"),
        (edges().replace("q", "p"), "the edge list 'W' has 'p' as its own neighbour"),
        (edges().replace("q", None), "no label in its row 4, counted from 0"),
        (edges(), "the table of neighbours of 'region' lacks 1 of 6 groups.*'x'"),
    ],
)
def test_what_are_no_neighbours_of_the_regions_is_refused(
    W: pd.DataFrame, said: str
) -> None:
    with pytest.raises(sp.DataError, match=said):
        model(W)


def test_neighbours_and_covariances_are_told_apart() -> None:
    A = pd.DataFrame(np.eye(8), index=LABELS, columns=LABELS)
    covariance = "y ~ 1 + (1 | gr(region, cov=W))"
    with pytest.raises(sp.SpecError, match=r"write \(1 \| gr\(region, cov=W\)\)"):
        model(A)
    with pytest.raises(sp.SpecError, match=r"Write icar\(region, W\)"):
        sp.Model(covariance, data(), covariances={"W": adjacency()})
    with pytest.raises(sp.SpecError, match=r"has icar\(region, W\), and there is no"):
        sp.Model(FORMULA, data())


@pytest.mark.parametrize("text", ["icar(region)", "icar(a, b, W)", "icar(a, W + 1)"])
def test_icar_takes_a_column_and_neighbours(text: str) -> None:
    with pytest.raises(sp.SpecError, match=re.escape("as in icar(region, W)")):
        parse_formula(f"y ~ {text}")


def test_icar_is_written_as_it_is_read() -> None:
    found = model(adjacency())
    assert "y ~ 1 + icar(region, W)" in repr(found)
    assert [each.factor for each in found.design.factors] == ["icar_region"]
    both = sp.Model(f"{FORMULA} + (1 | region)", data(), covariances={"W": adjacency()})
    assert [each.factor for each in both.design.factors] == ["icar_region", "region"]
    said = str(found.explain())
    assert "8 regions of 'icar_region' with 5 pairs of neighbours in 2 con" in said
    assert "'x', 'y' have no neighbours" in said
    assert "intrinsic CAR on the neighbours W" in str(found.equations())


def test_regions_without_rows_are_predicted_and_kept(tmp_path: Path) -> None:
    fit = model(adjacency()).fit(
        seed=1, chains=2, draws=200, warmup=200, progress=False
    )
    fit.save(tmp_path / "fit")
    again = sp.load(tmp_path / "fit")
    new = pd.DataFrame({"region": ["c", "y", "a"]})
    found = again.epred(new)
    np.testing.assert_array_equal(found, fit.epred(new))
    assert np.isfinite(found).all()
    with pytest.raises(sp.DataError, match="the neighbours 'W' between groups of"):
        again.epred(pd.DataFrame({"region": ["z"]}), new_groups="population")
    ((_, kept),) = again.model.spec.covariances
    assert isinstance(kept, Neighbours)
