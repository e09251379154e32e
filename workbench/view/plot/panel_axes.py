"""A panel drawn on matplotlib's axes, or brought up to date on them."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from workbench.view.plot import primitives
from workbench.view.plot.history import History
from workbench.view.plot.primitives import FAINT, INK, MUTED
from workbench.view.plot.quantities import Content, PanelData, Quantity


def draw(panel: PanelData, history: History, axes: Axes) -> Axes:
    """Draw what the panel shows of the history; lines that are there already are moved."""
    content = panel.content(history.known)
    if axes.get_gid() != panel.name:
        _prepare(panel, axes)
    if content.unit:
        axes.set_ylabel(content.unit)
    if content.guide is not None:
        primitives.draw_guide(axes, content.guide)
    for index, quantity in enumerate(content.quantities):
        _draw_intervals(quantity, history, axes)
        if quantity.metric:
            primitives.draw_batches(history, axes, quantity.metric, quantity.colour, index)
        if quantity.held_out:
            primitives.draw_held_out(
                history, axes, quantity.held_out, quantity.colour, quantity.unless, index
            )
    _name_quantities(content, history, axes)
    primitives.mark_changes(history, axes)
    primitives.fit_limits(axes, history.total, panel.limits)
    return axes


def _draw_intervals(quantity: Quantity, history: History, axes: Axes) -> None:
    """The bars of every run that knows the interval of its held-out values."""
    for run, curves in history.runs.items():
        if (found := quantity.interval(curves)) is not None:
            colour = primitives.run_look(history, run, quantity.colour)["color"]
            primitives.draw_bars(axes, run, *found, colour)


def _name_quantities(content: Content, history: History, axes: Axes) -> None:
    """The key of the panel: by colour for one run, by dashes where each run has its colour."""
    named = {entry.name: entry.colour for entry in content.quantities if entry.name}
    if len(history.runs) > 1:
        strokes = ("—", "···", "–··")
        named = {f"{stroke} {name}": INK for stroke, name in zip(strokes, named, strict=False)}
    primitives.name_colours(axes, **named)


def _prepare(panel: PanelData, axes: Axes) -> None:
    axes.clear()
    axes.set_gid(panel.name)
    # Fixed positions: to find them matplotlib would measure all texts at every draw.
    look: Any = {"fontsize": 9.5, "fontweight": "bold", "color": INK}
    axes.set_title(panel.title, loc="left", y=1.03, pad=0, **look)
    axes.set_ylabel(panel.unit, fontsize=8, color=MUTED)
    axes.yaxis.set_label_coords(-0.228, 0.5)
    axes.set_xlabel("step", fontsize=8, color=MUTED)
    axes.xaxis.set_label_coords(0.5, -0.135)
    axes.tick_params(left=False, bottom=False, labelsize=8, colors=MUTED, pad=3)
    axes.xaxis.set_major_locator(NullLocator())  # until there is something to measure
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(True, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b5b5b5")
