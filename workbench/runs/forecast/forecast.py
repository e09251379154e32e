"""`forecast`: the seconds and the memory of a run, from a short one of the same kind.

Every part is measured: preparing, the reference's pass, steps, evaluations, checkpoints. Steps are
extrapolated by a fixed time for each and one for each token, the passes over rows by tokens.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from workbench.errors import WorkbenchError
from workbench.runs.forecast.short_run import Timed, timed_run
from workbench.train.config import TrainConfig
from workbench.train.reference.values import VALUES_FOLDER


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    Attributes:
        steps: optimiser steps.
        seconds: of all steps, as `seconds` in summary.json.
        wall_seconds: from the loading of the model to the end, evaluations included, where the
            reference has not scored these rows before.
        peak_memory_bytes: the most held, as in summary.json.
    """

    steps: int
    seconds: float
    wall_seconds: float
    peak_memory_bytes: int

    @property
    def line(self) -> str:
        """In a few words.

        >>> Forecast(30, 45.0, 150.0, 3_400_000_000).line
        'forecast: 30 steps in 45 seconds, 2.5 minutes with all else; 3.4 GB at most'
        """
        return (
            f"forecast: {self.steps:,} steps in {_time(self.seconds)}, "
            f"{_time(self.wall_seconds)} with all else; "
            f"{self.peak_memory_bytes / 1e9:.1f} GB at most"
        )


def _time(seconds: float) -> str:
    return f"{seconds:.2g} seconds" if seconds < 59.5 else f"{seconds / 60:.1f} minutes"


def forecast(config: TrainConfig) -> Forecast:
    """What the run of `config` on a file would take on this machine.

    A short run is made in a process of its own, so that its memory is that of a run alone.

    Raises:
        WorkbenchError: the run could not be started, or its rows are no file's.
    """
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    with TemporaryDirectory(prefix="dpo-forecast-") as folder:
        process = spawn.Process(target=_answer, args=(theirs, config, Path(folder)))
        with _without_interrupts():
            process.start()
        theirs.close()
        try:
            timed = ours.recv()
        except EOFError:
            raise WorkbenchError("the short run was ended from outside: out of memory?") from None
        finally:
            process.terminate()
            process.join()
    if isinstance(timed, Exception):
        raise timed
    return extrapolated(timed, config)


def _answer(pipe: Connection, config: TrainConfig, folder: Path) -> None:
    """In the process of the short run: send what it took, or what went wrong.

    The reference's values are kept in its folder: a second forecast has to compute them as well.
    """
    os.environ[VALUES_FOLDER] = str(folder)
    try:
        pipe.send(timed_run(config, folder))
    except Exception as error:
        pipe.send(error)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """A process that is started here ignores Ctrl-C, which reaches it too: this one ends it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def extrapolated(timed: Timed, config: TrainConfig) -> Forecast:
    """From a short run to the whole one."""
    short, whole, config = timed.short, timed.whole, config.resolved()
    steps, epochs = whole.steps, whole.steps / whole.per_epoch
    seconds = steps_take(timed.steps, timed.step_tokens, steps, whole.train * epochs)
    held_out = timed.held_out * whole.held_out / max(short.held_out, 1)
    every, between = config.eval_every or 0, config.checkpoint_every or whole.per_epoch
    later = 1 + ((steps - 1) // every if every else 0)
    scored = (whole.train + whole.held_out) / (short.train + short.held_out)
    wall = (
        timed.prepared + timed.scored * scored + timed.first + timed.later * later
        + held_out * (1 + later) + seconds
    )  # fmt: skip
    by_time = int(wall / (60 * config.checkpoint_minutes)) if config.checkpoint_minutes else 0
    on_the_way = max((steps - 1) // between, by_time)
    # A checkpoint on the way holds the two moments of AdamW as well.
    wall += timed.checkpoint * (1 + (1 if config.lora else 3) * on_the_way)
    return Forecast(steps, seconds, wall, timed.peak_memory_bytes)


def steps_take(
    seconds: tuple[float, ...], tokens: tuple[int, ...], steps: int, all_tokens: float
) -> float:
    """Seconds of `steps` steps over `all_tokens` tokens, by those of a few.

    The first one is slower, for what it does once; that is added once. A line that noise has tilted
    below 0 is replaced by seconds in proportion to tokens.

    >>> round(steps_take((1.5, 0.2, 0.3, 0.4), (100, 100, 200, 300), 10, 2000), 6)
    4.3
    """
    if len(seconds) < 2:
        return sum(seconds) * all_tokens / sum(tokens)
    x, y = np.array(tokens[1:], float), np.array(seconds[1:])
    each, per_token = 0.0, float(y.sum() / x.sum())
    if len(set(tokens[1:])) > 1:
        slope, offset = np.polyfit(x, y, 1)
        if slope >= 0 and offset >= 0:
            each, per_token = float(offset), float(slope)
    once = max(0.0, seconds[0] - each - per_token * tokens[0])
    return once + each * steps + per_token * all_tokens
