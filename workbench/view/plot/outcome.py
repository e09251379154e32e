"""The outcome of training in one figure: true rewards of texts, or margins of held-out pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.view.plot.primitives import (
    INK,
    MUTED,
    PINK,
    POLICY,
    REFERENCE,
    new_figure,
)

LOOKS = {"reference": REFERENCE, "policy": POLICY}


def rewards_before_and_after(run: Run, count: int = 256) -> Figure:
    """True reward of `count` texts of reference and policy; needs a world that has one."""
    figure, axes = _figure()
    reward_histogram(run.samples_frame(count), axes)
    return figure


def margins_before_and_after(run: Run) -> Figure:
    """Reward margin of every held-out pair, sorted; before training all were 0."""
    figure, axes = _figure()
    sorted_margins(run.held_out_frame(), axes)
    return figure


def reward_histogram(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Columns who, reward, grammatical -> share of texts by true reward, in steps of a quarter."""
    edges = np.linspace(-1.125, 1.125, 10)
    for index, (name, look) in enumerate(LOOKS.items()):
        texts = frame[frame.who == name]
        counts, _ = np.histogram(texts.reward, edges)
        label = (
            f"{name}: mean {texts.reward.mean():+.2f}, {texts.grammatical.mean():.0%} grammatical"
        )
        centres = (edges[:-1] + edges[1:]) / 2 + (index - 0.5) * 0.1
        axes.bar(centres, counts / max(1, len(texts)), 0.1, label=label, **look.bars)
    axes.set_xlabel("true reward per text: mean valence of its sentiment words")
    axes.set_ylabel("share of texts")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    return axes


def sorted_margins(frame: pd.DataFrame, axes: Axes) -> Axes:
    """Column rewards/margins -> one bar per pair; above 0 the policy prefers the chosen answer."""
    if "rewards/margins" not in frame:
        raise WorkbenchError("margins are those of held-out pairs; this run has none")
    margins = np.sort(frame["rewards/margins"].to_numpy())
    right = margins > 0
    positions = np.arange(len(margins))
    axes.bar(positions[right], margins[right], 0.8, color=POLICY.colour)
    axes.bar(positions[~right], margins[~right], 0.8, color=PINK)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_title(
        f"{right.sum()} of {len(margins)} held-out pairs in the right order",
        loc="left", fontsize=10, color=INK,
    )  # fmt: skip
    axes.set_xlabel("held-out pairs, sorted")
    axes.set_ylabel("reward margin, nats")
    return axes


def _figure() -> tuple[Figure, Axes]:
    figure, (axes,) = new_figure()
    figure.set_layout_engine("constrained")
    return figure, axes
