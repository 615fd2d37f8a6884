"""Many fits: each is the one that would be made alone, whatever happens to others."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.studies.many.fit_many import seed_of
from stanpool.studies.many.pooled import missing_information

QUICK: dict[str, Any] = {"chains": 2, "draws": 40, "warmup": 60, "progress": False}
LAPLACE: dict[str, Any] = {"chains": 1, "draws": 50, "progress": False}
INTERRUPTED = 7  # rows of the model whose fit is interrupted
AWKWARD = ["../up", "a/b\\c", "café №8 {{ x }} <b>"]


def rows(segments: list[Any]) -> pd.DataFrame:
    """Return thirty rows of each segment, with lines of different slopes."""
    rng = np.random.default_rng(3)
    parts = []
    for number, name in enumerate(segments):
        x = rng.normal(size=30)
        y = 1 + number * x + rng.normal(size=30)
        parts.append(pd.DataFrame({"segment": [name] * 30, "x": x, "y": y}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return rows(AWKWARD)


@pytest.fixture(scope="module")
def fits(table: pd.DataFrame) -> sp.Fits:
    return sp.fit_many("y ~ x", table, by="segment", seed=1, **QUICK)


def same(one: sp.Fit, other: sp.Fit) -> bool:
    return one.posterior.identical(other.posterior)


class TestFits:
    def test_each_is_that_of_its_rows_alone(
        self, fits: sp.Fits, table: pd.DataFrame
    ) -> None:
        assert list(fits) == sorted(AWKWARD)
        name = AWKWARD[1]
        alone = sp.Model("y ~ x", table[table["segment"] == name])
        assert same(fits[name], alone.fit(seed=seed_of(name, 1), **QUICK))

    def test_neither_the_executor_nor_other_segments_change_one(
        self, fits: sp.Fits, table: pd.DataFrame
    ) -> None:
        some = table[table["segment"] != AWKWARD[0]]
        with ThreadPoolExecutor(1) as one:
            again = sp.fit_many(
                "y ~ x", some, by="segment", seed=1, executor=one, **QUICK
            )
        assert all(same(fits[name], again[name]) for name in AWKWARD[1:])

    def test_tables_have_the_label_first(self, fits: sp.Fits) -> None:
        summary = fits.summary(var_names=["beta"])
        assert summary.index.names == ["segment", "parameter"]
        name = AWKWARD[2]
        own = fits[name].summary().loc["beta[x]", "mean"]
        assert summary.loc[(name, "beta[x]"), "mean"] == own
        assert fits.loo().loc[name, "elpd"] == fits[name].loo().elpd
        assert repr(fits).startswith("3 fits by segment")

    def test_rows_are_predicted_by_their_own_segment(self, fits: sp.Fits) -> None:
        name, new = AWKWARD[0], pd.DataFrame({"x": [0.0, 1.0]})
        by_own = fits.predict(new.assign(segment=name), kind="epred")
        own = fits[name].predict(new, kind="epred", summary=True)
        np.testing.assert_array_equal(by_own["mean"], own["mean"])
        by_all = fits.predict(new, kind="epred")
        assert len(by_all) == 6
        np.testing.assert_array_equal(by_all.loc[name, "mean"], own["mean"])
        with pytest.raises(sp.SpecError, match="no fit for the rows of 'elsewhere'"):
            fits.predict(new.assign(segment=[name, "elsewhere"]))

    def test_predictions_are_in_the_order_of_the_rows(self, fits: sp.Fits) -> None:
        new = pd.DataFrame({"segment": [*AWKWARD, *AWKWARD], "x": np.arange(6.0)})
        found = fits.predict(new.set_index(np.arange(6) + 7), kind="epred")
        assert list(found["segment"]) == list(new["segment"])
        assert list(found["x"]) == list(new["x"])
        assert list(found.index) == [7, 8, 9, 10, 11, 12]

    def test_the_worst_is_first(self, fits: sp.Fits) -> None:
        found = fits.diagnose()
        assert found["problems"].is_monotonic_decreasing
        name = found.index[0]
        assert found.loc[name, "max_r_hat"] == fits[name].summary()["r_hat"].max()

    def test_tables_show_all_columns_in_the_width_of_a_console(
        self, fits: sp.Fits
    ) -> None:
        summary, found = fits.summary(), fits.diagnose()
        for table in (summary, found):
            lines = repr(table).splitlines()
            assert max(map(len, lines)) <= 80
            for name in table.columns.drop("finding", errors="ignore"):
                assert all(part in " ".join(lines[:2]) for part in name.split("_"))
        # A fit stands once, above its parameters; a finding below its numbers.
        shown = repr(summary).splitlines()
        assert [line for line in shown if line in AWKWARD] == sorted(AWKWARD)
        assert shown[shown.index(AWKWARD[0]) + 2].startswith("  beta[x]")
        first = textwrap.wrap(found["finding"].iloc[0], 76)[0]
        assert f"    {first}" in repr(found).splitlines()[3]

    def test_another_label_is_a_key_error(self, fits: sp.Fits) -> None:
        assert "x" not in fits
        with pytest.raises(KeyError, match="there is no fit 'a/b'"):
            fits["a/b"]


class TestModels:
    def test_formulas_and_segments_make_labels_of_two_parts(
        self, table: pd.DataFrame
    ) -> None:
        few = table.assign(half=table["x"] > 0)
        both = {"flat": "y ~ 1", "line": "y ~ x"}
        found = sp.fit_many(both, few, by="half", seed=1, method="laplace", **LAPLACE)
        assert list(found) == [(name, half) for name in both for half in (False, True)]
        assert found["line", True].model.design.rows == int((few["x"] > 0).sum())
        assert found.summary().index.names == ["model", "half", "parameter"]

    def test_data_sets_of_a_list_share_priors(self, table: pd.DataFrame) -> None:
        sets = [table, table.assign(y=10 * table["y"])]
        found = sp.fit_many("y ~ x", sets, seed=1, method="laplace", **LAPLACE)
        first, second = (found[number].model.priors for number in (1, 2))
        assert [str(row.prior) for row in first] == [str(row.prior) for row in second]
        named = sp.fit_many(
            "y ~ x", dict(enumerate(sets)), seed=1, method="laplace", **LAPLACE
        )
        assert str(named[1].model.priors["sigma"].prior) != str(first["sigma"].prior)

    def test_a_failure_stops_no_other(self, table: pd.DataFrame) -> None:
        lone = table.iloc[:1].assign(segment="one row")
        found = sp.fit_many(
            "y ~ x", pd.concat([table, lone]), by="segment", seed=1, **QUICK
        )
        assert list(found) == sorted(AWKWARD)
        assert list(found.failures.index) == ["one row"]
        assert found.diagnose().index[0] == "one row"
        assert "1 failed" in repr(found)
        with pytest.raises(sp.SpecError, match="1 of 4 fits failed"):
            found.pool()

    def test_if_all_fail_that_is_an_error(self) -> None:
        constant = {"a": {"y": [1.0, 1.0, 1.0]}, "b": {"y": [2.0, 2.0, 2.0]}}
        with pytest.raises(sp.StanpoolError, match="all 2 fits failed"):
            sp.fit_many("y ~ 1", constant, seed=1, **QUICK)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"model": "y ~ x"}, "this is one model of one data set"),
            ({"model": {}, "by": "segment"}, "the mapping is empty"),
            ({"model": "y ~ x", "data": []}, "the list is empty"),
            ({"model": "y ~ x", "by": "segmnt"}, "no column 'segmnt'. Did you mean"),
            ({"model": "y ~ x", "by": "hole"}, "is missing in 2 of 90 rows"),
            ({"model": "y ~ z", "by": "segment"}, "no column 'z'"),
            ({"model": "y ~ x", "by": "segment", "drws": 9}, "mean 'draws'"),
            ({"model": "y ~ x", "by": "segment", "draws": -1}, "draws=-1 must be"),
        ],
    )
    def test_bad_arguments_are_refused_at_once(
        self, arguments: dict[str, Any], said: str, table: pd.DataFrame
    ) -> None:
        data = table.assign(hole=[None, None, *table["segment"][2:]])
        with pytest.raises(sp.StanpoolError, match=said):
            sp.fit_many(**{"data": data, "progress": False} | arguments)


class TestFolder:
    @pytest.fixture
    def fitted(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Count how many rows each model has that is sampled."""
        seen: list[int] = []
        from stanpool.sampling.saving import storage

        sample = storage.sample_model

        def counted(model: Any, *args: Any, **options: Any) -> Any:
            seen.append(model.design.rows)
            if INTERRUPTED in seen:
                raise KeyboardInterrupt
            return sample(model, *args, **options)

        monkeypatch.setattr(storage, "sample_model", counted)
        return seen

    def test_what_is_there_is_not_fitted_again(
        self, tmp_path: Path, fitted: list[int], fits: sp.Fits, table: pd.DataFrame
    ) -> None:
        given: dict[str, Any] = {"by": "segment", "seed": 1, "folder": tmp_path / "f"}
        first = table[table["segment"] != AWKWARD[2]]
        sp.fit_many("y ~ x", first, **given, **QUICK)
        assert len(fitted) == 2
        found = sp.fit_many("y ~ x", table, **given, **QUICK)
        assert len(fitted) == 3
        assert found.kept == {}
        read = sp.load_fits(tmp_path / "f")
        for name in AWKWARD:
            assert same(found[name], fits[name])
            assert same(read[name], fits[name])
        pd.testing.assert_frame_equal(read.diagnose(), found.diagnose())
        names = {path.name for path in (tmp_path / "f").iterdir()}
        assert all(name.isascii() and len(name) < 25 for name in names)

    def test_a_study_that_was_interrupted_goes_on(
        self, tmp_path: Path, fitted: list[int], table: pd.DataFrame
    ) -> None:
        given: dict[str, Any] = {"by": "segment", "seed": 1, "folder": tmp_path / "f"}
        more = pd.concat([table, table[:INTERRUPTED].assign(segment="zz")])
        with ThreadPoolExecutor(1) as one, pytest.raises(KeyboardInterrupt):
            sp.fit_many("y ~ x", more, executor=one, **given, **QUICK)
        assert sorted(sp.load_fits(tmp_path / "f")) == sorted(AWKWARD)
        fitted[:] = [-1000]
        without = more[more["segment"] != "zz"]
        sp.fit_many("y ~ x", without, **given, **QUICK)
        assert fitted == [-1000]

    def test_failures_are_kept_too(self, tmp_path: Path, table: pd.DataFrame) -> None:
        data = {"a": table, "b": table.iloc[:1]}
        sp.fit_many("y ~ x", data, seed=1, folder=tmp_path, **QUICK)
        read = sp.load_fits(tmp_path)
        assert list(read) == ["a"]
        assert list(read.failures.index) == ["b"]

    def test_fits_in_memory_can_be_saved(self, tmp_path: Path, fits: sp.Fits) -> None:
        fits.save(tmp_path)
        read = sp.load_fits(tmp_path)
        assert all(same(read[name], fits[name]) for name in fits)

    def test_what_is_no_such_folder_is_refused(
        self, tmp_path: Path, fits: sp.Fits
    ) -> None:
        with pytest.raises(FileNotFoundError, match="no fits of fit_many"):
            sp.load_fits(tmp_path)
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(FileExistsError, match="does not hold fits"):
            fits.save(tmp_path)
        other = tmp_path / "other"
        fits.save(other)
        with pytest.raises(sp.DataError, match="labelled by 'segment', and these by"):
            sp.fit_many({"m": "y ~ x"}, rows(["a"]), folder=other, **QUICK)
        damaged = next(path for path in other.glob("*.json") if path.stem != "fits")
        damaged.write_text(json.dumps({"failure": ""}))
        with pytest.raises(sp.DataError, match="is damaged"):
            sp.load_fits(other)


