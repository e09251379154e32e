"""How a policy over a handful of responses is drawn: bars beside bars, tables, numbers at both.

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
    GREEN,
    INK,
    ORANGE,
    Values,
    move_bars,
    move_texts,
    name_axes,
)

SMALL: dict[str, Any] = {"fontsize": 9, "color": INK, "va": "center"}
REFERENCE: dict[str, Any] = {"facecolor": "white", "edgecolor": ORANGE, "hatch": "////"}
POLICY: dict[str, Any] = {"facecolor": BLUE, "edgecolor": BLUE}
FROM_REWARD: dict[str, Any] = {"facecolor": GREEN, "edgecolor": GREEN}
FROM_POLICY: dict[str, Any] = {"facecolor": "white", "edgecolor": BLUE, "hatch": "----"}
_MIDDLE_IS_WHITE = LinearSegmentedColormap.from_list("chances", [ORANGE, "white", BLUE])
HALF = 0.19  # from the middle of a row to the middle of either bar
THICK = 0.34


def places_of(count: int) -> Values:
    """Heights of `count` rows, the first on top."""
    return np.arange(count)[::-1].astype(float)


def name_rows(axes: Axes, names: Sequence[str], title: str, across: str) -> None:
    """One row a response, named on the left."""
    name_axes(axes, title, across)
    axes.set_yticks(places_of(len(names)), names)
    axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(False, axis="y")


def draw_pair(
    axes: Axes,
    upper: Tensor,
    lower: Tensor,
    looks: tuple[dict[str, Any], dict[str, Any]],
    form: str,
) -> None:
    """Two bars a row with their numbers, (response,) each."""
    middle = places_of(len(upper))
    for name, offset, values, look in zip(
        ("upper", "lower"), (HALF, -HALF), (upper, lower), looks, strict=True
    ):
        move_bars(axes, name, middle + offset, values.numpy(), height=THICK, **look)
        left, right = axes.get_xlim()
        # Right of 0 also where the bar lies left of it, so that no number covers a bar's name.
        ends = [max(value, 0.0) + 0.012 * (right - left) for value in values.tolist()]
        spots = list(zip(ends, (middle + offset).tolist(), strict=True))
        written = [form.format(value) for value in values.tolist()]
        move_texts(axes, f"{name} numbers", spots, written, **SMALL)


def draw_policies(axes: Axes, reference: Tensor, policy: Tensor) -> None:
    """Probabilities from log-probabilities (response,): the reference above, the policy below."""
    draw_pair(axes, reference.exp(), policy.exp(), (REFERENCE, POLICY), "{:.3f}")


def draw_table(axes: Axes, chances: Tensor) -> None:
    """(row, column) chances between 0 and 1, blue above one half, orange below, and as numbers."""
    count = len(chances)
    if not axes.images:
        axes.grid(False)
        axes.set_xticks(range(count), [f"{place + 1}" for place in range(count)])
        axes.tick_params(axis="y", labelsize=9.5, labelcolor=INK)
        look: Any = {"cmap": _MIDDLE_IS_WHITE, "vmin": 0, "vmax": 1, "alpha": 0.75}
        axes.imshow(chances.numpy(), aspect="auto", gid="table", **look)
    axes.images[0].set_data(chances.numpy())
    cells = [(float(column), float(row)) for row in range(count) for column in range(count)]
    written = [f"{chances[int(row), int(column)]:.2f}" for column, row in cells]
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
    """Two lines over all panels: what it is about, and its numbers."""
    if not figure.texts:
        look: dict[str, Any] = {"color": INK, "va": "center"}
        high = figure.get_figheight()  # inches: the lines stand as far from the top in any figure
        figure.text(0.012, 1 - 0.17 / high, title, fontsize=11, fontweight="bold", **look)
        figure.text(0.012, 1 - 0.43 / high, "", fontsize=9.5, gid="numbers", **look)
    figure.texts[1].set_text(numbers)
