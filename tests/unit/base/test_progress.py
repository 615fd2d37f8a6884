"""What is said while work goes on: to a log, to a terminal, to nobody."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from stanpool.base import bars, progress
from stanpool.base.progress import counting, stages, tell, tell_detail, verbose_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(*, shown: bool) -> None:
    with stages(3, shown=shown) as display:
        display.start("Fetching")
        display.start("Compiling", steps=2)
        tell_detail("Compiled in 3 s")
    with counting("Sampling", 10, shown=shown) as show:
        show(4)
        show(10)
    tell("Took it", shown=shown)


def test_a_log_gets_a_line_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    work(shown=True)
    lines = ["Fetching", "Compiling", "Sampling", "Took it"]
    assert capsys.readouterr().err.splitlines() == [f"stanpool: {x}" for x in lines]


def test_a_log_gets_the_time_that_is_left_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with counting("Fitting", 2000, shown=True) as show:
        for done in range(1, 2001):  # a fit a second
            now[0] = float(done)
            show(done)
    first, second, *_, last = capsys.readouterr().err.splitlines()[1:]
    assert first == "stanpool: Fitting: 30 of 2,000 (1 %), about 0:32:50 left"
    assert second == "stanpool: Fitting: 60 of 2,000 (3 %), about 0:32:20 left"
    assert last.endswith("left")
    with counting("Fitting", 2000, shown=False) as show:
        now[0] = 1e6
        show(3)
    assert capsys.readouterr().err == ""


def test_details_are_shown_where_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with verbose_logging():
        work(shown=True)
        assert "stanpool: Compiled in 3 s\n" in capsys.readouterr().err
        with verbose_logging(None):
            work(shown=True)
            assert "3 s" in capsys.readouterr().err
        with verbose_logging(False):
            work(shown=True)
            assert "3 s" not in capsys.readouterr().err
    work(shown=True)
    assert "3 s" not in capsys.readouterr().err


def test_a_terminal_gets_bars_that_go_and_lines_that_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    work(shown=True)
    text = terminal.getvalue()
    assert "Compiling:  33%|" in text
    assert "Sampling: 100%|" in text
    assert "stanpool: Sampling" not in text
    assert text.endswith("\rstanpool: Took it\n")


def test_silence_is_logged_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.DEBUG, logger="stanpool"):
        work(shown=False)
    assert terminal.getvalue() == ""
    said = [(each.levelname, each.message) for each in caplog.records]
    assert ("INFO", "Sampling") in said
    assert ("DEBUG", "Compiled in 3 s") in said
    assert {each.name for each in caplog.records} == {"stanpool.base.progress"}


class Kernel:
    """What a notebook shows: the elements of its output, as they are at the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: list[list[str]] = []
        self.now = 0.0
        python, display = ModuleType("IPython"), ModuleType("IPython.display")
        python.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore
        display.display = self._display  # type: ignore
        monkeypatch.setitem(sys.modules, "IPython", python)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        monkeypatch.setattr(bars.time, "monotonic", lambda: self.now)

    def _display(self, what: Any, *, display_id: bool) -> Any:
        assert display_id
        self.outputs.append([what._repr_html_()])
        update = self.outputs[-1].append
        return SimpleNamespace(update=lambda what: update(what._repr_html_()))


def test_a_notebook_has_an_element_for_each_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Kernel(monkeypatch)
    with counting("Sampling <b>4</b> chains", 100, shown=True) as show:
        for done in range(0, 101, 10):
            kernel.now += 0.07  # every other one is shown
            show(done)
    with stages(3, shown=True) as display:
        display.start("Fetching")
        kernel.now += 1.5
        display.start("Compiling", steps=2)
        kernel.now += 61
        display.tick(1)
    tell("Took it")
    sampled, compiled = kernel.outputs
    title = "Sampling &lt;b&gt;4&lt;/b&gt; chains"
    bar = '<progress value="30" max="100"></progress>'
    assert f"<div>{bar} {title}: 30% [00:00&lt;00:00]</div>" in sampled
    assert len(sampled) == 7
    assert sampled[-1] == f"<div>{title}: 0.8 s</div>"
    assert [each.split("> ")[-1] for each in compiled] == [
        "Fetching [00:00]</div>",
        "Compiling: 33% [00:01&lt;00:03]</div>",
        "Compiling: 66% [01:02&lt;00:31]</div>",
        "<div>Compiling: 62.5 s</div>",
    ]
    assert capsys.readouterr().err == "stanpool: Took it\n"


def test_a_single_step_of_a_notebook_shows_that_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch)

    def compile_until_interrupted() -> None:
        with stages(1, shown=True) as display:
            display.start("Compiling")
            kernel.now += 75
            display.tick()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile_until_interrupted()
    running, stopped = kernel.outputs[0][-2:]
    assert running == '<div><progress max="1"></progress> Compiling [01:15]</div>'
    assert stopped == "<div>Compiling: 75.0 s</div>"


def test_ipython_in_a_terminal_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = ModuleType("IPython")
    python.get_ipython = object  # type: ignore
    monkeypatch.setitem(sys.modules, "IPython", python)
    work(shown=True)
    assert "stanpool: Sampling" in capsys.readouterr().err


class Gone(io.StringIO):
    """A terminal that was closed, as at the end of an ssh session."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream", [None, closed(), Gone()], ids=["none", "closed", "gone"]
)
def test_work_goes_on_where_nobody_can_listen(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with verbose_logging():
        work(shown=True)
        work(shown=False)


def test_the_library_installs_no_handler_that_writes() -> None:
    code = (
        "import logging, stanpool.base.progress; "
        "print(logging.getLogger('stanpool').handlers, logging.root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[<NullHandler (NOTSET)>] []"
