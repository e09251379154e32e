"""What a saved notebook shows of a dashboard whose kernel has gone: a picture, and how to open it.

A page that no longer knows the widgets shows an error in their place and nothing stored beside
them. So this is an output of its own, which the dashboard's style sheet hides while it is there.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from IPython import get_ipython

from workbench.view.cell_output import CellOutput
from workbench.view.html.render import Html, render


class SavedOutput:
    """One output below the dashboard, replaced by `show` with the newest picture.

    `output` is one that a cell shows already; `before` is HTML that stands above the picture.
    """

    def __init__(self, output: CellOutput | None = None, before: str = "") -> None:
        self._output, self._before = output, before
        self._lock, self._state = threading.Lock(), object()

    def show(self, png: Callable[[], bytes], folder: Path | None) -> None:
        """Show or replace it, within the dashboard's cell."""
        if get_ipython() is None:
            return
        image = b64encode(png()).decode()
        html = render("saved_dashboard", image=image, folder=str(folder) if folder else "")
        html = Html(self._before + html)
        with self._lock:
            self._output = self._output or CellOutput()
            self._output.show(html)

    def show_new(self, state: object, png: Callable[[], bytes], folder: Path | None) -> None:
        """Replace it, from any thread, where it was shown and not of this `state`."""
        if self._output is not None and state != self._state:
            self._state = state
            self.show(png, folder)
