"""Known covariances between groups: matched by labels, and checked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.covariance import KnownCovariance, are_same, as_covariances
from stanpool.language.formula import parse_formula

LABELS = ["ant", "bee", "cow", "dog", "elk"]
SPECIES = ["cow", "ant", "dog", "cow", "ant", "dog", "dog"]  # no bee, no elk
FORMULA = "y ~ 1 + (1 | gr(species, cov=A))"


def known(rank: int = 5) -> pd.DataFrame:
    """A covariance with negative entries, of this rank."""
    wide = np.random.default_rng(3).normal(size=(5, rank))
    return pd.DataFrame(wide @ wide.T, index=LABELS, columns=LABELS)


def data() -> pd.DataFrame:
    y = np.random.default_rng(4).normal(size=len(SPECIES))
    return pd.DataFrame({"y": y, "species": SPECIES})


def model(A: pd.DataFrame | None = None, frame: pd.DataFrame | None = None) -> sp.Model:
    A, frame = (known() if A is None else A), (data() if frame is None else frame)
    return sp.Model(FORMULA, frame, covariances={"A": A})


def between(found: sp.Model) -> pd.DataFrame:
    """Return the covariance of the groups that the program has, by their labels."""
    factor = found.design.factors[0]
    assert factor.root is not None
    labels = list(factor.labels)
    return pd.DataFrame(factor.root @ factor.root.T, index=labels, columns=labels)


@pytest.mark.parametrize("seed", range(5))
def test_neither_rows_nor_labels_nor_levels_count_by_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame, A = data(), known()
    A = A.iloc[rng.permutation(5)].iloc[:, rng.permutation(5)]
    order = [LABELS[at] for at in rng.permutation(5)]
    frame["species"] = pd.Categorical(frame["species"], categories=order)
    frame = frame.iloc[rng.permutation(len(frame))]
    found = model(A, frame)
    factor = found.design.factors[0]
    assert [factor.labels[g] for g in factor.index] == frame["species"].tolist()
    expected = known().loc[list(factor.labels), list(factor.labels)]
    np.testing.assert_allclose(between(found), expected, atol=1e-12)


def test_groups_without_rows_come_last_and_do_not_concern_the_others() -> None:
    factor = model().design.factors[0]
    assert factor.labels == ("ant", "cow", "dog", "bee", "elk")
    assert factor.root is not None
    assert factor.root.shape == (5, 5)
    assert not factor.root[:3, 3:].any()


def test_a_singular_covariance_has_as_many_columns_as_its_rank() -> None:
    found = model(known(rank=2))
    root = found.design.factors[0].root
    assert root is not None
    assert root.shape == (5, 2)
    expected = known(rank=2).loc[list(between(found)), list(between(found))]
    np.testing.assert_allclose(between(found), expected, atol=1e-12)


def test_twins_are_one_group_to_the_model() -> None:
    A = known()
    A.loc["dog"], A["dog"] = A.loc["ant"], A["ant"]
    A.loc["dog", "dog"] = A.loc["ant", "ant"]
    root = model(A).design.factors[0].root
    assert root is not None
    np.testing.assert_allclose(root[0], root[2], atol=1e-12)


def test_numbered_groups_are_found_by_their_numbers() -> None:
    frame = data().assign(species=[3, 1, 10, 3, 1, 10, 10])
    numbers = [10, 2, 1, 3, 7]
    A = known().set_axis(numbers, axis=0).set_axis(map(str, numbers), axis=1)
    assert model(A, frame).design.factors[0].labels == (1, 3, 10, 2, 7)


def changed(**entries: float) -> pd.DataFrame:
    """Return the covariance with other entries, such as ``ant_bee=1``."""
    A = known()
    for pair, value in entries.items():
        A.loc[*pair.split("_")] = value
    return A


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (known().to_numpy(), "needs labels"),
        (changed(ant_bee=np.nan), "no finite number for the row of 'ant' and the col"),
        (changed(ant_bee=9.0), "not symmetric: it has 9 in the row of 'ant' and the c"),
        (changed(cow_cow=-1.0), "has the variance -1 for 'cow'"),
        (changed(cow_dog=99.0, dog_cow=99.0), "between 'cow' and 'dog' it has 99, whi"),
        (known().drop(columns="elk"), "labels of rows that no column has.*'elk'"),
        (known().rename({"elk": "bee"}, axis=0), "has labels twice: 'bee'"),
        (known().astype(str).replace(r"^.*$", "x", regex=True), "are not numbers"),
        (known().drop(index="dog", columns="dog"), "lacks 1 of 3 groups.*: 'dog'"),
    ],
)
def test_what_is_no_covariance_of_the_groups_is_refused(
    given: pd.DataFrame, said: str
) -> None:
    with pytest.raises(sp.DataError, match=said):
        model(given)


def test_three_correlations_that_exclude_each_other_are_refused() -> None:
    A = pd.DataFrame(np.eye(5), index=LABELS, columns=LABELS)
    for one, other, value in (("ant", "cow", 0.9), ("cow", "dog", 0.9)):
        A.loc[one, other] = A.loc[other, one] = value
    A.loc["ant", "dog"] = A.loc["dog", "ant"] = -0.9
    with pytest.raises(sp.DataError, match=r"not positive semidefinite.*eigenvalue"):
        model(A)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "there is no covariance 'A'; pass covariances="),
        ({"covariances": known()}, "must be a mapping"),
        ({"covariances": {"A": known()}, "pooling": "none"}, "takes the groups' coef"),
        ({"covariances": {"A": known()}, "parameterization": "centered"}, "noncenter"),
        ({"covariances": {"A": known()}, "parameterization": "marginal"}, "not indep"),
    ],
)
def test_what_does_not_go_with_known_covariances_is_refused(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(sp.StanpoolError, match=said):
        sp.Model(FORMULA, data(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["(1 | gr(g))", "(1 | gr(g, h, cov=A))", "(1 | gr(g, by=h))"]
)
def test_gr_takes_a_column_and_a_covariance(text: str) -> None:
    with pytest.raises(sp.SpecError, match=r"gr\(species, cov=A\)"):
        parse_formula(f"y ~ {text}")


def test_the_same_column_may_have_a_free_effect_besides() -> None:
    found = sp.Model(f"{FORMULA} + (1 | species)", data(), covariances={"A": known()})
    assert [each.factor for each in found.design.factors] == ["species_A", "species"]
    assert "gr(species, cov=A)) + (1 | species)" in repr(found)


def test_the_default_prior_is_of_groups_and_not_of_the_covariances_unit() -> None:
    (one,), (other,) = (
        [row.prior.arguments[0] for row in model(A).priors if "tau" in row.parameter]
        for A in (known(), 100 * known())
    )
    assert other == pytest.approx(10 * one, rel=0.01)


def test_covariances_are_compared_by_labels() -> None:
    order = [*reversed(LABELS)]
    one, other = (
        as_covariances({"A": x}) for x in (known(), known().loc[order, order])
    )
    assert are_same(one, other)
    assert not are_same(one, as_covariances({"A": 2 * known()}))
    assert not are_same(one, as_covariances({"B": known()}))
    assert not KnownCovariance.of("A", known()).same_as(
        KnownCovariance.of("A", known().iloc[:4, :4])
    )
