"""What the commands do: drive a run, tell how it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from workbench.cli.command_settings import (
    Command,
    Compare,
    Constitution,
    Doctor,
    Evaluate,
    Export,
    Methods,
    Preflight,
    SampleCommand,
    Track,
    Train,
)
from workbench.cli.commands.constitution_command import constitution
from workbench.cli.commands.doctor_command import doctor
from workbench.cli.commands.export_command import export
from workbench.cli.commands.methods_command import methods
from workbench.cli.commands.preflight_command import preflight
from workbench.cli.commands.set_command import set_live
from workbench.cli.commands.sweep_command import sweep
from workbench.cli.commands.track_command import track
from workbench.cli.commands.train_command import train
from workbench.cli.set_settings import SetCommand
from workbench.cli.sweep_settings import SweepCommand
from workbench.cli.terminal import console, progress, say, show_json, show_table
from workbench.compare.answers import answers_frame
from workbench.compare.handle_sources import run_handles
from workbench.compare.judging.winners import judged
from workbench.data.pairs import TextPair
from workbench.generation.shown import described, shown_sampling
from workbench.models.load import recommended_before_loading
from workbench.paths import file_to_write
from workbench.runs.folder.config_file import write_text
from workbench.runs.prepare import answer
from workbench.runs.reopen import load_run


def carry_out(command: Command) -> int:
    """Do what the command asks for; the exit code, 0 where all is well."""
    actions: dict[type, Any] = {
        Train: train, SampleCommand: sample, Evaluate: evaluate, Compare: compare,
        Methods: methods, SweepCommand: sweep, Constitution: constitution, Preflight: preflight,
        Doctor: doctor, Track: track, Export: export, SetCommand: set_live,
    }  # fmt: skip
    return actions[type(command)](command) or 0


# -- sample and evaluate ----------------------------------------------------------------------


def sample(command: SampleCommand) -> None:
    """Print answers: reference and policy of a run, or a model's own."""
    if (Path(command.source) / "config.toml").exists():
        run = load_run(command.source)
        sampling = command.sampling.over(run.shown_sampling)
        samples = run.sample(list(command.prompt or run.prompts[:4]), sampling)
        drawn, found = samples[0].drawn, [{"prompt": s.prompt, **s.texts} for s in samples]
    else:
        pairs = [TextPair(prompt, "", "") for prompt in command.prompt or ("Who are you?",)]
        shown = shown_sampling(recommended_before_loading(command.source))
        sampling = command.sampling.over(shown)
        answers, drawn = answer(command.source, pairs, sampling), described(sampling)
        found = [{"prompt": p.prompt, "model": t} for p, t in zip(pairs, answers, strict=True)]
    if command.json:
        show_json(found)
        return
    for texts in found:
        for name, text in texts.items():
            say(f"  {text}", f"{name:>9}", "bold")
        say()
    say(drawn)


def evaluate(command: Evaluate) -> None:
    """Print the held-out metrics of a run's newest checkpoint."""
    metrics = load_run(command.source).evaluate()
    if command.json:
        show_json(metrics)
    else:
        show_table(metrics, command.source)


# -- compare ----------------------------------------------------------------------------------


def compare(command: Compare) -> None:
    """Print the answers of runs beside a reference's, with their numbers; write them as a page."""
    page = None if command.html is None else file_to_write(command.html, "html")
    with progress() as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        asked, runs = run_handles(command.source, tell, command.step)
        sampling = command.sampling.over(runs[0].shown_sampling)
        drawn = described(sampling, [handle.model for handle in asked])
        prompts = list(command.prompt or runs[0].prompts)
        frame = answers_frame(asked, prompts, sampling, runs[0].data.scores, tell)
        if page is not None:
            tell("writing the page", 1.0)
            # Not before: pictures take a while to load, and the other commands need none.
            from workbench.view.compare.page import comparison_page

            write_text(page, comparison_page(runs, judged(frame), sampling, drawn))
        tell("done", 1.0)
    _print_answers(frame)
    say(drawn)
    if command.html is not None:
        say(f"written: {command.html}")


def _print_answers(frame: pd.DataFrame) -> None:
    """Texts one above the other, then the means."""
    for _, group in frame.groupby("place", sort=False):
        answers = zip(group["who"], group["text"], strict=True)
        for name, text in [("prompt", group["prompt"].iloc[0]), *answers]:
            say(f"  {text}", f"{name:>9}", "bold")
        say()
    numbers = frame.drop(columns=["place", "ended"]).groupby("who", sort=False)
    means = numbers.mean(numeric_only=True)
    table = Table("mean", *means.index, title=f"{frame['place'].nunique()} prompts")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, values in means.items():
        table.add_row(str(name), *("–" if v != v else f"{v:.3f}" for v in values))
    console.print(table)
