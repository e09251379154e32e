"""When a checkpoint is due by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class CheckpointTimer:
    """Says after each step whether the next one could end more than `minutes` after the last
    checkpoint; never with 0 minutes.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = 60 * minutes, clock
        self._kept = self._before = clock()

    def restart(self) -> None:
        """A checkpoint was made, or the run goes on now."""
        self._kept = self._before = self._clock()

    def due(self) -> bool:
        """Asked after each step: whether a checkpoint is to be made now."""
        now = self._clock()
        last, self._before = now - self._before, now
        return 0 < self._seconds < now + last - self._kept
