"""Says, in the browser and at once, that a press waits for a kernel which is busy elsewhere.

Every press of a button in the dashboard sends a question along the same way. Where the kernel has
not answered it within 300 ms, the press is queued, and a line beside the buttons says so until the
answer comes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget


class PressGuard(anywidget.AnyWidget):
    """A line that is empty but while a press waits; for the row of the buttons."""

    _esm = Path(__file__).with_name("press_guard.js")

    def __init__(self) -> None:
        super().__init__()
        self.add_class("wb-queued")
        self.on_msg(self._answer)

    def _answer(self, widget: Any, asked: dict[str, Any], buffers: Any) -> None:
        self.send({"answers": asked["press"]})
