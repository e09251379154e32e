"""Tells screen readers the coarse changes of a dashboard's runs, and no others.

The status line changes ten times per second; read aloud it would never end.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import anywidget
import traitlets

from workbench.view.live.run_state import RunState


class Announcer(anywidget.AnyWidget):
    """A line that is not seen; screen readers read its `text` whenever it changes."""

    _esm = Path(__file__).with_name("announcer.js")
    text = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.add_class("wb-announced")

    def say(self, text: str) -> None:
        """Announce this; nothing where it is empty."""
        self.text = text or self.text


class News:
    """What is new about the runs of one worker, in a few words; empty where nothing is."""

    def __init__(self) -> None:
        self._loading = False
        self._told: dict[str, tuple[str, int]] = {}  # by run: its state, and quarters done

    def of_loading(self) -> str:
        """That it has begun, once."""
        begins, self._loading = not self._loading, True
        return "loading" if begins else ""

    def of_runs(self, run_states: Collection[RunState]) -> str:
        """That a run was loaded, started, paused, went on, ended, or has done 25, 50 or 75%."""
        said = ["loaded"] if self._loading and run_states else []
        self._loading = self._loading and not said
        for run in run_states:
            before, quarters = self._told.get(run.name, ("", 0))
            now = 4 * run.step // run.total if run.total else 0
            self._told[run.name] = (run.state, max(now, quarters))
            if run.state != before:
                again = "goes on" if before else "started"
                said.append(f"{run.name} {again if run.state == 'running' else run.state}")
            if run.state == "running" and quarters < now < 4:
                said.append(f"{run.name} {25 * now}% done")
        return ", ".join(said)
