"""Beta as pictures that answer to sliders: at the optimum, in a fixed budget, with the reference
sharpened or flattened. Exact numbers of a world small enough to enumerate.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core import tabular
from workbench.core.tabular import TabularWorld
from workbench.runs.tabular_sweep import fixed_budget
from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.lessons.policies import (
    draw_policies,
    name_lines,
    name_rows,
    places_of,
    write_above,
)
from workbench.view.plot.primitives import (
    BLUE,
    INK,
    ORANGE,
    Values,
    move_line,
    move_texts,
    name_axes,
    new_figure,
)  # fmt: skip

BETAS = np.round(10.0 ** np.arange(-1.5, 0.51, 0.1), 4)
WIDE = np.geomspace(0.05, 10, 60)  # as far as beta's own slider goes
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
COSTS = (0.0001, 0.001, 0.01, 0.1, 1)
LRS = (0.03, 0.1, 0.3, 1.0)
BUDGET = 300  # steps, the longest one
OPTIMIZERS = {"plain gradients": False, "AdamW": True}
AT_OPTIMUM: dict[str, Any] = {"color": ORANGE, "linestyle": "--", "linewidth": 1.8}
REACHED: dict[str, Any] = {"color": BLUE, "linewidth": 2.2}
POINT: dict[str, Any] = {"marker": "o", "markersize": 7, "linestyle": "none", "zorder": 5}


def explore_two_truths(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.1, steps: int = 20
) -> Explorer:
    """How far from the reference, by beta: left at the optimum, right after a budget of steps.

    Args:
        world: KL is the mean over its prompts.
        prompt: whose policies are drawn below.
        beta, steps: where their sliders start.
    """
    world = world or TabularWorld.example()
    reference = world.reference_logps
    optima = torch.stack([world.optimum(float(one)) for one in BETAS])
    ends = tabular.kl(optima, reference).mean(-1)
    walks = {
        name: fixed_budget(world, BETAS.tolist(), LRS, BUDGET, adam)
        for name, adam in OPTIMIZERS.items()
    }  # each (lr, beta, step, prompt, response)
    costs = {name: tabular.kl(walk, reference).mean(-1) for name, walk in walks.items()}
    figure, (left, right, best, now) = new_figure(4, (940, 560))
    for axes, place in zip(
        (left, right, best, now),
        ((0.09, 0.5, 0.395, 0.33), (0.58, 0.5, 0.395, 0.33), (0.235, 0.09, 0.33, 0.27),
         (0.645, 0.09, 0.33, 0.27)),
        strict=True,
    ):  # fmt: skip
        axes.set_position(place)
    _by_beta(left, "KL(policy ‖ reference) at the optimum", "nats", ends)
    _by_beta(right, "KL after a budget of steps (solid)", "", ends)
    for axes, names, title in (
        (best, world.responses[prompt], "Reference (hatched), optimum (solid)"),
        (now, [""] * len(world.responses[prompt]), "Reference (hatched), policy (solid)"),
    ):
        name_rows(axes, names, title, "probability")
        axes.set_xlim(0, 1.12)

    def draw(beta: float, steps: int, lr: float, optimizer: str) -> Figure:
        place, row = int(np.abs(np.log(BETAS / beta)).argmin()), LRS.index(lr)
        reached = costs[optimizer][row, :, steps]
        move_line(right, "reached", BETAS, reached, **REACHED)
        for axes, height, colour in ((left, ends, ORANGE), (right, reached, BLUE)):
            point = {"color": colour, **POINT}
            move_line(axes, "here", [BETAS[place]], [height[place]], **point)
        draw_policies(best, reference[prompt], optima[place, prompt])
        draw_policies(now, reference[prompt], walks[optimizer][row, place, steps, prompt])
        write_above(
            figure, "Two truths about beta",
            f"beta {BETAS[place]:.2g}   KL at the optimum {ends[place]:.3f} nats   after {steps} "
            f"steps of {optimizer}, lr {lr:g}: KL {reached[place]:.2g} nats   {_farthest(reached)}",
        )  # fmt: skip
        return figure

    return Explorer(
        draw,
        beta=widgets.FloatLogSlider(
            value=beta, min=-1.5, max=0.5, step=0.1, description="beta", readout_format=".2g"
        ),
        steps=widgets.IntSlider(value=steps, min=1, max=BUDGET, description="budget, steps"),
        lr=widgets.SelectionSlider(options=LRS, value=LRS[-1], description="learning rate"),
        optimizer=widgets.Dropdown(options=list(OPTIMIZERS), description="optimizer"),
    )


def _farthest(reached: torch.Tensor) -> str:
    """Which of BETAS has gone farthest, in words; `reached` is the KL of each, (beta,)."""
    if reached.min() > 0.99 * reached.max():
        return "all betas equally far"
    if (reached.diff() < 0).all():
        return "the smaller beta, the farther"
    if (reached.diff() > 0).all():
        return "the larger beta, the farther"
    return f"farthest at beta {BETAS[int(reached.argmax())]:.2g}"


def explore_reference_temperature(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.5, temperature: float = 1.0
) -> Explorer:
    """The optimum against a reference sharpened (below 1) or flattened (above 1).

    Left the policies of one prompt; right the optimum's KL by beta, to the reference as it was
    changed and to the one before.
    """
    world = world or TabularWorld.example()
    names = world.responses[prompt]
    before, rewards = world.reference_logps[prompt], world.rewards[prompt]
    figure, (bars, curves) = new_figure(2, (940, 100 + 66 * len(names)))
    figure.subplots_adjust(0.235, 0.15, 0.86, 0.74, wspace=0.24)
    name_rows(bars, names, "Reference (hatched), optimum (solid)", "probability; ▼ before")
    bars.set_xlim(0, 1.12)
    _beta_axis(curves, "The optimum's KL by beta", "nats", WIDE)
    curves.set_ylim(0, 2.6)
    betas = torch.tensor(WIDE)[:, None]

    def draw(beta: float, temperature: float) -> Figure:
        reference = (before / temperature).log_softmax(-1)
        optimum = tabular.optimal_logps(reference, rewards, beta)
        draw_policies(bars, reference, optimum)
        look = {"color": INK, "marker": "v", "markersize": 4.5, "linestyle": "none"}
        move_line(bars, "before", before.exp(), places_of(len(names)) + 0.43, **look)
        every = (reference + rewards / betas).log_softmax(-1)  # (beta, response)
        ends = {}
        for name, to, line in (
            ("to this reference", reference, AT_OPTIMUM), ("to the one before", before, REACHED)
        ):  # fmt: skip
            costs = tabular.kl(every, to)
            move_line(curves, name, WIDE, costs, **line)
            ends[name] = (costs[-1].item(), line["color"])
        name_lines(curves, ends)
        move_line(curves, "here", [beta] * 2, [0, 9], color=INK, linewidth=1)
        write_above(
            figure, world.prompts[prompt],
            f"temperature {temperature:.2f}   beta {beta:.3g}   KL(π* ‖ this reference) "
            f"{tabular.kl(optimum, reference):.3f}   KL(π* ‖ the one before) "
            f"{tabular.kl(optimum, before):.3f}   expected reward "
            f"{tabular.expected(optimum, rewards):.3f}",
        )  # fmt: skip
        return figure

    return Explorer(
        draw, beta=beta_slider(beta),
        temperature=slider(temperature, 0.2, 4.0, 0.05, "reference temperature"),
    )  # fmt: skip


def _by_beta(axes: Axes, title: str, upwards: str, ends: torch.Tensor) -> None:
    """KL by beta on logarithmic scales, with the optimum's curve."""
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 30)
    axes.set_yticks(COSTS, [f"{cost:g}" for cost in COSTS])
    _beta_axis(axes, title, upwards, BETAS)
    move_line(axes, "optimum", BETAS, ends, **AT_OPTIMUM)
    look = {"color": ORANGE, "fontsize": 9, "va": "bottom"}
    move_texts(axes, "named", [(BETAS[1], 4)], ["the optimum"], **look)


def _beta_axis(axes: Axes, title: str, upwards: str, betas: Values) -> None:
    name_axes(axes, title, "beta", upwards)
    axes.set_xscale("log")
    ticks = [tick for tick in TICKS if betas[0] <= tick <= betas[-1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(betas[0], betas[-1])
    axes.minorticks_off()
