"""What the buttons of the table of runs do; a refusal is shown in the run's row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import ipywidgets as widgets

from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import copy_run
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.view.curves.live_curves import LiveCurves
from workbench.view.live.runs_table.recorded_answers import open_answers
from workbench.view.live.runs_table.shelf import Shelf
from workbench.view.live.runs_table.table import RunsTable
from workbench.view.plot.run_style import RunStyle


class TableActions:
    """Connects the table with the shelf, the curves and the dashboard.

    Args:
        begin: begins a live run: (make it, its name, its folder).
        busy: whether a run is being trained.
        release: called with the name of a run before its folder is renamed or deleted.
        follow: follows runs that other processes train, in these folders.
    """

    def __init__(
        self,
        shelf: Shelf,
        curves: LiveCurves,
        begin: Callable[[Callable[[Progress], Run], str, Path], None],
        busy: Callable[[], bool],
        release: Callable[[str], None],
        follow: Callable[[Path], None],
    ) -> None:
        self.table = RunsTable(self._hear)
        self.comparison = widgets.VBox().add_class("wb-comparison")
        self._shelf, self._curves = shelf, curves
        self._begin, self._busy, self._release = begin, busy, release
        self._follow = follow
        self.update()

    def update(self) -> None:
        """Draw the rows as they are now."""
        self.table.rows = self._shelf.rows(self._style)

    def _style(self, name: str) -> RunStyle | None:
        with suppress(KeyError):  # it is still loading
            return self._curves.style(name)
        return None

    def _hear(self, action: str, **values: object) -> None:
        name = str(values.get("name", ""))
        acts: dict[str, Callable[..., None]] = {
            "show": self.show, "compare": self.compare, "answers": self.answers,
            "branch": self.branch, "go_on": self.go_on, "rename": self.rename,
            "delete": self.delete, "follow": self.follow,
        }  # fmt: skip
        try:
            acts[action](**values)
            self.table.refusals = {}
        except WorkbenchError as error:
            self.table.refusals = {name: str(error)}
        self.update()

    def show(self, name: str, shown: bool = True) -> None:
        """Draw the run's curves, or hide them."""
        entry = self._shelf.entries[name]
        if shown and not entry.drawn and entry.folder is not None:
            self._curves.load(name, Record(entry.folder).events())
            entry.drawn = True
        entry.shown = shown
        self._curves.show(self._shelf.shown)
        self._curves.send()
        self.update()

    def go_on(self, name: str) -> None:
        """Train a run on that was stopped or interrupted."""
        self._refuse_busy()
        folder = self._folder(name)
        self._begin(partial(Run.resume, folder), name, folder)

    def branch(self, name: str) -> None:
        """A copy of a run goes on from its newest checkpoint, with the settings shown."""
        self._refuse_busy()
        folder = self._folder(name)
        taken, number = set(self._shelf.entries), 1
        while f"{name}-branch-{number}" in taken:
            number += 1
        copy = copy_run(folder, folder.with_name(f"{name}-branch-{number}"))
        self._begin(partial(Run.resume, copy), copy.name, copy)

    def follow(self, name: str) -> None:
        """Follow a run that another process trains."""
        self._follow(self._folder(name))

    def rename(self, name: str, to: str) -> None:
        """Give the run and its folder another name."""
        self._release(name)
        to = self._shelf.rename(name, to)
        self._curves.rename(name, to)

    def delete(self, name: str) -> None:
        """Delete the run and its folder."""
        self._release(name)
        self._shelf.delete(name)
        self._curves.remove(name)
        self._curves.show(self._shelf.shown)
        self._curves.send()

    def answers(self, name: str) -> None:
        """Reference and run answer beside each other."""
        self.compare([name])

    def compare(self, names: Sequence[str]) -> None:
        """The answers of several runs beside each other, below the table."""
        folders = [self._folder(name) for name in names]
        open_answers(self.comparison, folders, ", ".join(names))

    def _folder(self, name: str) -> Path:
        folder = self._shelf.entries[name].folder
        if folder is None:
            raise WorkbenchError(f"{name} is not kept in a folder: its weights are gone")
        return folder

    def _refuse_busy(self) -> None:
        if self._busy():
            raise WorkbenchError("a run is being trained: stop it first, one trains at a time")
