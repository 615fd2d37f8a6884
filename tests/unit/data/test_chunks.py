"""Data in chunks: the same model, program, priors and statistics as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.errors import DataError, SpecError
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.statistics.reduce import merged, read

ROWS = 700


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("reduce", "growing"):
        monkeypatch.setattr(f"stanpool.data.statistics.{module}.BLOCK_ROWS", 150)


def table(seed: int = 1) -> pd.DataFrame:
    """Rows sorted so that groups and levels first appear late."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=ROWS),
            "w": rng.normal(size=ROWS) * 3000 + 50_000,
            "far": rng.integers(1990, 2021, ROWS),
            "kind": rng.choice(["late", "mid", "a"], ROWS, p=[0.2, 0.5, 0.3]),
            "k": rng.integers(1, 4, ROWS),
            "g": rng.choice([f"g{j}" for j in range(40)], ROWS),
            "h": rng.integers(0, 5, ROWS),
            "se": rng.uniform(0.5, 2, ROWS),
            "wt": rng.uniform(0.5, 2, ROWS),
            "off": rng.normal(size=ROWS) * 10,
            "two": rng.integers(0, 2, ROWS),
            "n": rng.integers(1, 9, ROWS),
        }
    )
    number = frame["g"].str[1:].astype(int)
    frame["u"] = np.sin(number)
    frame["r"] = number // 8
    frame["v"] = (number % 7).astype(float)
    frame["y"] = frame.x + frame.u + rng.normal(size=ROWS) + 3
    frame["s"] = rng.binomial(frame.n, 0.4)
    frame["c"] = rng.poisson(2.0, ROWS)
    return frame.sort_values(["kind", "k"], kind="stable", ignore_index=True)


def in_chunks(frame: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), size):
        yield frame.iloc[start : start + size]


def products(rows: Any, scale: np.ndarray, columns: list[np.ndarray]) -> np.ndarray:
    """Sums of products of columns, in each scale."""
    joined = np.column_stack(columns)
    return np.array(
        [joined[scale == k].T @ joined[scale == k] for k in np.unique(scale)]
    )


def statistics(model: sp.Model) -> dict[str, np.ndarray]:
    """What the likelihood sees of the rows, whatever they were turned into."""
    rows = model.rows
    if isinstance(rows, AggregatedRows):
        data = model.stan_data()
        names = sorted({"y", "trials", "offsets", "X", "Z", "group"} & data.keys())
        columns = np.column_stack([np.asarray(data[n], float) for n in names])
        return {"cells": columns[np.lexsort(columns.T)]}
    if isinstance(rows, MarginalRows):
        z, x = rows.rows.Z, rows.rows.X
        both = np.concatenate([z, x], axis=2)
        rest = np.pad(rows.rows.rest, ((0, 0), (z.shape[2], 0)))
        scale = rows.rows.scale_of_rest
        return {
            "groups": np.einsum("jra,jrb->jab", both, both),
            "rest": products(rows, scale, [rest]),
            "y_shift": np.array(rows.y_shift),
            # Nothing sees them where standard errors are known.
            "zeros": rows.zeros * (model.spec.se is None),
        }
    assert isinstance(rows, CompressedRows)
    both = np.column_stack([*rows.Z, rows.X, rows.y])
    own = both[:, : sum(z.shape[1] for z in rows.Z)]
    of_group = (own != 0).any(axis=1)
    key = np.column_stack([*rows.group, rows.scale])[of_group]
    _, index = np.unique(key, axis=0, return_inverse=True)
    summed = np.zeros((len(key), both.shape[1], both.shape[1]))
    np.add.at(summed, index, np.einsum("na,nb->nab", both, both)[of_group])
    return {
        "groups": summed,
        "rest": products(rows, rows.scale[~of_group], [both[~of_group]]),
        "y_shift": np.array(rows.y_shift),
        "zeros": rows.zeros,
    }


