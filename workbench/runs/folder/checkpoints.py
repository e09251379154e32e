"""The checkpoints of a run: listed, thinned out, and the newest that is as it was written."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs.folder.checkpoint_files import (
    TO_GO_ON,
    can_go_on,
    problem,
    read_state,
    remove_checkpoint,
    step_of,
)

COMPLETE = 2  # checkpoints that a run can go on from


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first; whatever else lies there is skipped."""
    names = re.compile(r"step-\d+")
    found = [path for path in folder.glob("step-*") if names.fullmatch(path.name)]
    return sorted((path for path in found if path.is_dir()), key=step_of)


def thin_out(checkpoints: Sequence[Path], complete: int) -> None:
    """Of all but the newest `complete` keep what their answers need, or nothing."""
    for path in checkpoints[: len(checkpoints) - complete]:
        if (_state_or_none(path) or {}).get("by_time") and path != checkpoints[-1]:
            remove_checkpoint(path)
            continue
        for part in (path / name for name in TO_GO_ON):
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)


def _state_or_none(path: Path) -> dict[str, Any] | None:
    with suppress(WorkbenchError):
        return read_state(path)
    return None


def whole_checkpoint(run: Path, step: int | None = None) -> Path:
    """The newest checkpoint of a run whose weights are as they were written, or that of `step`.

    Newer ones that are damaged are named in a warning.

    Raises:
        WorkbenchError: there is none, or none of that step; those that are there are named.
    """
    found = {step_of(path): path for path in checkpoints_in(run / "checkpoints")}
    if not found:
        if not (run / "config.toml").exists():
            raise WorkbenchError(f"{run} holds no run: config.toml is not there")
        raise WorkbenchError(f"{run} has no checkpoint yet")
    if step is not None and step not in found:
        steps = ", ".join(map(str, found))
        raise WorkbenchError(f"{run} has no checkpoint of step {step}; it has {steps}")
    for path in [found[step]] if step is not None else reversed(found.values()):
        why = problem(path)
        if not why:
            return path
        if step is None:
            warnings.warn(f"{path} is damaged, {why}; an older one is used", stacklevel=2)
    raise WorkbenchError(f"{path} is damaged: {why}")


def checkpoint_to_go_on(run: Path, set_aside: Callable[[Path, str], None]) -> Path | None:
    """The newest checkpoint that a run can go on from; those that are damaged are set aside."""
    for path in reversed(checkpoints_in(run / "checkpoints")):
        if not can_go_on(path):
            continue
        why = problem(path, to_go_on=True)
        if not why:
            return path
        set_aside(path, why)
    return None
