"""The runs kept in a folder: found, named, renamed, copied and deleted without loading a model."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.paths import given_path
from workbench.runs.folder.checkpoints import checkpoint_to_go_on
from workbench.runs.folder.config_file import naming
from workbench.runs.folder.control_file import CONTROL, REPLIES
from workbench.runs.folder.lock import HOLDER, LOCK, refuse_held
from workbench.runs.folder.record import Record
from workbench.train.config import TrainConfig

NEWEST = 50  # runs that are read of a folder
TAIL = 400_000  # bytes of the events that are read for the last step and evaluation
# The config last, for it makes a folder a run.
GOING_ON = ("events.jsonl", "skipped.jsonl", "data.json", "self_test.json", "config.toml")
PARTS = ("summary.json", CONTROL, REPLIES, HOLDER, LOCK, *GOING_ON)
HELD_OUT = "held_out/"


@dataclass(frozen=True)
class KeptRun:
    """A run as its folder tells of it.

    Attributes:
        state: "finished", "stopped", "interrupted" where no end was written, or "broken".
        step, total: steps taken, and those of the whole run; 0 where no step is recorded.
        held_out: the last held-out metrics, by their name without "held_out/".
        settings: learning rate, loss and its parameters at the end.
        problem: why it can't be read; empty where it can.
    """

    folder: Path
    state: str
    config: TrainConfig | None = None
    step: int = 0
    total: int = 0
    held_out: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def kept_runs(parent: Path | str, newest: int = NEWEST) -> list[KeptRun]:
    """The newest runs whose folders lie in `parent`, oldest first; a broken one with its reason."""
    configs = given_path(parent).glob("*/config.toml")
    found = sorted(((path.stat().st_mtime, path.parent) for path in configs), reverse=True)
    return [read_run(folder) for _, folder in reversed(found[:newest])]


def read_run(folder: Path | str) -> KeptRun:
    """One run's folder, read cheaply."""
    folder, record = Path(folder), Record(Path(folder))
    try:
        config, summary = record.config(), record.summary() or {}
        last = _last_events(folder / "events.jsonl")
        found = {**last.get("eval", {}).get("metrics", {}), **summary}
        return KeptRun(
            folder,
            str(summary.get("reason", "interrupted")),
            config,
            int(summary.get("steps", last.get("step", {}).get("step", 0))),
            int(last.get("step", {}).get("total", 0)),
            {n.removeprefix(HELD_OUT): v for n, v in found.items() if n.startswith(HELD_OUT)},
            summary.get("settings", {}),
        )
    except (WorkbenchError, OSError, ValueError, TypeError, AttributeError) as error:
        return KeptRun(folder, "broken", problem=str(error) or type(error).__name__)


def _last_events(path: Path) -> dict[str, Any]:
    """The last event of each kind within the file's last bytes."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().decode("utf-8", "replace").split("\n")
    last: dict[str, Any] = {}
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, RecursionError):  # cut at either end
            event = json.loads(line)
            last[event["event"]] = event
    return last


def new_folder(parent: Path | str, config: TrainConfig, today: date | None = None) -> Path:
    """A folder for a new run: date, method and a number, as in 2026-03-31-dpo-2."""
    loss, method = config.resolved().loss, config.resolved().method
    start = f"{today or date.today():%Y-%m-%d}-{loss if method == 'preference' else method}-"
    taken = [path.name.removeprefix(start) for path in Path(parent).glob(f"{start}*")]
    numbers = [int(found[0]) for name in taken if (found := re.match(r"\d+", name))]
    return Path(parent) / f"{start}{max(numbers, default=0) + 1}"


def rename_run(folder: Path, name: str) -> Path:
    """Give the run's folder another name; returns the folder.

    Raises:
        WorkbenchError: a name that is no folder's name, or is taken; or another process writes it.
    """
    refuse_held(folder)
    name = name.strip()
    if not re.fullmatch(r"\w[\w .-]{0,79}", name) or name.endswith("."):
        raise WorkbenchError(
            f"name={name!r} is not accepted: letters, digits, blanks, '.', '_' and '-', 80 at most"
        )
    renamed = given_path(folder.with_name(name), "name")
    if renamed.exists():
        raise WorkbenchError(f"name={name!r} is taken; choose another")
    with naming(folder):
        return folder.rename(renamed)


def delete_run(folder: Path) -> None:
    """Delete what a run wrote; anything else in its folder stays."""
    if not (folder / "config.toml").exists():
        raise WorkbenchError(f"{folder} holds no run; nothing is deleted")
    refuse_held(folder)
    with naming(folder):
        if (folder / "checkpoints").is_symlink():  # what else lies there is not the run's
            raise WorkbenchError(f"{folder / 'checkpoints'} is a link: delete what it leads to")
        if (folder / "checkpoints").exists():
            shutil.rmtree(folder / "checkpoints")
        for part in PARTS:
            for path in (*folder.glob(f"{part}.damaged-*"), folder / part):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds something else
            folder.rmdir()


def copy_run(folder: Path, to: Path) -> Path:
    """A copy of a run that was stopped or interrupted, with the newest checkpoint that it can go on
    from, to go on apart.

    Raises:
        WorkbenchError: the run has finished, has no such checkpoint, or `to` holds a run.
    """
    Record.refuse_existing(to := given_path(to, "copy"), ("config.toml",))  # else of a killed copy
    if read_run(folder).state == "finished":
        raise WorkbenchError(f"{folder.name} has finished: there is nothing left to branch off")
    checkpoint = checkpoint_to_go_on(folder, lambda path, why: None)
    if checkpoint is None:
        raise WorkbenchError(f"{folder.name} has no checkpoint to go on from")
    with naming(to):
        shutil.copytree(checkpoint, to / "checkpoints" / checkpoint.name, dirs_exist_ok=True)
        for part in GOING_ON:
            if (folder / part).exists():
                shutil.copy2(folder / part, to / part)
    return to
