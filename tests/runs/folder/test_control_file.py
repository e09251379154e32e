"""What others ask of a run that goes on, through a file in its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.runs.folder.control_file import (
    CHUNK,
    CONTROL,
    MOST,
    REPLIES,
    ControlFile,
    ask,
    replies,
)
from workbench.runs.folder.line_tail import LineTail
from workbench.runs.run import Run
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, EndEvent, Event, StepEvent


def changes(events: list[Event]) -> list[tuple[int, str, object]]:
    return [(one.step, one.name, one.value) for one in events if isinstance(one, ChangeEvent)]


def to_step(run: Run, step: int) -> None:
    while run.step < step:
        next(run)


def replied(folder: Path) -> list[dict[str, object]]:
    return replies(LineTail(folder / REPLIES))


# -- a real run -----------------------------------------------------------------------------------


def test_a_run_takes_what_is_asked_between_two_steps(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded()
    assert run.folder is not None
    to_step(run, 2)
    good, bad = ask(run.folder, beta=0.2, lr=1e-4), ask(run.folder, beta=-1)
    to_step(run, 3)
    assert changes(run.events) == [(2, "beta", 0.2), (2, "lr", 1e-4)]
    assert changes(run.record.events()) == changes(run.events)  # type: ignore[union-attr]
    fast = ask(run.folder, lr=5)
    stop = ask(run.folder, stop=True)
    *_, end = run
    assert end == EndEvent(3, "stopped")
    why = "beta=-1 is not accepted: a finite number above 0 is needed"
    as_at_the_start = "lr=5 is not accepted: 1e-07 to 0.1"
    assert replied(run.folder) == [
        {"id": good, "step": 2, "taken": True},
        {"id": bad, "step": 2, "refused": why},
        {"id": fast, "step": 3, "refused": as_at_the_start},
        {"id": stop, "step": 3, "taken": True},
    ]


def test_nothing_is_done_twice_by_a_run_that_goes_on(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded(checkpoint_every=2)
    assert run.folder is not None
    to_step(run, 1)
    ask(run.folder, beta=0.2)
    to_step(run, 3)
    ask(run.folder, beta=0.3)  # after the last checkpoint: it is lost with the steps after it
    to_step(run, 4)
    ask(run.folder, stop=True)  # never read
    again = Run.resume(run.folder)
    assert not (run.folder / CONTROL).exists()
    *_, end = again
    assert end == EndEvent(again.total, "finished")
    assert changes(again.events) == [(1, "beta", 0.2)]


def test_after_the_last_step_nothing_is_taken(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded()
    assert run.folder is not None
    to_step(run, run.total)
    ask(run.folder, beta=0.2)
    *_, end = run
    assert end == EndEvent(run.total, "finished")
    assert replied(run.folder) == []


def test_a_branch_is_asked_in_its_own_folder(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded()
    to_step(run, 1)
    branch = run.branch("branch")
    assert branch.folder is not None
    ask(branch.folder, beta=0.2)
    to_step(run, 2), to_step(branch, 2)
    assert (changes(run.events), changes(branch.events)) == ([], [(1, "beta", 0.2)])


# -- the file alone -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\x80\xff\x00 not text", "no request can be read in"),
        (b'{"set": {"beta": 0.2}', "no request can be read in"),
        (b"[" * 50_000, "no request can be read in"),
        (b"9" * 5_000, "no request can be read in"),
        (b"[]", 'a request has "set"'),
        (b'{"id": "x"}', 'a request has "set"'),
        (b'{"stop": false}', 'a request has "set"'),
        (b'{"stop": "yes", "set": {"beta": 0.3}}', 'a request has "set"'),
        (b'{"set": 3}', '"set" holds settings'),
        (b'{"set": {"beta": [1]}}', "beta=[1] is not accepted"),
        (b'{"set": {"beta": null}}', "beta=None is not accepted"),
        (b'{"set": {"beta": NaN}}', "beta=nan is not accepted"),
        (b'{"set": {"beta": 1%s}}' % (b"0" * 400), "beta=1000"),
        (b'{"set": {"model": "x"}}', "model can't be changed during a run"),
        (b'{"set": {"self": 1}}', "no request can be read in"),
        (b'{"set": {"loss": "ipo", "beta": -1}}', "beta=-1 is not accepted"),
    ],
)
def test_a_bad_line_is_told_and_the_next_one_carried_out(
    tmp_path: Path, line: bytes, why: str
) -> None:
    (tmp_path / CONTROL).write_bytes(line + b'\n\n{"set": {"beta": 0.2}}\n')
    ControlFile(tmp_path).carry_out(control := Control(), 7)
    assert control.take() == {"beta": 0.2}
    first, second = replied(tmp_path)
    assert str(first["refused"]).startswith(why)
    assert len(str(first["refused"])) <= 300
    assert second == {"id": "", "step": 7, "taken": True}


def test_a_huge_file_takes_a_bounded_time_between_two_steps(tmp_path: Path) -> None:
    with (tmp_path / CONTROL).open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of zeros, on no disk
    end, control = ControlFile(tmp_path), Control()
    end.carry_out(control, 1)
    end.carry_out(control, 2)
    ask(tmp_path, beta=0.2)
    end.carry_out(control, 3)
    assert control.take() == {"beta": 0.2}
    first, last = replied(tmp_path)
    assert str(first["refused"]).endswith(f"has a line of {CHUNK:,} bytes or more")
    assert last["taken"] is True


def test_requests_without_number_are_left_out_with_a_word(tmp_path: Path) -> None:
    (tmp_path / CONTROL).write_bytes(b'{"set":{"beta":1}}\n' * (MOST + 3))
    ControlFile(tmp_path).carry_out(Control(), 1)
    assert replied(tmp_path)[MOST:] == [
        {"id": "", "step": 1, "refused": "3 requests too many between two steps"}
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "lost link"])
def test_what_is_no_file_ends_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / CONTROL
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "lost link": lambda: path.symlink_to(tmp_path / "nowhere"),
    }[kind]()
    end = ControlFile(tmp_path)
    for step in range(3):
        end.carry_out(Control(), step)
    told = [reply["refused"] for reply in replied(tmp_path)]
    assert told == ([] if kind == "lost link" else [f"{path} is no file"])


def test_a_file_written_anew_is_read_and_known_requests_are_not_done_again(tmp_path: Path) -> None:
    end, control = ControlFile(tmp_path), Control()
    ask(tmp_path, beta=0.2)
    end.carry_out(control, 1)
    known = (tmp_path / CONTROL).read_bytes()
    control.take()
    (tmp_path / CONTROL).write_bytes(b'{"set": {"lr": 0.001}}\n' + known)
    end.carry_out(control, 2)
    assert control.take() == {"lr": 0.001}
    (tmp_path / CONTROL).unlink()
    end.carry_out(control, 3)
    (tmp_path / CONTROL).write_bytes(b'{"set": {"lr": 0.002}}\n')
    end.carry_out(control, 4)
    assert control.take() == {"lr": 0.002}


def test_a_line_cut_by_a_kill_waits_and_spoils_no_other(tmp_path: Path) -> None:
    end, control = ControlFile(tmp_path), Control()
    (tmp_path / CONTROL).write_bytes(b'{"id": "cut", "set": {"be')
    end.carry_out(control, 1)
    assert replied(tmp_path) == []
    ask(tmp_path, beta=0.2)
    end.carry_out(control, 2)
    assert control.take() == {"beta": 0.2}
    assert [reply.get("taken", False) for reply in replied(tmp_path)] == [False, True]


def test_replies_that_cannot_be_written_end_nothing(tmp_path: Path) -> None:
    (tmp_path / REPLIES).mkdir()
    ask(tmp_path, beta=0.2)
    ControlFile(tmp_path).carry_out(control := Control(), 1)
    assert control.take() == {"beta": 0.2}


WRITE = """
import sys
from pathlib import Path
from workbench.runs.folder.control_file import ask
for number in range(50):
    ask(Path(sys.argv[1]), **{sys.argv[2]: number + 1.0})
"""


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), name])
        for name in ("beta", "lr")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    asked = [json.loads(line)["set"] for line in (tmp_path / CONTROL).read_text().splitlines()]
    for name in ("beta", "lr"):
        assert [one[name] for one in asked if name in one] == [n + 1.0 for n in range(50)]


def test_no_step_event_is_needed_to_stop(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded()
    assert run.folder is not None
    next(run)  # the evaluation before the first step
    ask(run.folder, stop=True)
    assert not any(isinstance(event, StepEvent) for event in run)
