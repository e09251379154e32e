"""Runs, checkpoints or models side by side, as one table of prompts in a notebook.

compare_answers(run, prompts)                                  # policy beside reference
compare_answers({"base": "smollm2", "mine": "runs/mine"}, prompts)
compare_runs(["runs/one", "runs/two"])                         # their policies and a reference
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import pandas as pd
import traitlets
from IPython.display import display

from workbench.compare.answers import answers_frame
from workbench.compare.handle_sources import Source, open_handles, run_handles
from workbench.compare.judging.judges import Judge
from workbench.compare.judging.winners import judged, pairs_of, save_pairs, save_prompts
from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.shown import described, shown_sampling
from workbench.paths import given_path
from workbench.runs.evaluate import TextScores
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.cell_output import beside
from workbench.view.compare.several.comparison_data import table_data, topics_of
from workbench.view.compare.sources import opened, progress_of
from workbench.view.compare.token_view import explore_answer
from workbench.view.controls.view_box import view_box
from workbench.view.html.answer_numbers import Grid, answers_table, legend, means_table
from workbench.view.html.elements import error_card
from workbench.view.html.render import Html, render, style

PROMPTS = 8  # of a run, where none are given
KEPT = 4  # prompts that a saved notebook shows of a longer table
HERE = Path(__file__).parent
FILES = {"prompts": "selected_prompts.jsonl", "pairs": "selected_pairs.jsonl"}


class ComparisonTable(anywidget.AnyWidget):
    """The table itself; `data` as `table_data` gives it. Messages tell what a person did."""

    _esm = HERE / "comparison.js"
    _css = HERE / "comparison.css"
    data = traitlets.Dict().tag(sync=True)


class Comparison:
    """A table of answers; a row opens its answers and, below, the tokens of one of them.

    Attributes:
        frame: the numbers, see `answers_frame` and `judged`.
        table: the widget of the table; `box` is all of it.
        folder: where selected rows are saved.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        asked: Sequence[ModelHandle] = (),
        topics: Mapping[str, str] | None = None,
        drawn: str = "",
        folder: Path | str = ".",
    ) -> None:
        self.frame, self.folder, self._asked = (
            frame,
            given_path(folder),
            {h.name: h for h in asked},
        )
        self._drawn, self._place = drawn, 0
        self.table = ComparisonTable(data=table_data(frame, topics))
        self.table.on_msg(lambda widget, content, buffers: self._receive(content))
        names = [handle.name for handle in asked][1:]
        self.whose = widgets.Dropdown(options=names[::-1], description="tokens of")
        self.whose.observe(lambda change: self.open(self._place), "value")
        self.tokens = widgets.VBox().add_class("wb-tokens-of")
        sheet = widgets.HTML(style("workbench")).add_class("wb-style")
        parts = [sheet, widgets.HTML(self._means), self.table, self.tokens]
        self.box = view_box(parts, "wb-explorer")

    def open(self, place: int) -> None:
        """Show the tokens of an answer to this prompt, against the first model."""
        self._place = place
        row = self.frame[self.frame["place"] == place].set_index("who")
        if not self.whose.options or self.whose.value not in row.index:
            return
        text, prompt = row.loc[self.whose.value, "text"], row["prompt"].iloc[0]
        two = [next(iter(self._asked.values())), self._asked[self.whose.value]]
        try:
            shown = explore_answer(two, prompt, text).box
        except WorkbenchError as error:
            shown = widgets.HTML(error_card(error))
        self.tokens.children = (self.whose, shown)

    def save(
        self,
        places: Sequence[int],
        kind: str = "pairs",
        chosen: str = "winner",
        rejected: str = "loser",
    ) -> tuple[Path, int]:
        """Write chosen prompts (by `place`) as prompts or as pairs; the file and how many rows.

        Raises:
            WorkbenchError: nothing to save, or see `pairs_of`.
        """
        file = self.folder / FILES[kind]
        if kind == "pairs":
            return file, save_pairs(pairs_of(self.frame, places, chosen, rejected), file)
        rows = self.frame[self.frame["place"].isin(list(places))]
        return file, save_prompts(rows["prompt"], file)

    def _receive(self, content: dict[str, Any]) -> None:
        """What a person did in the table."""
        if "open" in content:
            return self.open(content["open"])
        asked = content["save"]
        try:
            file, count = self.save(
                asked["places"], asked["kind"], asked["chosen"], asked["rejected"]
            )
            text = f"{count} {asked['kind']} written to {file}"
        except WorkbenchError as error:
            text = str(error)
        self.table.send({"text": text})

    @property
    def _means(self) -> Html:
        drawn = render("line", text=self._drawn) if self._drawn else ""
        return Html(means_table(Grid.of(self.frame)) + drawn)

    @property
    def html(self) -> str:
        """The same without widgets: means, and some of the answers."""
        grid = Grid.of(self.frame)
        kept = grid.rows if len(grid.rows) <= PROMPTS else grid.rows[:KEPT]
        count = f"<p>{len(kept)} of {len(grid.rows)} prompts</p>" if kept != grid.rows else ""
        return f"{self._means}{count}{answers_table(grid, kept)}{legend(grid)}"

    def _ipython_display_(self) -> None:
        box = None if "google.colab" in sys.modules else self.box
        display(beside(box, self.html), raw=True)


