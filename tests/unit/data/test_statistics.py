"""Statistics in the place of data: as from memory, wherever the rows are."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.errors import DataError, SpecError, StorageError
from stanpool.data.statistics.reader import _first_of_new
from stanpool.data.tables.lazy import failure

ROWS = 600
GAUSSIAN = "y ~ x + C(k) + (1 + x | g)"
CELLS = "two ~ C(k) + (1 | g)"


def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "g": np.sort(rng.choice([f"g{j}" for j in range(12)], ROWS)),
            "x": rng.normal(size=ROWS),
            "k": rng.integers(0, 3, ROWS),
        }
    )
    frame["y"] = frame["x"] + frame["g"].str[1:].astype(int) + rng.normal(size=ROWS)
    return frame.assign(two=(frame["y"] > 5).astype(int), unused="text")


def sums(model: sp.Model) -> list[np.ndarray]:
    """All that the likelihood sees, in an order of its own."""
    data = model.stan_data()
    if model.spec.is_gaussian:
        rows = model.rows.rows
        both = np.concatenate([rows.Z, rows.X], axis=2)
        return [np.einsum("jra,jrb->jab", both, both), rows.rest.T @ rows.rest]
    cells = np.column_stack([data[name] for name in ("y", "trials", "group", "X")])
    return [cells[np.lexsort(cells.T)]]


def assert_same(model: sp.Model, whole: sp.Model) -> None:
    assert repr(model) == repr(whole)
    assert model.program == whole.program
    assert model.priors.to_frame().equals(whole.priors.to_frame())
    assert model.design.group_labels == whole.design.group_labels
    for ours, theirs in zip(sums(model), sums(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


class OnlyArrow:
    """A table that has nothing but Arrow's interface of C."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


def opened(kind: str, path: Path) -> Any:
    """Open a file of Parquet, or say that a library is not there."""
    if kind == "polars":
        return pytest.importorskip("polars").scan_parquet(path)
    if kind == "duckdb":
        found = pytest.importorskip("duckdb").connect()
        return found.sql(f"SELECT * FROM '{path}'")
    if kind == "dask":
        return pytest.importorskip("dask.dataframe").read_parquet(path)
    dataset = pytest.importorskip("pyarrow.dataset").dataset(path)
    if kind == "stream":
        return OnlyArrow(dataset.to_table())
    if kind == "reader":
        return dataset.to_table().to_reader(170)
    return path.as_uri() if kind == "address" else dataset


KINDS = ["dataset", "reader", "stream", "address", "polars", "duckdb", "dask"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_is_not_in_memory_is_read_as_one_that_is(
    tmp_path: Path, kind: str
) -> None:
    frame, path = table(), tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=250)
    assert_same(
        sp.Model(GAUSSIAN, opened(kind, path)),
        sp.Model(GAUSSIAN, frame, parameterization="marginal"),
    )
    assert_same(
        sp.Model(CELLS, opened(kind, path), family="bernoulli"),
        sp.Model(CELLS, frame, family="bernoulli", compress=True),
    )
    with pytest.raises(DataError, match=r"no column 'z'. Columns: 'g', 'x'"):
        sp.Model("y ~ z", opened(kind, path))
    with pytest.raises(SpecError, match=r"not in memory.*student_t"):
        sp.Model("y ~ x", opened(kind, path), family="student_t")


@pytest.mark.parametrize("kind", ["dataset", "polars", "duckdb", "dask"])
def test_a_table_without_rows_is_refused(tmp_path: Path, kind: str) -> None:
    table().iloc[:0].to_parquet(tmp_path / "rows.parquet")
    for formula, family in ((GAUSSIAN, "gaussian"), (CELLS, "bernoulli")):
        with pytest.raises(DataError, match="have no rows"):
            sp.Model(formula, opened(kind, tmp_path / "rows.parquet"), family=family)


@pytest.mark.parametrize("kind", ["polars", "duckdb", "dataset"])
def test_missing_values_are_refused_where_rows_are_counted(
    tmp_path: Path, kind: str
) -> None:
    frame, path = table(), tmp_path / "rows.parquet"
    frame.loc[5, "x"] = np.nan
    frame.to_parquet(path)
    with pytest.raises(DataError, match=r"column 'x' has 1 missing value"):
        sp.Model("two ~ x", opened(kind, path), family="bernoulli")


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "polars"])
def test_a_table_in_memory_keeps_its_rows(library: str) -> None:
    frame = table()
    data: Any = frame
    if library != "pandas":
        made = pytest.importorskip(library)
        data = (
            made.Table.from_pandas(frame)
            if library == "pyarrow"
            else made.DataFrame(frame)
        )
    assert len(sp.Model("y ~ x", data).design.y) == ROWS


