"""Runs that others train, followed in their folders: real folders, no models."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.folder.control_file import CONTROL, ControlFile
from workbench.runs.folder.record import Record
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import (
    ChangeEvent,
    CheckpointEvent,
    EndEvent,
    EvalEvent,
    Sample,
    SampleEvent,
    StepEvent,
)
from workbench.view.live.dashboard import Dashboard, dashboard, follow
from workbench.view.live.elsewhere import follower as module
from workbench.view.live.elsewhere.follower import Follower

PATIENCE, TOTAL = 10, 6


class Elsewhere:
    """Writes the folder of a run as the process that trains it does."""

    def __init__(self, folder: Path, config: TrainConfig | None = None) -> None:
        self.config = (config or TrainConfig(beta=0.1)).resolved()
        self.record = Record.create(folder, self.config)
        self.begin()

    def begin(self) -> None:
        self.control, self.beta = Control(), 0.1
        self.requests = ControlFile(self.record.folder)

    def evaluate(self, step: int = 0) -> None:
        metrics = {"held_out/loss": 0.5, "held_out/rewards/accuracies": 0.75}
        self.record.append(EvalEvent(step, metrics))
        sample = Sample("a prompt", "before", f"<b>after {step}</b>", 0)
        self.record.append(SampleEvent(step, (sample,)))

    def step(self, *steps: int) -> None:
        for step in steps:
            self.requests.carry_out(self.control, step - 1)
            for name, value in self.control.take().items():
                self.beta = value if name == "beta" else self.beta
                self.record.append(ChangeEvent(step - 1, name, value))
            metrics = {"loss": 0.7 / step, "beta": self.beta, "lr": 1e-4, "pairs_per_second": 9.0}
            self.record.append(StepEvent(step, TOTAL, 0, metrics))

    def end(self, reason: str, step: int = TOTAL) -> None:
        self.record.append(EndEvent(step, reason))
        self.record.release()

    def resume(self, events: int) -> None:
        """As after a kill: with the first events, and one of the checkpoint."""
        self.record.hold()
        kept = self.record.events()[:events]
        self.record.reopen([*kept, CheckpointEvent(kept[-1].step, "step")])
        self.begin()


class Board:
    """A dashboard that follows, and the hand that moves its fields."""

    def __init__(self, board: Any) -> None:
        assert isinstance(board, Dashboard)
        self.board, self.inputs, self.out = board, board._inputs, board._outputs

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"{self.status} {self.out.problem.value}"
            time.sleep(0.01)

    @property
    def status(self) -> str:
        return self.out.status.value

    def shows(self, *texts: str) -> None:
        self.until(lambda: all(text in self.status for text in texts))

    def row(self, name: str) -> dict[str, Any]:
        rows = self.board._actions.table.rows
        return next(row for row in rows if row["name"] == name)

    def enabled(self) -> set[str]:
        return {name for name, button in self.inputs.buttons.items() if not button.disabled}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look often, and leave no thread behind."""
    monkeypatch.setattr(module, "POLL", 0.02)
    monkeypatch.setattr(module, "REST", 0.04)
    monkeypatch.setattr("workbench.view.live.elsewhere.followed_run.QUIET", 0.1)
    yield
    if Follower._newest is not None:
        Follower._newest.close()
    for thread in threading.enumerate():
        if thread.name == Follower.THREAD:
            thread.join(PATIENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "a"


def test_a_run_is_followed_from_before_it_began_to_its_end(folder: Path) -> None:
    board = Board(follow(folder))
    board.shows("no process runs it yet", 'data-state="waiting"')
    assert "wb-earlier" not in board.out.samples._dom_classes
    there = Elsewhere(folder, TrainConfig(beta=0.3))
    board.shows("process", "prepares it")
    there.evaluate()
    board.shows('data-state="running"', "step 0 of 0")
    assert board.inputs._values["beta"] == 0.3
    there.step(1, 2)
    board.shows("step 2 of 6", "loss 0.350")
    assert "GB" not in board.status
    there.evaluate(2)
    board.until(lambda: "after 2" in board.out.samples.value)
    assert "<b>after" not in board.out.samples.value
    assert board.enabled() == {"Stop"}
    assert "wb-elsewhere" in board.board.box._dom_classes  # there is nobody to be asked
    there.step(3, 4, 5, 6)
    there.end("finished")
    board.shows('data-state="finished"', "step 6 of 6")
    assert board.board.join(PATIENCE)
    board.until(lambda: board.row("a")["state"] == "finished")
    assert board.row("a")["accuracy"] == "0.75"
    assert "Start" in board.enabled()
    assert "wb-elsewhere" not in board.board.box._dom_classes
    board.until(lambda: board.board.worker.closed)  # type: ignore[union-attr]


def test_beta_is_moved_where_the_run_trains(folder: Path) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    there.step(1)
    board = Board(follow(folder))
    board.shows("step 1 of 6")
    board.inputs.parameters["beta"].value = 0.2
    board.inputs.parameters["beta"].value = 0.25
    board.shows("beta 0.1 → 0.25")
    board.until((folder / CONTROL).exists)
    there.step(2)
    board.shows("step 2 of 6", "beta 0.25 ·", 'data-beta="0.25"')
    assert ChangeEvent(1, "beta", 0.25) in there.record.events()
    board = Board(follow(folder))
    board.shows('data-beta="0.25"')
    board.until(lambda: board.inputs._values["beta"] == 0.25)
    board.inputs.buttons["Stop"].click()
    board.until(lambda: b'"stop"' in (folder / CONTROL).read_bytes())
    there.step(3)
    assert there.control.stopping


def test_what_the_run_refuses_is_told(folder: Path) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    there.control.stop()  # so it takes nothing more
    board = Board(follow(folder))
    board.shows('data-state="running"')
    board.board.worker.set(clip=0.2)  # type: ignore[union-attr]
    board.until(lambda: "clip is no setting of method preference" in board.out.problem.value)
    assert not (folder / CONTROL).exists()
    board.inputs.parameters["beta"].value = 0.2
    board.shows("beta 0.1 → 0.2")
    board.until((folder / CONTROL).exists)
    there.step(1)
    board.until(lambda: "the run ends after this step" in board.out.problem.value)
    board.until(lambda: "→" not in board.status)


def test_a_killed_run_is_told_and_followed_again_when_it_goes_on(folder: Path) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    there.step(1, 2, 3)
    board = Board(follow(folder))
    board.shows("step 3 of 6")
    board.inputs.parameters["beta"].value = 0.2
    board.shows("beta 0.1 → 0.2")
    board.until((folder / CONTROL).exists)
    there.record.release()  # as a killed process does
    board.shows('data-state="interrupted"', "no process writes it since ")
    board.until(lambda: "→" not in board.status)
    board.until(lambda: {"Start", "Generate"} <= board.enabled())
    board.until(lambda: board.row("a")["can"][:3] == ["show", "answers", "branch"])
    board.inputs.parameters["beta"].value = 0.7  # for another run: nobody is asked
    time.sleep(5 * module.POLL)
    assert board.out.problem.value == ""
    there.resume(3)  # the evaluation, its samples and the first step
    board.shows('data-state="running"', "step 1 of 6")
    assert "after 0" in board.out.samples.value
    there.step(2)
    board.shows("step 2 of 6")
    steps, _ = board.out.curves._history.runs["a"]["loss"].points()
    assert list(steps) == [1, 2]
    assert board.enabled() == {"Stop"}


def test_a_run_that_was_followed_is_asked_deleted_and_not_seen_again(
    folder: Path, fake_run: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "workbench.view.live.elsewhere.follow_actions.load_run"
    monkeypatch.setattr(made, lambda folder, progress: fake_run())
    there = Elsewhere(folder)
    there.evaluate()
    there.step(1)
    there.record.release()
    board = Board(follow(folder))
    board.until(lambda: "Generate" in board.enabled())
    before = board.board.worker
    board.inputs.buttons["Generate"].click()
    board.until(lambda: "a held-out prompt" in board.out.samples.value)
    assert isinstance(before, Follower)
    board.until(lambda: before.closed)
    board = Board(follow(folder))
    board.until(lambda: "delete" in board.row("a")["can"])
    board.board._actions.table.heard("delete", name="a")
    time.sleep(10 * module.POLL)
    assert board.board._actions.table.rows == []


def test_a_run_that_nobody_runs_is_not_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.view.live.elsewhere.followed_run.QUIET", 100)
    there = Elsewhere(folder)
    there.evaluate()
    board = Board(follow(folder))
    board.shows('data-state="running"')
    there.record.release()
    board.board.worker.set(beta=0.2)  # type: ignore[union-attr]
    board.until(lambda: f"no process runs {folder}" in board.out.problem.value)
    board.until(lambda: not board.board.worker.run_states["a"].wanted)  # type: ignore[union-attr]
    assert not (folder / CONTROL).exists()


def test_damaged_lines_and_a_bad_config_are_told_and_end_nothing(folder: Path) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    good = (folder / "config.toml").read_bytes()
    (folder / "config.toml").write_text("beta = 'x'")
    board = Board(follow(folder.parent / "other", folder))
    board.until(lambda: "is not a run" in board.out.problem.value)
    (folder / "config.toml").write_bytes(good)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'\x00\xff\n[1]\n{}\n{"event": "eval", "step": 0, "metrics": {"loss": "x"}}\n')
        file.write(b'{"event": "eval", "step": 0, "metrics": 3}\n')
        file.write(b'{"event": "sample", "step": 0, "samples": [{"prompt": 1}]}\n')
        file.write(b'{"event": "change", "step": 0, "name": [], "value": {}}\n')
    there.step(1)
    board.shows("step 1 of 6")
    assert "7 lines of" in board.out.problem.value


def test_several_runs_are_drawn_together_and_asked_apart(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    both = [Elsewhere(folder) for folder in folders]
    for there in both:
        there.evaluate()
        there.step(1)
    board = Board(follow(*folders))
    board.shows('data-run="a"', 'data-run="b"')
    assert board.inputs.runs.options == ("a", "b", "all")
    board.until(lambda: len(board.out.doctor.titles) == 2)
    board.inputs.runs.value = "a"
    board.inputs.parameters["beta"].value = 0.2
    board.until((folders[0] / CONTROL).exists)
    assert not (folders[1] / CONTROL).exists()
    with pytest.raises(WorkbenchError, match="one name"):
        follow(tmp_path / "a", tmp_path / "other" / "a")


def test_the_table_offers_to_follow_a_run_that_another_process_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    there.step(1)
    for place in ("runs_table.shelf", "elsewhere.follow_actions"):
        monkeypatch.setattr(f"workbench.view.live.{place}.written_elsewhere", lambda folder: True)
    monkeypatch.chdir(folder.parents[1])
    board = Board(dashboard())
    assert board.row("a")["state"] == "running elsewhere"
    assert board.row("a")["can"] == ["show", "follow"]
    board.board._actions.table.heard("follow", name="a")
    board.shows("step 1 of 6")
    board.board.worker.close()  # type: ignore[union-attr]
    again = Board(dashboard(run=folder))  # which follows it, as it goes on
    again.shows("step 1 of 6")


def test_colab_is_told_that_nothing_would_be_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", None)  # type: ignore[arg-type]
    with pytest.raises(WorkbenchError, match="Google Colab can't show a run while it goes on"):
        follow(folder)


@pytest.mark.parametrize("end", ["closed", "followed anew"])
def test_it_ends_with_its_widget_and_with_the_next_call(folder: Path, end: str) -> None:
    there = Elsewhere(folder)
    there.evaluate()
    board = Board(follow(folder))
    board.shows('data-state="running"')
    worker = board.board.worker
    board.board.box.close() if end == "closed" else follow(folder)
    board.until(lambda: worker is not None and worker.closed)
