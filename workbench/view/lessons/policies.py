"""Policies over a handful of responses as bars, tables and numbers.

Every helper may be called again on the same axes: it then moves what it drew before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from workbench.view.plot.primitives import (
    BLUE,
    INK,
    OPTIMUM,
    ORANGE,
    POLICY,
    REFERENCE,
    REWARD,
    Values,
    move_bars,
    move_texts,
    name_axes,
    new_figure,
)

SMALL: dict[str, Any] = {"fontsize": 9, "color": INK, "va": "center"}
MODELS = {"reference": REFERENCE, "policy": POLICY, "optimum": OPTIMUM}
FROM_REWARD: dict[str, Any] = {"facecolor": REWARD, "edgecolor": REWARD}
FROM_OPTIMUM = OPTIMUM.bars
_MIDDLE_IS_WHITE = LinearSegmentedColormap.from_list("chances", [ORANGE, "white", BLUE])
HALF = 0.19  # from the middle of a row to the middle of either bar
THICK = 0.34
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # of beta


def row_heights(count: int) -> Values:
    """Heights of `count` rows, the first on top."""
    return np.arange(count)[::-1].astype(float)


def name_rows(axes: Axes, names: Sequence[str], title: str, across: str) -> None:
    """One row per response, named on the left."""
    name_axes(axes, title, across)
    axes.set_yticks(row_heights(len(names)), names)
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(False, axis="y")


def name_bars(axes: Axes, names: Sequence[str], title: str) -> None:
    """One row per response for `draw_policies`."""
    name_rows(axes, names, title, "probability")
    axes.set_xlim(0, 1.12)


def bars_and_curves(
    names: Sequence[str], title: str, left: float = 0.26, right: float = 0.965
) -> tuple[Figure, Axes, Axes]:
    """A figure with one row per response on the left, as of `name_bars`, and curves beside it.

    `left` and `right` are the ends of both panels, as shares of the width.
    """
    figure, (bars, curves) = new_figure(2, (940, 100 + 66 * len(names)))
    figure.subplots_adjust(left, 0.15, right, 0.74, wspace=0.24)
    name_bars(bars, names, title)
    return figure, bars, curves


def beta_axis(axes: Axes, title: str, upwards: str, betas: Values) -> None:
    """A logarithmic axis from the first to the last of `betas`."""
    name_axes(axes, title, "beta", upwards)
    axes.set_xscale("log")
    ticks = [tick for tick in TICKS if betas[0] <= tick <= betas[-1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(betas[0], betas[-1])
    axes.minorticks_off()


def draw_pair(
    axes: Axes,
    upper: Tensor,
    lower: Tensor,
    looks: tuple[dict[str, Any], dict[str, Any]],
    form: str,
) -> None:
    """Two bars per row with their numbers, (response,) each."""
    middle = row_heights(len(upper))
    for name, offset, values, look in zip(
        ("upper", "lower"), (HALF, -HALF), (upper, lower), looks, strict=True
    ):
        move_bars(axes, name, middle + offset, values.numpy(), height=THICK, **look)
        left, right = axes.get_xlim()
        # Right of 0 even where the bar is left of it, so that no number covers a bar's name.
        ends = [max(value, 0.0) + 0.012 * (right - left) for value in values.tolist()]
        spots = list(zip(ends, (middle + offset).tolist(), strict=True))
        written = [form.format(value) for value in values.tolist()]
        move_texts(axes, f"{name} numbers", spots, written, **SMALL)


def draw_policies(axes: Axes, **logps: Tensor) -> None:
    """Probabilities of two of MODELS by name, from log-probabilities (response,); the first above.

    `draw_policies(axes, reference=..., optimum=...)`
    """
    (above, upper), (below, lower) = logps.items()
    looks = MODELS[above].bars, MODELS[below].bars
    draw_pair(axes, upper.exp(), lower.exp(), looks, "{:.3f}")


def draw_table(axes: Axes, table: Tensor) -> None:
    """(row, column) probabilities, blue above one half, orange below, and as numbers."""
    count = len(table)
    if not axes.images:
        axes.grid(False)
        axes.set_xticks(range(count), [f"{column + 1}" for column in range(count)])
        axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
        look: Any = {"cmap": _MIDDLE_IS_WHITE, "vmin": 0, "vmax": 1, "alpha": 0.75}
        axes.imshow(table.numpy(), aspect="auto", gid="table", **look)
    axes.images[0].set_data(table.numpy())
    cells = [(float(column), float(row)) for row in range(count) for column in range(count)]
    written = [f"{table[int(row), int(column)]:.2f}" for column, row in cells]
    move_texts(axes, "cells", cells, written, ha="center", **SMALL)


def name_lines(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """The name of each line right of where it ends, moved apart where they would overlap.

    Args:
        ends: name -> height of the line's end and its colour.
    """
    bottom, top = axes.get_ylim()
    room = 0.075 * (top - bottom)
    height = bottom - room
    for name, (end, colour) in sorted(ends.items(), key=lambda item: item[1][0]):
        height = max(min(end, top), height + room)
        look: Any = {"color": colour, "fontsize": 9, "va": "center", "clip_on": False}
        right = axes.get_xlim()[1]
        move_texts(axes, f"name {name}", [(right * 1.02, height)], [name], **look)


def write_above(figure: Figure, title: str, numbers: str) -> None:
    """Two lines over all panels: a title, and numbers."""
    if not figure.texts:
        look: dict[str, Any] = {"color": INK, "va": "center"}
        high = figure.get_figheight()  # inches: the lines stand as far from the top in any figure
        figure.text(0.012, 1 - 0.17 / high, title, fontsize=11, fontweight="bold", **look)
        figure.text(0.012, 1 - 0.43 / high, "", fontsize=9.5, gid="numbers", **look)
    figure.texts[1].set_text(numbers)
