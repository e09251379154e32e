"""Answers of several models beside each other, sorted and filtered by hand.

compare_answers(run, prompts)            # policy beside reference
compare_answers({"base": "smollm2", "mine": "runs/mine"}, prompts)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import pandas as pd

from workbench.compare.answers import answers_frame
from workbench.compare.handle_sources import Source, open_handles
from workbench.compare.model_handles import ModelHandle
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import shown_sampling
from workbench.runs.evaluate import TextScores
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.compare.sources import opened, progress_of
from workbench.view.controls.explorer import Explorer
from workbench.view.html.answer_numbers import CHANGE, Grid, answers_table, legend, means_table

PROMPTS = 8  # of a run, where none are given


class AnswerTable(Explorer):
    """A table of answers with its controls; `frame` holds the numbers, see `answers_frame`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self._grid = frame, Grid.of(frame)
        sorts = [(title, sort) for sort, title in self._grid.sorts.items()]
        first, *others = self._grid.names
        of = [*others[::-1], *([CHANGE] if others else []), first]
        hint = "in a prompt or an answer"
        super().__init__(
            self._table,
            sort=widgets.Dropdown(options=sorts, description="sort by"),
            of=widgets.Dropdown(options=of, description="of"),
            descending=widgets.Checkbox(description="largest first", indent=False),
            contains=widgets.Text(description="text contains", placeholder=hint),
            differs=widgets.Checkbox(description="only where answers differ", indent=False),
        )

    def _table(self, sort: str, of: str, descending: bool, contains: str, differs: bool) -> str:
        rows = self._grid.arranged(sort, of, descending, contains, differs)
        count, total = len(rows), len(self._grid.rows)
        shown = f"<p>{count} of {total} prompts</p>" if count < total else ""
        table = answers_table(self._grid, rows) if rows else ""
        return f"{means_table(self._grid)}{shown}{table}{legend(self._grid)}"


def compare_answers(
    what: Source | Sequence[ModelHandle] | Mapping[str, Source],
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    scores: TextScores | None = None,
    progress: Progress | None = None,
) -> AnswerTable:
    """The models' answers side by side: differences marked, numbers below each answer.

    Args:
        what: a run or its folder, for policy beside reference; models; or names for runs, folders
            and models, such as {"base": "smollm2", "mine": "runs/mine"}. See `open_handles`.
        prompts: left out, some held-out ones of the run.
        sampling: the same for all; left out, as the run shows its texts.
        scores: of a world that knows the truth; a run brings its own.
        progress: called with what is being done and the share done; left out, a line below the cell
            in a notebook.

    Raises:
        WorkbenchError: no such run or model, or no prompt.
    """
    progress = progress_of(progress)
    source = opened(what, progress)
    asked = open_handles(source, progress)
    among = source.values() if isinstance(source, Mapping) else [source]
    run = next((one for one in among if isinstance(one, Run)), None)
    if run is not None:
        prompts = prompts or run.prompts[:PROMPTS]
        sampling, scores = sampling or run.shown_sampling, scores or run.data.scores
    sampling = sampling or shown_sampling(asked[0].model)
    frame = answers_frame(asked, prompts, sampling, scores, progress)
    progress(f"{len(prompts)} prompts answered", 1.0)
    return AnswerTable(frame)
