"""What the commands do: read flags, drive a run, tell how it went."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field, dataclass, fields, is_dataclass, make_dataclass, replace
from dataclasses import field as dataclass_field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_type_hints

import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from workbench.data.pairs import SetAside, TextPair
from workbench.errors import WorkbenchError
from workbench.models.sampling import SamplingConfig
from workbench.train.config import TrainConfig, setting
from workbench.train.evaluate import PREFIX
from workbench.train.events import EvalEvent, Event, StepEvent
from workbench.train.prepare import answer
from workbench.train.run import Run, load_policy

LISTED = 10  # rows set aside that are shown; the run's folder has all of them
console = Console()


@dataclass(frozen=True, kw_only=True)
class Train(TrainConfig):
    """Train a policy on preference pairs against a frozen reference."""

    resume: Path | None = setting(None, "go on with the interrupted run in this folder")


@dataclass(frozen=True, kw_only=True)
class SampleCommand:
    """Answer prompts with a run's policy beside its reference, or with a model."""

    source: str = setting("", "folder of a run, or a model: tiny, smollm2, a folder, an id")
    prompt: tuple[str, ...] = setting((), "prompts; left out: some held-out ones of the run")
    sampling: SamplingConfig = dataclass_field(default_factory=SamplingConfig)
    json: bool = setting(False, "print JSON")


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score the held-out pairs of a run with the weights of its newest checkpoint."""

    source: str = setting("", "folder of a run")
    json: bool = setting(False, "print JSON")


def flags(config: type) -> type:
    """A flat twin of a dataclass, with help, range and choices where tyro reads them."""
    columns = [(part.name, *_flag(part, hint)) for part, hint in _leaves(config)]
    columns.sort(key=len)  # what has no default comes first
    return make_dataclass(config.__name__, columns, namespace={"__doc__": config.__doc__})


def _leaves(config: type) -> Iterator[tuple[Field[Any], Any]]:
    """Every field with its type, those of nested dataclasses in their place."""
    hints: dict[str, Any] = get_type_hints(config)
    for part in fields(config):
        kind = hints[part.name]
        if is_dataclass(kind):
            yield from _leaves(kind)  # type: ignore[arg-type]
        else:
            yield part, kind


def _flag(part: Field[Any], kind: Any) -> tuple[Any, ...]:
    facts, literal = part.metadata, cast(Any, Literal)
    if facts.get("choices"):
        kind = literal[facts["choices"]]
        kind = kind | None if part.default is None else kind
    low, high = facts.get("low"), facts.get("high")
    text = facts["help"] + (f" [{low:g} to {high:g}]" if low is not None else "")
    if part.name == "source":
        return (Annotated[kind, tyro.conf.Positional, tyro.conf.arg(help=text)],)
    hint = "" if part.default is None else None  # the help says what is taken then
    told = Annotated[kind, tyro.conf.arg(help=text, help_behavior_hint=hint)]
    return told, dataclass_field(default=part.default)


def build(config: type, values: Any) -> Any:
    """The real thing from its parsed twin; ranges are checked here."""
    hints: dict[str, Any] = get_type_hints(config)
    return config(
        **{
            part.name: build(hints[part.name], values)
            if is_dataclass(hints[part.name])
            else getattr(values, part.name)
            for part in fields(config)
        }
    )


COMMANDS = {"train": Train, "sample": SampleCommand, "evaluate": Evaluate}


def run(arguments: list[str]) -> int:
    """Parse the flags and carry out one command; 0 when it went well."""
    parsers = {name: flags(config) for name, config in COMMANDS.items()}
    parsed = tyro.extras.subcommand_cli_from_dict(
        parsers,  # type: ignore[arg-type]
        prog="python -m workbench",
        description="Direct Preference Optimisation: train, sample, evaluate.",
        args=arguments,
    )
    name = next(name for name, parser in parsers.items() if isinstance(parsed, parser))
    command = build(COMMANDS[name], parsed)
    carry_out: dict[str, Any] = {"train": train, "sample": sample, "evaluate": evaluate}
    carry_out[name](command)
    return 0


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
        _list_set_aside(bar.console, run.set_aside)
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


def _list_set_aside(out: Console, rows: list[SetAside]) -> None:
    for row in rows[:LISTED]:
        out.print(f"row {row.row} set aside: {escape(row.reason)}", highlight=False)
    if len(rows) > LISTED:
        out.print(f"and {len(rows) - LISTED} more rows, all in set_aside.jsonl of the run")


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
        run = load_policy(command.source)
        samples = run.sample(list(command.prompt or run.prompts[:4]), command.sampling)
        found = [
            {"prompt": s.prompt, "reference": s.reference, "policy": s.policy} for s in samples
        ]
    else:
        pairs = [TextPair(prompt, "", "") for prompt in command.prompt or ("Who are you?",)]
        answers = answer(command.source, pairs, command.sampling)
        found = [{"prompt": p.prompt, "model": t} for p, t in zip(pairs, answers, strict=True)]
    if command.json:
        console.print_json(json.dumps(found))
        return
    for texts in found:
        for name, text in texts.items():
            console.print(f"[bold]{name:>9}[/]  {escape(text)}", highlight=False, soft_wrap=True)
        console.print()


def evaluate(command: Evaluate) -> None:
    """Print the held-out metrics of a run's newest checkpoint."""
    metrics = load_policy(command.source).evaluate()
    if command.json:
        console.print_json(json.dumps(metrics))
    else:
        _table(metrics, command.source)
