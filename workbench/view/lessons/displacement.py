"""Likelihood displacement, interactive: at the exact optimum, and where answers share features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from workbench.core.displacement import LogLinearWorld, pair_logratios
from workbench.core.tabular import TabularWorld
from workbench.view.controls.explorer import BETAS, Explorer, beta_slider, slider
from workbench.view.lessons.policies import (
    bars_and_curves,
    beta_axis,
    draw_policies,
    name_lines,
    write_above,
)
from workbench.view.plot.primitives import (
    CHOSEN,
    INK,
    MUTED,
    PINK,
    REJECTED,
    SKY,
    draw_guide,
    move_line,
    name_axes,
)

GRID = np.geomspace(*BETAS, 60)
STEPS = 200
SIDES = {"chosen": CHOSEN, "rejected": REJECTED}
COLOURS = (INK, PINK, MUTED, SKY)  # of the answers of `LogLinearWorld.example`


def explore_displacement(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.5
) -> Explorer:
    """The mean log-ratio of chosen and rejected at the exact optimum, by beta.

    Left the reference and the optimum of one prompt; right the mean over all pairs of all prompts,
    see `core.pair_logratios`.
    """
    world = world or TabularWorld.example()
    title = "Reference (striped), π* (crossed)"
    figure, bars, curves = bars_and_curves(world.responses[prompt], title, right=0.9)
    beta_axis(curves, "Mean log-ratio at the optimum, by beta", "nats", GRID)
    curves.set_ylim(-5, 1)
    draw_guide(curves, 0.0)
    by_beta = torch.stack([pair_logratios(world, one).mean(0) for one in GRID.tolist()])
    ends = {}
    for (side, colour), values in zip(SIDES.items(), by_beta.T, strict=True):
        move_line(curves, side, GRID, values, color=colour, linewidth=2)
        ends[side] = (values[-1].item(), colour)
    name_lines(curves, ends)

    def draw(beta: float) -> Figure:
        draw_policies(
            bars, reference=world.reference_logps[prompt], optimum=world.optimum(beta)[prompt]
        )
        move_line(curves, "here", [beta] * 2, [-9, 9], color=INK, linewidth=1)
        found = pair_logratios(world, beta)
        (chosen, rejected), here = found.mean(0), found[prompt]
        write_above(
            figure, world.prompts[prompt],
            f"beta {beta:.3g}   mean log-ratio at π*, all prompts: chosen {chosen:+.2f}, "
            f"rejected {rejected:+.2f} nats   this prompt: {here[0]:+.2f}, {here[1]:+.2f}",
        )  # fmt: skip
        return figure

    return Explorer(draw, beta=beta_slider(beta))


def explore_shared_features(mildness: float = 0.1, step: int = STEPS) -> Explorer:
    """DPO on one pair, "No" over "Never", in `core.LogLinearWorld.example`.

    Args:
        mildness: of "No", where its slider starts; at 0 it has the features of "Never", at 1 it is
            as mild as "Yes".
        step: of gradient descent, where its slider starts.
    """
    world = LogLinearWorld.example()
    names, features = world.responses, world.features.tolist()
    labels = [f"{n}   denies {d:g}, mild {m:g}" for n, (d, m) in zip(names, features, strict=True)]
    labels[world.chosen] = "No   denies 1, mild as set"
    title = "Reference (striped), policy (solid)"
    figure, bars, curves = bars_and_curves(labels, title, 0.225, 0.9)
    name_axes(curves, "Probability by step", "step", "probability")
    curves.set_xlim(0, STEPS)
    curves.set_ylim(0, 1)

    @lru_cache(4)
    def descend(mildness: float) -> tuple[LogLinearWorld, Tensor, Tensor]:
        world = LogLinearWorld.example(mildness)
        return world, *world.descend(steps=STEPS)

    def draw(mildness: float, step: int) -> Figure:
        world, logps, losses = descend(mildness)
        draw_policies(bars, reference=logps[0], policy=logps[step])
        ends = {}
        for name, colour, values in zip(names, COLOURS, logps.exp().T, strict=True):
            move_line(curves, name, range(STEPS + 1), values, color=colour, linewidth=2)
            ends[name] = (values[-1].item(), colour)
        name_lines(curves, ends)
        move_line(curves, "here", [step] * 2, [0, 1], color=INK, linewidth=1)
        no, never, _, yes = (logps[step] - logps[0]).tolist()
        slope = world.slopes(logps[0])[world.chosen].item()
        write_above(
            figure, "“No” is preferred to “Never”",
            f"mildness of No {mildness:.2f}   step {step}   loss {losses[step]:.3f}   log-ratios: "
            f"No {no:+.2f}, Never {never:+.2f}, Yes {yes:+.2f}   slope of No at step 0 "
            f"{slope:+.4f}: it {'falls' if slope < 0 else 'rises'} at first",
        )  # fmt: skip
        return figure

    steps = slider(step, 0, STEPS, 1, "step")
    return Explorer(draw, mildness=slider(mildness, 0.02, 1.5, 0.02, "mildness of No"), step=steps)
