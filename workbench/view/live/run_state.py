"""The state of one run of a worker: step, speed, settings, and the commands not yet done."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.train.events import ChangeEvent, EndEvent, Event, StepEvent


@dataclass
class RunState:
    """One run of a worker and its state.

    Attributes:
        settings: learning rate, loss and the loss's parameters at the last step.
        wanted: those that were set since then, from the next step on.
        metrics: of the last step.
        steps_due: to be taken although it is paused.
        ended: "finished", "stopped" or "failed"; empty before.
        elsewhere: whether another process trains it; `note` is what is known of that one.
    """

    run: Run
    settings: dict[str, float | str]
    step: int = 0
    total: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    wanted: dict[str, float | str] = field(default_factory=dict)
    paused: bool = False
    steps_due: int = 0
    ended: str = ""
    elsewhere: bool = False
    note: str = ""
    _timed_steps: int = 0
    _timed_seconds: float = 0.0
    _step_at: float | None = None

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def active(self) -> bool:
        """Whether a step is to be taken now."""
        return not self.ended and (not self.paused or self.steps_due > 0)

    @property
    def state(self) -> str:
        """The state in one word: running, paused, finished, stopped or failed."""
        return self.ended or ("running" if self.active else "paused")

    @property
    def seconds_left(self) -> float | None:
        """At the speed so far, without pauses; None before the second step."""
        if not self._timed_steps:
            return None
        return (self.total - self.step) * self._timed_seconds / self._timed_steps

    @property
    def seconds(self) -> float:
        """Of training so far, as long as it was watched; without pauses."""
        return self._timed_seconds

    @classmethod
    def of(cls, run: Run, ended: str = "") -> RunState:
        """The state of a run that has not taken a step yet, or `ended` on an earlier day."""
        return cls(run, dict(run.settings), run.step, run.total, ended=ended)

    def branch(self, name: str) -> RunState:
        """A copy of the run as it is now, with the settings that are still to come into force."""
        if self.ended:
            raise WorkbenchError(f"{self.name} has ended: there is nothing left to branch off")
        run = self.run.branch(name)
        if run.folder is not None:
            run.name = run.folder.name
        run.control.set(**self.wanted)
        return replace(
            self, run=run, settings=dict(self.settings), wanted=dict(self.wanted), steps_due=0
        )

    def set(self, settings: dict[str, float | str]) -> None:
        """Change live settings from the next step on."""
        self.run.control.set(**settings)
        self.wanted |= settings

    def pause(self, paused: bool = True) -> None:
        """Hold it, or let it go on."""
        self.paused, self.steps_due, self._step_at = paused, 0, None

    def take_one_step(self) -> None:
        """Take one step, then hold."""
        self.paused = True
        self.steps_due += 1

    def stop(self) -> None:
        """End after the present step."""
        self.run.control.stop()
        self.pause(False)

    def take_in(self, event: Event) -> None:
        """Update the state from an event of the run."""
        if isinstance(event, StepEvent):
            self.step, self.total, self.metrics = event.step, event.total, event.metrics
            self.steps_due = max(0, self.steps_due - 1)
            self._take_time()
        elif isinstance(event, ChangeEvent):
            self.settings[event.name] = event.value
            self.wanted.pop(event.name, None)
        elif isinstance(event, EndEvent):
            self.ended = event.reason

    def _take_time(self) -> None:
        now = time.perf_counter()
        if self._step_at is not None:
            self._timed_steps += 1
            self._timed_seconds += now - self._step_at
        self._step_at = None if self.paused else now


def branch_names() -> Iterator[str]:
    """branch 1, branch 2, ..."""
    return (f"branch {number}" for number in itertools.count(1))
