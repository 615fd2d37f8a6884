"""What is said while work goes on: to a log, to a terminal, to nobody."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest

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
    assert "Compiling  33%|" in text
    assert "Sampling 100%|" in text
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
