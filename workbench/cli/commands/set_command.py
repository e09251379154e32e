"""The command `set`: ask a run that goes on elsewhere for other settings, or to stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from workbench.cli.set_settings import SetCommand
from workbench.cli.terminal import say
from workbench.errors import WorkbenchError
from workbench.runs.folder.control_file import REPLIES, ask, check_asked, replies
from workbench.runs.folder.line_tail import LineTail
from workbench.runs.folder.lock import writer_of
from workbench.runs.folder.record import Record

OFTEN, SELDOM = 0.05, 1.0  # seconds between two looks for the reply, and for the process


def set_live(command: SetCommand) -> int:
    """Ask, wait for the reply and tell it; 1 where none came in time."""
    folder, asked = Path(command.source), _told(command)
    check_asked(Record(folder).config(), command.settings)
    writer = writer_of(folder)
    if not writer:
        raise WorkbenchError(f"no process runs {folder}: nothing was asked for")
    reply = _reply(folder, ask(folder, command.stop, **command.settings), writer, command.wait)
    if reply is None:
        say(f"asked {writer} for {asked}; no reply yet: it comes between two steps")
        return 1
    if "refused" in reply:
        raise WorkbenchError(f"refused after step {reply['step']}: {reply['refused']}")
    say(f"{asked}: taken after step {reply['step']}")
    return 0


def _told(command: SetCommand) -> str:
    parts = [f"{name} {value}" for name, value in command.settings.items()]
    return ", ".join([*parts, *(["stop"] if command.stop else [])])


def _reply(folder: Path, request: str, writer: str, wait: float) -> dict[str, Any] | None:
    """The reply to a request; None where it did not come within `wait` seconds."""
    tail, end, look = LineTail(folder / REPLIES), time.monotonic() + wait, 0.0
    while True:
        gone = time.monotonic() > look and writer_of(folder) != writer
        for reply in replies(tail):  # after the look: a reply may have been the last thing written
            if reply["id"] == request:
                return reply
        if gone:
            raise WorkbenchError(f"the run in {folder} ended before it took this")
        if time.monotonic() > look:
            look = time.monotonic() + SELDOM
        if time.monotonic() > end:
            return None
        time.sleep(OFTEN)
