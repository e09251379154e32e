"""The figure of a run: the panels that have something to show, with a key.

Thin lines are training batches, points the fixed held-out set. One run alone has a colour for each
quantity; of several each has a colour, dashes and a mark of its own: see `run_style`.
"""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workbench.view.plot import primitives
from workbench.view.plot.history import History
from workbench.view.plot.panels import PANELS as PANELS
from workbench.view.plot.panels import Data, Panel
from workbench.view.plot.primitives import BLUE, INK, MUTED

OF_PAIRS = {
    "loss", "rewards/margins", "logratios/chosen", "rewards/accuracies", "kl/policy_reference",
    "samples/reward",
}  # fmt: skip
MARK: dict[str, Any] = {"linestyle": "none", "marker": "|", "markersize": 11}


def panels_for(history: History, room: int) -> list[Panel]:
    """The first `room` panels that have something to show; before the first event, those of pairs
    against a reference."""
    known = set().union(*history.known) or OF_PAIRS
    return [entry for entry in PANELS.values() if entry.has_data(known)][:room]


def draw_panels(history: History, figure: Figure) -> None:
    """Draw the panels that fit the history on the figure's axes; axes without one are hidden."""
    shown = panels_for(history, len(figure.axes))
    for axes in figure.axes[len(shown) :]:
        axes.set_visible(False)
    for entry, axes in zip(shown, figure.axes, strict=False):
        axes.set_visible(True)
        entry(history, axes)


def overview(data: Data, size: tuple[int, int] = (1000, 520)) -> Figure:
    """The panels of a run in one figure of `size` pixels."""
    history = History.of(data)
    figure = empty_overview(size)
    draw_panels(history, figure)
    write_key(history, figure)
    return figure


def empty_overview(size: tuple[int, int]) -> Figure:
    """A figure with empty axes for six panels, on an opaque background."""
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots(2, 3)
    figure.subplots_adjust(0.075, 0.085, 0.985, 0.88, wspace=0.33, hspace=0.42)
    return figure


def write_key(history: History, figure: Figure) -> None:
    """One line over all panels: the key of thin lines, points and dashes."""
    for old in figure.legends:
        old.remove()
    ink = BLUE if len(history.runs) < 2 else MUTED
    handles = [
        Line2D([], [], color=ink, linewidth=1, alpha=0.45, label="training batch"),
        Line2D([], [], color=ink, linewidth=1.4, marker="o", markersize=4.5, label="held out"),
    ]
    if any(history.changes.values()):
        handles.append(Line2D([], [], color=MUTED, label="setting changed", **MARK))
    if len(history.runs) > 1:
        handles += [
            Line2D([], [], linewidth=1.4, label=run, **primitives.run_look(history, run, INK))
            for run in history.runs
        ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.992, 1.0), ncols=len(handles),
        frameon=False, fontsize=8.5, labelcolor=INK, handlelength=2.2, columnspacing=1.6,
    )  # fmt: skip
