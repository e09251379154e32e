"""Something that takes a while, shown while it goes on: within the cell, with or without a person.

The cell does the work itself, so nothing else is answered meanwhile. What needs controls while it
runs is a dashboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from IPython.display import HTML, DisplayHandle, Image, display
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.view.html import elements
from workbench.view.plot.live_figure import Pace

T = TypeVar("T")
SHARE = 0.2  # of all time, for drawing


def watch(states: Iterable[T], draw: Callable[[T], str | Figure], rate: float = 5.0) -> T:
    """Go through `states` and show what `draw` makes of them, at most `rate` a second.

    The last one is always shown, also when the cell is interrupted. Returns it.

    Raises:
        WorkbenchError: there is no state at all.
    """
    pace, place = Pace(rate, SHARE), None
    state = shown = _NOTHING
    try:
        for state in states:
            begin = time.perf_counter()
            if pace.due(begin):
                place = _put(place, draw(state))
                shown = state
                pace.drew(begin, time.perf_counter())
    finally:
        if state is not shown:
            _put(place, draw(state))  # type: ignore[arg-type]
    if state is _NOTHING:
        raise WorkbenchError("states is empty; there is nothing to show")
    return state  # type: ignore[return-value]


_NOTHING = object()


def _put(place: DisplayHandle | None, made: str | Figure) -> DisplayHandle | None:
    """Show HTML or a figure in its place below the cell."""
    what = HTML(made) if isinstance(made, str) else Image(elements.png(made))
    if place is None:
        return display(what, display_id=True)
    place.update(what)
    return place
