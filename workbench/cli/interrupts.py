"""Ctrl-C and SIGTERM end what trains in good order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.cli.terminal import say

SAME_WISH = 1.0  # seconds; one Ctrl-C may come by two ways where processes train together


@contextmanager
def stop_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM calls `stop`, which ends it after a step; the second one breaks
    off at once."""
    if threading.current_thread() is not threading.main_thread():  # as under Ray Train
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard: list[float] = []

    def hear(*_: Any) -> None:
        if not heard:
            say("stopping after this step; once more to break off")
            stop()
            heard.append(time.monotonic())
        elif time.monotonic() - heard[0] > SAME_WISH:
            raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, hear)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
