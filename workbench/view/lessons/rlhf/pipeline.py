"""The stages of RLHF and of DPO as boxes."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from workbench.view.plot.primitives import BLUE, INK, MUTED, REWARD, new_figure

Point = tuple[float, float]
BOXES: dict[str, tuple[Point, str]] = {
    "preference pairs:\nchosen, rejected": ((0.11, 0.5), MUTED),
    "reward model\nby Bradley-Terry": ((0.36, 0.8), REWARD),
    "answers of the policy,\nscored by the reward model": ((0.62, 0.8), BLUE),
    "policy\nof RLHF": ((0.92, 0.8), BLUE),
    "policy\nof DPO": ((0.92, 0.2), BLUE),
}
# from, to, what happens on the way and where that is written
ARROWS: tuple[tuple[Point, Point, str, Point], ...] = (
    ((0.2, 0.57), (0.275, 0.72), "fit", (0.215, 0.7)),
    ((0.44, 0.8), (0.495, 0.8), "", (0, 0)),
    ((0.75, 0.84), (0.865, 0.84), "PPO, GRPO", (0.807, 0.89)),
    ((0.865, 0.76), (0.75, 0.76), "sample anew", (0.807, 0.66)),
    ((0.2, 0.43), (0.865, 0.2), "one fit beside the reference; nothing is sampled", (0.42, 0.2)),
)


def pipeline_figure() -> Figure:
    """RLHF above, DPO below, from the same pairs to a policy."""
    figure, (axes,) = new_figure(size=(900, 230))
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    for text, ((x, y), colour) in BOXES.items():
        box = {"boxstyle": "round,pad=0.6", "facecolor": "white", "edgecolor": colour, "lw": 1.8}
        axes.text(x, y, text, fontsize=9.5, color=INK, bbox=box, **middle)
    for start, end, text, (x, y) in ARROWS:
        look = {"arrowstyle": "-|>", "color": MUTED, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops=look)
        axes.text(x, y, text, fontsize=9, color=MUTED, **middle)
    return figure