def assert_same(chunked: sp.Model, whole: sp.Model) -> None:
    assert repr(chunked) == repr(whole)
    assert chunked.program == whole.program
    assert chunked.priors.to_frame().equals(whole.priors.to_frame())
    assert chunked.design.coefficients == whole.design.coefficients
    assert chunked.design.rows == whole.design.rows
    assert dict(chunked.design.centers) == dict(whole.design.centers)
    np.testing.assert_allclose(chunked.design.x_bar, whole.design.x_bar, rtol=1e-12)
    assert len(chunked.design.factors) == len(whole.design.factors)
    for ours, theirs in zip(chunked.design.factors, whole.design.factors, strict=True):
        assert ours.labels == theirs.labels
        assert ours.varying == theirs.varying
        np.testing.assert_array_equal(ours.sizes, theirs.sizes)
        assert (ours.U is None) == (theirs.U is None)
        if ours.U is not None:
            np.testing.assert_array_equal(ours.U, theirs.U)
    found, wanted = statistics(chunked), statistics(whole)
    assert found.keys() == wanted.keys()
    bounds = {name: 1e-9 * (1 + np.abs(values)) for name, values in wanted.items()}
    if "groups" in wanted:
        # Relative to the lengths of the columns before they were turned.
        square = wanted["groups"].sum(axis=0) + wanted["rest"].sum(axis=0)
        length = np.sqrt(square.diagonal())
        bounds["groups"] = bounds["rest"] = 1e-11 * np.outer(length, length)
    for name, values in wanted.items():
        assert np.all(np.abs(found[name] - values) <= bounds[name]), name
    ours, theirs = chunked.stan_data(), whole.stan_data()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {
        "X",
        "y",
        "Z",
        "X_rest",
        "y_rest",
        "group",
        "Z_2",
        "group_2",
        "trials",
        "offsets",
        "count",
        "group_sigma",
    }:
        np.testing.assert_allclose(
            ours[name], theirs[name], rtol=1e-9, err_msg=name, atol=1e-9
        )


GAUSSIAN = [
    ("y ~ x + (1 | g)", {}),
    ("y ~ x + kind + (1 + x | g)", {}),
    ("y ~ x * kind + C(k) + (1 + x || g)", {}),
    ("y ~ kind:C(k) + (kind | g)", {}),
    ("y ~ 0 + kind + x + (0 + x | g)", {}),
    ("y ~ C(kind, contr.sum) + (1 | g)", {}),
    ("y ~ x + w + far + (1 + far | g)", {}),
    ("y ~ x + w + far + (1 + far || g) + (1 + far | h)", {}),
    ("y ~ far + (1 + far || g)", {"parameterization": "centered"}),
    ("y ~ x + u + x:u + v + (1 + x | g)", {}),
    ("np.log(se) ~ I(x > 0) + (1 | g)", {}),
    ("y | se(se) ~ x + (1 | g)", {}),
    ("y | weights(wt) ~ x + far + (1 + x | g)", {}),
    ("y ~ x + offset(off) + (1 | g)", {}),
    ("y ~ x + (1 | g)", {"residual": "g"}),
    ("y ~ x + (1 + x | g) + (1 | h)", {}),
    ("y ~ x + (1 | r/g)", {}),
    ("y ~ x + far + (1 | g)", {"center_predictors": False}),
    ("y ~ x + far + (1 | g)", {"pooling": "complete"}),
    ("y ~ x + far + (1 + far | g)", {"pooling": "none"}),
    ("y ~ x + u + (1 | g)", {"pooling": "none", "residual": "g"}),
    ("y ~ x + kind + (1 | g)", {"parameterization": "centered"}),
    ("y ~ x + kind + (1 + x | g)", {"parameterization": "noncentered"}),
    ("y ~ x + (1 + x | g) + (1 | h)", {"parameterization": "noncentered"}),
    ("y ~ x + (1 | r/g)", {"parameterization": "centered", "residual": "h"}),
]


@pytest.mark.parametrize(("formula", "options"), GAUSSIAN)
def test_gaussian_rows_are_summed_up_as_in_memory(
    formula: str, options: dict[str, Any]
) -> None:
    frame = table()
    whole = sp.Model(formula, frame, compress=True, **options)
    assert_same(sp.Model(formula, in_chunks(frame, 130), **options), whole)


CELLS = [
    ("two ~ k + kind + (1 | g)", {"family": "bernoulli"}),
    ("s | trials(n) ~ kind + two + (1 + two | h)", {"family": "binomial"}),
    ("c ~ two + offset(v) + (1 | g)", {"family": "poisson"}),
    ("c | exposure(n) ~ two + u + (1 | g)", {"family": "poisson"}),
    ("two ~ k + (1 | g)", {"family": "bernoulli", "pooling": "none"}),
    ("two ~ I(x > 0) + far + (1 | g)", {"family": "bernoulli", "link": "probit"}),
    ("two ~ far + (1 + far || h)", {"family": "bernoulli"}),
]


@pytest.mark.parametrize(("formula", "options"), CELLS)
def test_counts_are_collected_as_in_memory(
    formula: str, options: dict[str, Any]
) -> None:
    frame = table()
    whole = sp.Model(formula, frame, compress=True, **options)
    assert_same(sp.Model(formula, in_chunks(frame, 130), **options), whole)


