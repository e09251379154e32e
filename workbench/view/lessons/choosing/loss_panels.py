"""Every loss on pairs in a panel of its own: value and gradient against the margin."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from workbench.view.lessons.loss_shapes import MARGINS, loss_and_gradient, pairwise_losses
from workbench.view.plot.primitives import BLUE, MUTED, ORANGE, draw_guide, name_axes, new_figure

COLUMNS = 5
ROW = 150  # pixels
SLOPE: dict[str, Any] = {"linestyle": (0, (3, 1.5))}


def loss_panels(beta: float = 0.5) -> Figure:
    """Each loss solid in blue, its gradient dashed in orange; in grey those of `dpo`.

    Parameters other than `beta` have their defaults.
    """
    names = pairwise_losses()
    rows = -(-len(names) // COLUMNS)
    high = 40 + ROW * rows
    figure, every = new_figure(COLUMNS, (940, high), rows)
    figure.subplots_adjust(0.035, 40 / high, 0.99, 1 - 25 / high, 0.12, 0.4)
    plain = loss_and_gradient("dpo", beta)
    for number, axes in enumerate(every):
        if number >= len(names):
            axes.set_axis_off()
            continue
        name = names[number]
        name_axes(axes, name, "margin, nats" if number + COLUMNS >= len(names) else "")
        axes.set_xlim(-10, 10)
        axes.set_xticks([-5, 0, 5])
        axes.set_ylim(-1.6, 4.2)
        draw_guide(axes, 0.0)
        values, slopes = loss_and_gradient(name, beta)
        thin: dict[str, Any] = {"color": MUTED, "linewidth": 1.1, "alpha": 0.7}
        axes.plot(MARGINS, plain[0], **thin)
        axes.plot(MARGINS, plain[1], **thin, **SLOPE)
        axes.plot(MARGINS, values, gid=name, color=BLUE, linewidth=1.8)
        axes.plot(MARGINS, slopes, gid=f"{name} gradient", color=ORANGE, linewidth=1.8, **SLOPE)
    return figure
