"""The dashboard: controls, live curves, policy beside reference, and the table of its runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import ipywidgets as widgets
from IPython.display import display

from workbench.errors import WorkbenchError
from workbench.paths import given_path
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.view.cell_output import CellOutput, beside
from workbench.view.live.dashboard_actions import MakeRun
from workbench.view.live.elsewhere.follow_actions import FollowActions
from workbench.view.live.outputs.followers import Follower
from workbench.view.live.outputs.saved_output import SavedOutput
from workbench.view.live.static import StaticDashboard
from workbench.view.live.worker import Worker


def dashboard(
    config: TrainConfig | None = None,
    live: bool = True,
    prompt: str | None = None,
    make_run: MakeRun = Run.create,
    keep: bool = True,
    run: Path | str | None = None,
) -> Dashboard | StaticDashboard:
    """Train and watch: an object that displays itself as the last line of a cell.

    Args:
        config: what to train; the controls start at its values.
        live: False trains to the end within the cell and shows the outcome without widgets, for
            notebooks that run unattended; it writes a folder only where `config.out` names one.
            Google Colab, which shows nothing that a thread draws, always gets this form.
        prompt: answered by policy and reference, beside each other.
        make_run: makes the run from config and progress, when Start is pressed.
        keep: every run is a folder in `runs/` beside the notebook, or beside `config.out`; False:
            runs without an `out` leave nothing behind.
        run: folder of a run to open again, with its curves and answers; its settings are those
            that the controls start at.

    Raises:
        WorkbenchError: there is no run in the folder `run`.
    """
    Worker.close_newest()
    folder = None if run is None else given_path(run, "run")
    if folder is not None and config is None:
        config = replace(Record(folder).config(), out=None)
    config = config or TrainConfig()
    if not live or "google.colab" in sys.modules:
        return StaticDashboard(partial(make_run, config), prompt)
    return Dashboard(config, prompt, make_run, keep, folder)


def follow(folder: Path | str, *more: Path | str) -> Dashboard:
    """Watch runs that other processes train, on this machine or on one with the same disk.

    The dashboard shows what their folders hold as it grows; no model is loaded. What is moved in
    it, and Stop, is asked for in the run's folder, and the run takes it between two steps. It ends
    with the runs, with the widget, or with the next call of `follow`.

    Args:
        folder: of a run, which may not have begun.
        more: folders of others, to be drawn on the same plots.

    Raises:
        WorkbenchError: a folder's name is none, two folders have the same name, or the notebook is
            in Google Colab, which shows nothing that a thread draws.
    """
    if "google.colab" in sys.modules:
        raise WorkbenchError("Google Colab can't show a run while it goes on: load_run opens it")
    folders = [given_path(one, "folder") for one in (folder, *more)]
    config = TrainConfig()
    if (folders[0] / "config.toml").exists():
        config = replace(Record(folders[0]).config(), out=None)
    return Dashboard(config, None, Run.create, True, folders[0], followed=folders)


class Dashboard(FollowActions):
    """The live form; `dashboard` makes it.

    Attributes:
        worker: drives the runs of the last Start; None before the first.
        box: all of it, as a widget.
    """

    def start(self) -> None:
        """As the button Start does: train from the reference, with the settings that are shown."""
        self._act(self._start, self._inputs.buttons["Start"])

    def save_in(self, output: CellOutput, before: str) -> None:
        """Keep the picture for saved notebooks in an output that a cell shows already.

        `before` is HTML that stands above it.
        """
        self._saved = SavedOutput(output, before)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every run has ended; whether they have. Raises the error of a failed run."""
        return self.worker is not None and self.worker.join(timeout)

    def when_done(self, function: Follower) -> widgets.HTML:
        """A widget that shows `function` of the run, HTML or a figure, whenever a run has ended."""
        output = self._followers.add(function)
        fill = partial(self._fill, output)
        if self.worker is not None:
            fill() if self.worker.closed else self.worker.call(fill)
        return output

    def _ipython_display_(self) -> None:
        still = "<p>A live dashboard: run this cell to train here.</p>"  # where widgets don't show
        display(beside(self.box, still), raw=True)
        self._saved.show(self._outputs.curves.png, self._newest)
