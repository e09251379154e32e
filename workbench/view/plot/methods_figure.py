"""Methods at equal KL: reward against distance from the reference, one line per method."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from workbench.runs.equal_kl.method_comparison import MethodComparison
from workbench.view.plot.primitives import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PINK,
    SKY,
    name_axes,
    new_figure,
    signed_root,
)  # fmt: skip

# Okabe and Ito 2008; colours come again with other dashes after the seventh method.
COLOURS = (BLUE, ORANGE, GREEN, PINK, "#E69F00", SKY, INK)
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
QUALITY = {
    "reward": "true reward of answers, 0 where they don't parse",
    "accuracy": "accuracy of the log-ratio, held-out pairs",
}


def draw_methods(comparison: MethodComparison, kl: float | None = None) -> Figure:
    """Mean and 95% interval over seeds at every KL, as far as each method reaches.

    A vertical line marks `kl`, left out: the largest that all methods reach.
    """
    figure, (axes,) = new_figure(size=(760, 430))
    figure.set_layout_engine("constrained")
    curves = comparison.curves()
    looks = zip(cycle(COLOURS), cycle(DASHES), strict=False)  # 7 and 4: alike after 28
    for (loss, curve), (colour, dashes) in zip(
        curves.groupby("loss", sort=False), looks, strict=False
    ):
        axes.fill_between(curve.kl, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            curve.kl, curve["mean"], color=colour, linestyle=dashes, linewidth=1.8, label=loss
        )
        axes.plot(curve.kl.iloc[-1:], curve["mean"].iloc[-1:], "o", color=colour, markersize=5)
    axes.set_xscale("function", functions=(signed_root, np.square))
    at = comparison.at_kl(kl).at
    axes.set_xlim(0.0, 1.04 * max(curves.kl.max(), at, 1e-3))
    axes.axvline(at, color=MUTED, linewidth=1, linestyle=":")
    axes.annotate(
        f"compared at {at:.3g}", (at, 0.0), (3, 3), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=8.5, color=MUTED,
    )  # fmt: skip
    across = "KL(policy ‖ reference), nats per answer, on a square-root scale"
    name_axes(
        axes, "Methods at equal distance from the reference", across, QUALITY[comparison.quality]
    )
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=2, loc="best")
    return figure
