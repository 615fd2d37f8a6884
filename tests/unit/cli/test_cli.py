"""The command line on kept fits and wrong input; what needs Stan is end to end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_prior, simulated_fit
from stanpool.base import progress
from stanpool.base.table_files import as_json
from stanpool.cli import main
from stanpool.inference.prediction.summaries import predict_table

SCHOOLS = "y | se(sigma) ~ 1 + (1 | school)"


def stanpool(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a fit whose draws are made up."""
    folder = tmp_path_factory.mktemp("kept") / "schools.fit"
    simulated_fit(draws=50).save(folder)
    return folder


def test_help_has_examples_for_every_command() -> None:
    for command in main.commands:
        shown = stanpool(command, "--help")
        assert shown.exit_code == 0
        assert f"Examples:\n    stanpool {command}" in shown.output
    assert "Exit codes: 0 fine" in stanpool("-h").output


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stanpool", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"stanpool, version {sp.__version__}\n"


def test_code_is_that_of_the_model(tmp_path: Path) -> None:
    model = sp.Model(SCHOOLS, sp.load_dataset("eight_schools"), pooling="none")
    data = tmp_path / "schools.json"
    words = ["code", "eight_schools", "--formula", SCHOOLS, "--pooling", "none"]
    shown = stanpool(*words, "--stan-data", data)
    assert shown.output == f"{model.stan_code}\n"
    both = json.loads(stanpool(*words, "--json").output)
    assert both["program"] == model.stan_code
    assert both["data"] == json.loads(data.read_text())
    assert both["data"]["y"] == sp.load_dataset("eight_schools")["y"].tolist()


def test_code_is_also_equations_and_a_graph() -> None:
    model = sp.Model(SCHOOLS, sp.load_dataset("eight_schools"), pooling="none")
    words = ["code", "eight_schools", "--formula", SCHOOLS, "--pooling", "none"]
    wanted = {
        "equations": model.equations().text,
        "latex": model.equations().latex,
        "dot": model.graph().dot,
    }
    for form, text in wanted.items():
        assert stanpool(*words, "--as", form).output == f"{text}\n"


def test_formulas_are_arithmetic_of_columns() -> None:
    formula = "y - 8 | se(2 * sigma / 2) ~ 1 + (1 | school)"
    words = ["code", "eight_schools", "--formula", formula, "--pooling", "none"]
    data = json.loads(stanpool(*words, "--json").output)["data"]
    schools = sp.load_dataset("eight_schools")
    assert data["y"] == (schools["y"] - 8).tolist()
    assert data["se"] == schools["sigma"].tolist()


def test_the_engine_is_an_option() -> None:
    words = ["fit", "eight_schools", "--formula", SCHOOLS, "--draws", 100]
    done = stanpool(*words, "--engine", "stanli", "--seed", 1, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["engine"]["name"] == "stanli"
    refused = stanpool(*words, "--engine", "jax")
    assert (refused.exit_code, "'stanli'" in refused.output) == (2, True)


def test_options_reach_the_model() -> None:
    formula = "log_radon ~ floor + log_uranium + (1 + floor || county)"
    model = sp.Model(
        formula,
        sp.load_dataset("radon"),
        parameterization="centered",
        group_predictors=["log_uranium"],
        priors={"tau_county": "exponential(2)", "beta[floor]": "normal(0, 0.5)"},
    )
    words = ["--formula", formula, "--parameterization", "centered"]
    words += ["--group-predictor", "log_uranium"]
    words += ["--prior", "tau_county = exponential(2)"]
    words += ["--prior", "beta[floor]=normal(0, 0.5)", "--json"]
    shown = json.loads(stanpool("code", "radon", *words).output)
    assert shown["program"] == model.stan_code
    assert shown["data"] == json.loads(as_json(model.stan_data()))


def test_a_name_in_a_prior_may_have_an_equals_sign(tmp_path: Path) -> None:
    table = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "a=b": [0.0, 1.0, 0.0, 2.0]})
    table.to_csv(tmp_path / "t.csv", index=False)
    shown = stanpool(
        "code",
        tmp_path / "t.csv",
        "--formula",
        "y ~ `a=b`",
        "--pooling=complete",
        "--prior",
        "beta[a=b]=normal(0, 3)",
    )
    assert shown.exit_code == 0, shown.output


