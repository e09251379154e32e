"""A slider over the checkpoints of a run: how its answers changed while it trained.

Every checkpoint answers once, before the slider is shown; moving it only chooses among texts. A
saved notebook keeps all of them as one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import ipywidgets as widgets
import pandas as pd
from IPython.display import display

from workbench.compare.answers import changed
from workbench.compare.checkpoint_answers import checkpoint_answers
from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import PREFIX
from workbench.runs.folder.record import Record
from workbench.train.base_model import Progress
from workbench.train.events import EvalEvent
from workbench.view.cell_output import beside
from workbench.view.compare.sources import progress_of
from workbench.view.controls.explorer import Explorer, choice_slider
from workbench.view.html.answer_numbers import Grid, answers_table, legend, notes, written
from workbench.view.html.side_by_side import PromptAnswers, side_by_side

REFERENCE, BEFORE = "the reference", "the checkpoint before"
HELD_OUT = {  # metrics shown for a checkpoint, where it was evaluated
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "kl/policy_reference": "KL",
    "samples/reward": "true reward",
    "samples/grammatical": "grammatical",
}


class CheckpointSlider(Explorer):
    """The answers at one checkpoint beside those before it.

    Args:
        frame: of `checkpoint_answers`.
        held_out: step -> held-out metrics by name, for the steps that were evaluated.
    """

    def __init__(self, frame: pd.DataFrame, held_out: dict[int, dict[str, float]]) -> None:
        self.frame, self._held_out = frame, held_out
        self.steps = [int(step) for step in frame["step"].unique()]
        self._show_step = cache(self._make)  # what was shown once is shown again at once
        step = choice_slider(self.steps, self.steps[-1], "after step").add_class("wb-wide")
        against = widgets.Dropdown(options=[REFERENCE, BEFORE], description="beside")
        super().__init__(self._show_step, step=step, against=against)
        for every in self.steps:  # a first move is as quick as all others
            self._show_step(step=every, against=REFERENCE)

    def _make(self, step: int, against: str) -> str:
        index = self.steps.index(step)
        left = 0 if against == REFERENCE else self.steps[max(0, index - 1)]
        grid = Grid.of(two_steps(self.frame, left, step))
        return f"<p>{self._describe(step)}</p>{answers_table(grid, grid.rows)}{legend(grid)}"

    def _describe(self, step: int) -> str:
        title, found = f"<b>step {step} of {self.steps[-1]}</b>", self._held_out.get(step)
        if not found:
            return f"{title} · not evaluated at this step"
        numbers = [
            f"{label} {written(name, found[PREFIX + name])}"
            for name, label in HELD_OUT.items()
            if PREFIX + name in found
        ]
        return " · ".join([title, *numbers])

    @property
    def history(self) -> str:
        """All answers of all checkpoints as one table, each marked against the one before."""
        grids = [
            Grid.of(two_steps(self.frame, left, step))
            for left, step in zip(self.steps, self.steps[1:], strict=False)
        ]
        rows = []
        for prompt in zip(*(grid.rows for grid in grids), strict=True):
            after = [notes(grid, row, 1) for grid, row in zip(grids, prompt, strict=True)]
            texts = [prompt[0].texts[0], *(row.texts[1] for row in prompt)]
            first = notes(grids[0], prompt[0], 0)
            rows.append(PromptAnswers(prompt[0].prompt, texts, [first, *after]))
        return side_by_side([_title(step) for step in self.steps], rows, look="lines")

    def _ipython_display_(self) -> None:
        display(beside(self.box, self.history), raw=True)


def two_steps(frame: pd.DataFrame, left: int, right: int) -> pd.DataFrame:
    """The answers of two steps as a frame of two models; `changed` is from left to right."""
    before, after = (frame[frame["step"] == step] for step in (left, right))
    texts = dict(zip(before["place"], before["text"], strict=True))
    moved = [changed(texts[p], t) for p, t in zip(after["place"], after["text"], strict=True)]
    before = before.assign(who=_title(left), changed=0.0)
    after = after.assign(who=_title(right) if left != right else "the same", changed=moved)
    return pd.concat([before, after]).sort_values("place", kind="stable", ignore_index=True)


def checkpoint_slider(
    folder: Path | str,
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> CheckpointSlider:
    """A slider over the checkpoints of a recorded run, all with the same seed.

    Args:
        folder: of the run; a run keeps a checkpoint each epoch, or every `checkpoint_every` steps.
        prompts: left out, some held-out ones of the run.
        sampling: left out, as the run shows its texts.
        progress: called with what is being done and the share done; left out, a line below the cell
            in a notebook.

    Raises:
        WorkbenchError: no run there, or one without a checkpoint.
    """
    progress = progress_of(progress)
    frame = checkpoint_answers(folder, prompts, sampling, progress)
    events = Record(Path(folder)).events()
    held_out = {event.step: event.metrics for event in events if isinstance(event, EvalEvent)}
    progress(f"{frame['step'].nunique() - 1} checkpoints answered", 1.0)
    return CheckpointSlider(frame, held_out)


def _title(step: int) -> str:
    return f"step {step}" if step else "reference"
