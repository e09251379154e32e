"""A sweep in a notebook: its runs as one table and two drawings; chosen ones are compared below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets
from IPython.display import display

from workbench.errors import WorkbenchError
from workbench.runs.study.study_sweep import Sweep
from workbench.view.cell_output import beside
from workbench.view.controls.view_box import view_box
from workbench.view.html.images import picture
from workbench.view.html.render import style
from workbench.view.live.runs_table.recorded_answers import open_answers
from workbench.view.sweep.sweep_data import combinations_html, sweep_data
from workbench.view.sweep.sweep_figure import draw_sweep

HERE = Path(__file__).parent


class SweepTable(anywidget.AnyWidget):
    """The drawings and the table; `data` as `sweep_data` gives it."""

    _esm = HERE / "sweep.js"
    _css = HERE / "sweep.css"
    data = traitlets.Dict().tag(sync=True)


class SweepView:
    """The runs of a sweep; those that are chosen answer the same prompts below.

    Attributes:
        sweep: that is shown.
        table: the widget of drawings and table; `box` is all of it.
        comparison: the answers of the chosen runs.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.table = SweepTable(data=sweep_data(sweep))
        self.table.on_msg(lambda widget, content, buffers: self._hear(content))
        self.comparison = widgets.VBox().add_class("wb-comparison-of-runs")
        sheet = widgets.HTML(style("workbench")).add_class("wb-style")
        self.box = view_box([sheet, self.table, self.comparison], "wb-explorer")

    def refresh(self) -> None:
        """Show what has been done since."""
        self.table.data = sweep_data(self.sweep)

    def compare(self, runs: Sequence[int]) -> None:
        """Open the answers of these runs, by their numbers, beside the reference's.

        Raises:
            WorkbenchError: the sweep has no run of that number.
        """
        table = self.sweep.table().set_index("run")
        if unknown := [number for number in runs if number not in table.index]:
            raise WorkbenchError(
                f"runs={unknown} are not in the sweep; accepted: {list(table.index)!s:.80}"
            )
        folders = [Path(table.loc[number, "folder"]) for number in runs]
        open_answers(self.comparison, folders, f"{len(folders)} runs")

    def _hear(self, content: dict[str, Any]) -> None:
        if "compare" in content:
            self.compare(content["compare"])
        else:
            self.refresh()

    @property
    def html(self) -> str:
        """The same without widgets: the combinations, and a figure."""
        return f"{combinations_html(self.sweep)}{picture(draw_sweep(sweep_data(self.sweep)))}"

    def _ipython_display_(self) -> None:
        display(beside(self.box, self.html), raw=True)


def explore_sweep(sweep: Sweep | Path | str) -> SweepView:
    """The runs of a sweep, or of the sweep in a folder, which may still go on elsewhere.

    Raises:
        WorkbenchError: the folder holds no sweep, or a damaged one.
    """
    return SweepView(sweep if isinstance(sweep, Sweep) else Sweep.open(sweep))
