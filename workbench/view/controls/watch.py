"""Something that takes a while, shown while it goes on, within the cell.

The cell does the work itself, so no widget is answered meanwhile. What needs controls while it runs
is a dashboard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.view.cell_output import CellOutput
from workbench.view.throttle import Throttle

T = TypeVar("T")
SHARE = 0.2  # of all time, for drawing
_NOTHING = object()


def watch(states: Iterable[T], draw: Callable[[T], str | Figure], rate: float = 5.0) -> T:
    """Go through `states` and show `draw` of them, HTML or a figure, at most `rate` per second.

    The last one is always shown, also when the cell is interrupted. Returns it.

    Raises:
        WorkbenchError: there is no state at all.
    """
    throttle, output = Throttle(rate, SHARE), CellOutput()
    state = shown = _NOTHING
    try:
        for state in states:
            if throttle.due():
                with throttle.measure():
                    output.show(draw(state))
                shown = state
    finally:
        if state is not shown:
            output.show(draw(state))  # type: ignore[arg-type]
    if state is _NOTHING:
        raise WorkbenchError("states is empty; there is nothing to show")
    return state  # type: ignore[return-value]
