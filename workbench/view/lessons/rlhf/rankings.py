"""Plackett-Luce: a ranking as a sequence of choices, and how much it tells beside pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from workbench.core.tabular import TabularWorld, choice_logps, pairs_worth, ranking_slopes
from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.lessons.policies import SMALL, name_rows, row_heights, write_above
from workbench.view.plot.primitives import (
    BLUE,
    INK,
    MUTED,
    PINK,
    move_bars,
    move_texts,
    name_axes,
    new_figure,
)

ANSWERS = 6


def explore_ranking(
    world: TabularWorld | None = None,
    prompt: int = 0,
    length: int = 4,
    beta: float = 0.5,
    moved: float = 1.0,
) -> Explorer:
    """The DPO loss of the true order of the first `length` answers, draw by draw, and its slopes.

    Args:
        length, beta: where their sliders start.
        moved: log-ratio of the policy in nats per unit of true reward; 0 is the reference.
    """
    world = world or TabularWorld.example()
    order = world.rewards[prompt].argsort(descending=True)
    names = [world.responses[prompt][index] for index in order.tolist()]
    count, middle = len(names), row_heights(len(names))
    figure, (chances, slopes) = new_figure(2, (940, 100 + 60 * count))
    figure.subplots_adjust(0.26, 0.15, 0.965, 0.74, wspace=0.08)
    name_rows(chances, names, "Chosen among those that remain", "probability")
    chances.set_xlim(0, 1.15)
    name_rows(slopes, [""] * count, "Slope of the loss by the log-ratio", "per nat")
    slopes.set_xlim(-1.25, 1.25)
    slopes.axvline(0, color=MUTED, linewidth=0.8)

    def draw(length: int, beta: float, moved: float) -> Figure:
        rewards = beta * moved * world.rewards[prompt, order[:length]]
        draws, left = choice_logps(rewards).exp(), [0.0] * (count - length)
        bends = beta * ranking_slopes(rewards)
        for axes, values, look in ((chances, draws, BLUE), (slopes, bends, PINK)):
            move_bars(axes, "bars", middle, torch.tensor(values.tolist() + left).numpy(),
                      height=0.5, color=look)  # fmt: skip
            spots = [(max(value, 0) + 0.02, row) for value, row in zip(
                values.tolist() + left, middle.tolist(), strict=True)]  # fmt: skip
            written = [f"{value:+.3f}" if axes is slopes else f"{value:.3f}" for value in values]
            move_texts(axes, "numbers", spots, written + ["not ranked"] * len(left), **SMALL)
        loss = -draws.log().sum()
        write_above(
            figure, world.prompts[prompt],
            f"beta {beta:.3g}   probability of this ranking {(-loss).exp():.4f}, the product of "
            f"all draws   loss {loss:.3f}   at the reference log {length}! = "
            f"{torch.arange(1, length + 1).log().sum():.3f}",
        )  # fmt: skip
        return figure

    lengths = slider(length, 2, count, 1, "ranked answers")
    return Explorer(
        draw, length=lengths, beta=beta_slider(beta), moved=slider(moved, 0, 3, 0.1, "policy moved")
    )


def rankings_figure(seeds: Sequence[int] = range(5)) -> Figure:
    """How many pairs tell as much as one ranking, by its length: one line per random world of six
    answers, between length - 1 and the number of pairs that the ranking holds."""
    figure, (axes,) = new_figure(size=(620, 330))
    figure.subplots_adjust(0.1, 0.15, 0.97, 0.9)
    lengths = range(2, ANSWERS + 1)
    for seed in seeds:
        rewards = TabularWorld.random(1, ANSWERS, seed).rewards[0]
        worth = [pairs_worth(rewards, length) for length in lengths]
        axes.plot(lengths, worth, color=BLUE, marker="o", markersize=4, linewidth=1.2, alpha=0.7)
    holds = [length * (length - 1) / 2 for length in lengths]
    least = [length - 1 for length in lengths]
    axes.plot(lengths, holds, color=MUTED, linestyle="--")
    axes.plot(lengths, least, color=MUTED, linestyle=":")
    for text, height in (("all pairs in it", holds[-2]), ("length − 1", least[-2])):
        above = height + (0.8 if height > 5 else -1.3)
        axes.text(lengths[-2], above, text, ha="right", fontsize=9, color=INK)
    axes.set_xticks(lengths)
    name_axes(axes, "One ranking is worth so many pairs", "answers in the ranking", "pairs")
    return figure
