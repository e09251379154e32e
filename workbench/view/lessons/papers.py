"""One figure for each of `PAPERS`, drawn from the frame that its `measure` gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.runs.papers.bandit import METHODS, PEAKS
from workbench.runs.papers.claims import interval
from workbench.runs.papers.over_optimisation import LABELS
from workbench.view.plot.primitives import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    name_axes,
    new_figure,
)

PURPLE = "#CC79A7"  # Okabe and Ito 2008, as the other colours
SIZE = (800, 300)  # pixels


def paper_figure(name: str, frame: pd.DataFrame) -> Figure:
    """The figure of the published result `name`, a key of `PAPERS`."""
    if name not in FIGURES:
        raise WorkbenchError(f"name={name!r} is unknown; accepted: {', '.join(FIGURES)}")
    return FIGURES[name](frame)


def two_actions(frame: pd.DataFrame) -> Figure:
    """Probability of the preferred action over steps of Newton's method, a panel for each loss."""
    figure, panels = new_figure(2, SIZE)
    for axes, loss in zip(panels, ("ipo", "dpo"), strict=True):
        for number, (beta, path) in enumerate(frame[frame.loss == loss].groupby("beta")):
            colour = (BLUE, ORANGE, GREEN, PURPLE)[number % 4]
            axes.plot(path.step, path.probability, color=colour, label=f"beta {beta:g}")
        axes.set_ylim(0.48, 1.02)
        name_axes(axes, loss.upper(), "steps of Newton's method", "P(preferred action)")
    return _finished(figure, panels[1])


def rankings(frame: pd.DataFrame) -> Figure:
    """Every held-out pair: what the reference thinks of it, and what the policy does."""
    figure, (axes,) = new_figure(size=SIZE)
    margin, ranking = frame.policy > frame.reference, frame.policy > 0
    for found, colour, words in (
        (ranking & margin, BLUE, "margin and ranking right"),
        (margin & ~ranking, ORANGE, "margin right, ranking wrong"),
        (~margin, MUTED, "margin wrong"),
    ):
        label = f"{words}: {found.mean():.0%}"
        axes.scatter(frame.reference[found], frame.policy[found], 9, color=colour, label=label)
    axes.axhline(0, color=INK, linewidth=0.9)
    axes.axline((0, 0), slope=1, color=INK, linewidth=0.9, linestyle=":")
    title = "A ranking is right above the solid line, a margin above the dotted one"
    across = "chosen minus rejected log-probability under the reference, nats"
    name_axes(axes, title, across, "under the policy, nats")
    return _finished(figure, axes)


def bandit(frame: pd.DataFrame) -> Figure:
    """Reward over rounds, mean over seeds, a panel for each peak."""
    figure, panels = new_figure(len(PEAKS), SIZE)
    colours = {"best_of_n": BLUE, "contrastive": ORANGE, "contrastive_worst": GREEN}
    for axes, peak in zip(panels, PEAKS, strict=True):
        for method, data in METHODS:
            chosen = (frame.peak == peak) & (frame.method == method) & (frame.data == data)
            mean = frame[chosen].groupby("round").reward.mean()
            dashes = "-" if data == "on-policy" else "--"
            label = f"{data} {method.replace('_', ' ')}"
            axes.plot(mean.index, mean, color=colours[method], linestyle=dashes, label=label)
        axes.set_ylim(-0.03, 1.03)
        name_axes(axes, f"Reward largest at arm {peak}", "rounds of 100 answers", "mean reward")
    return _finished(figure, panels[1])


def over_optimisation(frame: pd.DataFrame) -> Figure:
    """Gold and proxy reward over the square root of the KL, means over worlds."""
    figure, panels = new_figure(2, SIZE)
    for axes, column in zip(panels, ("gold", "proxy"), strict=True):
        for labels, method in ((n, method) for n in LABELS for method in ("best-of-n", "dpo")):
            found = frame[(frame.labels == labels) & (frame.method == method)]
            mean = found.groupby("strength")[["kl", "gold", "proxy"]].mean().sort_values("kl")
            colour = BLUE if method == "best-of-n" else ORANGE
            look = _look_of(LABELS.index(labels), colour)
            axes.plot(
                mean.kl**0.5, mean[column], color=colour, label=f"{method}, {labels} labels", **look
            )
        name_axes(axes, f"{column.capitalize()} reward", "square root of the KL, nats", "mean")
    return _finished(figure, panels[1])


def reviews(frame: pd.DataFrame, column: str) -> Figure:
    """Reward and KL of the texts of each run, with mean and interval over seeds."""
    figure, panels = new_figure(2, SIZE)
    names = list(dict.fromkeys(frame[column]))
    for axes, metric, words in zip(
        panels,
        ("reward", "kl"),
        ("Reward, 0 where a text does not parse", "KL(policy ‖ reference), nats per text"),
        strict=True,
    ):
        draw_seeds(axes, [frame[frame[column] == name][metric] for name in names])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        name_axes(axes, words, "per run; mean and 95% interval over seeds")
    return _finished(figure)


def draw_seeds(axes: Axes, rows: Sequence[pd.Series]) -> None:
    """One row per series: its values as hollow marks, their mean and interval in front."""
    for height, values in enumerate(rows):
        axes.plot(values, np.full(len(values), height), "o", color=MUTED, markerfacecolor="white")
        mean, low, high = interval(list(values))
        axes.plot([low, high], [height, height], color=BLUE, linewidth=2.2)
        axes.plot([mean], [height], "D", color=BLUE, markersize=7)


def _finished(figure: Figure, keyed: Axes | None = None) -> Figure:
    """The figure with room for its labels, and the names of the lines of one panel."""
    if keyed is not None:
        keyed.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="best")
    figure.tight_layout()
    return figure


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "ipo": two_actions,
    "rankings": rankings,
    "bandit": bandit,
    "over_optimisation": over_optimisation,
    "robust": lambda frame: reviews(frame, "loss"),
    "kto": lambda frame: reviews(frame, "method"),
}


def _look_of(index: int, colour: str) -> dict[str, Any]:
    """Dashes and points of the setting at this index."""
    dashes = ("-", (0, (4, 2)), (0, (1, 1.5)))[min(index, 2)]
    face = colour if index == 0 else "white"
    return {"linestyle": dashes, "marker": "o", "markersize": 4.5, "markerfacecolor": face}