def test_a_stream_serves_once(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "rows.parquet")
    stream = opened("reader", tmp_path / "rows.parquet")
    sp.Model(GAUSSIAN, stream)
    with pytest.raises(DataError, match=r"no rows.*read only once"):
        sp.Model(GAUSSIAN, stream)


def test_a_relation_whose_connection_is_closed_says_so() -> None:
    connection = pytest.importorskip("duckdb").connect()
    relation = connection.sql("SELECT 1.0 AS y, 'a' AS g")
    connection.close()
    with pytest.raises(DataError, match=r"closed.*Open the connection again"):
        sp.Model("y ~ 1 + (1 | g)", relation)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///nowhere/rows.parquet", "cannot read 'file:///nowhere/rows.parquet'"),
        (Path("file:/nowhere/rows.csv"), "nowhere/rows.csv"),
        (
            "nothing://bucket/rows.parquet",
            r"no addresses of 'nothing'|known: nothing\. Addresses begin with file://",
        ),
    ],
)
def test_an_address_of_nothing_is_named(address: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sp.Model("y ~ x", address)


@pytest.mark.parametrize(
    ("problem", "advice"),
    [
        (OSError("AWS Error ACCESS_DENIED during HeadObject"), "set the credentials"),
        (PermissionError("403, message='Forbidden'"), "set the credentials"),
        (FileNotFoundError("https://host/rows.csv"), "nothing at this address"),
        (ValueError("?"), "without stanpool"),
        (OSError("AWS Error NETWORK_CONNECTION during HeadObject"), "does not answer"),
        (OSError("Unable to load libjvm: no such file"), "JAVA_HOME"),
        (ImportError("Install s3fs to access S3"), "Install the package"),
        (OSError("could not authenticate the request"), "set the credentials"),
        (FileNotFoundError("s3://bucket/rows403"), "nothing at this address"),
    ],
)
def test_what_a_library_refuses_is_said_in_its_words_with_what_to_do(
    problem: Exception, advice: str
) -> None:
    found = str(failure("'s3://bucket/rows403'", problem))
    said = f"cannot read 's3://bucket/rows403': {type(problem).__name__}"
    assert found.startswith(said)
    assert str(problem) in found
    assert advice in found


def test_what_a_server_answers_decides_the_advice() -> None:
    pytest.importorskip("aiohttp")

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(int(self.path.split("/")[1]))

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        at = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        for code, said in (
            (401, "set the credentials"),
            (403, "set the credentials"),
            (404, "nothing at this address"),
            (500, "does not answer"),
        ):
            with pytest.raises(DataError, match=said):
                sp.Model("y ~ x", f"{at}/{code}/rows.parquet")
        server.shutdown()
    with pytest.raises(DataError, match="does not answer"):
        sp.Model("y ~ x", f"{at}/403/rows.csv")


def test_csv_at_an_address_is_read_in_chunks(tmp_path: Path) -> None:
    table().to_csv(tmp_path / "rows.csv", index=False)
    found = sp.reduce(GAUSSIAN, (tmp_path / "rows.csv").as_uri())
    frame = pd.read_csv(tmp_path / "rows.csv")
    whole = sp.Model(GAUSSIAN, frame, parameterization="marginal")
    assert_same(sp.Model(GAUSSIAN, found), whole)


@pytest.mark.parametrize("with_executor", [True, False])
def test_parts_are_reduced_where_they_are_and_merged(
    tmp_path: Path, with_executor: bool
) -> None:
    frame, path = table(), tmp_path / "year=1" / "rows.parquet"
    path.parent.mkdir()
    frame.to_parquet(path, row_group_size=29)
    whole = sp.Model(GAUSSIAN, frame, parameterization="marginal")
    parts = [frame[:100], frame[:0], lambda: iter([frame[100:350]]), frame[350:]]
    with ThreadPoolExecutor(2) as threads:
        executor = threads if with_executor else None
        for data in (path, tmp_path, parts):
            found = sp.reduce(GAUSSIAN, data, executor=executor)
            assert_same(sp.Model(GAUSSIAN, found), whole)


def test_a_partition_that_fails_and_is_tried_again_counts_once(tmp_path: Path) -> None:
    frame, tries = table(), []

    def partition() -> Iterator[pd.DataFrame]:
        yield frame[:200]
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("lost")
        yield frame[200:400]

    with pytest.raises(RuntimeError, match="lost"):
        sp.reduce(GAUSSIAN, partition)
    parts = sp.reduce(GAUSSIAN, partition), sp.reduce(GAUSSIAN, frame[400:])
    whole = sp.Model(GAUSSIAN, frame, parameterization="marginal")
    assert_same(sp.Model(GAUSSIAN, sp.merge(*parts)), whole)


@pytest.mark.parametrize("how", ["file", "pickle"])
def test_statistics_are_kept_and_added_to(tmp_path: Path, how: str) -> None:
    frame = table().assign(h=lambda data: pd.Categorical(data["k"] % 2, [1, 0]))
    formula, options = "y ~ f(x) + h + (1 | g)", {"functions": {"f": np.abs}}
    today = sp.reduce(formula, frame[:300], residual="g", **options)
    if how == "file":
        today.save(tmp_path / "today.stats")
        again = sp.load_statistics(tmp_path / "today.stats", **options)
    else:
        again = pickle.loads(pickle.dumps(today))
    assert again.same_as(today)
    assert repr(again) == repr(today)
    both = sp.merge(again, sp.reduce(formula, frame[300:], residual="g", **options))
    model = sp.Model(formula, both, residual="g", **options)
    whole = sp.Model(
        formula, frame, residual="g", parameterization="marginal", **options
    )
    assert_same(model, whole)


def test_files_that_hold_no_statistics_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.stats"
    with pytest.raises(StorageError, match=r"cannot read .*a\.stats"):
        sp.load_statistics(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="holds no statistics"):
        sp.load_statistics(path)
    sp.reduce("y ~ x", table()).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match="or is damaged"):
        sp.load_statistics(path)
    sp.reduce("y ~ f(x)", table(), functions={"f": np.abs}).save(path)
    with pytest.raises(DataError, match=r"calls 'f'.*functions="):
        sp.load_statistics(path)


