"""Everyday files at the command line, and messages that name its options."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import stanpool as sp
from stanpool.base.table_files import CsvFormat, read_table
from stanpool.cli import main

ROWS = [
    (country, x, y + k / 8)
    for k in range(3)
    for country, x, y in [("NA", 0, 1.5), ("ZA", 1, 2.5), ("Zürich", 2, 1.25)]
]
WANTED = [y for _, _, y in ROWS]


def text(
    sep: str = ",", decimal: str = ".", thousands: str = "", header: str = "c,x,y"
) -> str:
    def number(value: float) -> str:
        whole, _, part = f"{1000 + value:,.4f}".partition(".")
        return f'"{whole.replace(",", thousands)}{decimal}{part}"'

    lines = [[c, str(x), number(y)] for c, x, y in ROWS]
    return "\n".join(sep.join(line) for line in [header.split(","), *lines])


def code(*words: object, stdin: str | None = None) -> Result:
    more = ["--formula", "y ~ x + (1 | c)", "--json"]
    return CliRunner().invoke(main, ["code", *map(str, words), *more], input=stdin)


@pytest.mark.parametrize("chunked", [[], ["--chunked"]])
@pytest.mark.parametrize(
    ("name", "how", "encoding", "options"),
    [
        ("a.csv", {}, "utf-8", []),
        ("a.CSV", {}, "utf-8-sig", []),
        ("a.csv", {"sep": ";", "decimal": ","}, "utf-8", ["--decimal", ","]),
        ("a.TSV", {"sep": "\t"}, "utf-8", []),
        ("a.txt", {"sep": "|"}, "utf-8", []),
        ("a.txt", {"sep": " "}, "utf-8", ["--sep", " "]),
        ("a.csv", {"sep": ":"}, "utf-8", ["--sep", ":"]),
        ("a.csv", {"sep": "\t"}, "utf-8", ["--sep", r"\t"]),
        ("a.csv", {}, "latin-1", ["--encoding", "latin-1"]),
        ("a.csv", {"sep": "\t"}, "utf-16", ["--encoding", "utf-16"]),
        ("a.csv", {"thousands": ","}, "utf-8", ["--thousands", ","]),
        (
            "a.csv",
            {"sep": ";", "decimal": ",", "thousands": "."},
            "utf-8",
            ["--decimal", ",", "--thousands", "."],
        ),
    ],
)
def test_files_of_everyday_are_read(
    tmp_path: Path,
    name: str,
    how: dict[str, str],
    encoding: str,
    options: list[str],
    chunked: list[str],
) -> None:
    path = tmp_path / name
    path.write_text(text(**how), encoding)
    shown = code(path, "--na", "", *options, *chunked)
    assert shown.exit_code == 0, shown.stderr
    data = json.loads(shown.stdout)["data"]
    assert data["J_reduced"] == 3
    frame = read_table(
        path,
        CsvFormat(
            sep=how.get("sep"),
            decimal=how.get("decimal", "."),
            thousands=how.get("thousands"),
            encoding=encoding,
            na=(),
        ),
    )
    assert frame["c"].tolist() == [c for c, _, _ in ROWS]
    assert frame["y"].tolist() == [1000 + y for y in WANTED]


def test_standard_input_is_read_alike() -> None:
    for options in ([], ["--chunked"]):
        shown = code("-", "--na", "", *options, stdin=text(sep=";"))
        assert shown.exit_code == 0, shown.stderr
        assert json.loads(shown.stdout)["data"]["J_reduced"] == 3


@pytest.mark.parametrize("chunked", [[], ["--chunked"]])
def test_words_taken_as_missing_are_named_with_options(
    tmp_path: Path, chunked: list[str]
) -> None:
    (tmp_path / "a.csv").write_text(text() + "\n,1,2", "utf-8")
    shown = code(tmp_path / "a.csv", *chunked)
    assert shown.exit_code == 2
    assert "4 missing value(s)" in shown.stderr
    assert "The file has 'NA' (3), nothing (1) there" in shown.stderr
    assert "--na ''" in shown.stderr
    assert "data.dropna" not in shown.stderr


@pytest.mark.parametrize("chunked", [[], ["--chunked"]])
def test_rows_go_only_if_asked_and_are_counted(
    tmp_path: Path, chunked: list[str]
) -> None:
    lines = text(header="c,x,y").splitlines()
    unused = [f"{line},{'' if at else 'unused'}" for at, line in enumerate(lines)]
    (tmp_path / "a.csv").write_text("\n".join(unused) + "\nZA,,1,1", "utf-8")
    shown = code(tmp_path / "a.csv", "--dropna", *chunked)
    assert "left out 4 of 10 rows, which have missing values: 3 in 'c', 1 in 'x'." in (
        shown.stderr
    )
    assert json.loads(shown.stdout)["data"]["J_reduced"] == 2


def test_numbers_written_otherwise_are_named_with_options(tmp_path: Path) -> None:
    rows = "\n".join(f'a{k % 3},"{k},{k:03}",{k}' for k in range(1, 20))
    (tmp_path / "a.csv").write_text(f"c,x,y\n{rows}", "utf-8")
    shown = code(tmp_path / "a.csv")
    assert "such as '1,001'" in shown.stderr
    assert "--thousands ','" in shown.stderr
    assert "pd." not in shown.stderr


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (text(header="c,y,y").encode(), ["--na", ""], "2 columns named 'y'"),
        (
            f"{text()}\n{text()}".encode(),
            ["--na", ""],
            "row 9, .* repeats the header",
        ),
        (text().encode("cp1252"), [], "--encoding"),
        (text().encode(), ["--encoding", "latin-9000"], "no encoding 'latin-9000'"),
        (text().encode(), ["--decimal", ",", "--thousands", ","], "must differ"),
        (text().encode(), ["--sep", "ab"], "one character"),
        (b"", [], "cannot read"),
        (b"\0\0\0", [], "column|read|rows"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(
    tmp_path: Path, content: bytes, options: list[str], said: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    shown = code(tmp_path / "a.csv", *options)
    assert shown.exit_code == 2
    assert pd.Series([shown.stderr]).str.contains(said)[0], shown.stderr


def test_rows_that_predictions_leave_out_keep_their_numbers(tmp_path: Path) -> None:
    from simulated_fits import simulated_fit

    simulated_fit(draws=5).save(tmp_path / "x.fit")
    words = ["predict", str(tmp_path / "x.fit"), "-", "--dropna"]
    shown = CliRunner().invoke(main, words, input="school,y\nA,\n,1\nB,2\n")
    assert "left out 1 of 3 rows" in shown.stderr
    table = pd.read_csv(io.StringIO(shown.stdout))
    assert table["row"].tolist() == [0, 2]


def compressed(content: bytes) -> dict[str, bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", content)
    return {
        "csv.gz": gzip.compress(content),
        "csv.bz2": bz2.compress(content),
        "csv.xz": lzma.compress(content),
        "csv.zip": packed.getvalue(),
    }


def test_cut_and_damaged_files_are_refused(tmp_path: Path) -> None:
    rng = random.Random(1)
    table = pd.DataFrame({"y": [rng.gauss(0, 1) for _ in range(4000)]})
    files = compressed(table.to_csv(index=False).encode())
    pytest.importorskip("pyarrow")
    for kind in ("parquet", "feather"):
        getattr(table, f"to_{kind}")(tmp_path / f"whole.{kind}")
        files[kind] = (tmp_path / f"whole.{kind}").read_bytes()
    for kind, whole in files.items():
        half = len(whole) // 2
        damaged = [whole[:half], b""]
        if kind.startswith("csv"):  # Arrow's files have no digests
            damaged.append(whole[:half] + rng.randbytes(64) + whole[half + 64 :])
        for content in damaged:
            path = tmp_path / f"x.{kind}"
            path.write_bytes(content)
            with pytest.raises(sp.DataError, match="cannot read"):
                read_table(path)
            if kind != "feather":
                with pytest.raises(sp.DataError, match="cannot read"):
                    sp.Model("y ~ 1", path, pooling="complete")
