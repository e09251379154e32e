"""What a saved notebook shows of a dashboard whose kernel has gone: a picture, and how to open it.

A page that no longer knows the widgets shows an error in their place and nothing stored beside
them. So this is an output of its own, which the dashboard's style sheet hides while it is there.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from pathlib import Path

from IPython import get_ipython

from workbench.view.cell_output import CellOutput
from workbench.view.html.render import render


class SavedOutput:
    """One output below the dashboard, replaced by `show` with the newest picture."""

    def __init__(self) -> None:
        self._output: CellOutput | None = None
        self._lock, self._before = threading.Lock(), ""

    def show(self, png: bytes, folder: Path | None) -> None:
        """Replace the picture; from the second call on, on any thread."""
        if get_ipython() is None:
            return
        image = b64encode(png).decode()
        html = render("saved_dashboard", image=image, folder=str(folder) if folder else "")
        with self._lock:
            self._output = self._output or CellOutput()
            if html != self._before:
                self._before = html
                self._output.show(html)
