"""The events of a run given to a tracker, live or afterwards.

The record of the run is the truth: a tracker reads its events only, and one that fails is told in
one line and left out. A run that goes on is given to the tracker from its first event again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.evaluate import PREFIX
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.runs.trackers.adapters import ADAPTERS, Shown, Tracker
from workbench.train.config import TrainConfig
from workbench.train.events import ChangeEvent, EvalEvent, Event, SampleEvent, StepEvent

RENAMED = {"lr": "learning_rate"}  # as transformers' Trainer names it


def following(
    run: Run, tracker: str, tell: Callable[[str], object] = print, folder: Path | None = None
) -> Iterator[Event]:
    """The events of a run, each of them given to a tracker as well.

    Args:
        run: one that is recorded in a folder.
        tracker: tensorboard, wandb or trackio.
        tell: called with one line where the tracker fails; the run goes on without it.
        folder: where the tracker writes, by default within the run's folder.

    Raises:
        WorkbenchError: the tracker is unknown, or the run is not recorded.
    """
    _check(tracker)
    if run.folder is None:
        raise WorkbenchError("a run without a folder can't be tracked: give it one by out=")
    follower = _Follower(tracker, tell)
    follower.open(Shown(run.folder, flat_settings(run.config), folder), run.events)
    return follower.follow(run)


class _Follower:
    """A tracker until it fails, whatever it raises: no tracker may stop a run."""

    def __init__(self, name: str, tell: Callable[[str], object]) -> None:
        self._name, self._tell = name, tell
        self._tracker: Tracker | None = None

    def open(self, shown: Shown, events: Iterable[Event]) -> None:
        with self._telling():
            self._tracker = ADAPTERS[self._name](shown)
            for event in events:
                log_event(self._tracker, event)

    def follow(self, run: Run) -> Iterator[Event]:
        try:
            for event in run:
                if self._tracker:
                    with self._telling():
                        log_event(self._tracker, event)
                yield event
        finally:
            if self._tracker:
                with self._telling():
                    self._tracker.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._tracker = None
            self._tell(f"{self._name} is left out, the run goes on: {_line(error)}")


def track(source: Path, tracker: str, folder: Path | None = None) -> int:
    """Give a recorded run to a tracker; the number of its events.

    Raises:
        WorkbenchError: no run there, the tracker is unknown, or it fails.
    """
    _check(tracker)
    record = Record(source)
    shown = Shown(source, flat_settings(record.config()), folder)
    events = record.events()
    try:
        opened = ADAPTERS[tracker](shown)
        for event in events:
            log_event(opened, event)
        opened.close()
    except WorkbenchError:
        raise
    except Exception as error:  # of a library that reports in kinds of its own
        raise WorkbenchError(f"{tracker} failed: {_line(error)}") from error
    return len(events)


def log_event(tracker: Tracker, event: Event) -> None:
    """Give one event to a tracker: numbers under TRL's names, samples and changes as tables."""
    if isinstance(event, StepEvent):
        tracker.log(
            {f"train/{RENAMED.get(name, name)}": value for name, value in event.metrics.items()}
            | {"train/epoch": event.epoch},
            event.step,
        )
    elif isinstance(event, EvalEvent):
        values = {f"eval/{n.removeprefix(PREFIX)}": value for n, value in event.metrics.items()}
        tracker.log(values, event.step)
    elif isinstance(event, SampleEvent):
        rows = [{"prompt": sample.prompt, **sample.texts} for sample in event.samples]
        if rows:
            tracker.table("samples", rows, event.step)
    elif isinstance(event, ChangeEvent):
        tracker.table("changes", [{"setting": event.name, "value": str(event.value)}], event.step)


def flat_settings(config: TrainConfig) -> dict[str, str | int | float | bool]:
    """The settings that are not left open, those of the world with `world/` in front."""
    values: dict[str, Any] = asdict(config)
    world = {f"world/{name}": value for name, value in values.pop("world").items()}
    return {
        name: value if isinstance(value, str | int | float) else str(value)
        for name, value in {**values, **world}.items()
        if value is not None
    }


def _check(tracker: str) -> None:
    if tracker not in ADAPTERS:
        raise WorkbenchError(f"tracker={tracker!r} is unknown; accepted: {', '.join(ADAPTERS)}")


def _line(error: Exception) -> str:
    """The first line of an error, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]
