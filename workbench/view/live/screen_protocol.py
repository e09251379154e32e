"""The screen of a worker: what it calls to show something."""

from __future__ import annotations

from typing import Protocol

from workbench.train.events import Event, Sample
from workbench.view.live.run_state import RunState


class Driver(Protocol):
    """What drives the runs, as a screen sees it: see `Worker`."""

    run_states: dict[str, RunState]
    error: BaseException | None

    def close(self) -> None:
        """Drop the runs and end the thread."""


class Screen:
    """Shows what happens in a worker; this base class shows nothing.

    All methods are called on the worker's thread.
    """

    def loading(self, text: str, share: float) -> None:
        """The run is being made; `share` of that is done."""

    def waiting(self, text: str) -> None:
        """Nothing is trained yet: a process has not begun, or the first evaluation goes on."""

    def opened(self, run_state: RunState, parent: RunState | None) -> None:
        """A run was made, or branched off `parent`."""

    def event(self, run_state: RunState, event: Event) -> None:
        """An event of a run."""

    def sampled(self, run_state: RunState, samples: tuple[Sample, ...], own: bool) -> None:
        """The answer to a `sample` command; `own` if the user typed the prompt."""

    def refused(self, error: Exception) -> None:
        """A command failed; the runs go on."""

    def refresh(self, worker: Driver) -> None:
        """Called between steps: a chance to draw. The screen itself limits how often it does."""

    def settle(self, worker: Driver) -> None:
        """Nothing will change before the next command: show the very last state."""

    def ended(self, worker: Driver) -> None:
        """Every run has ended: show the outcome. Called once, whatever happened before."""
