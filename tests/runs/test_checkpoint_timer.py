"""Checkpoints by the clock: no more than the minutes that are set are lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.runs import run as module
from workbench.runs.checkpoint_timer import CheckpointTimer
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.events import CheckpointEvent, StepEvent


class Clock:
    """Ten seconds pass between one question and the next."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 10
        return self.now


@pytest.mark.parametrize(("minutes", "expected"), [(1, [6, 12, 18]), (0.1, [1, 2, 3]), (0, [])])
def test_one_is_due_before_the_next_step_could_end_too_late(
    minutes: float, expected: list[int]
) -> None:
    timer, due = CheckpointTimer(minutes, Clock()), []
    for step in range(1, 21):
        if timer.due():
            due.append(step)
            timer.restart()
    assert due[:3] == expected


def test_those_made_by_the_clock_go_when_they_are_not_needed(
    make_recorded: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CheckpointTimer", lambda minutes: CheckpointTimer(0.4, Clock()))
    run = make_recorded(checkpoint_every=5)
    for event in run:
        names = [path.name for path in Record(run.folder).checkpoints()]  # type: ignore[arg-type]
        if isinstance(event, StepEvent) and event.step == 8:
            assert names == ["step-000005", "step-000007"]
    told = [event.step for event in run.events if isinstance(event, CheckpointEvent)]
    assert told == [2, 4, 5, 7, 9, 10]
    assert names == ["step-000005", "step-000010"]


def test_a_run_killed_between_them_goes_on_from_the_newest(
    make_recorded: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CheckpointTimer", lambda minutes: CheckpointTimer(0.4, Clock()))
    run = make_recorded(checkpoint_every=0, max_steps=4)  # one epoch is longer
    for _ in run:
        if run.step == 4:
            break
    assert run.folder is not None
    resumed = Run.resume(run.folder)
    assert resumed.step == 2
    losses = [e.metrics["loss"] for e in run.events if isinstance(e, StepEvent)]
    list(resumed)
    assert [e.metrics["loss"] for e in resumed.events if isinstance(e, StepEvent)] == losses
