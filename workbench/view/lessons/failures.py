"""Runs of several losses that fail, or hold up: over the steps, and by distance from the reference.

In as many steps one loss may move much farther than another; the right panel takes that out.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.view.plot.primitives import BLUE, GREEN, INK, ORANGE, name_axes, new_figure

LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (INK, "^"))  # of the losses, in their order
TITLES = {
    "chosen": "Log-ratio of the chosen, held-out pairs, nats",
    "rejected": "Log-ratio of the rejected, held-out pairs, nats",
    "margin": "Margin of held-out pairs, nats",
    "train_margin": "Margin of the pairs trained on, nats",
    "accuracy": "Share of held-out pairs with a margin above 0",
    "reward": "True reward of the answers",
    "grammatical": "Share of answers that parse",
    "length": "Length of the answers, tokens",
}


def failures_figure(frame: pd.DataFrame, column: str) -> Figure:
    """One line per loss, the mean over its seeds; a thin line per seed.

    Args:
        frame: of `workbench.compare`: `near_identical_pairs`, `certain_preferences`,
            `flipped_labels` or `longer_chosen`.
        column: what is shown, a key of `TITLES`.
    """
    figure, (steps, distance) = new_figure(2, (860, 300))
    for axes, across in ((steps, "step"), (distance, "kl")):
        draw_runs(frame, axes, across, column)
    name_axes(steps, TITLES[column], "optimiser step")
    name_axes(distance, "The same by distance", "KL(policy ‖ reference), nats")
    handles, names = steps.get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper right", ncols=len(names), frameon=False, fontsize=9,
        labelcolor=INK,
    )  # fmt: skip
    figure.subplots_adjust(0.06, 0.16, 0.985, 0.83, 0.14)
    return figure


def draw_runs(frame: pd.DataFrame, axes: Axes, across: str, column: str) -> Axes:
    """The lines of one panel: `column` upwards, "step" or "kl" across."""
    shown = frame.dropna(subset=column)
    for (loss, runs), (colour, marker) in zip(
        shown.groupby("loss", sort=False), LOOKS, strict=False
    ):
        for _, run in runs.groupby("seed"):
            axes.plot(run[across], run[column], color=colour, linewidth=0.8, alpha=0.35)
        mean = runs.groupby("step", as_index=False).mean(numeric_only=True)
        look: Any = {"marker": marker, "markersize": 4.5, "linewidth": 1.8}
        axes.plot(mean[across], mean[column], color=colour, label=loss, **look)
    return axes
