"""Numbers with their intervals: one panel per measure, one row per critic or principle."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.view.plot import primitives
from workbench.view.plot.primitives import BLUE, INK, MUTED

ROW, NAMES = 34, 178  # pixels: height of a row, width of its name


def intervals_figure(frame: pd.DataFrame, guide: float, width: int = 940) -> Figure:
    """One panel per `panel`, side by side, with a dotted line at `guide`.

    `frame` has the columns panel, row, share, low, high; every panel has the same rows.
    """
    panels = list(dict.fromkeys(frame["panel"]))
    height = 75 + ROW * frame["row"].nunique()
    figure, every = primitives.new_figure(len(panels), (width, height))
    for column, (panel, axes) in enumerate(zip(panels, every, strict=True)):
        draw_intervals(frame[frame["panel"] == panel], axes, guide)
        primitives.name_axes(axes, panel)
        if column:
            axes.tick_params(labelleft=False)
    figure.subplots_adjust(NAMES / width, 30 / height, 0.985, 1 - 35 / height, 0.1)
    return figure


def draw_intervals(frame: pd.DataFrame, axes: Axes, guide: float) -> Axes:
    """Columns row, share, low, high: a point and its interval for each row, the first on top."""
    heights = np.arange(len(frame))[::-1]
    low, high, share = (frame[name].to_numpy(float) for name in ("low", "high", "share"))
    axes.axvline(guide, color=MUTED, linewidth=0.9, linestyle=":", gid=primitives.GUIDE)
    axes.hlines(heights, low, high, color=BLUE, linewidth=1.6)
    axes.plot(share, heights, color=BLUE, marker="o", markersize=6, linestyle="none")
    for height, end, value in zip(heights, high, share, strict=True):
        text = f"{value:.2f}".replace("-", "−")
        axes.annotate(text, (end, height), (5, 0), textcoords="offset points", va="center",
                      fontsize=9, color=BLUE)  # fmt: skip
    axes.set_yticks(heights, list(frame["row"]))
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
    axes.grid(False, axis="y")
    axes.set_ylim(-0.6, len(frame) - 0.4)
    axes.margins(x=0.25)
    return axes
