"""Progress of something that takes seconds, in one line below the cell."""

from __future__ import annotations

from workbench.view.cell_output import CellOutput
from workbench.view.html.render import render
from workbench.view.throttle import Throttle

RATE = 2  # updates of the line per second, at most


class ProgressLine:
    """Call it with what is being done and the share done, 0 to 1; it rewrites its one line."""

    def __init__(self) -> None:
        self._line, self._throttle = CellOutput(), Throttle(RATE)

    def __call__(self, text: str, share: float) -> None:
        if self._throttle.due() or share >= 1:
            with self._throttle.measure():
                self._line.show(render("line", text=f"{text}: {share:.0%}"))
