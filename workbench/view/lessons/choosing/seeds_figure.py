"""How much the runs of one setting differ: every seed as a point, beta by beta."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from workbench.errors import WorkbenchError
from workbench.runs.exact.exact_sweep import KL
from workbench.view.plot.primitives import BLUE, GREEN, ORANGE, name_axes, name_colours, new_figure

PANELS = {
    KL: "KL, nats",  # short: the names of the losses stand beside it
    "samples/parsed_reward": "Reward; 0 where it does not parse",
    "samples/grammatical": "Share of texts that parse",
}
LOOKS = tuple(
    {"color": colour, "marker": marker}
    for colour, marker in ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"))
)
APART = 1.05  # each loss is moved by this factor along beta, so that no points cover each other


def seeds_figure(frame: pd.DataFrame) -> Figure:
    """The ends of a sweep's runs over `loss`, `beta` and `seed`: a point per run, a line of means.

    Args:
        frame: of `sweep` in the reviews world, or several of them put together.

    Raises:
        WorkbenchError: there are more than three losses.
    """
    losses = list(dict.fromkeys(frame["loss"]))
    if len(losses) > len(LOOKS):
        raise WorkbenchError(f"{len(losses)} losses are too many; up to {len(LOOKS)} are drawn")
    figure, every = new_figure(len(PANELS), (940, 300))
    figure.subplots_adjust(0.045, 0.15, 0.985, 0.86, wspace=0.18)
    ends = last_rows(frame)
    betas = sorted(ends["beta"].unique())
    for axes, (metric, title) in zip(every, PANELS.items(), strict=True):
        name_axes(axes, title, "beta")
        axes.set_xscale("log")
        if metric == KL:
            axes.set_yscale("log")
        for index, loss in enumerate(losses):
            these, look = ends[ends["loss"] == loss], LOOKS[index]
            moved = these["beta"] * APART ** (2 * index - len(losses) + 1)
            small: Any = {**look, "markersize": 5, "alpha": 0.75, "markeredgewidth": 0}
            axes.plot(moved, these[metric], gid=loss, linestyle="none", **small)
            means = these.assign(at=moved).groupby("beta")[["at", metric]].mean()
            axes.plot(means["at"], means[metric], color=look["color"], linewidth=1.4, alpha=0.7)
        axes.xaxis.set_major_locator(FixedLocator(betas))
        axes.xaxis.set_major_formatter(FixedFormatter([f"{beta:g}" for beta in betas]))
        axes.xaxis.set_minor_locator(NullLocator())
    shapes = {"o": "●", "s": "■", "^": "▲"}
    named = {f"{shapes[LOOKS[i]['marker']]} {n}": LOOKS[i]["color"] for i, n in enumerate(losses)}
    name_colours(every[0], **named)
    return figure


def last_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The last evaluation of each run of a sweep over `loss`, `beta` and `seed`."""
    return frame.sort_values("step").groupby(["loss", "beta", "seed"], sort=False).tail(1)
