"""The curves of runs, drawn in the browser from numbers: a widget that is sent only new points.

plotly's own JavaScript draws them. It is read from the installed package and sent once to a page
that has none yet, so nothing is fetched from elsewhere and nothing of it is kept in a notebook.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any

import anywidget

from workbench.train.events import Event
from workbench.view.curves.messages import Marks, describe, new_points
from workbench.view.html.images import png
from workbench.view.plot.history import History
from workbench.view.plot.run_figure import overview
from workbench.view.plot.run_style import RunStyle, run_style

SCRIPTS = ("store.js", "charts.js", "images.js", "curves.js")


def _own(*names: str) -> str:
    """The text of files beside this one."""
    return "\n".join((resources.files(__package__) / name).read_text("utf-8") for name in names)


class LiveCurves(anywidget.AnyWidget):
    """Takes the events of runs and shows their curves; `send` brings the page up to date.

    All methods may be called on any thread.
    """

    _esm = _own(*SCRIPTS)
    _css = _own("curves.css")

    def __init__(self) -> None:
        super().__init__()
        self._history = History()
        self._names: list[str] | None = None  # of the runs that are drawn; None for all
        self._told: dict[str, Any] = {}  # the last layout that was sent
        self._marks: Marks = {}
        self._anew = True  # what the page has is to be replaced
        self._heard = set[str]()  # the questions of pages, which ask until they are answered
        self._lock = threading.RLock()
        self.on_msg(self._answer)
        self.add_class("wb-curves")

    def add(self, run: str, event: Event) -> None:
        """Add an event of `run`; events without numbers are ignored."""
        with self._lock:
            self._history.add(run, event)

    def fork(self, parent: str, branch: str) -> None:
        """Start the curves of `branch` at the last points of those of `parent`."""
        with self._lock:
            self._history.fork(parent, branch)

    def load(self, run: str, events: Iterable[Event]) -> None:
        """Add all events of a recorded run."""
        with self._lock:
            for event in events:
                self._history.add(run, event)

    def show(self, names: Sequence[str]) -> None:
        """Draw these runs, in this order; others are hidden, not forgotten."""
        self._names = list(names)

    def rename(self, old: str, new: str) -> None:
        """Give a run another name; it keeps its style."""
        with self._lock:
            self._history.rename(old, new)
            if self._names is not None:
                self._names = [new if name == old else name for name in self._names]

    def remove(self, run: str) -> None:
        """Forget a run."""
        with self._lock:
            self._history.remove(run)
            self._anew = True

    def style(self, run: str) -> RunStyle:
        """How a run is drawn beside others."""
        return run_style(self._history.numbers[run])

    def png(self) -> bytes:
        """A picture of the runs that are shown, for saved notebooks."""
        with self._lock:
            return png(overview(self._shown()))

    def send(self, content: Any = None, buffers: Any = None) -> None:
        """Send what is new to the page; with `content`, a message of a widget like any other."""
        if content is not None:
            return super().send(content, buffers)
        with self._lock:
            self._send_news()

    def _shown(self) -> History:
        names = self._history.runs if self._names is None else self._names
        return self._history.only(names)

    def _send_news(self) -> None:
        shown = self._shown()
        if self._anew:
            self._told = {}
            self._marks.clear()
        if (layout := describe(shown)) != self._told:
            self._told = layout
            super().send(layout)
        segments, points = new_points(shown, self._marks)
        if segments or self._anew:
            super().send({"kind": "points", "anew": self._anew, "segments": segments}, [points])
        self._anew = False

    def _answer(self, _: object, asked: dict[str, Any], buffers: object) -> None:
        """A page that has just been opened asks for all there is."""
        if asked.get("kind") != "hello":
            return
        with self._lock:
            if (name := asked.get("id")) in self._heard:
                return
            if isinstance(name, str):
                self._heard.add(name)
                super().send({"kind": "heard", "id": name})
            self._anew = True
            self._send_news()
        if asked.get("plotly"):
            source = resources.files("plotly") / "package_data" / "plotly.min.js"
            super().send({"kind": "plotly"}, [source.read_bytes()])
