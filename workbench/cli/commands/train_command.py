"""The command `train`: drive a run, tell how it goes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from workbench.cli.command_settings import Train
from workbench.cli.interrupts import stop_on_interrupt
from workbench.cli.printable import show_error
from workbench.cli.terminal import console, progress, say, show_table
from workbench.core.losses import MODIFIERS, all_parameters
from workbench.data.large.cache_files import RowList
from workbench.data.pairs import SkippedRow
from workbench.errors import WorkbenchError
from workbench.runs.evaluate import PREFIX
from workbench.runs.large_data import LargeData
from workbench.runs.run import Run
from workbench.runs.trackers.following import following
from workbench.train import distributed
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, Event, StepEvent

GOES_ON = "can't go with --resume: the run goes on with its own settings"
PATHS = ("model", "data", "out", "resume")
LISTED = 10  # skipped rows that are shown; the run's folder has all of them


def train(command: Train) -> None:
    """Run to the end with progress; Ctrl-C and SIGTERM end it with a checkpoint and evaluation.

    Several processes that were started together train together; the main one writes and shows.
    """
    with distributed.joined(show_error):
        if not distributed.is_main():
            console.quiet = True
            warnings.simplefilter("ignore", UserWarning)  # the main process gives them, too
        distributed.require_alike(_shaping(command))
        _train(command)


def _shaping(command: Train) -> dict[str, Any]:
    """The settings in which processes must not differ; what files hold is compared later, so that
    of paths only counts whether they were given."""
    default, settings = Train(), dict(vars(command))
    given = {name: settings.pop(name) != getattr(default, name) for name in PATHS}
    return settings | {f"whether --{name} is given": value for name, value in given.items()}


def _train(command: Train) -> None:
    with progress() as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        settings = {f.name: getattr(command, f.name) for f in fields(TrainConfig)}
        config = TrainConfig(**settings)
        if command.resume is not None:
            if command.preset is not None:
                raise WorkbenchError(f"--preset {GOES_ON}")
            _refuse_settings(replace(config, shard=None))
            run = Run.resume(
                command.resume, tell, accept_changes=command.accept_changes, shard=command.shard
            )
        else:
            folder = config.out or distributed.from_main(lambda: str(_fresh_folder(config)))
            run = Run.create(replace(config, out=folder), tell)
            _list_set(config, run)
            _list_unused(config, run)
        _tell_layout(run)
        _list_skipped(run.skipped)
        _tell_truncated(run)
        if distributed.is_main() and (found := run.preflight_line):
            say(found)
        if run.self_test:
            say(run.self_test.line)
        track = command.track if distributed.is_main() else None
        events = following(run, track, say) if track else run
        with stop_on_interrupt(run.control.stop):
            for event in events:
                _show(bar, task, event)
    if run.record:
        show_table(run.record.summary() or {}, str(run.folder))


def _refuse_settings(config: TrainConfig) -> None:
    """A run goes on with its own settings; none that is given may be lost in silence."""
    asked, default = (dict(_values(one)) for one in (config, TrainConfig()))
    for name, value in asked.items():
        if value != default[name]:
            flag = name.replace("_", "-")
            raise WorkbenchError(f"--{flag} {GOES_ON}")


def _values(config: Any) -> Iterator[tuple[str, Any]]:
    """Names and values, those of nested dataclasses in their place."""
    for part in fields(config):
        value = getattr(config, part.name)
        if is_dataclass(value):
            yield from _values(value)
        else:
            yield part.name, value


def _fresh_folder(config: TrainConfig) -> Path:
    stem = f"{Path(config.model).name}-{Path(config.data).stem}-{config.resolved().loss}"
    return Path("runs") / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"


def _show(bar: Progress, task: TaskID, event: Event) -> None:
    if isinstance(event, StepEvent):
        found = event.metrics
        margin = found.get("rewards/margins")
        parts = [f"loss {found['loss']:.3f}"]
        parts += [] if margin is None else [f"margin {margin:+.3f}"]
        note = "  ".join([*parts, f"{found['pairs_per_second']:.1f} rows/s"])
        text = f"step {event.step} of {event.total}"
        bar.update(task, description=text, completed=event.step, total=event.total, note=note)
    elif isinstance(event, EvalEvent):
        shown = (
            "loss", "rewards/accuracies", "rewards/margins", "kl/policy_reference",
            "samples/reward",
        )  # fmt: skip
        parts = [
            f"{name} {event.metrics[PREFIX + name]:.3f}"
            for name in shown
            if PREFIX + name in event.metrics
        ]
        say(f"step {event.step:>4}  held out: {'  '.join(parts)}")


def _list_set(asked: TrainConfig, run: Run) -> None:
    """Parameters left open that the data decided."""
    defaults = run.method.loss(run.settings).defaults
    for name, value in run.live_parameters.items():
        if getattr(asked, name) is None and value != defaults[name]:
            say(f"{name} {value:g}, set by the training data")


def _list_unused(asked: TrainConfig, run: Run) -> None:
    """Parameters that were given and that belong to other losses, or to a divergence not chosen."""
    used = run.method.loss(run.settings).pick(run.settings)
    if used.get("divergence") != "alpha":
        used.pop("divergence_alpha", None)
    for name, (_, default) in all_parameters().items():
        value = getattr(asked, name)
        neutral = name in MODIFIERS and value == default
        if value is not None and name not in used and not neutral:
            say(f"{name} {value} is not used by {run.config.loss}")


def _tell_layout(run: Run) -> None:
    """How the columns of a file were read."""
    if data := run.data.layout:
        train, held_out = len(run.data.train), len(run.data.held_out)
        rows = f"{train} {run.method.noun} to train on, {held_out} held out"
        say(f"{run.config.data}: {data}; {rows}")
    if isinstance(run.data, LargeData):
        for line in run.data.lines(run.config):
            say(line)


def _list_skipped(rows: Sequence[SkippedRow]) -> None:
    for row in rows[:LISTED]:
        say(f"row {row.row} skipped: {row.reason}")
    if len(rows) > LISTED:
        say(f"and {len(rows) - LISTED} more rows, all in skipped.jsonl of the run")


def _tell_truncated(run: Run) -> None:
    if rows := run.truncated:
        ends = sum(len(row.completions) for row in rows)
        named = ", ".join(str(row.row) for row in rows[:LISTED])
        where = rows.path if isinstance(rows, RowList) else "data.json of the run"
        more = f" and {len(rows) - LISTED} more, all in {where}"
        say(
            f"{ends} completions were cut at {run.config.max_length} tokens and lost their end of "
            f"sequence, in rows {named}{more if len(rows) > LISTED else ''}"
        )
