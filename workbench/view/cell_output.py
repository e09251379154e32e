"""HTML and figures below a cell: shown once, or replaced by newer ones."""

from __future__ import annotations

from IPython.display import HTML, DisplayHandle, Image, display
from matplotlib.figure import Figure

from workbench.view.html.images import png


def show(made: str | Figure) -> None:
    """Show HTML or a figure below the cell."""
    display(displayed(made))


def displayed(made: str | Figure) -> HTML | Image:
    """HTML or a figure as an object that a notebook displays and saves."""
    # A code host shows a picture of its own kind, but not one within HTML.
    return HTML(made) if isinstance(made, str) else Image(png(made))


class CellOutput:
    """One output below the cell; `show` replaces what it showed before."""

    def __init__(self) -> None:
        self._handle: DisplayHandle | None = None

    def show(self, made: str | Figure) -> None:
        """Show HTML or a figure instead of the last one."""
        if self._handle is None:
            self._handle = display(displayed(made), display_id=True)
        else:
            self._handle.update(displayed(made))
