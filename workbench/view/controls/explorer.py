"""A picture or HTML that follows its controls: every interactive figure of the lessons is one.

Where widgets are not shown, on a code host or in a printed copy, the picture is shown alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from IPython.display import display
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.view.cell_output import beside
from workbench.view.controls.fields import number
from workbench.view.controls.number import NumberControl
from workbench.view.controls.picture import Picture
from workbench.view.controls.view_box import view_box
from workbench.view.html.elements import error_card
from workbench.view.html.images import describe, png
from workbench.view.html.render import style
from workbench.view.plot.layers import Layers

BETAS = (0.05, 10.0)


class Explorer:
    """Controls above, and below what `draw` returns for their values; the last line of a cell.

    A WorkbenchError of a `draw` that returns HTML is shown instead.

    Args:
        draw: called with the value of every control by name; returns HTML, or a figure. Returning
            the same figure again, its lines moved, is the quick way.
        controls: widgets with a `value`, shown in this order.

    Attributes:
        controls: by name.
        shown: what `draw` returned last.
        box: all of it, as a widget.
    """

    def __init__(self, draw: Callable[..., str | Figure], **controls: widgets.DOMWidget) -> None:
        self._draw, self.controls = draw, controls
        self._lock = threading.Lock()  # callbacks may come on any thread
        self._picture = Picture()
        self._text = widgets.HTML().add_class("wb-text")
        self.shown: str | Figure = ""
        self._show()
        row = widgets.HBox(list(controls.values())).add_class("wb-row")
        shown = self._text if isinstance(self.shown, str) else self._picture
        sheet = widgets.HTML(style("workbench")).add_class("wb-style")
        self.box = view_box([sheet, row, shown], "wb-explorer")
        for widget in controls.values():
            widget.observe(lambda change: self._show(), "value")

    @property
    def values(self) -> dict[str, Any]:
        """The value of every control by name."""
        return {name: widget.value for name, widget in self.controls.items()}

    @property
    def png(self) -> bytes:
        """The picture as it is shown; empty where HTML is shown."""
        return bytes(self._picture.value)

    def set(self, **values: Any) -> None:
        """Move controls, as a person would."""
        for name, value in values.items():
            self.controls[name].value = value

    def _show(self) -> None:
        with self._lock:
            try:
                made = self._draw(**self.values)
            except WorkbenchError as error:
                if isinstance(self.shown, Figure):
                    raise
                made = error_card(error)
            if isinstance(made, str):
                self._text.value = made
            else:
                if made is not self.shown:
                    self._layers = Layers(made)
                self._picture.show(self._layers.png(), describe(made))
            self.shown = made

    def _ipython_display_(self) -> None:
        if isinstance(self.shown, str):
            display(beside(self.box, self.shown), raw=True)
        else:
            bundle = {**self.box._repr_mimebundle_(), "image/png": png(self.shown)}
            display(bundle, raw=True, metadata={"image/png": {"alt": describe(self.shown)}})


def slider(value: float, low: float, high: float, step: float, description: str) -> NumberControl:
    """A number from `low` to `high`; whole where its step is an int."""
    whole = isinstance(step, int)
    return number(value, low, high, whole, step=step, slider=True, description=description)


def beta_slider(value: float = 0.5) -> NumberControl:
    """Beta in equal ratios, over the range that makes a difference in a small world."""
    return number(value, *BETAS, log=True, description="beta").add_class("wb-beta")


def choice_slider(choices: Sequence[float], value: float, description: str) -> NumberControl:
    """A number that is one of `choices`, ascending; whole where all are."""
    whole = all(isinstance(choice, int) for choice in choices)
    return NumberControl(
        value=value, min=choices[0], max=choices[-1], choices=list(choices), whole=whole,
        description=description,
    )  # fmt: skip
