"""Metrics before and after training: one row per run, hollow circle before, filled circle after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workbench.view.plot import primitives
from workbench.view.plot.primitives import INK, MUTED, POLICY, REFERENCE

ROW = 46  # pixels
BESIDE = 13  # points from the middle of a circle to its number


def before_after_figure(frame: pd.DataFrame, width: int = 940) -> Figure:
    """One panel per metric, side by side.

    `frame` is that of `draw_before_after` with one more column, `metric`.
    """
    metrics = list(dict.fromkeys(frame["metric"]))
    rows = frame["run"].nunique()
    figure, every = primitives.new_figure(len(metrics), (width, 95 + ROW * rows))
    for column, (metric, axes) in enumerate(zip(metrics, every, strict=True)):
        draw_before_after(frame[frame["metric"] == metric], axes)
        primitives.name_axes(axes, metric)
        if column:
            axes.tick_params(labelleft=False)
    figure.legend(
        handles=_key(), loc="upper right", frameon=False, ncols=2, fontsize=9, labelcolor=INK
    )
    figure.subplots_adjust(0.21, 40 / (95 + ROW * rows), 0.985, 1 - 45 / (95 + ROW * rows), 0.08)
    return figure


def draw_before_after(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Columns run, before, after -> one row per run, the first on top, with both numbers.

    Values are shares or rewards, at most 1; below 0 only where some are.
    """
    heights = np.arange(len(frame))[::-1]
    axes.set_yticks(heights, list(frame["run"]))
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
    axes.grid(False, axis="y")
    axes.set_ylim(-0.6, len(frame) - 0.4)
    low = min(0.0, float(frame[["before", "after"]].min().min()))
    axes.set_xlim(low - (0.25 if low < 0 else 0.16), 1.19)
    if low < 0:
        axes.axvline(0, color=MUTED, linewidth=0.9, linestyle=":", gid=primitives.GUIDE)
    for height, before, after in zip(heights, frame["before"], frame["after"], strict=True):
        _draw_row(axes, float(height), float(before), float(after))
    return axes


def _draw_row(axes: Axes, height: float, before: float, after: float) -> None:
    """Both circles, an arrow between them unless they are close, the numbers outside."""
    right = 1 if after >= before else -1
    point: dict[str, Any] = {"marker": "o", "markersize": 8, "linestyle": "none", "zorder": 3}
    arrow = {"arrowstyle": "->", "color": MUTED, "linewidth": 1.2, "shrinkA": 6, "shrinkB": 6}
    if abs(after - before) > 0.1:
        axes.annotate("", (after, height), (before, height), arrowprops=arrow)
    axes.plot([before], [height], color=REFERENCE.colour, markerfacecolor="white", **point)
    axes.plot([after], [height], color=POLICY.colour, **point)
    for value, side, colour in ((before, -right, REFERENCE.colour), (after, right, POLICY.colour)):
        look: dict[str, Any] = {"va": "center", "fontsize": 9, "color": colour}
        number, offset = f"{value:.2f}".replace("-", "−"), (side * BESIDE / 2, 0)
        ends = "left" if side > 0 else "right"
        axes.annotate(number, (value, height), offset, textcoords="offset points", ha=ends, **look)


def _key() -> list[Line2D]:
    look: dict[str, Any] = {"marker": "o", "markersize": 8, "linestyle": "none"}
    return [
        Line2D([], [], color=REFERENCE.colour, markerfacecolor="white", label="before", **look),
        Line2D([], [], color=POLICY.colour, label="after", **look),
    ]
