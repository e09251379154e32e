"""The widgets of a file that is chosen: what was found in it, its first pairs, the preflight."""

from __future__ import annotations

import threading
from collections.abc import Callable

import ipywidgets as widgets

from workbench.data.layouts.columns import parse_columns
from workbench.data.preflight import Report
from workbench.train.config import TrainConfig
from workbench.view.controls.fields import number
from workbench.view.controls.view_box import view_box
from workbench.view.data.column_choice import ColumnChoice
from workbench.view.data.file_facts import found, training_facts
from workbench.view.data.file_picker import FilePicker
from workbench.view.data.first_pairs import PairDrawer
from workbench.view.data.opened_file import OpenedFile
from workbench.view.html.elements import error_card
from workbench.view.html.preflight_table import preflight_html
from workbench.view.html.render import Html, render, style
from workbench.view.live.outputs.press_guard import PressGuard

PAGE = 3  # pairs that are drawn at a time
PARTS = ("told", "problem", "found", "pairs", "checked", "settings")


class DataView:
    """Shows one file after another; it decides nothing.

    Attributes:
        at: the number of the first pair that is drawn.
        columns: which column is which.
        train: the button.
        below: what stands below: the dashboard.
        box: all of it, as a widget.
    """

    def __init__(
        self, picker: FilePicker, drawer: PairDrawer, use_columns: Callable[[str], None]
    ) -> None:
        self._drawer = drawer
        self._lock = threading.RLock()  # callbacks may come on any thread
        self._opened: OpenedFile | None = None
        self._html = {name: widgets.HTML().add_class(f"wb-{name}") for name in PARTS}
        self.at = number(1, 1, 1, whole=True, slider=True, description="from pair")
        self.columns = ColumnChoice(use_columns)
        self.train = widgets.Button(description="Train on this").add_class("wb-train")
        self.below = widgets.VBox().add_class("wb-training")
        self._training = widgets.HBox([self.train, self._html["settings"], PressGuard()])
        self._training.add_class("wb-row")
        self._seen = widgets.VBox([self.at, self._html["pairs"]]).add_class("wb-seen-pairs")
        self.box = self._arrange(picker)
        self.at.observe(lambda change: self.draw_pairs(), "value")
        self.clear()

    def clear(self, columns: bool = True) -> None:
        """Show nothing of a file; not even its `columns`."""
        with self._lock:
            self._opened = None
            for shown in self._html.values():
                shown.value = ""
            self._seen.layout.display = self._training.layout.display = "none"
            if columns:
                self.columns.hide()

    def tell(self, text: str) -> None:
        """What is being done, in a line."""
        self._html["told"].value = render("line", text=text) if text else ""

    def fail(self, error: Exception | None) -> None:
        """Show what went wrong; None: nothing any more."""
        self.tell("")
        self._html["problem"].value = "" if error is None else error_card(error)

    def show(self, opened: OpenedFile) -> None:
        """A file that was read; its pairs as soon as they can be drawn."""
        with self._lock:
            self._opened = opened
            given = {ours: theirs for theirs, ours in parse_columns(opened.columns).items()}
            self.columns.show(opened, given)
            self.tell("")
            self._html["found"].value = found(opened)
            if opened.pairs is None:
                return
            self.at.max = len(opened.pairs.pairs)
            self.at.show(1)

    def draw_pairs(self) -> None:
        """The pairs from the one that is asked for."""
        with self._lock:
            if self._opened is not None and self._opened.pairs is not None:
                first = int(self.at.value) - 1
                pairs = self._opened.pairs.pairs[first : first + PAGE]
                drawn = self._drawer.draw(pairs)
                self._html["pairs"].value = render("seen_pairs", drawn=drawn)
                self._seen.layout.display = None if drawn else "none"

    def finish(self, report: Report, config: TrainConfig) -> None:
        """All has been looked through: it can be trained on, if any pair fits the model."""
        with self._lock:
            assert self._opened is not None
            self.tell("")
            self._html["checked"].value = preflight_html(report)
            if not report.pairs:
                return
            facts = training_facts(self._opened, config)
            self._html["settings"].value = render("line", text=facts)
            self._training.layout.display = None

    @property
    def html(self) -> Html:
        """The same without widgets: layout, first pair, preflight; empty before."""
        with self._lock:
            if self._opened is None or self._opened.pairs is None:
                return Html()
            first = self._drawer.draw(self._opened.pairs.pairs[:1])
            return Html(found(self._opened) + first + self._html["checked"].value)

    def _arrange(self, picker: FilePicker) -> widgets.VBox:
        html = self._html
        sheets = widgets.HTML(style("workbench", "layout", "data")).add_class("wb-style")
        shown = [sheets, picker, html["told"], html["problem"], html["found"], self.columns.box]
        parts = [*shown, self._seen, html["checked"], self._training]
        return view_box([view_box(parts, "wb-data", "wb-dashboard"), self.below], "wb-choosing")