def compare_answers(
    what: Source | Sequence[ModelHandle] | Mapping[str, Source],
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    scores: TextScores | None = None,
    progress: Progress | None = None,
    judges: Sequence[Judge] = (),
) -> Comparison:
    """The answers of any number of models side by side, as a table of prompts.

    Args:
        what: a run or its folder, for policy beside reference; models; or names for runs, folders
            and models, such as {"base": "smollm2", "mine": "runs/mine"}. See `open_handles`.
        prompts: left out, some held-out ones of the run.
        sampling: the same for all; left out, as the run shows its texts, or as the makers of the
            first model recommend.
        scores: of a world that knows the truth; a run brings its own.
        progress: called with what is being done and the share done; left out, a line below the cell
            in a notebook.
        judges: who wins; left out, the true reward where it is known.

    Raises:
        WorkbenchError: no such run or model, or no prompt.
    """
    progress = progress_of(progress)
    source = opened(what, progress)
    asked = open_handles(source, progress)
    among = source.values() if isinstance(source, Mapping) else [source]
    run = next((one for one in among if isinstance(one, Run)), None)
    return _compared(asked, run, prompts, sampling, scores, progress, judges)


def compare_runs(
    runs: Run | Path | str | Sequence[Run | Path | str],
    prompts: Sequence[str] | None = None,
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
    judges: Sequence[Judge] = (),
) -> Comparison:
    """The policies of several runs, beside the reference of the first; see `compare_answers`.

    Args:
        runs: as they are now, or their folders; one or several.

    Raises:
        WorkbenchError: no run, or a folder without one.
    """
    progress = progress_of(progress)
    asked, loaded = run_handles(runs, progress)
    return _compared(asked, loaded[0], prompts or (), sampling, None, progress, judges)


def _compared(
    asked: Sequence[ModelHandle],
    run: Run | None,
    prompts: Sequence[str],
    sampling: SamplingConfig | None,
    scores: TextScores | None,
    progress: Progress,
    judges: Sequence[Judge],
) -> Comparison:
    if run is not None:
        prompts = prompts or run.prompts[:PROMPTS]
        sampling, scores = sampling or run.shown_sampling, scores or run.data.scores
    sampling = sampling or shown_sampling(asked[0].model)
    frame = judged(answers_frame(asked, prompts, sampling, scores, progress), judges)
    progress(f"{len(prompts)} prompts answered", 1.0)
    drawn = described(sampling, [handle.model for handle in asked])
    return Comparison(frame, asked, topics_of(run), drawn)
