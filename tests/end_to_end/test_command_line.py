"""The command in a pipe and in a terminal, from a file to a kept fit."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import stanpool as sp
from browser import CHROMIUM, Page
from stanpool.cli import main

FORMULA = "log_radon ~ floor + (1 | county)"
SHORT = ["--chains", "2", "--draws", "100", "--warmup", "100", "--seed", "1"]
COMMAND = [sys.executable, "-m", "stanpool"]


def in_a_pipe(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=300
    )


def in_this_process(*words: object) -> Result:
    """Run the command where nothing depends on its streams, in half the time."""
    return CliRunner().invoke(main, list(map(str, words)))


def in_a_terminal(*words: object) -> tuple[int, str]:
    """Run the command with a pseudo-terminal in the place of all three streams."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that all is read
        while some := os.read(ours, 4096):
            shown += some
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_the_example_of_cbpp_has_the_canonical_result(tmp_path: Path) -> None:
    """As ``glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), binomial)``.

    The figures are those of lme4's own documentation: estimates, and standard errors.
    """
    shown = in_this_process("fit", "--help").stdout
    example = shown[shown.index("stanpool fit cbpp") :].partition("stanpool fit radon")
    words = shlex.split(example[0].replace("\\\n", " "))[1:]
    words[words.index("--out") + 1] = str(tmp_path / "cbpp.fit")
    words += ["--draws", "250", "--warmup", "300", "--seed", "1", "--quiet", "--json"]
    result = in_this_process(*words)
    assert result.exit_code == 0, result.output
    fit = sp.load(tmp_path / "cbpp.fit")
    estimates = fit.summary(groups=False)["mean"].filter(regex="Intercept$|beta")
    lme4 = np.array([-1.3983, -0.9919, -1.1282, -1.5797])
    errors = np.array([0.2312, 0.3032, 0.3228, 0.4220])
    assert len(estimates) == 4
    # Priors, and means instead of modes, change them by a part of the standard errors.
    assert (np.abs(estimates - lme4) < errors / 3).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the radon data as a file, and a fit of it."""
    folder = tmp_path_factory.mktemp("command")
    sp.load_dataset("radon").to_parquet(folder / "radon.parquet")
    done = in_a_pipe(
        *("fit", folder / "radon.parquet", "--formula", FORMULA, *SHORT),
        *("--parameterization", "noncentered", "--out", folder / "radon.fit"),
        *("--report", folder / "radon.html"),
    )
    assert done.returncode == 0, done.stderr
    (folder / "told.txt").write_text(done.stdout)
    (folder / "progress.txt").write_text(done.stderr)
    return folder


def test_a_pipe_gets_estimates_and_the_log_stays_short(folder: Path) -> None:
    told = (folder / "told.txt").read_text()  # problems, but it exited with 0
    assert "tau_county[Intercept]" in told
    assert "Partial pooling over county, noncentered:" in told
    lines = (folder / "progress.txt").read_text().splitlines()
    assert all(line.startswith("stanpool: ") for line in lines)
    assert len(lines) < 10


def test_the_kept_fit_is_that_of_the_library(folder: Path) -> None:
    model = sp.Model(FORMULA, sp.load_dataset("radon"), parameterization="noncentered")
    fit = model.fit(chains=2, draws=100, warmup=100, seed=1, progress=False)
    assert sp.load(folder / "radon.fit").posterior.identical(fit.posterior)


def test_a_terminal_sees_bars_and_the_same_estimates(folder: Path) -> None:
    status, shown = in_a_terminal(
        *("fit", folder / "radon.parquet", "--formula", FORMULA, *SHORT),
        *("--parameterization", "noncentered"),
    )
    assert status == 0, shown
    table = (folder / "told.txt").read_text().splitlines()[2:6]
    assert all(line in shown for line in table)
    assert "\rSampling 2 chains of 200 iterations: 100%" in shown


def test_a_kept_fit_is_reused_and_told_apart(folder: Path) -> None:
    words = ["fit", folder / "radon.parquet", "--formula", FORMULA, *SHORT]
    words += ["--parameterization", "noncentered", "--out", folder / "radon.fit"]
    before = (folder / "radon.fit" / "manifest.json").read_bytes()
    again = in_this_process(*words, "--reuse")
    assert "nothing has changed" in again.stderr
    assert again.stdout == (folder / "told.txt").read_text()
    assert (folder / "radon.fit" / "manifest.json").read_bytes() == before
    assert in_this_process(*words).exit_code == 2


@pytest.mark.compiled
def test_verbose_tells_how_stages_came_out(folder: Path) -> None:
    words = ["fit", folder / "radon.parquet", "--formula", FORMULA, *SHORT]
    words += ["--parameterization", "noncentered", "--json"]
    usual, verbose = (folder / "progress.txt").read_text(), in_a_pipe(*words, "-v")
    details = ("compiled before", "slowest chain took", "Step sizes are")
    assert not any(each in usual for each in details)
    assert all(each in verbose.stderr for each in details)
    assert json.loads(verbose.stdout)["seed"] == 1


def test_a_strict_fit_exits_with_1_where_problems_are_found() -> None:
    words = ["fit", "radon", "--formula", FORMULA, "--parameterization", "noncentered"]
    words += ["--chains", "1", "--draws", "20", "--warmup", "20", "--seed", "1"]
    strict = in_this_process(*words, "--json", "--quiet", "--strict")
    assert strict.exit_code == 1
    assert not json.loads(strict.stdout)["diagnosis"]["ok"]
    assert strict.stderr == ""


@pytest.mark.compiled
def test_trouble_with_the_engine_exits_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANPOOL_CMDSTAN", str(tmp_path))
    done = in_a_pipe("fit", "radon", "--formula", FORMULA)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error(folder: Path) -> None:
    words = " ".join([*COMMAND, "predict", str(folder / "radon.fit")])
    done = subprocess.run(
        f"{words} | head -n 1", shell=True, capture_output=True, text=True
    )
    assert done.stdout == "row,mean,sd,median,q5,q95\n"
    assert done.stderr == ""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_report_opens_with_all_counties(folder: Path) -> None:
    with Page(folder / "radon.html") as browser:
        assert browser.said == []
        assert (
            browser.run("document.querySelectorAll('#estimates tbody tr').length") == 89
        )
        assert browser.run("document.images.length") == 18
        assert browser.run("document.querySelectorAll('.missing').length") == 0


def test_poolings_are_compared_from_a_file(folder: Path) -> None:
    done = in_this_process(
        *("compare-pooling", folder / "radon.parquet", "--formula", FORMULA, *SHORT),
        *("--parameterization", "noncentered", "--quiet", "--json"),
        *("--report", folder / "poolings.html"),
    )
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["model"] for row in found["left_out_rows"]} == {
        "complete",
        "none",
        "partial",
    }
    assert found["verdict"] in (folder / "poolings.html").read_text()
    assert done.stderr == f"stanpool: the report is {str(folder / 'poolings.html')!r}\n"


def test_an_interrupt_ends_at_once_and_leaves_nothing(folder: Path) -> None:
    words = ["fit", "radon", "--formula", FORMULA, "--parameterization", "noncentered"]
    words += ["--draws", "1000000", "--out", str(folder / "never.fit")]
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Background jobs of a shell ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("stanpool: Sampling"), line
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (out, err) == ("", "stanpool: interrupted.\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list(folder.glob("*never*"))


@pytest.mark.parametrize("errors", ["surrogateescape"])  # as on Windows
def test_a_console_without_greek_shows_what_it_can(tmp_path: Path, errors: str) -> None:
    console = "cp1252"
    places = ["Αθήνα", "Zürich", "Łódź", "Paris", "Oslo"]
    rng = np.random.default_rng(1)
    groups = np.repeat(places, 20)
    outcome = rng.normal(size=100) + np.repeat(rng.normal(size=5), 20)
    table = pd.DataFrame({"y": outcome, "Πόλη": groups})
    table.to_csv(tmp_path / "τιμές.csv", index=False)

    def run(*words: object) -> subprocess.CompletedProcess[bytes]:
        environment = {
            **os.environ,
            "PYTHONIOENCODING": f"{console}:{errors}",
            "STANPOOL_ENGINE": "stanli",
        }
        command = [*COMMAND, *map(str, words)]
        return subprocess.run(
            command, capture_output=True, timeout=300, env=environment, cwd=tmp_path
        )

    fitted = run(
        "fit",
        "τιμές.csv",
        "--formula",
        "y ~ 1 + (1 | Πόλη)",
        *SHORT,
        "--out",
        "προσαρμογή.fit",
        "--report",
        "αναφορά.html",
    )
    assert fitted.returncode == 0, fitted.stderr
    assert "προσαρμογή.fit".encode(console, "backslashreplace") in fitted.stderr
    report = (tmp_path / "αναφορά.html").read_text("utf-8")
    assert all(place in report for place in places)

    assert b"pooling over " + "Πόλη".encode(console, "replace") in fitted.stdout

    told = run("predict", "προσαρμογή.fit", "--json")
    rows = json.loads(told.stdout.decode(console))
    assert len(rows) == 100
    written = run("predict", "προσαρμογή.fit")
    assert pd.read_csv(io.BytesIO(written.stdout)).shape[0] == 100

    wrong = run("fit", "τιμές.csv", "--formula", "y ~ 1 + (1 | Πόλης)")
    assert wrong.returncode == 2
    assert "Πόλης".encode(console, "backslashreplace") in wrong.stderr
    assert b"Traceback" not in wrong.stderr


PROGRESS = """
import sys, time
from stanpool.base.progress import counting, stages, tell
print("begins", flush=True)
try:
    with stages(3, shown=True) as display:
        display.start("Compiling a_program_that_has_a_name_as_long_as_names_may_be")
        display.start("Compiling Stan's headers and driver, once", steps=2)
        display.tick(1)
    with counting("Sampling 4 chains of 2000 iterations", 8000, shown=True) as show:
        for done in range(0, 8001, 500):
            show(done)
            time.sleep(0.05 if len(sys.argv) > 1 else 0)
            if done == 4000:
                tell("Loaded the fit that is saved in 'radon.fit'")
    print("ends", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


class Screen:
    """A terminal: characters replace each other, and long lines are wrapped."""

    def __init__(self, columns: int) -> None:
        self.columns, self.wrapped = columns, 0
        self.lines, self._at = [""], 0
        self.shown: list[str] = []

    def feed(self, text: str) -> None:
        for letter in text.replace("\x1b[A", ""):
            if letter == "\r":
                self.shown.append(self.lines[-1].rstrip())
                self._at = 0
            elif letter == "\n":
                self.lines.append("")
            else:
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self._at == self.columns:
            self.wrapped += 1
            self.lines.append("")
            self._at = 0
        line = self.lines[-1].ljust(self._at)
        self.lines[-1] = line[: self._at] + letter + line[self._at + 1 :]
        self._at += 1


def progress_in_a_terminal(columns: int, *, resized: int = 0, stop: bool = False):
    """Show progress in a terminal, which the user resizes, or presses Ctrl-C in."""
    pid, ours = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(1, (24, columns))
        words = [sys.executable, "-c", PROGRESS, *(["slow"] if stop or resized else [])]
        os.execv(sys.executable, words)
    screen = Screen(columns)
    with contextlib.suppress(OSError):  # how Linux says that all is read
        while some := os.read(ours, 4096).decode("utf-8", "replace"):
            screen.feed(some)
            if "Loaded" in some and stop:
                os.write(ours, b"\x03")
            if "Loaded" in some and resized:
                termios.tcsetwinsize(ours, (24, resized))
                screen.columns = resized  # which cuts off what is there
                screen.lines = [line[: resized - 1] for line in screen.lines]
    os.waitpid(pid, 0)
    os.close(ours)
    return screen


@pytest.mark.parametrize("columns", [120, 80, 40, 24])
def test_bars_are_as_wide_as_the_terminal_and_go(columns: int) -> None:
    screen = progress_in_a_terminal(columns)
    took = "stanpool: Loaded the fit that is saved in 'radon.fit'"
    if columns > len(took):
        assert screen.wrapped == 0
        lines = [line.rstrip() for line in screen.lines if line.strip()]
        assert lines == ["begins", took, "ends"]
    bars = [line for line in screen.shown if line.startswith("Sampl") and "%" in line]
    assert max(map(len, bars)) <= columns - 5
    assert any(" 25%" in bar for bar in bars) or columns < 40


def test_a_resized_terminal_has_bars_of_its_new_width() -> None:
    screen = progress_in_a_terminal(80, resized=40)
    bars = [
        line for line in screen.shown if line.startswith("Sampling") and "%" in line
    ]
    widths = [len(bar) for bar in bars]
    assert max(widths) == 75
    assert 0 < max(widths[-4:]) <= 35
    assert screen.lines[-2].rstrip() == "ends"


def test_an_interrupt_leaves_a_clean_terminal() -> None:
    screen = progress_in_a_terminal(80, stop=True)
    lines = [line.rstrip() for line in screen.lines if line.strip()]
    assert any("^C" in line for line in screen.shown)
    assert lines[-1] == "interrupted"
    assert not any("Sampling" in line or "^C" in line for line in lines)
