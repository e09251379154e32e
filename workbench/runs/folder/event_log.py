"""`events.jsonl` of a run: one event per line, and what this process has written of it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.data.cache import atomic_write
from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import naming
from workbench.train.events import Event, event_from_dict, event_to_dict


class EventLog:
    """The file of the events; `written` is what it holds since `replace`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = bytearray()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written."""
        return hashlib.sha256(self.written).hexdigest()

    def append(self, event: Event) -> None:
        """Add one line, or none of it."""
        line = _line(event)
        try:
            with naming(self.path), self.path.open("ab") as file:
                file.write(line)
        except WorkbenchError:
            with suppress(OSError):
                os.truncate(self.path, len(self.written))
            raise
        self.written += line

    def replace(self, events: Iterable[Event]) -> None:
        """Write these events and no others."""
        self.written = bytearray(b"".join(map(_line, events)))
        with naming(self.path):
            atomic_write(self.path, lambda part: part.write_bytes(self.written))

    def begins(self, content: bytes) -> bool:
        """Whether the file begins with `content`, or isn't there."""
        with naming(self.path):
            return not self.path.exists() or self.path.read_bytes().startswith(content)

    def read(self, state: Mapping[str, Any] | None = None) -> list[Event]:
        """All events; a last line cut short by a kill is left out.

        A warning names a line that can't be read, or says that the events are not those that the
        `state` of a checkpoint knows.
        """
        if not self.path.exists():
            return []
        with naming(self.path):
            lines = self.path.read_bytes().split(b"\n")
        found, why = [], ""
        for number, line in enumerate(lines, 1):
            if event := event_in(line):
                found.append(event)
            elif number < len(lines):
                why = why or f"line {number} is no event"
        if why := why or _changed(lines, state):
            warnings.warn(f"{self.path} is not as it was written: {why}", stacklevel=2)
        return found


def event_in(line: bytes) -> Event | None:
    """The event of one line; None where it holds none."""
    try:
        return event_from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _changed(lines: Sequence[bytes], state: Mapping[str, Any] | None) -> str:
    """Why lines are not those that a checkpoint knows; empty where they are, or it knows none."""
    if state is None or "events_sha256" not in state:
        return ""
    known = b"".join(b"%b\n" % line for line in lines[: state["events"]])
    if hashlib.sha256(known).hexdigest() == state["events_sha256"]:
        return ""
    return f"the events up to step {state['step']} are not those of its checkpoint"


def _line(event: Event) -> bytes:
    return (json.dumps(event_to_dict(event), ensure_ascii=False) + "\n").encode()