@pytest.mark.parametrize("options", [{}, {"kind": "epred", "prob": 0.5}])
def test_predictions_are_those_of_the_fit(
    kept: Path, tmp_path: Path, options: dict[str, object]
) -> None:
    words = [f"--{name}={value}" for name, value in options.items()]
    expected = predict_table(sp.load(kept), seed=3, **options)  # type: ignore[arg-type]
    shown = stanpool("predict", kept, "--seed", 3, *words)
    printed = pd.read_csv(io.StringIO(shown.output), index_col="row")
    pd.testing.assert_frame_equal(printed, expected.rename_axis("row"))
    out = tmp_path / "out.parquet"
    assert stanpool("predict", kept, "--seed", 3, *words, "--out", out).output == ""
    written = pd.read_parquet(out).set_index("row")
    pd.testing.assert_frame_equal(written, expected.rename_axis("row"))


def test_new_rows_come_from_standard_input(kept: Path) -> None:
    rows = "school\nA\nZ\n"
    refused = stanpool("predict", kept, "-", stdin=rows)
    assert refused.exit_code == 2
    assert "'Z'" in refused.stderr
    words = ["predict", kept, "-", "--new-groups", "zero", "--json"]
    shown = json.loads(stanpool(*words, stdin=rows).output)
    assert [row["row"] for row in shown] == [0, 1]
    assert shown[1]["q5"] < shown[1]["median"] < shown[1]["q95"]


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a fit with a number, two factors and groups."""
    data = small_data().assign(f=list("xyyxyyxyyxyyxy"), h=[1, 2] * 7)
    model = sp.Model("win ~ x1 + f + C(h) + (1 | g)", data, family="bernoulli")
    folder = tmp_path_factory.mktemp("kept") / "votes.fit"
    fit_of_prior(model).save(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["predictions", "--by", "f", "--by", "h"], {"by": ["f", "h"]}),
        (
            ["predictions", "--variables", "x1=0,1", "--groups", "none"],
            {"variables": {"x1": [0, 1]}, "groups": "none"},
        ),
        (
            ["comparisons", "--variables=x1=sd", "--variables=f", "--each-row"],
            {"variables": {"x1": "sd", "f": None}, "by": False},
        ),
        (
            ["comparisons", "--variables=h=1,2", "--comparison=ratio"],
            {"variables": {"h": [1, 2]}, "comparison": "ratio"},
        ),
        (
            ["comparisons", "--variables=x1=0,1", "--variables=f=x,y", "--cross=both"],
            {"variables": {"x1": [0, 1], "f": ["x", "y"]}, "cross": "both"},
        ),
        (
            ["slopes", "--slope=eyex", "--newdata=balanced", "--groups=g=population"],
            {"slope": "eyex", "newdata": "balanced", "groups": {"g": "population"}},
        ),
        (["slopes", "--hypothesis", "b1 > 0"], {"hypothesis": "b1 > 0"}),
    ],
)
def test_effects_are_those_of_the_fit(
    votes: Path, words: list[str], options: dict[str, object]
) -> None:
    shown = stanpool(words[0], votes, *words[1:])
    assert shown.exit_code == 0, shown.stderr
    expected = getattr(sp.load(votes), words[0])(**options)
    printed = pd.read_csv(io.StringIO(shown.output), keep_default_na=False)
    expected = pd.read_csv(io.StringIO(expected.to_csv(index=False)))
    pd.testing.assert_frame_equal(printed, expected)


def test_effects_of_rows_from_standard_input_and_written(
    votes: Path, tmp_path: Path
) -> None:
    rows = "x1,f,h,g,n,where\n0,x,1,a,3,north\n1,y,2,new,1,south\n1,y,2,,1,south\n"
    words = ["predictions", votes, "-", "--weights", "n", "--average"]
    refused = stanpool(*words, "--dropna", stdin=rows)
    assert refused.exit_code == 2
    assert "not in the fit: 'new'" in refused.stderr
    out = tmp_path / "out.csv"
    words += ["--dropna", "--new-groups", "zero"]
    assert stanpool(*words, "--out", out, stdin=rows).exit_code == 0
    frame = pd.read_csv(io.StringIO(rows)).iloc[:2]
    options = {"newdata": frame, "weights": "n", "new_groups": "zero"}
    expected = sp.load(votes).predictions(by=True, **options)
    pd.testing.assert_frame_equal(pd.read_csv(out), pd.DataFrame(expected))
    words = ["predictions", votes, "-", "--by", "where", "--groups=none", "--json"]
    found = json.loads(stanpool(*words, stdin=rows.replace(",,", ",a,")).output)
    assert [row["where"] for row in found] == ["north", "south"]
    assert set(found[0]) == {"where", "estimate", "lower", "upper", "pd", "groups"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predictions", "--variables", "x11=1"], "Did you mean 'x1'?"),
        (["predictions", "-", "--newdata", "mean"], "DATA and --newdata exclude"),
        (["slopes", "--by", "f", "--average"], "exclude each other"),
        (["slopes", "--groups=none", "--groups=g=none"], "'none' is not FACTOR=WORD"),
        (["comparisons", "--variables=f=x,z"], "no level 'z'"),
    ],
)
def test_wrong_questions_about_effects_are_answered(
    votes: Path, words: list[str], said: str
) -> None:
    shown = stanpool(words[0], votes, *words[1:], stdin="x1\n1\n")
    assert shown.exit_code == 2
    assert said in shown.stderr


def test_kept_fits_are_put_side_by_side(kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "complete.fit"
    simulated_fit(draws=50, pooling="complete").save(other)
    shown = stanpool("compare", kept, other)
    assert shown.exit_code == 0, shown.stderr
    assert "min_ess_bulk" in shown.output
    assert "elpd_diff" in shown.output
    ranking = sp.compare({"schools": sp.load(kept), "complete": sp.load(other)})
    found = json.loads(stanpool("compare", kept, other, "--json").output)
    assert found["verdict"] == ranking.verdict
    assert [row["elpd"] for row in found["ranking"]] == ranking.table["elpd"].to_list()
    assert [row["fit"] for row in found["sampling"]] == ["schools", "complete"]
    assert "tau_school[Intercept]" in {
        row["quantity"] for row in found["estimates"]["schools"]
    }


def test_fits_of_one_name_are_told_apart_by_their_paths(kept: Path) -> None:
    shown = stanpool("compare", kept, f"{kept}/../{kept.name}", "--unit", "none")
    assert shown.exit_code == 0, shown.output
    assert "elpd" not in shown.output


@pytest.mark.usefixtures("blank_figures")
def test_a_report_is_written(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = stanpool("report", kept, "--no-loo", "--title", "Eight & more")
    assert done.output == "schools.html\n"
    assert "<h1>Eight &amp; more</h1>" in (tmp_path / "schools.html").read_text()


def test_data_sets_are_listed_described_and_written(tmp_path: Path) -> None:
    lines = stanpool("datasets").output.splitlines()
    assert tuple(line.split()[0] for line in lines) == sp.list_datasets()
    assert "log_radon: natural log" in stanpool("datasets", "radon").output
    assert set(json.loads(stanpool("datasets", "--json").output)) == {
        *sp.list_datasets()
    }
    out = tmp_path / "radon.feather"
    assert stanpool("datasets", "radon", "--out", out).exit_code == 0
    pd.testing.assert_frame_equal(pd.read_feather(out), sp.load_dataset("radon"))


FIT = ["fit", "radon", "--pooling=complete", "--formula"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "radn", "--formula", "y ~ x"], "Did you mean 'radon'?"),
        ([*FIT, "log_radon ~ flor"], "Did you mean 'floor'?"),
        ([*FIT, "log_radon ~ s(floor)"], "2 distinct value(s)"),
        ([*FIT, "log_radon ~ open('x', 'w')"], "no function 'open'"),
        ([*FIT, "log_radon ~ floor", "--prior", "tau"], "is not NAME=DIST"),
        ([*FIT, "log_radon ~ floor", "--prior", "sigma=x("], "cannot read the prior"),
        ([*FIT, "log_radon ~ floor", "--chains", "0"], "--chains"),
        ([*FIT, "log_radon ~ floor", "--family", "some"], "--family"),
        ([*FIT, "log_radon ~ floor", "--out", "taken"], "exists already"),
        (["fit", "radon"], "--formula"),
        (["predict", "taken"], "no saved fit"),
        (["predict", "nowhere"], "nowhere"),
        (["compare"], "FIT"),
        (["datasets", "radn"], "Did you mean 'radon'?"),
        (["datasets", "--out", "x.csv"], "needs the name"),
    ],
)
def test_bad_input_is_exit_code_2(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("not a fit")
    monkeypatch.chdir(tmp_path)
    done = stanpool(*words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""


def test_warnings_are_messages(tmp_path: Path) -> None:
    words = ["code", "radon", "--formula", "log_radon ~ floor + (1 | county)"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        done = stanpool(*words, "--prior", "beta=flat()")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("stanpool: warning: flat prior on")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sp.Model, "fit", interrupted)
    done = stanpool(*FIT, "log_radon ~ floor")
    assert done.exit_code == 130
    assert done.stderr == "stanpool: interrupted.\n"


LONG = """
import time
from click import group
from stanpool.cli.exits import OrderlyGroup
from stanpool.engine.scratch import scratch_folder

