"""The contender's side of a measurement: prepare, then work only when told to.

A contender is a process of its own, so that its peak memory is its own. It speaks JSON lines on
what were its standard input and output; whatever it prints by the way goes to standard error.

    coordinator                     contender
    {"do": "start", "setting": ..}  {"ready": {facts}}
    {"do": "steps", "count": 2}     {"seconds": 1.5}
    {"do": "peak"}                  {"peak": bytes}
    {"do": "quit"}                  (ends)

This module imports nothing that a contender might want to load after its own settings.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO


class Turns:
    """Makes steps wait for their turn, in whatever loop they are taken."""

    def __init__(self, orders: TextIO, answers: TextIO) -> None:
        self._orders, self._answers = orders, answers
        self._left, self._begin = 0, 0.0

    def setting(self) -> dict[str, Any]:
        """What the coordinator said at the start."""
        return self._next_order()["setting"]

    def ready(self, **facts: Any) -> None:
        """Say that all is prepared, with facts about it; returns when steps are wanted."""
        self._answer(ready=facts)
        self._wait()

    def step_done(self) -> None:
        """Call after each step. Reports once the wanted steps are done, then waits for more.

        Raises SystemExit when no more are wanted, which ends any loop.
        """
        self._left -= 1
        if self._left == 0:
            if gpu := gpu_in_use():
                gpu.synchronize()  # what was started is not done before
            self._answer(seconds=time.perf_counter() - self._begin)
            self._wait()

    def _wait(self) -> None:
        while True:
            order = self._next_order()
            match order["do"]:
                case "steps":
                    self._left, self._begin = order["count"], time.perf_counter()
                    return
                case "peak":
                    self._answer(peak=peak_memory_bytes())
                case _:
                    raise SystemExit(0)

    def _next_order(self) -> dict[str, Any]:
        line = self._orders.readline()  # blocks, so a contender that waits costs nothing
        return json.loads(line) if line else {"do": "quit"}  # no line: the coordinator has gone

    def _answer(self, **content: Any) -> None:
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()


def serve(work: Callable[[dict[str, Any], Turns], None]) -> None:
    """Run `work(setting, turns)` with the standard streams kept for the coordinator."""
    orders = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # stray prints, those of C libraries too, go to standard error
    turns = Turns(orders, answers)
    work(turns.setting(), turns)


def gpu_in_use() -> Any:
    """`torch.cuda` where this process computes on a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def peak_memory_bytes() -> int:
    """The most memory that this process ever held, on the GPU where it uses one.

    Linux counts what a process held before it became this program into `ru_maxrss`, so a large
    parent would show; its VmHWM starts anew.
    """
    if gpu := gpu_in_use():
        return gpu.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