@pytest.fixture(scope="module")
def imputed(table: pd.DataFrame) -> sp.Fits:
    rng, sets = np.random.default_rng(5), []
    for _ in range(3):
        filled = table.copy()
        filled.loc[::3, "x"] = rng.normal(size=30)
        sets.append(filled)
    return sp.fit_many("y ~ x", sets, seed=1, **QUICK)


class TestPool:
    def test_draws_are_those_of_all(self, imputed: sp.Fits) -> None:
        pooled = imputed.pool()
        apart = [each.posterior["Intercept"].to_numpy() for each in imputed.values()]
        np.testing.assert_array_equal(
            pooled.posterior["Intercept"].to_numpy(), np.concatenate(apart)
        )
        assert pooled.draws().shape == (3 * 2 * 40, 3)
        assert "3 data sets, 6 chains of 40 draws" in repr(pooled)

    def test_chains_need_not_agree_over_data_sets(self, imputed: sp.Fits) -> None:
        found = imputed.pool().summary()
        apart = [each.summary() for each in imputed.values()]
        for name, take in (("r_hat", np.max), ("ess_bulk", np.sum)):
            expected = take([each[name] for each in apart], axis=0)
            np.testing.assert_allclose(found[name], expected)
        mean = np.mean([each["mean"] for each in apart], axis=0)
        np.testing.assert_allclose(found["mean"], mean)

    def test_missing_information_is_that_of_rubin(self) -> None:
        rng = np.random.default_rng(2)
        # Means that differ with variance 1, of draws with variance 4.
        parts = [rng.normal(rng.normal(), 2, (4, 4000, 200)) for _ in range(20)]
        share = missing_information(parts)
        # A variance of 20 values has a relative error of sqrt(2 / 19).
        expected = 1.05 / 5.05
        error = expected * (1 - expected) * np.sqrt(2 / 19) / np.sqrt(len(share))
        assert abs(share.mean() - expected) < 4 * error + 0.01

    def test_data_sets_may_differ_in_what_is_missing_only(
        self, imputed: sp.Fits, table: pd.DataFrame
    ) -> None:
        holes = table.assign(x=table["x"].where(np.arange(len(table)) % 3 > 0))
        assert imputed.pool(holes).data_sets == 3
        filled = holes.assign(x=holes["x"].mask(np.arange(len(table)) == 0, 5.0))
        with pytest.raises(sp.DataError, match=r"data set 1 .* column 'x' .*\(rows 0,"):
            imputed.pool(filled)
        with pytest.raises(sp.DataError, match="90 rows, and the data have 89"):
            imputed.pool(holes.iloc[1:])
        # Groups that are numbers are levels, and may be of other types.
        sets = [table.assign(x=filled["x"].fillna(0.0), g=np.arange(90) % 4)] * 2
        fits = sp.fit_many("y ~ x + (1 | g)", sets, seed=1, **QUICK)
        assert fits.pool(filled.assign(g=np.arange(90) % 4.0)).data_sets == 2

    def test_fits_that_differ_are_not_pooled(
        self, fits: sp.Fits, table: pd.DataFrame
    ) -> None:
        other = sp.Model("y ~ 1", table).fit(seed=1, **QUICK)
        longer = sp.Model("y ~ x", table).fit(seed=1, **QUICK | {"draws": 41})
        first = fits[AWKWARD[0]]
        with pytest.raises(sp.SpecError, match=r"'beta\[x\]' are not in both"):
            sp.PooledDraws.of([first, other])
        with pytest.raises(sp.SpecError, match="would not have equal weights"):
            sp.PooledDraws.of([first, longer])
        with pytest.raises(sp.SpecError, match="there are 1 fits"):
            sp.PooledDraws.of([first])


