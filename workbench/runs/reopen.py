"""A recorded run opened again: the policy of its newest checkpoint, of another, or of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from workbench.models.load import Model
from workbench.runs.folder.record import Record, step_of
from workbench.runs.prepare import prepare
from workbench.runs.run import Run
from workbench.train.base_model import Progress


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
    config = record.config()
    record.checkpoint(step)  # raises before a model is loaded
    run = Run(prepare(replace(config, out=None), progress, base, known=record.known_data()))
    _take_checkpoint(run, record, step)
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
        _take_checkpoint(run, record, step)
        yield run


def _take_checkpoint(run: Run, record: Record, step: int | None) -> None:
    """Give `run` the weights, the settings and the past of a checkpoint, the newest by default."""
    numbers = record.numbers(step)
    assert numbers is not None
    run._refuse_other(numbers, "reference_hash")
    record.load_checkpoint(run.policy, step=step)
    run._state.step = numbers["step"]
    run._take_settings(numbers)
    run._batches.load_state_dict(numbers.get("batches", {"step": numbers["step"]}))
    events = record.events()
    run.events = events if step is None else events[: numbers["events"]]