@group(cls=OrderlyGroup)
def main():
    pass

@main.command()
def work():
    with scratch_folder():
        print("at work", flush=True)
        time.sleep(60)

main(["work"])
"""


@pytest.mark.parametrize(
    ("before", "blows", "code"),
    [
        ("", [signal.SIGTERM], 128 + signal.SIGTERM),
        ("", [signal.SIGHUP], 128 + signal.SIGHUP),
        # As nohup starts a command: it lives on.
        ("trap '' HUP; ", [signal.SIGHUP, signal.SIGTERM], 128 + signal.SIGTERM),
    ],
)
def test_the_end_that_a_batch_system_sends_is_an_orderly_one(
    tmp_path: Path, before: str, blows: list[signal.Signals], code: int
) -> None:
    process = subprocess.Popen(
        ["sh", "-c", f'{before}exec "$@"', "sh", sys.executable, "-c", LONG],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The tests themselves may run under nohup, whose commands ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "at work\n"
        for blow in blows:
            process.send_signal(blow)
            time.sleep(0.2)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said) == (code, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("stanpool pre", "predict"), ("stanpool datasets ra", "radon")],
)
def test_the_shell_completes(typed: str, offered: str) -> None:
    environment = {
        **os.environ,
        "_STANPOOL_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-m", "stanpool"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert f"plain,{offered}" in done.stdout.splitlines()


class TestPlaces:
    """Where nothing can be written, that is a message, and nothing is lost."""

    @pytest.fixture
    def sampled(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Make up draws, and note that they were drawn."""
        fit, drawn = simulated_fit(draws=50), list[str]()

        def fitted(*_: object, **__: object) -> sp.Fit:
            drawn.append("drawn")
            return fit

        monkeypatch.setattr("stanpool.api.facade.Model.fit", fitted)
        return drawn

    @pytest.mark.parametrize("option", ["--out", "--report"])
    def test_they_are_tried_before_sampling(
        self, tmp_path: Path, sampled: list[str], option: str
    ) -> None:
        (tmp_path / "file").touch()
        where = tmp_path / "file" / "x"
        words = ["fit", "eight_schools", "--formula", SCHOOLS, option, where]
        shown = stanpool(*words)
        assert shown.exit_code == 2
        assert "ot a directory" in shown.stderr
        assert not sampled

    def test_a_fit_that_is_there_is_not_replaced(
        self, kept: Path, sampled: list[str]
    ) -> None:
        shown = stanpool("fit", "radon", "--formula", SCHOOLS, "--out", kept)
        assert shown.exit_code == 2
        assert "--overwrite replaces the fit" in shown.stderr
        assert not sampled

    def test_estimates_are_printed_if_the_fit_cannot_be_kept(
        self, tmp_path: Path, sampled: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("stanpool.sampling.saving.netcdf.write_tree", full)
        words = ["fit", "eight_schools", "--formula", SCHOOLS]
        shown = stanpool(*words, "--out", tmp_path / "x.fit")
        assert shown.exit_code == 2
        assert sampled
        assert "tau_school" in shown.stdout
        assert "no space left on device. It needs about" in shown.stderr
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
    def test_a_full_standard_output_is_a_message(self) -> None:
        command = [sys.executable, "-m", "stanpool", "datasets", "radon"]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "No space left on device" in done.stderr

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes as here")
    def test_nobody_who_reads_is_no_traceback(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "stanpool", "datasets", "radon"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (2, "")


def test_details_end_with_the_command_that_asked_for_them() -> None:
    CliRunner().invoke(main, ["fit", "radon", "--verbose", "--draws", "many"])
    assert not progress._is_detailed.get()
