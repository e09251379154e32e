"""A recorded run opened again: the policy of its newest checkpoint, of another, or of each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from workbench.models.load import Model
from workbench.runs.folder.checkpoint_files import load_tensors, read_state, step_of
from workbench.runs.folder.checkpoints import whole_checkpoint
from workbench.runs.folder.made_with import settings_to_read
from workbench.runs.folder.record import Record
from workbench.runs.prepare import prepare
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.events import CheckpointEvent


def load_run(
    folder: Path | str,
    progress: Progress | None = None,
    step: int | None = None,
    base: Model | None = None,
) -> Run:
    """A recorded run with the weights and settings of a checkpoint, to sample and evaluate.

    Args:
        folder: of the run.
        progress: called with what is being loaded and the share done.
        step: of the checkpoint; left out: the newest.
        base: the model that the run was made with, where it was given one.

    Raises:
        WorkbenchError: no run there, no such checkpoint, or model or data are not what they were.
    """
    record = Record(Path(folder))
    checkpoint = whole_checkpoint(record.folder, step)  # raises before a model is loaded
    state = read_state(checkpoint)
    config = replace(settings_to_read(record, state), out=None)
    run = Run(prepare(config, progress, base, known=record.known_data(state)))
    _take_checkpoint(run, record, checkpoint, step is None)
    run.self_test = record.self_test()
    return run


def walk_checkpoints(folder: Path | str, progress: Progress | None = None) -> Iterator[Run]:
    """A recorded run at each of its checkpoints, oldest first.

    It is one run, loaded once, whose weights are exchanged: use a checkpoint before asking for the
    next one.

    Raises:
        WorkbenchError: as `load_run` does.
    """
    record = Record(Path(folder))
    steps = [step_of(path) for path in record.checkpoints()]
    run = load_run(folder, progress, steps[0] if steps else None)
    for step in steps:
        _take_checkpoint(run, record, whole_checkpoint(record.folder, step), newest=False)
        yield run


def _take_checkpoint(run: Run, record: Record, checkpoint: Path, newest: bool) -> None:
    """Give `run` the weights, the settings and the past of a checkpoint; of the newest also what
    came later."""
    state = read_state(checkpoint)
    run._refuse_other(state, "reference_hash")
    load_tensors(checkpoint, run.policy)
    run._state.step = state["step"]
    run._take_settings(state)
    run._batches.load_state_dict(state.get("batches", {"step": state["step"]}))
    events = record.events()
    told = {event.step for event in events if isinstance(event, CheckpointEvent)}
    if newest and told and (lost := max(told)) > max(map(step_of, record.checkpoints())):
        warnings.warn(f"{record.folder} had a checkpoint of step {lost}: it is gone", stacklevel=3)
    run.events = events if newest else events[: state["events"]]
