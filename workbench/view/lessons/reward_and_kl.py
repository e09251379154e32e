"""Reward against KL to the reference, for runs and for the exact optimum.

Runs of one beta share colour and mark, so that neither has to be told apart alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from workbench.core.tabular import TabularWorld, expected, kl
from workbench.runs.exact.exact_sweep import KL, REWARD
from workbench.view.plot.primitives import (
    INK,
    MUTED,
    OPTIMUM,
    POLICY,
    Values,
    name_axes,
    new_figure,
    signed_root,
)  # fmt: skip

MARKERS = "osD^vPX*"
UNIT = "KL(policy ‖ reference), nats"
ERROR = f"{KL}_se"
LOWEST, HIGHEST = 1e-2, 1e2  # the betas between which the exact curve is drawn
PANELS = {
    "samples/reward": ("True reward of all texts", "mean per text"),
    "samples/grammatical": ("Share of texts that still parse", "share"),
    "samples/parsed_reward": ("Reward of texts that parse; the others count 0", "mean per text"),
}


def frontier(frame: pd.DataFrame, world: TabularWorld) -> Figure:
    """The runs of `tabular_sweep` below the highest reward that is possible at each KL."""
    figure, (axes,) = new_figure(size=(760, 430))
    figure.subplots_adjust(0.075, 0.115, 0.98, 0.87)
    below_optimum(frame, world, axes)
    write_betas(frame, figure)
    return figure


def reward_and_grammar(frame: pd.DataFrame) -> Figure:
    """The runs of a `sweep` in the reviews world: reward, fluency and both, over one KL axis."""
    figure, panels = new_figure(3, (760, 720))
    heights = ((0.7, 0.22), (0.41, 0.2), (0.075, 0.245))
    for axes, (metric, (title, unit)), (low, height) in zip(
        panels, PANELS.items(), heights, strict=True
    ):
        axes.set_position((0.075, low, 0.905, height))
        trajectories(frame, axes, metric)
        name_axes(axes, title, "", unit)
    panels[-1].set_xlabel(f"{UNIT} per text, on a square-root scale", fontsize=9, color=MUTED)
    write_betas(frame, figure)
    return figure


def below_optimum(frame: pd.DataFrame, world: TabularWorld, axes: Axes) -> Axes:
    """Ends of runs in (KL, reward), under the curve of the exact optima.

    One mark per beta: the mean over the seeds, with one standard deviation to either side, of the
    reward as a band and of the KL as a bar. Hollow marks on the curve are the optima of the same
    betas: the ends of runs with unlimited pairs. No policy lies above the curve.
    """
    axes.plot(*optima(world, np.geomspace(HIGHEST, LOWEST, 200)), **OPTIMUM.line)
    for beta, look in looks(frame).items():
        hollow = {**look, "markerfacecolor": "white"}
        axes.plot(*optima(world, np.array([beta])), zorder=5, **hollow)
    ends = frame.sort_values("step").groupby(["beta", "seed"]).last().reset_index()
    by_beta = ends.groupby("beta")[[KL, REWARD]]
    mean, spread = by_beta.mean(), by_beta.std().fillna(0.0)
    at, middle, wide = mean[KL], mean[REWARD], spread[REWARD]
    axes.fill_between(
        at, middle - wide, middle + wide, color=POLICY.colour, alpha=0.15, linewidth=0, zorder=2
    )
    axes.plot(at, middle, zorder=3, **POLICY.line)
    for beta, look in looks(frame).items():
        bar: Any = {"color": look["color"], "linewidth": 1.2, "zorder": 5}
        axes.hlines(middle[beta], at[beta] - spread[KL][beta], at[beta] + spread[KL][beta], **bar)
        axes.plot(at[beta], middle[beta], zorder=6, **look)
    name_axes(axes, "Reward against distance from the reference", UNIT, "expected reward")
    (x,), (y,) = optima(world, np.array([0.6]))
    offset: Any = {"xytext": (-7, 7), "textcoords": "offset points", "ha": "right", "va": "bottom"}
    axes.annotate("π*, the best possible", (x, y), fontsize=9.5, color=OPTIMUM.colour, **offset)
    return axes


def trajectories(frame: pd.DataFrame, axes: Axes, metric: str) -> Axes:
    """The runs in (KL, `metric`): a small mark per evaluation, a large one at the end.

    The bar at the end is the KL's standard error over the texts, two to either side.
    """
    axes.set_xscale("function", functions=(signed_root, np.square))
    for beta, look in looks(frame).items():
        small = {**look, "markersize": 3.5, "alpha": 0.7, "markeredgewidth": 0}
        for _, run in frame[frame["beta"] == beta].groupby("seed"):
            path, values = run[KL].to_numpy(), run[metric].to_numpy()
            axes.plot(path, values, color=look["color"], linewidth=1, alpha=0.35, zorder=2)
            axes.plot(path, values, zorder=3, **small)
            axes.plot(path[-1:], values[-1:], zorder=4, **look)
            if ERROR in run:
                reach = 2 * run[ERROR].to_numpy()[-1]
                bar: Any = {"color": look["color"], "linewidth": 1.2, "zorder": 4}
                axes.hlines(values[-1], max(0.0, path[-1] - reach), path[-1] + reach, **bar)
    farthest = max(4.0, frame[KL].max())
    axes.set_xlim(-0.003 * farthest, 1.06 * farthest)
    axes.xaxis.set_major_locator(FixedLocator([n * n for n in range(int(farthest**0.5) + 2)]))
    return axes


def optima(world: TabularWorld, betas: Values) -> tuple[Values, Values]:
    """Exact KL and expected reward of the optimal policies, (beta,) each, means over prompts."""
    logps = torch.stack([world.optimum(float(beta)) for beta in betas])  # (beta, prompt, response)
    distance = kl(logps, world.reference_logps).mean(-1)
    return distance.numpy(), expected(logps, world.rewards).mean(-1).numpy()


def looks(frame: pd.DataFrame) -> dict[float, dict[str, Any]]:
    """Colour and mark of every beta; the smaller, the darker."""
    betas = sorted(frame["beta"].unique())
    shades = np.linspace(0.0, 0.82, max(2, len(betas)))
    return {
        float(beta): {
            "color": colormaps["viridis"](shades[index]), "marker": MARKERS[index % len(MARKERS)],
            "markersize": 7.5, "linestyle": "none", "markeredgewidth": 1.3,
        }
        for index, beta in enumerate(betas)
    }  # fmt: skip


def write_betas(frame: pd.DataFrame, figure: Figure) -> None:
    """One line over all panels: which mark is which beta."""
    handles = [
        Line2D([], [], label=f"beta {beta:g}", **look) for beta, look in looks(frame).items()
    ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.985, 1.0), ncols=len(handles),
        frameon=False, fontsize=9, labelcolor=INK, handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
