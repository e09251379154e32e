"""The shapes of losses, and the weights of the pairs of a run in the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from workbench.core.losses import LOSSES, PairLogps, find_loss
from workbench.view.controls.explorer import Explorer, beta_slider
from workbench.view.controls.fields import checkbox
from workbench.view.lessons.policies import SMALL, write_above
from workbench.view.plot.primitives import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    Values,
    draw_guide,
    move_bars,
    move_line,
    move_texts,
    name_axes,
    new_figure,
)  # fmt: skip

MARGINS = torch.arange(-500, 501, dtype=torch.float64) / 50  # close: a step is to look like one
ZERO = len(MARGINS) // 2
LINEAR, STEEPEST = 6.0, 50.0  # loss up to which its axis is linear; gradient that is still drawn
HEIGHTS = (0, 2, 4, 6, 10, 100)
LOGP = -20.0  # of both completions under the reference
TOKENS = 10  # of both completions
COLOURS = (BLUE, ORANGE, GREEN, INK, "#8E3B8A", "#8A6100", MUTED)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (5, 2, 1, 2)))
SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)  # of the gradients; few, since each change redraws all
MOST_NAMED = 7  # losses whose gradient is given as a number
BINS = 10  # of the weights divided by beta, between 0 and 1


def explore_losses(
    losses: Sequence[str] = ("dpo", "cdpo", "ipo", "hinge"), beta: float = 0.5
) -> Explorer:
    """Every loss on pairs against the margin, and its gradient by autograd.

    The chosen log-ratio is half the margin, the rejected minus half. Both completions have 10
    tokens, which matters to losses on log-probabilities per token.

    Args:
        losses: names in LOSSES that are drawn at first.
        beta: where its slider starts.
    """
    chosen = {find_loss(name).name for name in losses}
    figure, (heights, slopes) = new_figure(2, (940, 480))
    figure.subplots_adjust(0.06, 0.1, 0.985, 0.81, wspace=0.16)
    name_axes(heights, "Loss", "margin, nats", f"per pair; logarithmic above {LINEAR:g}")
    name_axes(slopes, "Gradient: how the loss changes with the margin", "margin, nats")
    _bend(heights, LINEAR)
    heights.set_ylim(-0.15, 500)
    heights.set_yticks(HEIGHTS, [f"{height:g}" for height in HEIGHTS])
    draw_guide(heights, np.log(2))
    draw_guide(slopes, 0.0)
    for axes in (heights, slopes):
        axes.set_xlim(-10, 10)

    def draw(beta: float, **shown: bool) -> Figure:
        scale = next((scale for scale in SCALES if scale >= beta), beta)
        if slopes.get_ylim()[1] != (end := STEEPEST + scale):
            _bend(slopes, scale)
            slopes.set_ylim(-end, end)
            ticks = [tick for tick in (1, 10) if tick > 3 * scale]
            every = [-tick for tick in reversed(ticks)] + [-scale, 0, scale] + ticks
            slopes.set_yticks(every, [f"{tick:g}" for tick in every])
            slopes.set_ylabel(f"per nat; logarithmic beyond ±{scale:g}")
        curves = {name: loss_and_gradient(name, beta) for name, wanted in shown.items() if wanted}
        for index, name in enumerate(shown):
            look = _look(index)
            for side, axes in enumerate((heights, slopes)):
                values = curves[name][side] if name in curves else np.full(len(MARGINS), np.nan)
                move_line(axes, name, MARGINS, values, linewidth=2, **look)
        for side, axes in enumerate((heights, slopes)):
            name_on_lines(axes, {name: curves[name][side] for name in curves}, list(shown))
        at_zero = [f"{name} {curves[name][1][ZERO]:+.3f}" for name in list(curves)[:MOST_NAMED]]
        written = f"beta {beta:.3g}   gradient at margin 0:   {'   '.join(at_zero)}"
        write_above(figure, "Losses and their gradients by margin", written)
        return figure

    boxes = {name: checkbox(name, name in chosen) for name in pairwise_losses()}
    explorer = Explorer(draw, beta=beta_slider(beta), **boxes)
    explorer.box.add_class("wb-many")
    return explorer


def _bend(axes: Axes, linear: float) -> None:
    """A vertical axis that is linear up to +-`linear` and logarithmic beyond, so that IPO, which
    grows quadratically, is seen whole beside losses that hardly move."""
    axes.set_yscale("symlog", linthresh=linear, linscale=3)
    axes.minorticks_off()


def pairwise_losses() -> list[str]:
    """The losses whose value is that of one pair alone, in the order of the registry."""
    return [
        name for name, loss in LOSSES.items() if loss.method == "preference" and not loss.needs_step
    ]


def loss_and_gradient(loss: str, beta: float) -> tuple[Values, Values]:
    """A registered loss at every margin of MARGINS and its derivative by the margin."""
    function = find_loss(loss)
    margins = MARGINS.clone().requires_grad_()
    reference, lengths = torch.full_like(MARGINS, LOGP), torch.full_like(MARGINS, TOKENS)
    logps = PairLogps(
        reference + margins / 2, reference - margins / 2, reference, reference, lengths, lengths
    )
    with torch.enable_grad():
        values = function(logps, **function.pick({"beta": beta}))
        (slopes,) = torch.autograd.grad(values.sum(), margins)
    return values.detach().numpy(), slopes.numpy()


def _look(index: int) -> dict[str, Any]:
    """Colour and dashes of the loss at this index of the registry: 28 that differ."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": DASHES[index % len(DASHES)]}


