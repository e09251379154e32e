"""Where two exact stages and DPO come apart: a panel for each cause, a thin line for each world."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.runs.exact.two_stages import ASCENT, FROM_ELSEWHERE, FROM_REFERENCE, TWO_STAGES
from workbench.view.plot.primitives import BLUE, GREEN, INK, ORANGE, name_axes, new_figure

APART = "KL(two stages ‖ DPO), nats"
LOOKS = {
    TWO_STAGES: (ORANGE, "-"),
    ASCENT: (INK, ":"),
    FROM_REFERENCE: (BLUE, "--"),
    FROM_ELSEWHERE: (GREEN, "-."),
}


def broken_equality_figure(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The four tables of `broken_equality`. Thick lines are means over the worlds."""
    figure, (never, support, family, budget) = new_figure(2, (760, 480), rows=2)
    figure.subplots_adjust(0.075, 0.085, 0.985, 0.94, wspace=0.2, hspace=0.36)
    frame = tables["never_compared"]
    _draw(never, frame, "spread", "kl", BLUE)
    name_axes(never, "A response that is in no pair", "spread of the reward's start", APART)
    _draw_fits(support, tables["off_support"], "chance", "probability")
    support.set_yscale("log")
    across = "the reference's probability of that response"
    name_axes(support, "It is off the support as well", across, "its probability")
    frame = tables["small_family"]
    _draw(family, frame, "correlation", "kl", BLUE, "--", "free DPO")
    _draw(family, frame, "correlation", "same_family", ORANGE, "-", "DPO in the same family")
    across = "correlation of the only feature with the true reward"
    name_axes(family, "A reward family that is too small", across, APART)
    _draw_fits(budget, tables["finite_budget"], "steps", "kl")
    budget.set_yscale("log")
    budget.set_ylim(1e-9, 3)
    name_axes(budget, "A finite budget", "gradient steps", "KL(policy ‖ optimum), nats")
    for axes in (support, family, budget):
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def _draw_fits(axes: Axes, frame: pd.DataFrame, across: str, value: str) -> None:
    """A line per fit over a logarithmic axis."""
    axes.set_xscale("log")
    for fit in frame["fit"].unique():
        _draw(axes, frame[frame["fit"] == fit], across, value, *LOOKS[fit], fit)


def _draw(
    axes: Axes,
    frame: pd.DataFrame,
    across: str,
    value: str,
    colour: str,
    dash: str = "-",
    label: str | None = None,
) -> None:
    by_world = frame.pivot(index=across, columns="seed", values=value)
    axes.plot(by_world.index, by_world, color=colour, linestyle=dash, linewidth=0.8, alpha=0.45)
    mean = by_world.mean(axis=1)
    axes.plot(mean.index, mean, color=colour, linestyle=dash, linewidth=2.4, label=label)
