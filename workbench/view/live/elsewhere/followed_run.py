"""A run that another process trains, as its folder tells: what the views read of a `Run`."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from workbench.data.pairs import SkippedRow, TruncatedRow
from workbench.data.seals import read_sealed
from workbench.errors import WorkbenchError
from workbench.runs.doctor.run_readings import is_sound
from workbench.runs.folder.control_file import REPLIES, ask, check_asked, replies
from workbench.runs.folder.event_log import event_in
from workbench.runs.folder.line_tail import LineTail
from workbench.runs.folder.lock import writer_of
from workbench.runs.folder.record import Record
from workbench.runs.self_test.result import SelfTest
from workbench.train.config import TrainConfig
from workbench.train.events import ChangeEvent, EvalEvent, Event, StepEvent
from workbench.train.settings import LiveSettings

E = TypeVar("E", bound=Event)
QUIET = 3.0  # seconds without an event after which it is asked whether anybody writes the run


class News(NamedTuple):
    """The events since the last look.

    `anew`: those before are no longer in the file; `bad`: lines that hold no event.
    """

    events: list[Event]
    anew: bool = False
    bad: int = 0


class FollowedRun:
    """Reads what is new in a folder; `control` asks the process that trains there.

    Attributes:
        config: None until there is one.
        events: all so far.
        skipped, truncated, self_test: see `Run`.
    """

    shown = False  # whether a dashboard has it, or had it
    preflight_line, warned = "", ()
    policy = SimpleNamespace(generates=True)

    def __init__(self, folder: Path) -> None:
        self.folder, self.name, self.record = folder, folder.name, Record(folder)
        self.config: TrainConfig | None = None
        self.events: list[Event] = []
        self.skipped: list[SkippedRow] = []
        self.truncated: list[TruncatedRow] = []
        self.self_test: SelfTest | None = None
        self.control = FolderControl(folder)
        self._tail = LineTail(folder / "events.jsonl")
        self._asked_at = self._heard_at = -math.inf  # seconds: who writes it, the last event

    def read(self) -> News:
        """Take in what was written since the last call.

        Raises:
            WorkbenchError: the config or the events can't be read.
        """
        if not (self.folder / "config.toml").exists():
            return News([])
        before, bad = len(self.events), 0
        while (added := self._tail.added()).lines or added.anew:
            if added.anew:  # it goes on from a checkpoint
                self.events, self.config, before = [], None, 0
            found = list(map(_sound_event, added.lines))
            self.events += filter(None, found)
            bad += found.count(None)
        if self.config is None and self.events:
            self._open()
            return News(self.events, self.shown, bad)
        if len(self.events) > before:
            self._heard_at = time.monotonic()
        return News(self.events[before:], bad=bad)

    def _open(self) -> None:
        """Read what does not change while it goes on; what is not there is left out."""
        self.config = self.control.config = self.record.config().resolved()
        self.self_test = self.record.self_test()
        with suppress(WorkbenchError, OSError, ValueError, TypeError, KeyError):
            lines = (self.folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
            self.skipped = [SkippedRow(**json.loads(line)) for line in lines]
            rows = read_sealed(self.folder / "data.json")["truncated"]
            self.truncated = [TruncatedRow(**row) for row in rows]

    def writer(self) -> str | None:
        """Who writes it, "" for nobody; None where there is no need to ask now."""
        now = time.monotonic()
        if min(now - self._heard_at, now - self._asked_at) < QUIET:
            return None
        self._asked_at = now
        return writer_of(self.folder)

    @property
    def since(self) -> str:
        """The time of the last event, as a person writes it."""
        changed = datetime.fromtimestamp((self.folder / "events.jsonl").stat().st_mtime)
        day = "" if changed.date() == datetime.now().date() else f"{changed:%Y-%m-%d} "
        return f"{day}{changed:%H:%M:%S}"

    @property
    def settings(self) -> LiveSettings:
        """As they are after the last event."""
        assert self.config is not None
        settings = LiveSettings.start(self.config)
        changed = [event for event in self.events if isinstance(event, ChangeEvent)]
        settings.update({event.name: event.value for event in changed})
        return settings

    def last(self, kind: type[E]) -> E | None:
        """The last event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return self.events[-1].step if self.events else 0

    @property
    def total(self) -> int:
        """Optimiser steps of the whole run; 0 before the first."""
        step = self.last(StepEvent)
        return step.total if step else 0

    @property
    def reference_hash(self) -> str:
        """As the self-test found it; empty where it compares with none."""
        card = self.self_test.reference if self.self_test else None
        return card.hash if card else ""


def _sound_event(line: bytes) -> Event | None:
    """The event of a line, if its values are of their types."""
    event = event_in(line)
    if event is None or not is_sound(event):
        return None
    numbers = event.metrics.values() if isinstance(event, StepEvent | EvalEvent) else ()
    return event if all(isinstance(number, int | float) for number in numbers) else None


class FolderControl:
    """Takes the place of `Control`: wishes are kept until `send` writes them as one request."""

    def __init__(self, folder: Path) -> None:
        self.config: TrainConfig | None = None
        self._folder, self._tail = folder, LineTail(folder / REPLIES)
        self._wanted: dict[str, Any] = {}
        self._stop = False
        self._asked: dict[str, dict[str, Any]] = {}

    def set(self, **settings: Any) -> None:
        """Wish for live settings; raises WorkbenchError for what the run would refuse."""
        if self.config is not None:
            check_asked(self.config, settings)
        self._wanted |= settings

    def stop(self) -> None:
        """Wish that the run ends after the present step."""
        self._stop = True

    def send(self) -> None:
        """Ask for what was wished since the last call."""
        wanted, stop, self._wanted, self._stop = self._wanted, self._stop, {}, False
        if not (wanted or stop):
            return
        if not writer_of(self._folder):
            raise WorkbenchError(f"no process runs {self._folder}: nothing was asked for")
        self._asked[ask(self._folder, stop, **wanted)] = wanted

    def refused(self) -> list[tuple[str, dict[str, Any]]]:
        """Why the run refused something since the last call, and the settings that were asked."""
        found = []
        for reply in replies(self._tail):
            asked = self._asked.pop(reply["id"], None)
            if asked is not None and "refused" in reply:
                found.append((str(reply["refused"]), asked))
        return found