WRITER = """
import sys

import pandas as pd

import stanpool as sp

table = pd.read_json(sys.argv[1])
options = {"method": "laplace", "chains": 1, "draws": 50, "progress": False}
options |= {"seed": 1, "engine": "stanli", "folder": sys.argv[2]}
sp.fit_many("y ~ x", table, by="segment", **options)
"""


def start_writer(tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, tmp_path / "rows.json", tmp_path / "fits"]
    return subprocess.Popen(command)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["two writers", "killed"])
def test_a_folder_survives_what_happens_to_its_writers(
    tmp_path: Path, attack: str
) -> None:
    table = rows([f"s{number:02d}" for number in range(8)])
    table.to_json(tmp_path / "rows.json")
    ours: dict[str, Any] = {"by": "segment", "seed": 1, "method": "laplace", **LAPLACE}
    ours["engine"] = "stanli"
    folder = tmp_path / "fits"
    if attack == "two writers":
        writers = [start_writer(tmp_path) for _ in range(2)]
        assert [writer.wait() for writer in writers] == [0, 0]
    else:
        writer = start_writer(tmp_path)
        while writer.poll() is None and len(list(folder.glob("*.fit*"))) < 3:
            time.sleep(0.001)
        writer.kill()
        writer.wait()
    again = sp.fit_many("y ~ x", table, folder=folder, **ours)
    alone = sp.fit_many("y ~ x", table, **ours)
    assert list(again) == list(alone) == sorted(table["segment"].unique())
    assert all(same(again[name], alone[name]) for name in alone)
    assert len(sp.load_fits(folder)) == 8


def test_segments_too_small_for_the_model_are_listed() -> None:
    table = rows(["whole", "one", "alike"])
    small = table.groupby("segment").head(1)
    alike = small[small["segment"] == "alike"]
    some = pd.concat([table[table["segment"] == "whole"], small, alike])
    fits = sp.fit_many("y ~ x", some, by="segment", seed=1, method="laplace", **LAPLACE)
    assert list(fits) == ["whole"]
    assert list(fits.failures.index) == ["alike", "one"]
    assert fits.failures.str.contains("'x' are constant").all()
    with pytest.raises(KeyError, match=r"the fit 'one' failed: .*'x' are constant"):
        fits["one"]


def test_a_column_is_named_once(table: pd.DataFrame) -> None:
    with pytest.raises(sp.SpecError, match="by= names 'segment' more than once"):
        sp.fit_many("y ~ x", table, by=["segment", "segment"], seed=1, **QUICK)