@pytest.mark.parametrize("size", [1, 7, 149, 151, 10_000])
def test_the_size_of_chunks_does_not_matter(size: int) -> None:
    frame = table()
    formula = "y ~ x + kind + (1 + x | g)"
    assert_same(
        sp.Model(formula, in_chunks(frame, size)),
        sp.Model(formula, frame, parameterization="marginal"),
    )


def test_chunks_may_be_empty_and_of_other_types_and_orders() -> None:
    frame = table().assign(m=lambda data: data["k"] % 2 == 0)

    def chunks() -> Iterator[Any]:
        yield frame.iloc[:0]
        yield frame.iloc[:200]
        yield frame.iloc[200:300].astype({"k": float, "m": int, "h": float})
        yield frame.iloc[:0]
        yield frame.iloc[300:500][frame.columns[::-1]].astype({"kind": "category"})
        yield {name: frame[name].to_numpy()[500:] for name in frame.columns}

    formula = "y ~ k + m + kind + (1 | h)"
    assert_same(sp.Model(formula, chunks()), sp.Model(formula, frame, compress=True))


def test_levels_keep_the_order_that_the_data_give_them() -> None:
    levels = ["mid", "late", "a"]
    frame = table()
    frame["kind"] = pd.Categorical(frame["kind"], levels)
    frame["g"] = pd.Categorical(frame["g"], [f"g{j}" for j in range(41)][::-1])
    frame["h"] = frame["h"] * 2.5 + 8.0  # 8, 10.5, 13: by size, not as text
    for formula in ("y ~ kind + (1 | g)", "y ~ x + (kind | h)"):
        assert_same(
            sp.Model(formula, in_chunks(frame, 99)),
            sp.Model(formula, frame, compress=True),
        )


def test_badly_scaled_data_lose_no_accuracy() -> None:
    rng = np.random.default_rng(3)
    n = 4000
    frame = pd.DataFrame({"x": rng.normal(size=n), "g": rng.integers(0, 20, n)})
    frame["y"] = 0.5 * frame["x"] + rng.normal(size=n)
    # Sums and differences with these powers of two are exact.
    moved = frame.assign(x=frame["x"] + 2**12, y=frame["y"] + 2**20)
    moved = moved.sort_values("y", ignore_index=True)
    exact = moved.assign(x=moved["x"] - 2**12, y=moved["y"] - 2**20)
    formula = "y ~ x + (1 | g)"
    found = sp.Model(formula, in_chunks(moved, 130)).rows
    wanted = sp.Model(formula, exact).rows
    assert isinstance(found, MarginalRows)
    assert isinstance(wanted, MarginalRows)
    np.testing.assert_allclose(
        found.rows.rest.T @ found.rows.rest,
        wanted.rows.rest.T @ wanted.rows.rest,
        rtol=1e-12,
        atol=1e-9,
    )
    columns = np.concatenate([found.rows.Z, found.rows.X], axis=2)
    others = np.concatenate([wanted.rows.Z, wanted.rows.X], axis=2)
    np.testing.assert_allclose(
        np.einsum("jra,jrb->jab", columns, columns),
        np.einsum("jra,jrb->jab", others, others),
        rtol=1e-10,
        atol=1e-9,
    )
    assert found.y_shift == pytest.approx(moved["y"].mean(), rel=1e-15)


def bad(frame: pd.DataFrame, name: str, row: int, value: Any) -> pd.DataFrame:
    frame = frame.astype({name: float if value is None else object})
    frame.loc[row, name] = value
    return frame


@pytest.mark.parametrize(
    ("formula", "family", "change", "message"),
    [
        ("y ~ x + (1 | g)", "gaussian", ("x", 333, None), r"'x' has 1 missing.*333,"),
        ("y ~ x + (1 | h)", "gaussian", ("h", 611, None), r"'h' has 1 missing.*611,"),
        ("two ~ k", "bernoulli", ("two", 444, 3), r"row 444 has 3"),
        ("y ~ np.log(k) + (1 | g)", "gaussian", ("k", 555, 0), r"row 555 has -inf"),
        ("y | se(se) ~ 1 + (1 | g)", "gaussian", ("se", 431, -1), r"row 431 has -1"),
        ("y ~ x + (1 | g)", "gaussian", ("x", 333, "a"), r"'x'.*row 333 has 'a'"),
    ],
)
def test_what_is_wrong_in_a_late_chunk_is_named_with_its_row(
    formula: str, family: str, change: tuple[str, int, Any], message: str
) -> None:
    frame = bad(table(), *change)
    pieces = [piece.infer_objects() for piece in in_chunks(frame, 60)]
    options = {"pooling": "complete"} if "|" not in formula else {}
    with pytest.raises(DataError, match=message):
        sp.Model(formula, iter(pieces), family=family, **options)


