"""How often something that takes time may be repeated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Throttle:
    """Allows `rate` repetitions per second at most, which take `share` of all time at most.

    A repetition that took long is followed by a longer wait, so that drawing slows training down by
    no more than its share. `burst` seconds may be spent ahead, for the first frame takes longest.

        if throttle.due():
            with throttle.measure():
                draw()
    """

    def __init__(
        self,
        rate: float,
        share: float = 1.0,
        burst: float = 0.1,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._interval, self._share, self._burst = 1 / rate, share, burst
        self._clock = clock or time.perf_counter  # seconds; never goes back
        self._next = self._paid = -math.inf

    def due(self) -> bool:
        """Whether it may be repeated now."""
        return self._clock() >= self._next

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Count what is done within as one repetition."""
        begin = self._clock()
        try:
            yield
        finally:
            self._paid = max(self._paid, begin - self._burst / self._share)
            self._paid += (self._clock() - begin) / self._share
            self._next = max(begin + self._interval, self._paid)
