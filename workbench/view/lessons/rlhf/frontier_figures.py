"""Reward against KL of trained runs, and where the learned reward and the true one part."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from workbench.view.plot.primitives import (
    BLUE,
    BROWN,
    INK,
    MUTED,
    OPTIMUM,
    PINK,
    REWARD,
    SKY,
    name_axes,
    new_figure,
    signed_root,
)  # fmt: skip

MARKS = {
    "DPO": (BLUE, "o"), "DPO, 10 epochs": (BLUE, "*"),
    "PPO": (BROWN, "s"), "PPO, KL target": (BROWN, "^"),
    "GRPO": (INK, "D"), "best-of-n": (PINK, "v"), "SFT": (SKY, "P"),
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
    figure, (axes,) = new_figure(size=(700, 370))
    figure.set_layout_engine("constrained")
    _curve(axes, optimum, OPTIMUM.colour, "optimum for the true reward", dashes=OPTIMUM.dashes)
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
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 10, 12]))
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
    """The learned reward and the true one, one column per method.

    Above against the root of the KL, below against steps, or n. Lines are means over seeds, bands
    one standard deviation to either side.

    Args:
        frame: of `reward_hacking`.
    """
    methods = list(dict.fromkeys(frame["method"]))
    figure, every = new_figure(len(methods), (660, 360), rows=2)
    figure.set_layout_engine("constrained")
    for number, method in enumerate(methods):
        own = frame[frame["method"] == method]
        above, below = every[number], every[number + len(methods)]
        for column, colour, label in (("score", INK, "learned"), ("reward", REWARD, "true")):
            at = own.groupby("step").agg(kl=("kl", "mean"), mean=(column, "mean"))
            at["spread"] = own.groupby("step")[column].std().fillna(0.0)
            _with_band(above, at["kl"] ** 0.5, at, colour, label)
            _with_band(below, at.index.to_series(), at, colour, label)
        name_axes(above, str(method), "√KL(policy ‖ reference)", "mean reward")
        name_axes(below, "", "n" if method == "best-of-n" else "step", "mean reward")
    every[0].legend(frameon=False, fontsize=9, labelcolor=INK, loc="best")
    return figure


def _with_band(
    axes: Axes, across: pd.Series[float], at: pd.DataFrame, colour: str, label: str
) -> None:
    """Means in the order of the steps, and what lies within one deviation of them."""
    axes.plot(across, at["mean"], color=colour, linewidth=2, label=label)
    order = across.argsort()
    low, high = at["mean"] - at["spread"], at["mean"] + at["spread"]
    look: dict[str, object] = {"color": colour, "alpha": 0.13, "linewidth": 0}
    axes.fill_between(across.iloc[order], low.iloc[order], high.iloc[order], **look)  # type: ignore[arg-type]
