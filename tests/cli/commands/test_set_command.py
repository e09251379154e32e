"""The command `set`: what it asks a run for, what it says, and the exit codes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.__main__ import main
from workbench.runs.folder.control_file import CONTROL
from workbench.runs.run import Run
from workbench.train.events import ChangeEvent, EndEvent


@pytest.fixture
def run(make_recorded: Callable[..., Run]) -> Run:
    """A run that waits before its second step."""
    run = make_recorded()
    while run.step < 1:
        next(run)
    return run


def told(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    return " ".join((out + err).split())


def test_it_tells_after_which_step_the_run_took_it(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.folder is not None
    asked, control = threading.Event(), run.folder / CONTROL

    def go_on() -> None:
        while not (control.exists() and control.read_bytes().endswith(b"\n")):
            asked.wait(0.01)
        list(run)

    thread = threading.Thread(target=go_on)
    thread.start()
    flags = ["--beta", "0.2", "--lr", "1e-4", "--stop"]
    assert main(["set", str(run.folder), *flags]) == 0
    thread.join()
    assert told(capsys) == "lr 0.0001, beta 0.2, stop: taken after step 1"
    assert run.events[-1] == EndEvent(1, "stopped")


def test_what_is_not_taken_yet_is_asked_nevertheless(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["set", str(run.folder), "--beta", "0.2", "--loss", "ipo", "--wait", "0"]) == 1
    assert "for loss ipo, beta 0.2; no reply yet: it comes between two steps" in told(capsys)
    while run.step < 2:
        next(run)
    assert ChangeEvent(1, "beta", 0.2) in run.events


def test_a_run_that_ends_before_it_took_it_is_told(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.record is not None
    monkeypatch.setattr("workbench.cli.commands.set_command.SELDOM", 0.01)
    monkeypatch.setattr("workbench.cli.commands.set_command.ask", lambda *_, **__: end())

    def end() -> str:
        run.record.release()  # type: ignore[union-attr]
        return "a request that nobody reads"

    assert main(["set", str(run.folder), "--stop"]) == 2
    assert told(capsys) == f"error: the run in {run.folder} ended before it took this"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--beta", "-1"], "beta=-1.0 is not accepted: a finite number above 0 is needed"),
        (["--clip", "0.2"], "clip is no setting of method preference"),
        (["--loss", "kto"], "loss='kto' trains by method kto, this run by preference"),
        (["--lr", "5"], "lr=5.0 is not accepted: 1e-07 to 0.1"),
        (["--wait", "nan", "--stop"], "wait=nan is not accepted"),
        ([], "nothing is asked for: give --stop, or a setting such as --beta"),
    ],
)
def test_nothing_is_asked_that_a_run_would_refuse(
    run: Run, flags: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.folder is not None
    assert main(["set", str(run.folder), *flags]) == 2
    assert why in told(capsys)
    assert not (run.folder / CONTROL).exists()


def test_nobody_is_asked_where_nobody_runs_it(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.folder is not None
    assert run.record is not None
    run.record.release()  # as when its process is killed
    assert main(["set", str(run.folder), "--stop"]) == 2
    assert told(capsys) == f"error: no process runs {run.folder}: nothing was asked for"
    assert not (run.folder / CONTROL).exists()
    assert main(["set", str(tmp_path / "none"), "--stop"]) == 2
    assert "holds no run" in told(capsys)
