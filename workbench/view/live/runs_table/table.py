"""The table of runs: colour and line, name, settings, figures, state, and buttons for each run.

The browser draws it from `rows` and asks for actions; what they do is the dashboard's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

FOLDER = Path(__file__).parent


class RunsTable(anywidget.AnyWidget):
    """`rows` are drawn, each a run with `name` as its key; see `shelf.Shelf.rows`.

    Attributes:
        refusals: by the run's name, why its last action was refused; shown in its row.
        heard: called with the action and its values: show, compare, answers, branch, go_on,
            follow, rename or delete.
    """

    _esm = FOLDER / "table.js"
    _css = FOLDER / "table.css"
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    refusals = traitlets.Dict().tag(sync=True)

    def __init__(self, heard: Callable[..., None] = lambda action, **values: None) -> None:
        super().__init__()
        self.heard = heard
        self.on_msg(self._hear)
        self.add_class("wb-run-table")

    def _hear(self, widget: Any, message: dict[str, Any], buffers: Any) -> None:
        self.heard(**message)
