"""A run's progress in one line: the screen of a worker for views that show no curves."""

from __future__ import annotations

from collections.abc import Callable

from workbench.view.html.elements import describe
from workbench.view.live.screen_protocol import Driver, Screen
from workbench.view.throttle import Throttle

RATE = 5  # updates of the line per second, at most


class OneLine(Screen):
    """Calls `tell` with a line about the run, and `ended` with the worker when it has ended."""

    def __init__(self, tell: Callable[[str], None], ended: Callable[[Driver], None]) -> None:
        self._tell, self._ended, self._throttle = tell, ended, Throttle(RATE)
        self._over = False

    def loading(self, text: str, share: float) -> None:
        """What is being done before the first step."""
        self._tell(text)

    def waiting(self, text: str) -> None:
        """What is waited for."""
        self._tell(text)

    def refresh(self, worker: Driver) -> None:
        """How far the run is, a few times per second."""
        if self._throttle.due() and not self._over:
            with self._throttle.measure():
                for run_state in worker.run_states.values():
                    self._tell(describe(run_state))

    def ended(self, worker: Driver) -> None:
        """Leave the last line to the view; later commands of the thread do not change it."""
        self._over = True
        self._ended(worker)