def merge_texts_and_numbers() -> None:
    frame = table()
    sp.merge(sp.reduce("y ~ k", frame), sp.reduce("y ~ k", frame.astype({"k": str})))


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: sp.merge(), "no statistics; pass two"),
    (lambda: sp.merge(sp.reduce("y ~ x", table()), table()), "takes statistics"),
    (
        lambda: sp.merge(sp.reduce("y ~ x", table()), sp.reduce("y ~ k", table())),
        "'y ~ 1 [+] x' .* and of 'y ~ 1 [+] k' .* do not add up",
    ),
    (merge_texts_and_numbers, "'k' holds text in 600 rows .* and numbers in those"),
    (lambda: sp.reduce("y ~ x", table(), family="gamma"), "must be compressed"),
    (
        lambda: sp.Model("y ~ x + k", sp.reduce("y ~ x", table())),
        "are of 'y ~ 1 [+] x' .*; this model is 'y ~ 1 [+] x [+] k'",
    ),
    (lambda: sp.Model("y ~ x", sp.reduce("y ~ x", table()[:0])), "have no rows"),
]


@pytest.mark.parametrize(("use", "message"), WRONG)
def test_what_does_not_fit_together_is_named(
    use: Callable[[], Any], message: str
) -> None:
    with pytest.raises((SpecError, DataError), match=message):
        use()


@pytest.mark.parametrize("known", [0, 3, 9])
def test_the_first_rows_of_new_numbers_are_those_that_numpy_finds(known: int) -> None:
    numbers = np.random.default_rng(1).integers(0, 9, 50)
    new = np.flatnonzero(numbers >= known)
    expected = new[np.unique(numbers[new], return_index=True)[1]]
    np.testing.assert_array_equal(_first_of_new(numbers, known), expected)


def test_text_of_parquet_is_read_by_its_dictionaries(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame, path = table(), tmp_path / "rows.parquet"
    # Groups come and go between row groups, whose dictionaries differ; 'place' is a
    # categorical with an order of its own, which a text column does not have.
    places = pd.Categorical(["n", "s", "w"] * 200, categories=["w", "n", "s", "none"])
    frame = frame.assign(place=places, t=np.where(frame["x"] > 0, "up", "down"))
    frame.to_parquet(path, row_group_size=71)
    formula = "y ~ t + place + (1 | g)"
    assert_same(
        sp.Model(formula, sp.reduce(formula, path)),
        sp.Model(formula, frame, parameterization="marginal"),
    )
    frame.assign(t=frame["x"].astype(str)).to_parquet(path)
    with pytest.raises(DataError, match=r"'t' is text that reads as numbers"):
        sp.reduce(formula, path)
    frame.assign(t=frame["t"].where(frame.index != 300)).to_parquet(path)
    with pytest.raises(DataError, match=r"'t' has 1 missing value\(s\) \(rows 300,"):
        sp.reduce(formula, path)


def test_categories_that_differ_by_partition_add_up() -> None:
    frame = table()
    parts = [
        frame[:250].assign(k=pd.Categorical(frame["k"][:250], [2, 0, 1])),
        frame[:0].assign(k=pd.Categorical([], [7, 8])),
        # Other categories in another order, one of which has no rows.
        frame[250:].assign(k=pd.Categorical(frame["k"][250:], [1, 9, 2, 0])),
    ]
    found = sp.merge(*(sp.reduce("y ~ k + (1 | g)", part) for part in parts))
    whole = frame.astype({"k": "category"})
    assert_same(
        sp.Model("y ~ k + (1 | g)", found),
        sp.Model("y ~ k + (1 | g)", whole, parameterization="marginal"),
    )
