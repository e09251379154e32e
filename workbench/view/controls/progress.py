"""Progress of something that takes seconds, in one line below the cell."""

from __future__ import annotations

import time

from IPython.display import HTML, DisplayHandle, display

from workbench.view.html.elements import escape

EVERY = 0.5  # seconds between two updates of the line


class ProgressLine:
    """Call it with what is being done and the share done, 0 to 1; it rewrites its one line."""

    def __init__(self) -> None:
        self._line: DisplayHandle | None = None
        self._last = 0.0

    def __call__(self, text: str, share: float) -> None:
        now = time.monotonic()
        if self._line is not None and now - self._last < EVERY and share < 1:
            return
        self._last = now
        line = HTML(f"<p>{escape(text)}: {share:.0%}</p>")
        if self._line is None:
            self._line = display(line, display_id=True)
        else:
            self._line.update(line)
