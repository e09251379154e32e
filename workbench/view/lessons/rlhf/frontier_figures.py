"""Reward against KL of trained runs, and where the learned reward and the true one part."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.view.plot.primitives import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    name_axes,
    new_figure,
    signed_root,
)  # fmt: skip

MARKS = {
    "DPO": (BLUE, "o"), "DPO, 10 epochs": (BLUE, "*"), "PPO": (ORANGE, "s"), "PPO, KL target": (ORANGE, "^"),
    "GRPO": (GREEN, "D"), "best-of-n": ("#CC79A7", "v"), "SFT": ("#56B4E9", "P"),
}  # fmt: skip
ACROSS = "KL(policy ‖ reference), nats per text, on a square-root scale"
FARTHEST = 12.0  # nats; points beyond are counted in the title


def rlhf_figure(frame: pd.DataFrame, optimum: pd.DataFrame, best_of_n: pd.DataFrame) -> Figure:
    """Every evaluation of every run as a point, under the curve of the optimum.

    Args:
        frame: of `rlhf_frontier`.
        optimum: of `optimum_curve`: what no policy can lie above, for the true reward.
        best_of_n: of `best_of_n_curve`: the best of n texts of the reference, without training.
    """
    figure, (axes,) = new_figure(size=(860, 460))
    figure.set_layout_engine("constrained")
    _curve(axes, optimum, INK, "optimum for the true reward")
    _curve(axes, best_of_n, MUTED, "best of n, without training", dashes=(0, (5, 2)))
    seen = frame[frame["kl"] <= FARTHEST]
    for method, points in seen.groupby("method", sort=False):
        colour, mark = MARKS[str(method)]
        axes.plot(
            points["kl"], points["reward"], mark, color=colour, markersize=5, alpha=0.55,
            markeredgewidth=0, label=method,
        )  # fmt: skip
    axes.set_xscale("function", functions=(signed_root, np.square))
    axes.set_xlim(0, FARTHEST)
    beyond = len(frame) - len(seen)
    note = f"; {beyond} of {len(frame)} points lie beyond {FARTHEST:g} nats" if beyond else ""
    name_axes(axes, f"Reward against KL{note}", ACROSS, "true reward of texts, mean")
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower right")
    return figure


def _curve(axes: Axes, points: pd.DataFrame, colour: str, label: str, dashes: object = "-") -> None:
    ordered = points.sort_values("kl")
    ordered = ordered[ordered["kl"] <= FARTHEST]
    look = {"color": colour, "linewidth": 1.6, "linestyle": dashes, "label": label}
    axes.plot(ordered["kl"], ordered["reward"], **look)  # type: ignore[arg-type]


def hacking_figure(frame: pd.DataFrame) -> Figure:
    """The learned reward and the true one against the root of the KL, one panel per method.

    Thin lines are seeds; the thick line and the band are mean and standard deviation over them.

    Args:
        frame: of `reward_hacking`.
    """
    methods = list(dict.fromkeys(frame["method"]))
    figure, every = new_figure(len(methods), (1000, 330))
    figure.set_layout_engine("constrained")
    for axes, method in zip(every, methods, strict=True):
        own = frame[frame["method"] == method]
        for column, colour, label in (("score", ORANGE, "learned"), ("reward", BLUE, "true")):
            _with_band(axes, own, column, colour, label)
        name_axes(axes, method, "√KL(policy ‖ reference)", "reward, mean of texts")
    every[0].legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    return figure


def _with_band(axes: Axes, frame: pd.DataFrame, column: str, colour: str, label: str) -> None:
    """Seeds as thin lines; their mean at each step, at the mean of their KL, with a band."""
    for _, one in frame.groupby("seed"):
        axes.plot(one["kl"] ** 0.5, one[column], color=colour, linewidth=0.7, alpha=0.4)
    at = frame.groupby("step").agg(kl=("kl", "mean"), mean=(column, "mean"), std=(column, "std"))
    at["std"] = at["std"].fillna(0.0)
    across = at["kl"] ** 0.5
    axes.plot(across, at["mean"], color=colour, linewidth=2.2, label=label)
    low, high = at["mean"] - at["std"], at["mean"] + at["std"]
    order = across.argsort()
    axes.fill_between(
        across.iloc[order], low.iloc[order], high.iloc[order], color=colour, alpha=0.13, linewidth=0
    )
