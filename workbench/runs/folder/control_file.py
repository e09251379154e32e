"""`control.jsonl` of a run that goes on: what others ask it for, and what it replied.

    {"id": "5f0c", "set": {"beta": 0.2}}     live settings, as `Control.set` takes them
    {"id": "91ab", "stop": true}             end after the present step

Anybody who can write to the folder appends a line. The run looks between two steps and adds to
`control-replies.jsonl`, per request, {"id", "step", "taken": true} or {"id", "step", "refused"}.
Both files are those of one process: whoever takes the run's lock begins without them, so that no
request is carried out twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from workbench.data.cache import append_line
from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import naming
from workbench.runs.folder.line_tail import LineTail
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.settings import LiveSettings, check_in_run

CONTROL, REPLIES = "control.jsonl", "control-replies.jsonl"
CHUNK = 1 << 16  # bytes of requests that are read between two steps
MOST = 100  # requests that are carried out between two steps; more are refused
SHOWN = 300  # characters of a reason


class ControlFile:
    """The end of the run, which reads; a run without a folder has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._tail = None if folder is None else LineTail(folder / CONTROL, CHUNK)
        self._done = set[str]()

    def carry_out(self, control: Control, step: int) -> None:
        """Pass on what was asked since the last call; what can't be done is told in a reply.

        Nothing in the file raises an error here, or takes longer than a bounded number of requests.
        """
        if self._tail is None or self._folder is None:
            return
        try:
            lines = list(filter(bytes.strip, self._tail.added().lines))
        except WorkbenchError as error:
            return self._reply([{"id": "", "step": step, "refused": str(error)}])
        if not lines:
            return
        replies = [self._one(line, control) for line in lines[:MOST]]
        if (left := len(lines) - MOST) > 0:
            replies.append({"id": "", "refused": f"{left} requests too many between two steps"})
        self._reply({**reply, "step": step} for reply in replies if reply)

    def _one(self, line: bytes, control: Control) -> dict[str, Any]:
        """Carry one request out; the reply, empty where it was done before."""
        name = ""
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not _asks(request):
                raise WorkbenchError('a request has "set" with settings, or "stop": true')
            name = str(request.get("id", ""))[:SHOWN]
            if name in self._done:
                return {}
            self._done |= {name} - {""}
            _pass_on(request, control)
        except (ValueError, TypeError, ArithmeticError, RecursionError, WorkbenchError) as error:
            own = isinstance(error, WorkbenchError)
            why = str(error) if own else f"no request can be read in {line[:40]!r}"
            return {"id": name, "refused": why[:SHOWN]}
        return {"id": name, "taken": True}

    def _reply(self, replies: Iterable[Mapping[str, Any]]) -> None:
        assert self._folder is not None
        with suppress(OSError):  # a request must not end a run
            append_line(self._folder / REPLIES, b"".join(map(_line, replies)))


def _asks(request: Mapping[str, Any]) -> bool:
    """Whether it asks for something; `"stop"` is true where it is there."""
    return request.get("stop", True) is True and bool(request.keys() & {"set", "stop"})


def _pass_on(request: Mapping[str, Any], control: Control) -> None:
    settings = request.get("set", {})
    if not isinstance(settings, dict):
        raise WorkbenchError('"set" holds settings by their names')
    if control.stopping:
        raise WorkbenchError("the run ends after this step")
    control.set(**settings)
    if "stop" in request:
        control.stop()


def ask(folder: Path, stop: bool = False, **settings: Any) -> str:
    """Ask the process that runs a run for settings, or to stop; the id of the request.

    Raises:
        WorkbenchError: the folder can't be written to.
    """
    name = uuid4().hex
    request = {"id": name, **({"set": settings} if settings else {})}
    with naming(folder / CONTROL):
        append_line(folder / CONTROL, _line({**request, **({"stop": True} if stop else {})}))
    return name


def check_asked(config: TrainConfig, settings: Mapping[str, Any]) -> None:
    """Refuse what the run with this config would refuse, as far as that can be told without it.

    Raises:
        WorkbenchError: see `check_in_run`.
    """
    config = config.resolved()
    live = LiveSettings.start(config)
    for name, value in settings.items():
        check_in_run(name, value, live, str(config.method), compares=True)


def replies(tail: LineTail) -> list[dict[str, Any]]:
    """The replies of a run since the last call; lines that are none are left out."""
    found = list[dict[str, Any]]()
    for line in tail.added().lines:
        with suppress(ValueError, RecursionError):
            reply = json.loads(line)
            if isinstance(reply, dict) and isinstance(reply.get("id"), str):
                found.append(reply)
    return found


def forget_requests(folder: Path) -> None:
    """Delete both files; what can't be deleted stays."""
    for name in (CONTROL, REPLIES):
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _line(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "replace")
