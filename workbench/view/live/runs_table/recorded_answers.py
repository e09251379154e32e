"""The answers of recorded runs beside each other, opened from the table of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets

from workbench.compare.handle_sources import run_handles
from workbench.runs.folder.record import Record
from workbench.train.base_model import Progress
from workbench.train.events import SampleEvent
from workbench.view.compare.ask import Asking
from workbench.view.compare.several.comparison import PROMPTS, compare_answers
from workbench.view.html.elements import error_card
from workbench.view.html.render import render
from workbench.view.live.model_thread import ModelThread
from workbench.view.live.run_answers import policy_and_reference


def answers_of(folders: Sequence[Path], progress: Progress) -> widgets.DOMWidget:
    """The runs in these folders, to be asked, after the first one's reference.

    Above them, where there are several, the table of their answers to held-out prompts.
    """
    asked, (run, *more) = run_handles(folders, progress)
    asking = Asking(asked, "", run.shown_sampling).box
    if not more or not run.prompts:
        return asking
    table = compare_answers(
        asked, run.prompts[:PROMPTS], run.shown_sampling, run.data.scores, progress
    )
    return widgets.VBox([table.box, asking])


def open_answers(box: widgets.VBox, folders: Sequence[Path], what: str) -> None:
    """Show `answers_of` in `box` as soon as the models are free; meanwhile, how far it is."""

    def tell(text: str, share: float) -> None:
        line = render("line", text=f"opening {what} · {text} · {share:.0%}")
        box.children = (widgets.HTML(line),)

    def load() -> None:
        try:
            box.children = (answers_of(folders, tell),)
        except Exception as error:
            box.children = (widgets.HTML(error_card(error)),)

    tell("waiting for the models", 0.0)
    ModelThread.at_work().call(load)


def last_samples(folder: Path) -> str:
    """The newest answers that a run recorded, beside its reference's; empty where it has none."""
    samples = [event for event in Record(folder).events() if isinstance(event, SampleEvent)]
    return policy_and_reference({"policy": samples[-1].samples}) if samples else ""
