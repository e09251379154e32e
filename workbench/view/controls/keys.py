"""Keeps keys that are pressed within a box from the notebook, where `d d` deletes a cell."""

from __future__ import annotations

from pathlib import Path

import anywidget

FOLDER = Path(__file__).parent


class KeepKeys(anywidget.AnyWidget):
    """An invisible widget: to be a child of the box whose keys stay with it.

    Escape and what is pressed with Ctrl or Cmd, such as saving, still reach the notebook.
    """

    _esm = FOLDER / "keys.js"
