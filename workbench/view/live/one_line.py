"""A run that is told in one line: the screen of a worker for views that show no curves."""

from __future__ import annotations

import time
from collections.abc import Callable

from workbench.train.events import Event, Sample
from workbench.view.html import elements
from workbench.view.live.run_state import RunState
from workbench.view.live.screen_protocol import Driver

EVERY = 0.2  # seconds between two updates of the line


class OneLine:
    """Calls `tell` with where the run stands, and `over` with the worker when it has ended."""

    def __init__(self, tell: Callable[[str], None], over: Callable[[Driver], None]) -> None:
        self._tell, self.ended = tell, over
        self._told = 0.0

    def loading(self, text: str, share: float) -> None:
        """Say what is being done before the first step."""
        self._tell(text)

    def opened(self, run_state: RunState, parent: RunState | None) -> None:
        """Nothing to show yet."""

    def event(self, run_state: RunState, event: Event) -> None:
        """Nothing to keep."""

    def sampled(self, run_state: RunState, samples: tuple[Sample, ...], own: bool) -> None:
        """Nobody asks."""

    def refused(self, error: Exception) -> None:
        """No command can fail."""

    def refresh(self, worker: Driver) -> None:
        """Say how far it is, a few times a second."""
        if (now := time.monotonic()) - self._told > EVERY:
            self._told = now
            for run_state in worker.run_states.values():
                self._tell(elements.describe(run_state))

    def settle(self, worker: Driver) -> None:
        """The end is told by `ended`."""