def test_a_column_that_later_chunks_do_not_have_is_named() -> None:
    frame = table()
    pieces = [frame.iloc[:130], frame.iloc[130:].drop(columns="x")]
    with pytest.raises(DataError, match="chunk from row 130 on, the data have no col"):
        sp.Model("y ~ x + (1 | g)", iter(pieces))


def test_no_rows_at_all_are_refused() -> None:
    with pytest.raises(DataError, match="an iterator have no rows"):
        sp.Model("y ~ x + (1 | g)", iter([table().iloc[:0]]))


def test_an_iterator_that_fails_is_heard() -> None:
    def chunks() -> Iterator[pd.DataFrame]:
        yield table()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        sp.Model("y ~ x + (1 | g)", chunks())


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("y ~ scale(x) + (1 | g)", {}, r"scale\(x\).*depends in each row"),
        ("y ~ bs(x, df=4) + (1 | g)", {}, r"bs\(x, df=4\)"),
        ("y ~ I(x - x.mean()) + (1 | g)", {}, r"I\(x - x.mean\(\)\)"),
        ("two ~ center(k)", {"family": "bernoulli"}, r"center\(k\)"),
        ("I(y - y.max()) ~ x + (1 | g)", {}, r"y.max"),
        ("y ~ x + (1 | g)", {"family": "student_t"}, "is not gaussian around|student"),
        ("c ~ x + (1 | g)", {"family": "negative_binomial"}, "not sufficient"),
        ("y ~ x + (1 | g)", {"compress": False}, "compress=False asks"),
        ("y ~ x + (1 | mm(g, kind))", {}, "several groups"),
        ("y ~ x + (1 | gr(g, by=kind))", {}, "levels of 'kind' are taken"),
        ("y ~ x + (1 | g)", {"group_predictors": ["x"]}, "varies within groups"),
    ],
)
def test_what_cannot_be_read_in_chunks_says_so(
    formula: str, options: dict[str, Any], message: str
) -> None:
    options = options if "|" in formula else options | {"pooling": "complete"}
    with pytest.raises((SpecError, DataError), match=message):
        sp.Model(formula, in_chunks(table(), 130), **options)


def test_more_cells_than_serve_are_refused_and_the_column_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stanpool.data.statistics.reader._MOST_CELLS", 300)
    with pytest.raises(DataError, match=r"more than 300 after \d+ rows; 'x' has"):
        sp.Model("two ~ x + (1 | g)", in_chunks(table(), 130), family="bernoulli")


def test_rows_that_were_not_kept_are_asked_for() -> None:
    model = sp.Model("y ~ x + (1 | g)", in_chunks(table(), 130))
    assert "read in chunks from an iterator" in model.explain()
    for use in (
        lambda: model.take([0]),
        lambda: model.with_outcome(np.zeros(ROWS)),
        lambda: model.prior_predictive(5, seed=1),
        lambda: model.design.y + 1,
        lambda: np.mean(model.design.X),
        lambda: model.with_(terms=("w",)),
    ):
        with pytest.raises((DataError, SpecError), match=r"not kept|kept of"):
            use()


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "folder"])
def test_files_are_read_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("stanpool.base.table_files.CHUNK_ROWS", 111)
    frame, path = table(), tmp_path / f"data.{kind}"
    if kind == "folder":
        (path / "year=1").mkdir(parents=True)
        frame.iloc[:300].to_parquet(path / "a.parquet")
        frame.iloc[300:].to_parquet(path / "year=1" / "b.parquet")
    elif kind == "parquet":
        frame.to_parquet(path, row_group_size=200)
    else:
        frame.to_csv(path, index=False)
        frame = pd.read_csv(path)
    formula = "y ~ x + kind + (1 + x | g)"
    model = sp.Model(formula, path)
    assert_same(model, sp.Model(formula, frame, parameterization="marginal"))
    assert repr(str(path)) in model.explain()
    # Other terms are read anew, other poolings are not.
    assert model.with_(terms=("x",)).design.coefficients == ("x",)
    path.rename(tmp_path / "elsewhere")
    complete = model.with_(pooling="complete")
    assert_same(complete, sp.Model(formula, frame, pooling="complete", compress=True))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_folders_of_files_may_be_named_after_a_column(
    tmp_path: Path, kind: str
) -> None:
    frame, path = table(), tmp_path / "data"
    words = np.where(frame["r"] < 2, "a b", "c")
    for (r, word), part in frame.assign(word=words).groupby(["r", "word"]):
        folder = path / f"r={r}" / f"word={word.replace(' ', '%20')}"
        folder.mkdir(parents=True)
        part = part.drop(columns=["r", "word"])
        getattr(part, f"to_{kind}")(folder / f"part-0.{kind}", index=False)
        (folder / f".part-0.{kind}.crc").write_text("not a table")
    (path / "_metadata.parquet").write_text("nor this")
    model = sp.Model("y ~ x + (1 | r)", path)
    assert_same(model, sp.Model("y ~ x + (1 | r)", frame, parameterization="marginal"))
    by_word = sp.Model("y ~ x + (1 | word)", path)
    assert by_word.design.factors[0].labels == ("a b", "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sep": ":"}, r"no column 'g'. Columns: 'x:w:far.*read_csv.*with sep"),
        ({"na_rep": "?"}, r"'x' is text that reads.*row 333 has '\?'.*na_values"),
        ({"na_rep": ""}, r"'x' has 1 missing value.*333.*pass an iterator of data"),
    ],
)
def test_how_a_file_can_be_read_otherwise_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    message: str,
) -> None:
    monkeypatch.setattr("stanpool.base.table_files.CHUNK_ROWS", 150)
    path = tmp_path / "data.csv"
    bad(table(), "x", 333, None).to_csv(path, index=False, **change)
    with pytest.raises(DataError, match=message):
        sp.Model("y ~ x + (1 | g)", path)


