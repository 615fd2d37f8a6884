"""Fits of earlier formats, damaged fits, and places that cannot be written."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner

import stanpool as sp
from simulated_fits import fit_of_prior, simulated_fit
from stanpool.cli import main
from stanpool.sampling.saving import netcdf

KEPT = Path(__file__).parents[3] / "data" / "kept_fits"
FIT = "format_2.fit"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a copy of a kept fit."""
    return Path(shutil.copytree(KEPT / FIT, tmp_path / "kept.fit"))


def with_digests_made_right(kept: Path, name: str) -> None:
    """Make a changed file pass for the one that was saved."""
    (path,) = kept.glob(f"saved-*/{name}")
    manifest = json.loads((kept / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (kept / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", sorted(each.name for each in KEPT.iterdir()))
def test_fits_of_every_earlier_format_are_read(name: str) -> None:
    """All are of the same draws and data, as stanpool of that time wrote them."""
    rng = np.random.default_rng(1)
    _, x = rng.normal(size=(2, 6))
    rng.normal(size=32)  # of the other variables
    fit = sp.load(KEPT / name)
    assert fit.model.spec.groups == (sp.GroupTerm("school"),)
    assert fit.model.priors["sigma"].prior == sp.Prior.parse("exponential(2)")
    assert fit.settings.seed == 7
    assert fit.model.data["x"].tolist() == x.tolist()
    b = fit.posterior["b_school"].to_numpy()
    assert b.tolist() == rng.normal(size=(2, 4, 3, 1)).tolist()
    assert fit.epred().shape == (2, 4, 6)
    assert str(fit.diagnose())


def test_a_fit_of_format_1_is_replaced_by_one_of_format_2(tmp_path: Path) -> None:
    kept = Path(shutil.copytree(KEPT / "format_1.fit", tmp_path / "x.fit"))
    sp.load(kept).save(kept, overwrite=True)
    assert {each.name[:6] for each in kept.iterdir()} == {"manife", "saved-"}
    assert sp.load(kept).settings.seed == 7


@pytest.mark.parametrize(
    ("part", "new", "said"),
    [
        ("spec", {"colour": 1}, "spec has unknown fields: 'colour'"),
        ("spec", {"outcome": ...}, "spec has no field 'outcome'"),
        ("spec", {"terms": "x"}, r"spec\.terms is 'x' and must be a list"),
        ("spec", {"intercept": 1}, r"spec\.intercept is 1 and must be true or false"),
        ("spec", {"family": "gausian"}, "Did you mean 'gaussian'"),
        ("spec", {"priors": [["sigma", 1]]}, r"spec\.priors\[0\]\[1\] is 1"),
        ("settings", {"chains": "2"}, r"settings\.chains is '2' and must be a whole"),
        ("settings", {"chains": 3}, r"draws\.nc has 2 chains"),
        ("settings", {"seed": ...}, "settings has no field 'seed'"),
        ("engine", {"stan": 2}, r"engine\['stan'\] is 2 and must be text"),
        ("", {"program": "../../x"}, "the name of the program is"),
        ("", {"seconds": ...}, "has no field 'seconds'"),
        ("", {"columns": []}, "no column 'y'|no rows"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_the_writer(
    kept: Path, part: str, new: dict[str, Any], said: str
) -> None:
    (path,) = kept.glob("saved-*/model.json")
    written = json.loads(path.read_text())
    changed = written[part] if part else written
    changed |= new
    for name in [name for name, value in changed.items() if value is ...]:
        del changed[name]
    path.write_text(json.dumps(written))
    with_digests_made_right(kept, "model.json")
    with pytest.raises(sp.DataError, match=r"stanpool 0\.1\.0 wrote in format 2") as no:
        sp.load(kept)
    no.match(said)


def mutations(value: Any) -> Iterator[Any]:
    """Yield values with one part dropped, doubled or replaced."""
    yield from (None, True, -1, 1e300, 2**70, float("nan"), "", "x\0")
    yield from ([], {}, [[]], {"a": 1})
    if isinstance(value, dict):
        for name in value:
            yield {other: part for other, part in value.items() if other != name}
            for part in mutations(value[name]):
                yield value | {name: part}
        yield value | {"new": 1}
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield [*value[:at], each, *value[at:]]
            for part in mutations(each):
                yield [*value[:at], part, *value[at + 1 :]]


@pytest.mark.parametrize("name", ["model.json", "manifest.json"])
def test_whatever_json_says_no_foreign_error_comes_out(kept: Path, name: str) -> None:
    (path,) = [*kept.glob(name), *kept.glob(f"saved-*/{name}")]
    all_of_them = list(mutations(json.loads(path.read_text())))
    tried = random.Random(1).sample(all_of_them, 60)
    refused = 0
    for mutated in tried:
        path.write_text(json.dumps(mutated))
        if name != "manifest.json":
            with_digests_made_right(kept, name)
        try:
            sp.load(kept)
        except sp.DataError:
            refused += 1
    assert refused > len(tried) / 2


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 10**5, b"9" * 9999])
def test_what_is_no_json_is_refused(kept: Path, content: bytes) -> None:
    (path,) = kept.glob("saved-*/model.json")
    path.write_bytes(content)
    with_digests_made_right(kept, "model.json")
    with pytest.raises(sp.DataError, match="cannot read the fit"):
        sp.load(kept)


# In a process of its own: HDF5 is C, and what is damaged here passes for whole.
FUZZED = """
import collections, random, sys, warnings
from pathlib import Path
import stanpool as sp
from stanpool.sampling.saving import storage
warnings.simplefilter("ignore")
outcome = collections.Counter()
folder = Path(sys.argv[1])
for name in ("draws.nc", "data.nc"):
    (path,) = folder.glob(f"saved-*/{name}")
    whole, rng = path.read_bytes(), random.Random(name)
    for trial in range(int(sys.argv[2])):
        cut = bytearray(whole)
        if trial % 3 == 0:
            del cut[rng.randrange(len(whole)):]
        for _ in range(rng.choice((1, 8, 64)) if trial % 3 else 0):
            cut[rng.randrange(len(cut))] = rng.randrange(256)
        path.write_bytes(cut)
        try:
            storage._read(folder, storage.read_manifest(folder, newest=2))
        except sp.StanpoolError:
            outcome["refused"] += 1
        else:
            outcome["read"] += 1
    path.write_bytes(whole)
print(dict(outcome))
"""


@pytest.mark.parametrize("trials", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_netcdf_is_refused_though_its_digest_is_right(
    kept: Path, trials: int
) -> None:
    words = [sys.executable, "-c", FUZZED, str(kept), str(trials)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'refused'" in done.stdout


def test_files_of_other_fits_are_refused(kept: Path) -> None:
    (draws,) = kept.glob("saved-*/draws.nc")
    simulated_fit(draws=4).save(kept.with_name("other"))
    (others,) = kept.parent.glob("other/saved-*/draws.nc")
    shutil.copy(others, draws)
    with pytest.raises(sp.DataError, match="not the file that was saved"):
        sp.load(kept)
    with_digests_made_right(kept, "draws.nc")
    with pytest.raises(sp.DataError, match="has 4 chains"):
        sp.load(kept)


def test_objects_in_draws_are_refused(kept: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (draws,) = kept.glob("saved-*/draws.nc")
    with h5py.File(draws, "a") as file:
        file["posterior"].create_dataset(
            "odd", data=np.zeros(3, dtype=[("a", "i4"), ("b", "f8")])
        )
    with_digests_made_right(kept, "draws.nc")
    with pytest.raises(sp.DataError, match="odd"):
        sp.load(kept)


def test_labels_that_hdf5_does_not_take_come_back(tmp_path: Path) -> None:
    fit = simulated_fit(draws=3)
    labels = np.array(["a\0b", "\0", "ü", '"', "", "F"], dtype=object)
    tree = fit.tree.copy()
    named = fit.posterior.assign_coords(school=labels)
    tree["posterior"] = xr.DataTree(named)
    path = tmp_path / "draws.nc"
    netcdf.write_tree(tree, path)
    assert netcdf.read_tree(path)["posterior"].to_dataset().identical(named)


FULL = """
import gc, resource, sys
import stanpool as sp
fit = sp.load(sys.argv[1])
fit.save(sys.argv[2])
fit = sp.load(sys.argv[2])
size = 0
for limit in range(500, 40_000, 6_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        fit.save(sys.argv[2], overwrite=True)
        break
    except sp.StorageError as problem:
        assert "It needs about" in str(problem) and "MB are free" in str(problem)
        size += 1
    assert sp.load(sys.argv[2]).posterior.identical(fit.posterior)
    gc.collect()
print(size)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes")
def test_a_full_disk_costs_neither_the_process_nor_a_fit(tmp_path: Path) -> None:
    words = [sys.executable, "-c", FULL, str(KEPT / FIT), str(tmp_path / "x.fit")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
    assert len(list((tmp_path / "x.fit").iterdir())) == 2


def test_a_failing_write_is_read_back_by_hdf5(tmp_path: Path) -> None:
    """What cannot be written is there for HDF5 until it has closed the file."""
    with (tmp_path / "x").open("xb+", buffering=0) as file:
        never_failing = netcdf._NeverFailing(file)
        never_failing.write(b"abcdef")
        file.close()
        never_failing.write(b"ghi")
        never_failing.seek(5)
        never_failing.write(b"FG")
        never_failing.seek(5)
        into = bytearray(9)
        assert never_failing.readinto(into) == 4
        assert into[:4] == b"FGhi"
        assert isinstance(never_failing.error, ValueError)


def test_ctrl_c_while_hdf5_writes_is_raised_when_it_has_closed(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = sp.load(kept)
    written = netcdf._NeverFailing._write_all
    for last in range(0, 60, 10):
        left = [last]

        def interrupted(
            self: Any, at: int, values: memoryview, left: list[int] = left
        ) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
            written(self, at, values)

        monkeypatch.setattr(netcdf._NeverFailing, "_write_all", interrupted)
        try:
            fit.save(kept, overwrite=True)
        except KeyboardInterrupt:
            assert sp.load(kept).posterior.identical(fit.posterior)
            continue
        break
    assert last > 20
    assert len(list(kept.iterdir())) == 2


def test_a_place_is_tried_before_sampling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sampled(*_: Any, **__: Any) -> sp.Fit:
        raise AssertionError("sampled, though nothing can be written")

    monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", sampled)
    (tmp_path / "file").touch()
    model = simulated_fit(draws=3).model
    with pytest.raises(sp.StorageError, match="not a directory"):
        model.fit(file=tmp_path / "file" / "x.fit", progress=False)
    monkeypatch.setattr(
        "stanpool.sampling.saving.versions.token_hex", lambda _: "x" * 500
    )
    with pytest.raises(sp.StorageError, match="name too long"):
        model.fit(file=tmp_path / "x.fit", progress=False)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_fit_that_cannot_be_kept_is_returned_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = simulated_fit(draws=3)

    def sampled(*_: Any, **__: Any) -> sp.Fit:
        monkeypatch.setattr(netcdf, "write_tree", full)
        return fit

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", sampled)
    with pytest.warns(sp.StorageWarning, match="no space left.*still in memory"):
        again = fit.model.fit(file=tmp_path / "x.fit", progress=False)
    assert again.tree is fit.tree
    assert not (tmp_path / "x.fit").exists()


EVIL = "x * __import__('os').system('touch MARK')"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("outcome", f"I({EVIL})"),
        ("outcome", "np.load('MARK', allow_pickle=True)"),
        ("terms", [f"I({EVIL})"]),
        ("terms", ["x.__class__"]),
        ("terms", ["{__import__('os')}"]),
        ("offsets", [f"I(0 * {EVIL})"]),
        ("se", EVIL),
        ("weights", EVIL),
        ("cens", EVIL),
        ("trunc", [EVIL, None]),
        ("groups", [{"factor": "school", "terms": [f"I({EVIL})"]}]),
        ("functions", [["f", "os.system"]]),
    ],
)
@pytest.mark.parametrize("command", ["load", "report"])
def test_the_formula_of_somebody_elses_fit_runs_nothing(
    kept: Path, field: str, text: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its texts are of the language of formulas, as what is typed is."""
    monkeypatch.chdir(kept.parent)
    (path,) = kept.glob("saved-*/model.json")
    written = json.loads(path.read_text())
    written["spec"][field] = text
    written["functions"] = []
    path.write_text(json.dumps(written))
    with_digests_made_right(kept, "model.json")
    if command == "load":
        with pytest.raises(sp.DataError, match="wrote in format 2"):
            sp.load(kept)
    else:
        done = CliRunner().invoke(main, ["report", str(kept), "x.html"])
        assert done.exit_code == 2, done.output
    assert {each.name for each in kept.parent.iterdir()} == {kept.name}


def test_functions_of_ones_own_are_kept_by_name_and_passed_again(
    tmp_path: Path,
) -> None:
    data = {"y": [1.0, 2, 4, 3, 5, 4], "x": [1.0, 2, 3, 4, 5, 6], "g": list("aabbcc")}
    model = sp.Model("y ~ f(x) + (1 | g)", data, functions={"f": np.sqrt})
    fit = fit_of_prior(model)
    fit.save(tmp_path / "own.fit")
    with pytest.raises(sp.DataError, match=r"calls your functions 'f'.*\{'f': f\}"):
        sp.load(tmp_path / "own.fit")
    back = sp.load(tmp_path / "own.fit", functions={"f": np.sqrt, "h": np.exp})
    assert back.model.spec == fit.model.spec
    np.testing.assert_array_equal(back.model.design.X, np.sqrt(model.data[["x"]]))
    np.testing.assert_array_equal(
        back.epred(back.model.data), fit.epred(fit.model.data)
    )


def test_a_kept_fit_has_the_means_of_its_fit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(5, 1, 12), "n": 20, "g": list("abcd") * 3})
    data["k"] = rng.binomial(20, 0.4, 12)
    formula = "k | trials(n + 0) ~ I(x - mean(x)) + offset(x / max(x)) + (1 | g)"
    fit = fit_of_prior(sp.Model(formula, data, family="binomial"))
    fit.save(tmp_path / "means.fit")
    back = sp.load(tmp_path / "means.fit")
    rows = data.iloc[[3, 4]].assign(n=40)
    np.testing.assert_allclose(back.epred(rows), 2 * fit.epred().values[..., 3:5])


def test_columns_with_any_name_were_parts_of_the_outcome_before(kept: Path) -> None:
    (path,) = kept.glob("saved-*/model.json")
    written = json.loads(path.read_text())
    assert "functions" not in written  # kept when parts of the outcome were columns
    written["spec"] |= {"weights": "a b", "terms": ["`a b`"]}
    written["columns"][2]["name"] = "a b"
    path.write_text(json.dumps(written))
    with_digests_made_right(kept, "model.json")
    with pytest.raises(sp.DataError, match="weights 'a b' must not be negative"):
        sp.load(kept)
