"""The settings of a run, compared with those that its checkpoint was made with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import WorkbenchError
from workbench.runs.folder.checkpoint_files import read_state
from workbench.runs.folder.checkpoints import checkpoint_to_go_on
from workbench.runs.folder.config_file import config_from_settings, read_config, refuse_newer
from workbench.runs.folder.known_rows import KnownData
from workbench.runs.folder.record import Record
from workbench.runs.self_test.result import SelfTest
from workbench.train.config import TrainConfig
from workbench.train.events import Event

# Names of things that are compared by their content, and how often a checkpoint is made.
NOT_COMPARED = ("model", "data", "out", "shard", "checkpoint_every", "checkpoint_minutes")
NAMED = 6  # differences in one message


class RestartPoint(NamedTuple):
    """What a run goes on from.

    Attributes:
        start, state, events: checkpoint, its numbers and the events before it; None and empty
            where the run begins anew.
        config, changed: see `settings_to_go_on`.
        known, self_test: what the record keeps.
    """

    start: Path | None
    state: dict[str, Any] | None
    events: list[Event]
    config: TrainConfig
    changed: list[str]
    known: KnownData | None
    self_test: SelfTest | None


def restart_point(record: Record, accept_changes: bool) -> RestartPoint:
    """The newest good checkpoint of a run, with all that goes with it.

    Raises:
        WorkbenchError: the run has finished, or its settings have changed.
    """
    if record.ended() == "finished":
        raise WorkbenchError(f"the run in {record.folder} has finished; nothing is left to do")
    start = checkpoint_to_go_on(record.folder, record.set_aside)
    state = read_state(start) if start else None
    config, changed = settings_to_go_on(record, state, accept_changes)
    known = record.known_data(state)
    events = record.events_of(start, state) if start and state else []
    return RestartPoint(start, state, events, config, changed, known, record.self_test())


def settings_to_go_on(
    record: Record, state: Mapping[str, Any] | None, accept: bool
) -> tuple[TrainConfig, list[str]]:
    """The settings that a run goes on with, and the names of those that were changed.

    Where config.toml can't be read it is set aside, and those of the checkpoint count, unless its
    changes are to be accepted.

    Args:
        record: of the run, held.
        state: of the checkpoint, None where there is none.
        accept: whether the settings may differ from those that the run was made with.

    Raises:
        WorkbenchError: they differ; which do is told.
    """
    refuse_newer(path := record.folder / "config.toml")
    then = made_with(state)
    try:
        config, as_written = read_config(path)
    except WorkbenchError as error:
        if accept or then is None or not path.exists():
            raise
        record.set_aside(path, str(error))
        return then, []
    different = differences(config, then) if then else {}
    if not accept and (different or (as_written is False and then is None)):
        what = _told(different) or "is not as it was written when the run was made"
        raise WorkbenchError(
            f"{path} {what}: put it back, or go on with what it holds by --accept-changes "
            "(accept_changes=True)"
        )
    return config, list(different)


def settings_to_read(record: Record, state: Mapping[str, Any] | None) -> TrainConfig:
    """The settings that a checkpoint was made with; a warning names those that differ now."""
    refuse_newer(path := record.folder / "config.toml")
    then = made_with(state)
    try:
        config = record.config()
    except WorkbenchError as error:
        if then is None:
            raise
        warnings.warn(f"{error}; the settings are those of the checkpoint", stacklevel=2)
        return then
    if then and (different := differences(config, then)):
        warnings.warn(f"{path} {_told(different)}; that is used", stacklevel=2)
        return replace(then, **{name: getattr(config, name) for name in NOT_COMPARED})
    return config


def made_with(state: Mapping[str, Any] | None) -> TrainConfig | None:
    """The settings in a checkpoint's state; those of older versions hold none.

    Raises:
        WorkbenchError: this version doesn't know them.
    """
    if state is None or "config" not in state:
        return None
    try:
        return config_from_settings(state["config"])
    except (TypeError, ValueError) as error:
        what = f"the settings of the checkpoint of step {state['step']} can't be read"
        raise WorkbenchError(f"{what}, a later version may have made it: {error}") from error


def differences(now: TrainConfig, then: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """Settings that shape a run and differ: name -> values of now and then."""
    pairs = {f.name: (getattr(now, f.name), getattr(then, f.name)) for f in fields(TrainConfig)}
    return {n: pair for n, pair in pairs.items() if n not in NOT_COMPARED and pair[0] != pair[1]}


def _told(different: Mapping[str, tuple[Any, Any]]) -> str:
    if not different:
        return ""
    parts = [f"{name} = {now!r} ({then!r})" for name, (now, then) in different.items()]
    more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return "differs from what the checkpoint was made with, in brackets: " + (
        ", ".join(parts[:NAMED]) + more
    )