def test_an_iterator_serves_once() -> None:
    chunks = in_chunks(table(), 130)
    sp.Model("y ~ x + (1 | g)", chunks)
    with pytest.raises(DataError, match="read only once"):
        sp.Model("y ~ x + (1 | g)", chunks)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "data.dat").write_text("y\n1\n")
    (tmp_path / "bad.parquet").write_text("y\n1\n")
    for name, message in (
        ("nothing.csv", "there is no file .* path of a CSV or Parquet file"),
        ("nothing", "no file of Parquet or CSV in"),
        ("data.dat", "CSV or Parquet"),
        ("bad.parquet", "cannot read"),
    ):
        with pytest.raises(DataError, match=message):
            sp.Model("y ~ 1", tmp_path / name, pooling="complete")


@pytest.mark.filterwarnings("ignore::stanpool.RankWarning")
@pytest.mark.parametrize("empty", [("late", 3), ("a", 1)])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_empty_cells_are_left_out_as_in_memory(
    empty: tuple[str, int], family: str
) -> None:
    frame = table().assign(k=lambda data: data["k"].map({1: "i", 2: "j", 3: "l"}))
    cell = (empty[0], {1: "i", 3: "l"}[empty[1]])
    frame = frame[(frame["kind"] != cell[0]) | (frame["k"] != cell[1])]
    outcome = "y" if family == "gaussian" else "two"
    formula = f"{outcome} ~ kind * k + (1 + kind:k | h)"
    model = sp.Model(formula, in_chunks(frame, 100), family=family)
    compress = {"compress": True} if family == "bernoulli" else {}
    other = sp.Model(
        formula,
        frame,
        family=family,
        parameterization=model.parameterization,
        **compress,
    )
    assert model.design.encodings.left_out == other.design.encodings.left_out
    assert_same(model, other)


@pytest.mark.parametrize(
    "terms",
    [
        "0 + flag + (0 + flag | h)",
        "flag * x + (flag | h)",
        "0 + flag:x + (1 | h)",
        "0 + I(x > 1.5) + (1 | h)",
    ],
)
def test_booleans_are_coded_as_in_memory(terms: str) -> None:
    frame = table().assign(flag=lambda data: data["kind"] == "late")
    model = sp.Model(f"y ~ {terms}", in_chunks(frame, 100))
    assert_same(model, sp.Model(f"y ~ {terms}", frame, parameterization="marginal"))


def tree(parts: list[Any]) -> Any:
    """Merge two at a time, the last ones first."""
    while len(parts) > 1:
        parts = [merged(parts[at : at + 2]) for at in range(0, len(parts), 2)][::-1]
    return parts[0]


@pytest.mark.parametrize(("formula", "options"), GAUSSIAN + CELLS)
def test_merged_statistics_of_parts_are_those_of_all_rows(
    formula: str, options: dict[str, Any]
) -> None:
    frame = table()
    whole = sp.Model(formula, frame, compress=True, **options)
    ends = [0, 130, 130, 131, 390, 500, ROWS]
    parts = [
        read(whole.spec, iter([frame.iloc[start:end]])) for start, end in pairwise(ends)
    ]
    assert_same(sp.Model(formula, tree(parts), **options), whole)
