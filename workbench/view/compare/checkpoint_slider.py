"""A slider over the checkpoints of a run: how its answers changed while it trained.

Every checkpoint answers once, before the slider is there; moving it only chooses among texts. A
saved notebook keeps all of them as one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from IPython import get_ipython
from IPython.display import display

from workbench.compare.answers import changed
from workbench.compare.checkpoint_answers import checkpoint_answers
from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import PREFIX
from workbench.runs.record import Record
from workbench.train.base_model import Progress
from workbench.train.events import EvalEvent
from workbench.view.controls.explorer import Explorer
from workbench.view.controls.progress import ProgressLine
from workbench.view.html.answer_grid import (
    BELOW,
    TABLE,
    Grid,
    answers_table,
    legend,
    numbers_of,
    written,
)
from workbench.view.html.elements import escape
from workbench.view.html.text_table import CELL as PLAIN
from workbench.view.html.text_table import marked_answers

CELL = f"{PLAIN}; {BELOW}"
REFERENCE, BEFORE = "the reference", "the checkpoint before"
HELD_OUT = {  # what is told of a checkpoint, where it was evaluated
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "kl/policy_reference": "KL",
    "samples/reward": "true reward",
    "samples/grammatical": "grammatical",
}


class Scrubber(Explorer):
    """The answers at one checkpoint beside those before it; `frame` as of `checkpoint_answers`.

    Args:
        frame: of `checkpoint_answers`.
        held_out: step -> held-out metrics by name, for the steps that were evaluated.
    """

    def __init__(self, frame: pd.DataFrame, held_out: dict[int, dict[str, float]]) -> None:
        self.frame, self._held_out = frame, held_out
        self.steps = [int(step) for step in frame["step"].unique()]
        self._show_step = cache(self._make)  # what was shown once is there at once
        options = [("0, the reference" if not step else str(step), step) for step in self.steps]
        step = widgets.SelectionSlider(
            options=options, value=self.steps[-1], description="after step"
        ).add_class("wb-wide")
        against = widgets.Dropdown(options=[REFERENCE, BEFORE], description="beside")
        super().__init__(self._show_step, step=step, against=against)
        for every in self.steps:  # a first move is as quick as all others
            self._show_step(step=every, against=REFERENCE)

    def _make(self, step: int, against: str) -> str:
        place = self.steps.index(step)
        left = 0 if against == REFERENCE else self.steps[max(0, place - 1)]
        grid = Grid.of(beside(self.frame, left, step))
        line = self._describe(step)
        return f"<p>{line}</p>{answers_table(grid, grid.rows)}{legend(grid)}"

    def _describe(self, step: int) -> str:
        told = [f"<b>step {step} of {self.steps[-1]}</b>"]
        found = self._held_out.get(step, {})
        told += [
            f"{label} {written(name, found[PREFIX + name])}"
            for name, label in HELD_OUT.items()
            if PREFIX + name in found
        ]
        return " · ".join(told) if found else f"{told[0]} · not evaluated at this step"

    @property
    def history(self) -> str:
        """All answers of all checkpoints as one table, each marked against the one before."""
        grids = [
            Grid.of(beside(self.frame, left, step))
            for left, step in zip(self.steps, self.steps[1:], strict=False)
        ]
        titles = "".join(f'<th style="{CELL}">{title}</th>' for title in ("prompt", "step", "text"))
        body = "".join(_story(grids, place, self.steps) for place in range(len(grids[0].rows)))
        return (
            f'<table class="wb-history" style="{TABLE}"><thead><tr>{titles}</tr>'
            f"</thead><tbody>{body}</tbody></table>"
        )

    def _ipython_display_(self) -> None:
        display({**self.box._repr_mimebundle_(), "text/html": self.history}, raw=True)


def beside(frame: pd.DataFrame, left: int, right: int) -> pd.DataFrame:
    """The answers of two steps as a frame of two models; `changed` is from left to right."""
    parts = [frame[frame["step"] == step] for step in (left, right)]
    before = dict(zip(parts[0]["place"], parts[0]["text"], strict=True))
    moved = [
        changed(before[p], t) for p, t in zip(parts[1]["place"], parts[1]["text"], strict=True)
    ]
    parts[0] = parts[0].assign(who=_title(left), changed=0.0)
    parts[1] = parts[1].assign(who=_title(right) if left != right else "the same", changed=moved)
    return pd.concat(parts).sort_values("place", kind="stable", ignore_index=True)


def checkpoint_slider(
    folder: Path | str,
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> Scrubber:
    """A slider over the checkpoints of a recorded run, all with the same seed.

    Args:
        folder: of the run; a run keeps a checkpoint each epoch, or every `checkpoint_every` steps.
        prompts: left out, some held-out ones of the run.
        sampling: left out, as the run shows its texts.
        progress: told how many have answered; in a notebook, left out, a line below the cell tells.

    Raises:
        WorkbenchError: no run there, or one without a checkpoint.
    """
    tell = progress or (ProgressLine() if get_ipython() else lambda text, share: None)
    frame = checkpoint_answers(folder, prompts, sampling, tell)
    said = Record(Path(folder)).events()
    held_out = {event.step: event.metrics for event in said if isinstance(event, EvalEvent)}
    tell(f"{frame['step'].nunique() - 1} checkpoints answered", 1.0)
    return Scrubber(frame, held_out)


def _title(step: int) -> str:
    return f"step {step}" if step else "reference"


def _story(grids: Sequence[Grid], place: int, steps: Sequence[int]) -> str:
    """The rows of one prompt: its answer at every step."""
    first = grids[0].rows[place]
    parts = [(steps[0], f"<bdi>{escape(first.texts[0])}</bdi>", numbers_of(grids[0], first, 0))]
    for grid, step in zip(grids, steps[1:], strict=True):
        row = grid.rows[place]
        parts.append((step, marked_answers(row.texts)[1], numbers_of(grid, row, 1)))
    prompt = f'<td style="{CELL}" rowspan="{len(parts)}"><bdi>{escape(first.prompt)}</bdi></td>'
    lines: list[str] = []
    for step, text, numbers in parts:
        cells = f'<td style="{CELL}">{_title(step)}</td>'
        cells += f'<td style="{CELL}">{text}<br><small>{numbers}</small></td>'
        lines.append(f"<tr>{'' if lines else prompt}{cells}</tr>")
    return "".join(lines)
