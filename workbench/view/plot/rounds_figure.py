"""Rounds of votes in one figure: reward, agreement, and wins by the true reward."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from workbench.view.plot.primitives import (
    BLUE,
    INK,
    REWARD,
    draw_guide,
    name_axes,
    name_colours,
    new_figure,
)

# Per panel: title, label of the vertical axis, and its lines: column, name and colour.
Lines = tuple[tuple[str, str, str], ...]
PANELS: tuple[tuple[str, str, Lines], ...] = (
    (
        "Answers", "mean of 256 answers",
        (("reward", "true reward", REWARD), ("grammatical", "share that parses", INK)),
    ),
    (
        "Votes", "share of the votes",
        (("right", "for the better answer", REWARD), ("agreement", "as expected", INK)),
    ),
    (
        "Wins", "share of 256 prompts",
        (("win_rate_first", "over the first", INK), ("win_rate", "over the start", BLUE)),
    ),
)  # fmt: skip


def draw_rounds(frame: pd.DataFrame) -> Figure:
    """`IterativeDPO.frame` of a world with a true reward -> three panels over the rounds."""
    figure, every = new_figure(len(PANELS), (1000, 300))
    figure.set_layout_engine("constrained")
    for axes, (title, upwards, lines) in zip(every, PANELS, strict=True):
        name_axes(axes, title, "round", upwards)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlim(-0.3, max(1, frame["round"].max()) + 0.3)
        axes.set_ylim(-0.05, 1.09)
        _draw_lines(frame, axes, lines)
    every[0].set_ylim(min(-0.25, frame["reward"].min() - 0.1), 1.12)
    every[0].yaxis.set_major_formatter("{x:+.1f}")
    for axes in every[1:]:
        draw_guide(axes, 0.5)
    return figure


def _draw_lines(frame: pd.DataFrame, axes: Axes, lines: Lines) -> None:
    """One line per column with its numbers, above the upper line and below the lower one."""
    name_colours(axes, **{name: colour for _, name, colour in lines})
    for index, (column, _, colour) in enumerate(lines):
        if column not in frame:
            continue
        known = frame[frame[column].notna()]
        axes.plot(
            known["round"], known[column], "o-" if index == 0 else "s--",
            color=colour, linewidth=1.4, markersize=4.5,
        )  # fmt: skip
        for step, value in zip(known["round"], known[column], strict=True):
            text = f"{value:+.2f}".replace("-", "−") if column == "reward" else f"{value:.0%}"
            above = _is_above(frame, lines, index, step)
            axes.annotate(
                text, (step, value), (0, 6 if above else -6),
                textcoords="offset points", ha="center", va="bottom" if above else "top",
                fontsize=8.5, color=colour,
            )  # fmt: skip
    if {"low", "high"} <= set(frame) and any(column == "win_rate" for column, _, _ in lines):
        known = frame[frame["win_rate"].notna()]
        axes.vlines(
            known["round"], known["low"], known["high"], colors=BLUE, alpha=0.5, linewidth=1
        )


def _is_above(frame: pd.DataFrame, lines: Lines, index: int, step: int) -> bool:
    """Whether this line is the upper one of the two at a round; the first where they meet."""
    at = frame[frame["round"] == step].iloc[0]
    own, other = (at.get(lines[i][0], np.nan) for i in (index, 1 - index))
    return bool(np.isnan(other) or own > other or (own == other and index == 0))