def name_on_lines(axes: Axes, curves: dict[str, Values], order: Sequence[str]) -> None:
    """Write the name of each line on it, where it is farthest from other lines and names."""
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    box = axes.get_window_extent()

    def pixels(values: Values) -> Values:
        points = np.stack([MARGINS.numpy(), values], -1)
        return np.asarray(axes.transData.transform(points)) - (box.x0, box.y0)

    across = pixels(np.zeros(len(MARGINS)))[:, 0]
    taken: list[tuple[float, float]] = []
    for index, name in enumerate(order):
        spot, text = (left, bottom), ""
        if name in curves:
            height = pixels(curves[name])[:, 1]
            inside = (height > 12) & (height < box.height - 12)
            inside &= (across > 40) & (across < box.width - 40)
            lines = [
                np.abs(pixels(curves[other])[:, 1] - height) for other in curves if other != name
            ]
            # A name is about four times as wide as high.
            names = [np.hypot((across - x) / 4, height - y) for x, y in taken]
            free = np.minimum.reduce([np.full_like(height, 16.0), *lines])
            free += np.minimum.reduce([np.full_like(height, 24.0), *names])
            if inside.any():
                best = int(np.where(inside, free, -1.0).argmax())
                taken.append((float(across[best]), float(height[best])))
                spot, text = (float(MARGINS[best]), float(curves[name][best])), name
        look: dict[str, Any] = {"color": _look(index)["color"], "fontsize": 9, "zorder": 6}
        look |= {"ha": "center", "va": "center"}
        look["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        move_texts(axes, f"name {name}", [spot], [text], **look)


def explore_gradient_weight(frame: pd.DataFrame, beta: float) -> Explorer:
    """The weight of each held-out pair in DPO's gradient, divided by beta: sigmoid(-beta * margin).

    Args:
        frame: `Run.held_out_frame()`, one row per pair.
        beta: of the run; the slider shows the weights of the same margins with another beta.
    """
    margins = torch.tensor((frame["logratios/chosen"] - frame["logratios/rejected"]).to_numpy())
    right = (margins > 0).numpy()
    reach = max(1.0, 1.05 * float(margins.abs().max()))
    grid = torch.linspace(-reach, reach, 201, dtype=torch.float64)
    figure, (curve, bars) = new_figure(2, (940, 380))
    figure.subplots_adjust(0.065, 0.13, 0.985, 0.76, wspace=0.12)
    name_axes(curve, "Weight of each pair, divided by beta", "margin, nats", "σ(−beta · margin)")
    name_axes(bars, "How many pairs have this value", "pairs")
    curve.set_xlim(-reach, reach)
    bars.set_xlim(0, 1.1 * len(margins))
    for axes in (curve, bars):
        axes.set_ylim(-0.04, 1.04)

    def draw(beta: float) -> Figure:
        weights = weight(margins, beta)
        move_line(curve, "weight", grid, weight(grid, beta), color=MUTED, linewidth=1)
        _draw_points(curve, margins, weights, right)
        _draw_counts(bars, weights)
        wrong = weights[~right].sum() / weights.sum()
        write_above(
            figure, f"{len(margins)} held-out pairs: the weight that each would get",
            f"beta {beta:.3g}   weight / beta: mean {weights.mean():.3f}   "
            f"below 0.1: {(weights < 0.1).sum():.0f} pairs   "
            f"{(~right).sum()} pairs not in the right order hold {wrong:.0%} of all weight",
        )  # fmt: skip
        return figure

    return Explorer(draw, beta=beta_slider(beta))


def _draw_points(axes: Axes, margins: Tensor, weights: Tensor, right: NDArray[np.bool_]) -> None:
    """One mark per pair, (pair,) each; `right` where the chosen is preferred."""
    for name, these, colour, mark in (
        ("right order", right, BLUE, "o"), ("not in order", ~right, ORANGE, "x")
    ):  # fmt: skip
        look: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 5, "alpha": 0.6}
        points = margins[these], weights[these]
        move_line(axes, name, *points, linestyle="none", label=name, **look)
    if axes.get_legend() is None:
        axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper right")


def _draw_counts(axes: Axes, weights: Tensor) -> None:
    """A histogram of the weights (pair,) as horizontal bars with their numbers."""
    counts, edges = np.histogram(weights, np.linspace(0, 1, BINS + 1))
    middles = (edges[:-1] + edges[1:]) / 2
    move_bars(axes, "counts", middles, counts, height=0.075, facecolor=BLUE)
    gap = 0.012 * len(weights)
    spots = [(count + gap, y) for count, y in zip(counts, middles, strict=True)]
    move_texts(axes, "numbers", spots, [str(count) for count in counts], **SMALL)


def weight(margins: Tensor, beta: float) -> Tensor:
    """sigmoid(-beta * margin), in (0, 1); beta times this is the weight of a pair in DPO's gradient
    (Rafailov et al. 2023, section 4)."""
    return torch.sigmoid(-beta * margins)
