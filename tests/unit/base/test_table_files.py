"""Tables come back as they were written, and JSON is JSON."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.table_files import as_json, read_table, write_table

TABLE = pd.DataFrame({"y": [1.5, 2.0], "größe, \"n\n'": ["<a>", "b,c"], "n": [1, 2]})


@pytest.mark.parametrize("name", ["a.csv", "b.parquet", "c.feather", "a.b.csv"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    pd.testing.assert_frame_equal(read_table(tmp_path / name), TABLE)


def test_compressed_csv_is_read(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv.gz", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.csv.gz"), TABLE)


def test_standard_input_is_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("x,y\n1,2\n"))
    assert read_table(Path("-")).to_dict("list") == {"x": [1], "y": [2]}


@pytest.mark.parametrize("name", ["a.xlsx", "a", "csv"])
def test_other_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for attempt in (read_table, lambda path: write_table(TABLE, path)):
        with pytest.raises(sp.DataError, match=r"must.end in one of '\.csv'"):
            attempt(tmp_path / name)


def test_a_folder_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(sp.DataError, match="is a folder; give the name of a file"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.feather"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(sp.DataError, match=f"cannot read '.*{name}'"):
        read_table(tmp_path / name)


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(TABLE, tmp_path / "a.parquet")

    def absent(*_: object, **__: object) -> None:
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd, "read_parquet", absent)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", absent)
    with pytest.raises(sp.DataError, match=r"pip install 'stanpool\[parquet\]'"):
        read_table(tmp_path / "a.parquet")
    with pytest.raises(sp.DataError, match=r"pip install 'stanpool\[parquet\]'"):
        write_table(TABLE, tmp_path / "a.parquet")


def test_json_is_strict() -> None:
    index = pd.Index(["a", "</script>"], name="quantity")
    value = {
        "table": pd.DataFrame({"x": [1.0, np.nan]}, index=index),
        "array": np.array([[1, 2], [3, 4]]),
        "bad": [float("inf"), np.float64("nan"), None, True],
        "path": Path("a"),
        3: np.int64(3),
    }
    assert json.loads(as_json(value)) == {
        "table": [{"quantity": "a", "x": 1.0}, {"quantity": "</script>", "x": None}],
        "array": [[1, 2], [3, 4]],
        "bad": [None, None, None, True],
        "path": "a",
        "3": 3,
    }
