"""What the commands do: drive a run, tell how it went."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from workbench.cli.flags import Command, Compare, Evaluate, SampleCommand, Train
from workbench.compare.answers import answers_frame
from workbench.compare.open_handles import handles
from workbench.data.pairs import SkippedRow, TextPair
from workbench.errors import WorkbenchError
from workbench.runs.evaluate import PREFIX
from workbench.runs.prepare import answer
from workbench.runs.record import write_text
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, Event, StepEvent

LISTED = 10  # rows set aside that are shown; the run's folder has all of them
console = Console()


def carry_out(command: Command) -> None:
    """Do what the command asks for."""
    actions: dict[type, Any] = {
        Train: train, SampleCommand: sample, Evaluate: evaluate, Compare: compare
    }  # fmt: skip
    actions[type(command)](command)


# -- train ------------------------------------------------------------------------------------


def train(command: Train) -> None:
    """Run to the end with progress; Ctrl-C ends it with a last evaluation and checkpoint."""
    with _progress() as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        settings = {f.name: getattr(command, f.name) for f in fields(TrainConfig)}
        config = TrainConfig(**settings)
        if command.resume is not None:
            _refuse_settings(config)
            run = Run.resume(command.resume, tell)
        else:
            folder = config.out or str(_fresh_folder(config))
            run = Run.create(replace(config, out=folder), tell)
        _list_skipped(bar.console, run.skipped)
        with _stop_on_interrupt(run):
            for event in run:
                _show(bar, task, event)
    assert run.record is not None
    _table(run.record.summary() or {}, str(run.folder))


def _refuse_settings(config: TrainConfig) -> None:
    """A run goes on with its own settings; none that is given may be lost in silence."""
    asked, default = (dict(_values(one)) for one in (config, TrainConfig()))
    for name, value in asked.items():
        if value != default[name]:
            flag = name.replace("_", "-")
            raise WorkbenchError(
                f"--{flag} can't go with --resume: the run goes on with its own settings"
            )


def _values(config: Any) -> Iterator[tuple[str, Any]]:
    """Names and values, those of nested dataclasses in their place."""
    for part in fields(config):
        value = getattr(config, part.name)
        if is_dataclass(value):
            yield from _values(value)
        else:
            yield part.name, value


def _fresh_folder(config: TrainConfig) -> Path:
    stem = f"{Path(config.model).name}-{Path(config.data).stem}-{config.loss}"
    return Path("runs") / f"{stem}-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def _progress() -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield bar, bar.add_task("loading", note="", total=1)


@contextmanager
def _stop_on_interrupt(run: Run) -> Iterator[None]:
    """The first Ctrl-C ends the run in good order, the second one at once."""

    def stop(*_: Any) -> None:
        console.print("stopping after this step; once more to break off")
        run.control.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(bar: Progress, task: TaskID, event: Event) -> None:
    if isinstance(event, StepEvent):
        found = event.metrics
        note = (
            f"loss {found['loss']:.3f}  margin {found['rewards/margins']:+.3f}  "
            f"{found['pairs_per_second']:.1f} pairs/s"
        )
        text = f"step {event.step} of {event.total}"
        bar.update(task, description=text, completed=event.step, total=event.total, note=note)
    elif isinstance(event, EvalEvent):
        shown = ("rewards/accuracies", "rewards/margins", "kl/policy_reference", "samples/reward")
        parts = [
            f"{name} {event.metrics[PREFIX + name]:.3f}"
            for name in shown
            if PREFIX + name in event.metrics
        ]
        bar.console.print(f"step {event.step:>4}  held out: {'  '.join(parts)}", highlight=False)


def _list_skipped(out: Console, rows: list[SkippedRow]) -> None:
    for row in rows[:LISTED]:
        out.print(f"row {row.row} set aside: {escape(row.reason)}", highlight=False)
    if len(rows) > LISTED:
        out.print(f"and {len(rows) - LISTED} more rows, all in skipped.jsonl of the run")


def _table(values: dict[str, Any], title: str) -> None:
    table = Table("metric", "value", title=escape(title), title_justify="left")
    table.columns[1].justify = "right"
    for name, value in values.items():
        if isinstance(value, int | float):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
        elif isinstance(value, str):
            table.add_row(name, escape(value[:16]))
    console.print(table)


# -- sample and evaluate ----------------------------------------------------------------------


def sample(command: SampleCommand) -> None:
    """Print answers: reference and policy of a run, or a model's own."""
    if (Path(command.source) / "config.toml").exists():
        run = load_run(command.source)
        samples = run.sample(list(command.prompt or run.prompts[:4]), command.sampling)
        found = [
            {"prompt": s.prompt, "reference": s.reference, "policy": s.policy} for s in samples
        ]
    else:
        pairs = [TextPair(prompt, "", "") for prompt in command.prompt or ("Who are you?",)]
        answers = answer(command.source, pairs, command.sampling)
        found = [{"prompt": p.prompt, "model": t} for p, t in zip(pairs, answers, strict=True)]
    if command.json:
        print(json.dumps(found, indent=2))
        return
    for texts in found:
        for name, text in texts.items():
            console.print(f"[bold]{name:>9}[/]  {escape(text)}", highlight=False, soft_wrap=True)
        console.print()


def evaluate(command: Evaluate) -> None:
    """Print the held-out metrics of a run's newest checkpoint."""
    metrics = load_run(command.source).evaluate()
    if command.json:
        print(json.dumps(metrics, indent=2))
    else:
        _table(metrics, command.source)


# -- compare ----------------------------------------------------------------------------------


def compare(command: Compare) -> None:
    """Print a run's answers beside its reference's, with their numbers; write them as a page."""
    if command.html is not None:
        _refuse_unwritable(command.html)
    with _progress() as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        run = load_run(command.source, tell, command.step)
        prompts = list(command.prompt or run.prompts)
        frame = answers_frame(handles(run), prompts, command.sampling, run.data.scores, tell)
        if command.html is not None:
            tell("writing the page", 1.0)
            # Not before: pictures take a while to load, and the other commands need none.
            from workbench.view.compare.page import comparison_page

            write_text(command.html, comparison_page(run, frame, command.sampling))
        tell("done", 1.0)
    _print_answers(frame)
    if command.html is not None:
        console.print(f"written: {command.html}", highlight=False, markup=False, soft_wrap=True)


def _refuse_unwritable(path: Path) -> None:
    """Raise before anything is computed for a file that can't be written."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if path.is_dir():
        raise WorkbenchError(f"html={str(path)!r} is a folder; name a file")
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise WorkbenchError(f"html={str(path)!r} can't be written: {there} takes no new file")


def _print_answers(frame: pd.DataFrame) -> None:
    """Texts one above the other, then the means."""
    for _, group in frame.groupby("place", sort=False):
        answers = zip(group["who"], group["text"], strict=True)
        for name, text in [("prompt", group["prompt"].iloc[0]), *answers]:
            line = Text.assemble((f"{name:>9}", "bold"), "  ", text)
            console.print(line, highlight=False, soft_wrap=True)
        console.print()
    numbers = frame.drop(columns=["place", "ended"]).groupby("who", sort=False)
    means = numbers.mean(numeric_only=True)
    table = Table("mean", *means.index, title=f"{frame['place'].nunique()} prompts")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, values in means.items():
        table.add_row(str(name), *("–" if v != v else f"{v:.3f}" for v in values))
    console.print(table)
