"""Known covariances between groups: matched by labels, and checked."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.covariance.known import (
    KnownCovariance,
    are_same,
    as_covariances,
)
from stanpool.language.formulas.formula import parse_formula

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
    root, labels = matrix_of(found), list(factor.labels)
    return pd.DataFrame(root @ root.T, index=labels, columns=labels)


def matrix_of(found: sp.Model) -> np.ndarray:
    """Return the root of the covariance between groups."""
    root = found.design.factors[0].root
    assert root is not None
    return root.times(np.eye(root.columns))


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
    assert model().design.factors[0].labels == ("ant", "cow", "dog", "bee", "elk")
    root = matrix_of(model())
    assert root.shape == (5, 5)
    assert not root[:3, 3:].any()


def test_a_singular_covariance_has_as_many_columns_as_its_rank() -> None:
    found = model(known(rank=2))
    assert matrix_of(found).shape == (5, 2)
    expected = known(rank=2).loc[list(between(found)), list(between(found))]
    np.testing.assert_allclose(between(found), expected, atol=1e-12)


def test_twins_are_one_group_to_the_model() -> None:
    A = known()
    A.loc["dog"], A["dog"] = A.loc["ant"], A["ant"]
    A.loc["dog", "dog"] = A.loc["ant", "ant"]
    root = matrix_of(model(A))
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
    ],
)
def test_what_does_not_go_with_known_covariances_is_refused(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(sp.StanpoolError, match=said):
        sp.Model(FORMULA, data(), **options)  # type: ignore[arg-type]


def test_several_coefficients_with_known_covariance_are_not_integrated_out() -> None:
    formula = "y ~ x + (1 + x | gr(species, cov=A))"
    frame = data().assign(x=range(len(SPECIES)))
    options = {"covariances": {"A": known()}, "parameterization": "marginal"}
    with pytest.raises(sp.SpecError, match=r"the only factor, have one coefficient"):
        sp.Model(formula, frame, **options)


@pytest.mark.parametrize(
    "text", ["(1 | gr(g))", "(1 | gr(g, h, cov=A))", "(1 | gr(g, near=h))"]
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


# Henderson's example, in Mrode (2014), Linear Models for the Prediction of Animal
# Breeding Values, table 2.1 and the numerator relationship matrix after it.
PEDIGREE = pd.DataFrame(
    {
        "id": [6, 3, 5, 4],
        "sire": [5, 1, 4, 1],
        "dam": [2, 2, 3, np.nan],
    }
)
RELATIONSHIPS = [
    [1.0, 0.0, 0.5, 0.5, 0.5, 0.25],
    [0.0, 1.0, 0.5, 0.0, 0.25, 0.625],
    [0.5, 0.5, 1.0, 0.25, 0.625, 0.5625],
    [0.5, 0.0, 0.25, 1.0, 0.625, 0.3125],
    [0.5, 0.25, 0.625, 0.625, 1.125, 0.6875],
    [0.25, 0.625, 0.5625, 0.3125, 0.6875, 1.125],
]


def related(given: object, labels: list[object]) -> sp.Model:
    frame = pd.DataFrame({"y": np.arange(6.0), "species": labels})
    return sp.Model(FORMULA, frame, covariances={"A": given})


def test_a_pedigree_has_the_published_relationships() -> None:
    found = related(PEDIGREE, [5, 6, 3, 5, 6, 3])
    own = between(found).loc[range(1, 7), range(1, 7)]
    np.testing.assert_allclose(own, RELATIONSHIPS, atol=1e-12)
    factor = found.design.factors[0]
    assert factor.root is not None
    np.testing.assert_allclose(
        factor.root.variances, np.diag(between(found)), atol=1e-12
    )
    assert [factor.labels[g] for g in factor.index] == [5, 6, 3, 5, 6, 3]


def test_inbreeding_goes_on_over_generations() -> None:
    """Of full sibs, mated again and again: F is 0, 0, 1/4, 3/8, 1/2, 19/32."""
    rows = [("a0", "", ""), ("b0", "", "")]
    for n in range(1, 6):
        rows += [(f"{x}{n}", f"a{n - 1}", f"b{n - 1}") for x in "ab"]
    pedigree = pd.DataFrame(rows, columns=["id", "sire", "dam"])
    found = related(pedigree, ["a5", "b5"] * 3)
    own = np.diag(
        between(found)
        .loc[[f"a{n}" for n in range(6)]]
        .T.loc[[f"a{n}" for n in range(6)]]
    )
    np.testing.assert_allclose(own - 1, [0, 0, 1 / 4, 3 / 8, 1 / 2, 19 / 32])


def test_a_tree_has_the_shared_length_of_lineages() -> None:
    tree = "((cow:1,'d og':2)mammals:3,(ant:0.5,(bee:1,fly:2e-1):1):0);"
    found = related(tree, ["cow", "ant", "d og", "bee", "ant", "cow"])
    labels = ["cow", "d og", "mammals", "ant", "bee", "fly"]
    expected = [
        [4, 3, 3, 0, 0, 0],
        [3, 5, 3, 0, 0, 0],
        [3, 3, 3, 0, 0, 0],
        [0, 0, 0, 0.5, 0, 0],
        [0, 0, 0, 0, 2, 1],
        [0, 0, 0, 0, 1, 1.2],
    ]
    own = between(found).loc[labels, labels]
    np.testing.assert_allclose(own, expected, atol=1e-12)
    assert "ancestor of ant and fly" in between(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("((a:1,b:1):1,c:2)", "not in Newick's format.*';' is missing"),
        ("((a:1,b:1:1,c:2);", "':' cannot follow '((a:1,b:1'"),
        ("((a:1,b:1):1,c:2));", "')' cannot follow '((a:1,b:1):1,c:2)'"),
        ("((a:1,b:1):1,c:2;", "';' cannot follow '((a:1,b:1):1,c:2'"),
        ("((a:1,):1,c:2);", "')' cannot follow '((a:1,'"),
        ("((a:1,b:1):1,c:2);(d:1,e:1);", "'(' cannot follow '((a:1,b:1):1,c:2);'"),
        ("((a:1,'b:1):1,c:2);", "\"'\" cannot follow '((a:1,'"),
        ("tree.nwk", "begins with 'tree.nwk' and not with '('"),
        ("a:1;", "begins with 'a' and not with '('"),
        ("((a:1,b:1):1,c:-2);", "the length '-2' of the branch to 'c'"),
        ("((a:1,b:1):1,c:x);", "the length 'x' of the branch to 'c'"),
        ("((a:1,b):1,c:2);", "no length of the branch to 'b'"),
        ("((a:1,b:1),c:2);", "no length of the branch to 'ancestor of a and b'"),
        ("((a:1,a:1):1,c:2);", "has 'a' twice"),
        (pd.concat([PEDIGREE, PEDIGREE[:1]]), "more than one row for '6'"),
        (PEDIGREE.assign(sire=[5, 6, 4, 1]), "own ancestors: .*'6', '3', '5'"),
        (PEDIGREE.assign(sire=[5, 1, 4, 4]), "own ancestors: .*'4', '4'"),
        (PEDIGREE.assign(sire=[5, 1, 2, 1]), "has '2' both as sires and as dams"),
        (PEDIGREE.assign(id=[6, 0, 5, 4]), "no label for the animal of its row 1"),
        (PEDIGREE, "lacks 1 of 1 groups of the data: 'ant'"),
    ],
)
def test_what_is_no_ancestry_is_refused(given: object, said: str) -> None:
    labels: list[object] = ["ant"] * 6 if "lacks" in said else ["a", "b", "c"] * 2
    with pytest.raises(sp.DataError, match=re.escape(said).replace(r"\.\*", ".*")):
        related(given, labels)


def test_names_of_ancestors_that_are_no_names_are_not_used() -> None:
    """Support of clades, comments, and the length of what is above the root."""
    tree = (
        "[&R] (((a:1,b:1)95:1,(c:1,d[&x=1]:1)95:1)same:1,((e:1,f:1)same:1,g:2)h:1)r:9;"
    )
    found = related(tree, ["a", "b", "c", "d", "e", "f"])
    assert found.design.factors[0].labels == (
        "ancestor of a and d",
        "ancestor of a and b",
        "a",
        "b",
        "ancestor of c and d",
        "c",
        "d",
        "h",
        "ancestor of e and f",
        "e",
        "f",
        "g",
    )
    assert between(found).loc["a", ["a", "b", "c", "e"]].tolist() == [3, 2, 1, 0]


def test_plants_may_be_both_parents_and_their_own_mates() -> None:
    """Selfed again and again F is 0, 1/2, 3/4, 7/8."""
    pedigree = pd.DataFrame(
        [("d", "c", "c"), ("b", "a", "a"), ("c", "b", "b"), ("a", "", np.nan)],
        columns=["id", "parent_1", "parent_2"],
    )
    found = related(pedigree, list("abcdab"))
    own = np.diag(between(found).loc[list("abcd"), list("abcd")])
    np.testing.assert_allclose(own - 1, [0, 1 / 2, 3 / 4, 7 / 8])


@pytest.mark.parametrize("seed", range(3))
def test_neither_pedigrees_nor_trees_count_by_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"y": np.arange(6.0), "species": [5, 6, 3, 5, 6, 3]})
    shuffled = frame.iloc[rng.permutation(6)]
    pedigree = PEDIGREE.sample(frac=1, random_state=seed)
    known = {"A": pedigree[rng.permutation(pedigree.columns)]}
    found = sp.Model(FORMULA, shuffled, covariances=known)
    own = between(found).loc[range(1, 7), range(1, 7)]
    np.testing.assert_allclose(own, RELATIONSHIPS, atol=1e-12)
    factor = found.design.factors[0]
    assert [factor.labels[g] for g in factor.index] == shuffled["species"].tolist()
    assert are_same(as_covariances(known), as_covariances({"A": PEDIGREE}))
    one, other = "(a:1,(b:1,c:2):3);", "((c:2,b:1):3,a:1);"
    pair = (
        between(related(tree, list("abcabc"))).loc[list("abc"), list("abc")]
        for tree in (one, other)
    )
    pd.testing.assert_frame_equal(*pair)


def test_inverses_are_those_of_henderson() -> None:
    """The inverse by his rules, which know only parents and their inbreeding."""
    rng = np.random.default_rng(5)
    parents = np.array([[rng.integers(-1, j), rng.integers(-1, j)] for j in range(40)])
    pedigree = pd.DataFrame(parents + 1, columns=["parent_1", "parent_2"])
    pedigree.insert(0, "id", np.arange(1, 41))
    A = between(related(pedigree, [40, 39, 38, 37, 36, 35]))
    A = A.loc[range(1, 41), range(1, 41)].to_numpy()
    inverse = np.zeros((41, 41))
    for j, (one, other) in enumerate(parents.tolist()):
        F = [A[p, p] - 1 if p >= 0 else -1 for p in (one, other)]
        weight = 1 / (0.5 - 0.25 * (F[0] + F[1]))
        row = np.zeros(41)
        row[j] = 1
        row[one] -= 0.5
        row[other] -= 0.5
        inverse += weight * np.outer(row, row)
    np.testing.assert_allclose(inverse[:-1, :-1] @ A, np.eye(40), atol=1e-9)


@pytest.mark.parametrize("given", [known(), PEDIGREE])
def test_independent_deviations_are_found_again(given: pd.DataFrame) -> None:
    """Without errors they are those that made the deviations."""
    labels = [6, 5] * 3 if "sire" in given else ["ant", "bee"] * 3
    root = related(given, [*labels]).design.factors[0].root
    assert root is not None
    v = np.random.default_rng(1).normal(size=root.columns)
    u = root.times(v[:, None])[:, 0]
    np.testing.assert_allclose(root.smoothed(u, np.full(u.shape, 1e-12)), v, atol=1e-4)
