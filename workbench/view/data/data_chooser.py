"""Choose a file of preference pairs, see what is in it, and train on it: no path is typed.

    choose_data()

What takes time, reading and loading and checking, goes on in the thread that uses models.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial

from IPython import get_ipython
from IPython.display import display

from workbench.errors import WorkbenchError
from workbench.paths import given
from workbench.runs.forecast.before_run import before_run
from workbench.train.config import TrainConfig
from workbench.view.cell_output import CellOutput, beside, show
from workbench.view.controls.awaited import Awaited
from workbench.view.data.data_view import DataView
from workbench.view.data.file_picker import FilePicker
from workbench.view.data.first_pairs import PairDrawer
from workbench.view.data.opened_file import OpenedFile, open_file
from workbench.view.html.render import render
from workbench.view.live.dashboard import Dashboard, dashboard
from workbench.view.live.model_thread import ModelThread

NOTHING_YET = TrainConfig().data  # what `data` is where nobody named any


def choose_data(config: TrainConfig | None = None, live: bool = True) -> DataChooser:
    """Choose a file of pairs, see it as the model will, and train: displays itself in a cell.

    A file is dropped, picked, or chosen in a list of those beside the notebook and of the sets that
    ship. What is dropped or picked is kept in the folder `data` beside the notebook, so that the
    run can be opened again.

    Args:
        config: what to train; left out, SmolLM2 as it is set up by default. Where its `data` names
            a file or a shipped set, this is chosen at first.
        live: False shows what is in `config.data` without widgets, for notebooks that run
            unattended. Google Colab, which shows nothing that a thread draws, always gets this.

    Raises:
        WorkbenchError: not `live`, and `config.data` names nothing, or what cannot be used.
    """
    live = live and "google.colab" not in sys.modules
    return DataChooser(config or TrainConfig(model="smollm2"), live)


class DataChooser(Awaited):
    """What `choose_data` makes.

    Attributes:
        opened: the file that is chosen, as far as it was read; None before.
        view: all that is shown; `view.box` is the widget.
        board: the dashboard of what was last trained here; None before.
    """

    def __init__(self, config: TrainConfig, live: bool) -> None:
        self._config, self._live = config, live
        self.opened: OpenedFile | None = None
        self.board: Dashboard | None = None
        self._source, self._asked, self._over = "", 0, threading.Event()
        self._error: Exception | None = None
        self._lock = threading.RLock()  # callbacks may come on any thread
        self._saved: CellOutput | None = None  # shown where there are no widgets
        self._drawer = PairDrawer(config)
        self.picker = FilePicker(self.choose, self._refuse)
        self.view = DataView(self.picker, self._drawer, self._use_columns)
        self.view.train.on_click(lambda button: self.train())
        if config.data != NOTHING_YET:
            self.choose(config.data, columns=config.columns)
        elif not live:
            raise WorkbenchError("data is missing: name a file, such as TrainConfig(data='brief')")
        if not live:
            self.join()

    # -- choosing -------------------------------------------------------------------------------

    def choose(self, source: str, new: bool = False, columns: str | None = None) -> None:
        """Look a file or a shipped set through; returns at once, see `join`.

        A `new` file, kept here a moment ago, is removed again where it cannot be read.
        """
        source = given(source, "data")
        with self._lock:
            asked, over = self._ask()
            self.view.clear(columns=source != self._source)
            self.view.tell(f"reading {source}")
            self._source = source
            self.picker.show(source)
        look = partial(self._look, asked, over, source, new, columns)
        ModelThread.at_work().call(look) if self._live else look()

    @property
    def config(self) -> TrainConfig:
        """The settings with which the chosen file is trained on.

        Raises WorkbenchError before one is chosen, and before its columns are known.
        """
        if self.opened is None or self.opened.pairs is None:
            raise WorkbenchError("no file is chosen yet, or its columns are not known yet")
        return self.opened.settings(self._config)

    def _use_columns(self, columns: str) -> None:
        self.choose(self._source, columns=columns)

    def _refuse(self, error: WorkbenchError) -> None:
        """Show what is wrong with a file that is not even kept."""
        with self._lock:
            _, over = self._ask()
            self.view.clear()
            self._fail(error)
        over.set()

    def _ask(self) -> tuple[int, threading.Event]:
        """Begin anew; what is still being looked through is not shown."""
        self._asked += 1
        self.opened, self._error, self._over = None, None, threading.Event()
        return self._asked, self._over

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.view.fail(error)
        self.picker.refresh()

    # -- looking it through, on the thread that uses models -------------------------------------

    def _look(
        self, asked: int, over: threading.Event, source: str, new: bool, columns: str | None
    ) -> None:
        def tell(text: str, share: float = 0.0) -> None:
            if asked == self._asked:
                self.view.tell(f"{text}: {share:.0%}" if share else text)

        try:
            opened = open_file(source, replace(self._config.reading, columns=columns), new)
            with self._lock:
                if asked != self._asked:
                    return
                self.opened = opened
                self.view.show(opened)
            if opened.pairs is None:
                return
            self._drawer.load(tell)
            self.view.draw_pairs()
            tell("checking every row")
            config = replace(self._config, data=source, columns=columns)
            checked, _ = before_run(config, quick=True)
            with self._lock:
                if asked == self._asked:
                    self.view.finish(checked, self.config)
                    self._keep()
        except Exception as error:
            with self._lock:
                if asked == self._asked:
                    self._fail(error)
        finally:
            over.set()

    # -- training -------------------------------------------------------------------------------

    def train(self) -> None:
        """As the button does: train on the chosen file, with the dashboard below."""
        try:
            worker = self.board.worker if self.board is not None else None
            if worker is not None and not worker.over:
                if self.board is not None and self.board.run is None:
                    return  # pressed twice
                raise WorkbenchError("a run is being trained below: stop it first")
            board = dashboard(self.config)
            assert isinstance(board, Dashboard)
            self.view.fail(None)
            self.board = board
            if self._saved is not None:
                board.save_in(self._saved, self.view.html)
            self.view.below.children = (board.box,)
            board.start()
            self.picker.reveal()
        except WorkbenchError as error:
            self.view.fail(error)

    # -- showing --------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Keep what is shown for a saved notebook; later a run keeps its picture there."""
        if self._saved is not None and self.board is None:
            self._saved.show(render("saved_data", shown=self.view.html))

    def _ipython_display_(self) -> None:
        if not self._live:
            show(self.view.html)
            return
        display(beside(self.view.box, ""), raw=True)
        if self._source:  # within the cell, so that a saved notebook holds what it shows
            with suppress(KeyboardInterrupt):
                while not self._over.wait(0.2):  # an endless wait can't be interrupted on Windows
                    pass
        if get_ipython() is not None:
            self._saved = CellOutput()
            self._keep()
