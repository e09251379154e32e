"""Readings of a run of the workbench: from its folder, or while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.core.losses import find_loss
from workbench.data.large.row_stream import large_source
from workbench.errors import WorkbenchError
from workbench.runs.doctor.logged_metrics import Readings, Texts, is_step, series_of
from workbench.runs.doctor.parts import Parts
from workbench.runs.evaluate import PREFIX
from workbench.runs.folder.record import Record
from workbench.runs.large_data import LargeData
from workbench.runs.run_view import RunView
from workbench.train.config import TrainConfig
from workbench.train.events import ChangeEvent, EndEvent, EvalEvent, Event, SampleEvent, StepEvent
from workbench.train.method import find_method

TOO_MANY = "the rows are too many to compare; prompts and groups are held out as a whole"


def read_folder(folder: Path) -> Readings:
    """Of a run's folder.

    Raises:
        WorkbenchError: no run there, or its files cannot be read.
    """
    record, settings = Record(folder), folder / "config.toml"
    try:
        if not settings.stat().st_size:
            raise WorkbenchError(f"{settings} is empty: a run's config holds every setting")
        config, events, known = record.config(), record.events(), record.known_data()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WorkbenchError(f"the run in {folder} cannot be read: {error}") from error
    if not events:
        path = folder / "events.jsonl"
        if path.exists() and path.stat().st_size:
            raise WorkbenchError(f"{path} cannot be read: no line of it is an event")
        raise WorkbenchError(f"{path} holds no event: nothing was trained yet")
    held_out = None if known is None else known.held_out
    return _readings(str(folder), config, events, held_out, _parts(config, held_out))


def read_run(run: RunView, parts: Parts | str | None) -> Readings:
    """Of a run in hand; `parts` are its rows, the same for each call."""
    rows = list({text.row for text in run.data.held_out_texts})
    return _readings(run.name, run.config, list(run.events), rows, parts, "running")


def parts_of(run: RunView) -> Parts | str | None:
    """The rows of a run in hand, or why they are not compared; None for the reviews, which are
    held out by topic."""
    if run.config.data == "reviews":
        return None
    if isinstance(run.data, LargeData):
        return TOO_MANY
    return Parts(run.data.train_texts, run.data.held_out_texts)


def _readings(
    source: str,
    config: TrainConfig,
    events: Sequence[Event],
    held_out: Sequence[int] | None,
    parts: Parts | str | None,
    going: str = "running or interrupted",
) -> Readings:
    config, events = config.resolved(), [one for one in events if is_sound(one)]
    steps = [one for one in events if isinstance(one, StepEvent)]
    training, broken = series_of(_logged(steps))
    evaluated, broken_too = series_of(
        (step, {name.removeprefix(PREFIX): value for name, value in metrics.items()})
        for step, metrics in _logged([one for one in events if isinstance(one, EvalEvent)])
    )
    end = events[-1] if events and isinstance(events[-1], EndEvent) else None
    settings = {name: value for name, value in vars(config).items() if value is not None}
    changes = {one.name: one.value for one in events if isinstance(one, ChangeEvent)}
    loss = find_loss(changes.get("loss", config.loss))
    return Readings(
        source=source,
        state=end.reason if end else going,
        step=steps[-1].step if steps else 0,
        total=steps[-1].total if steps else 0,
        training=training,
        held_out=evaluated,
        compares=loss.needs_reference and not loss.rollouts,
        settings=settings | changes,
        epochs=steps[-1].epoch + 1 if steps else 0,
        held_out_items=None if held_out is None else len(held_out),
        texts=tuple(_texts(one) for one in events if isinstance(one, SampleEvent)),
        not_finite=broken_too | broken,
        parts=parts,
    )


def _logged(events: Sequence[StepEvent | EvalEvent]) -> list[tuple[int, dict[str, float]]]:
    return [(one.step, one.metrics) for one in events]


def is_sound(event: Event) -> bool:
    """Whether its values are of their types, which a file may not keep."""
    kinds = list[tuple[object, Any]]()
    counts: list[object] = [event.step]
    if isinstance(event, StepEvent | EvalEvent):
        kinds.append((event.metrics, dict))
    if isinstance(event, StepEvent):
        counts += [event.total, event.epoch]
    if isinstance(event, ChangeEvent):
        kinds += [(event.name, str), (event.value, int | float | str)]
    if isinstance(event, SampleEvent):
        kinds += [(sample.policy, str) for sample in event.samples]
        kinds += [(sample.reference, str | None) for sample in event.samples]
    if isinstance(event, EndEvent):
        kinds.append((event.reason, str))
    typed = all(isinstance(value, kind) for value, kind in kinds)
    return typed and all(map(is_step, counts))


def _texts(event: SampleEvent) -> Texts:
    return Texts(
        event.step,
        tuple(sample.policy for sample in event.samples),
        tuple(sample.reference for sample in event.samples if sample.reference is not None),
    )


def _parts(config: TrainConfig, held_out: Sequence[int] | None) -> Parts | str | None:
    """The same of the file that a recorded run names, or why it cannot be read."""
    if config.data == "reviews":
        return None
    if not held_out:
        return "the run's record does not name held-out rows"
    try:
        if large_source(config.data):
            return TOO_MANY
        texts = find_method(str(config.resolved().method)).read(config.data, config.reading).texts
    except WorkbenchError as error:
        return f"the data cannot be read any more: {error}"
    kept = set(held_out)
    parts = [text for text in texts if text.row not in kept], [t for t in texts if t.row in kept]
    if {text.row for text in parts[1]} != kept:
        return f"{config.data} no longer has the rows that were held out"
    return Parts(*parts)
