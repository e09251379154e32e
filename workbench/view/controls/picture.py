"""A PNG that changes, with words for those who do not see it."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

FOLDER = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """An <img> of class `wb-figure`.

    Attributes:
        value: the PNG.
        alt: what it shows.
    """

    _esm = FOLDER / "picture.js"
    value = traitlets.Bytes().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)

    def show(self, value: bytes, alt: str) -> None:
        """Change both in one message."""
        with self.hold_sync():
            self.value, self.alt = value, alt
