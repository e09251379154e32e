"""HTML, figures and widgets below a cell: shown once, or replaced by newer ones.

All HTML that a notebook is given goes through here, so that all of it is verbatim.
"""

from __future__ import annotations

from typing import Any, Protocol

import ipywidgets as widgets
from IPython.display import HTML, DisplayHandle, Image, display
from matplotlib.figure import Figure

from workbench.view.html.images import png
from workbench.view.html.render import verbatim


class HasHtml(Protocol):
    """A data frame, styled or not."""

    def _repr_html_(self) -> str | None: ...


def show(made: str | Figure | HasHtml) -> None:
    """Show HTML, a figure or a data frame below the cell; in texts no formulas are looked for."""
    display(displayed(made))


def displayed(made: str | Figure | HasHtml) -> HTML | Image:
    """HTML, a figure or a data frame as an object that a notebook displays and saves."""
    if isinstance(made, Figure):
        # A code host shows a picture of its own kind, but not one within HTML.
        return Image(png(made))
    return HTML(verbatim(made if isinstance(made, str) else made._repr_html_() or ""))


def beside(box: widgets.Widget | None, html: str) -> dict[str, Any]:
    """A widget and what stands in its place where widgets don't show, for `display(..., raw=True)`.

    A page looks for formulas in HTML, and not in a widget's.
    """
    return {**(box._repr_mimebundle_() if box else {}), "text/html": verbatim(html)}


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
