"""The curves of runs as a picture that follows them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import ipywidgets as widgets

from workbench.train.events import Event
from workbench.view.plot.history import History
from workbench.view.plot.live_figure import LiveFigure


class LivePicture(widgets.Image):
    """A picture of the runs that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self._all, self._shown = History(), list[str]()
        self._lock = threading.RLock()
        self.send()
        self.add_class("wb-picture")

    def add(self, run: str, event: Event) -> None:
        with self._lock:
            self._all.add(run, event)

    def fork(self, parent: str, branch: str) -> None:
        with self._lock:
            self._all.fork(parent, branch)

    def load(self, run: str, events: Iterable[Event]) -> None:
        with self._lock:
            self._all.runs.pop(run, None)
            for event in events:
                self._all.add(run, event)

    def show(self, names: Sequence[str]) -> None:
        self._shown = list(names)

    def rename(self, old: str, new: str) -> None:
        with self._lock:
            runs = self._all.runs
            self._all.runs = {new if n == old else n: curves for n, curves in runs.items()}
            self._shown = [new if n == old else n for n in self._shown]

    def remove(self, run: str) -> None:
        with self._lock:
            self._all.runs.pop(run, None)

    def send(self) -> None:
        self.value = self.png()

    def png(self) -> bytes:
        with self._lock:
            figure = LiveFigure()
            runs = self._all.runs
            shown = {name: runs[name] for name in self._shown if name in runs}
            changes = {n: c for n, c in self._all.changes.items() if n in shown}
            figure.history = History(shown, changes, self._all.total)
            return figure.png()
