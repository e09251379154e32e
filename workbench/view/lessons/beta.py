"""The effect of beta, interactive: at the optimum, after a budget of steps, and with a sharpened or
flattened reference. Exact numbers of a world small enough to enumerate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.core import tabular
from workbench.core.tabular import TabularWorld
from workbench.runs.exact.exact_sweep import fixed_budget
from workbench.view.controls.explorer import Explorer, beta_slider, choice_slider, slider
from workbench.view.lessons import policies
from workbench.view.lessons.policies import beta_axis, draw_policies, write_above
from workbench.view.plot.primitives import (
    INK,
    OPTIMUM,
    POLICY,
    move_line,
    move_texts,
    new_figure,
)

BETAS = np.round(10.0 ** np.arange(-1.5, 0.51, 0.1), 4)
WIDE = np.geomspace(0.05, 10, 60)  # the range of the beta slider
COSTS = (0.0001, 0.001, 0.01, 0.1, 1)
LRS = (0.03, 0.1, 0.3, 1.0)
BUDGET = 300  # steps, the longest one
OPTIMIZERS = {"plain gradients": False, "AdamW": True}
POINT: dict[str, Any] = {"marker": "o", "markersize": 7, "linestyle": "none", "zorder": 5}


def explore_two_truths(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.1, steps: int = 20
) -> Explorer:
    """How far from the reference, by beta: left at the optimum, right after a budget of steps.

    Args:
        world: KL is the mean over its prompts.
        prompt: its policies are drawn below.
        beta, steps: where their sliders start.
    """
    return Explorer(
        _TwoTruths(world or TabularWorld.example(), prompt).draw,
        beta=choice_slider(BETAS.tolist(), beta, "beta"),
        steps=slider(steps, 1, BUDGET, 1, "budget, steps"),
        lr=choice_slider(LRS, LRS[-1], "learning rate"),
        optimizer=widgets.Dropdown(options=list(OPTIMIZERS), description="optimizer"),
    )


class _TwoTruths:
    """All policies of `explore_two_truths`, computed once, and the figure that shows some."""

    def __init__(self, world: TabularWorld, prompt: int) -> None:
        self._reference, self._prompt = world.reference_logps, prompt
        self._optima = torch.stack([world.optimum(float(one)) for one in BETAS])
        self._at_optimum = self._kl(self._optima)  # (beta,)
        self._walks = {
            name: fixed_budget(world, BETAS.tolist(), LRS, BUDGET, adam)
            for name, adam in OPTIMIZERS.items()
        }  # each (lr, beta, step, prompt, response)
        self._after_steps = {name: self._kl(walk) for name, walk in self._walks.items()}
        self._figure, (self._left, self._right, self._best, self._now) = new_figure(4, (940, 560))
        self._arrange(world.responses[prompt])

    def _kl(self, logps: Tensor) -> Tensor:
        """The KL to the reference, mean over prompts."""
        return tabular.kl(logps, self._reference).mean(-1)

    def _arrange(self, responses: Sequence[str]) -> None:
        """Positions and titles of the four panels, and the curve that never moves."""
        for axes, box in (
            (self._left, (0.09, 0.5, 0.395, 0.33)),
            (self._right, (0.58, 0.5, 0.395, 0.33)),
            (self._best, (0.235, 0.09, 0.33, 0.27)),
            (self._now, (0.645, 0.09, 0.33, 0.27)),
        ):
            axes.set_position(box)
        for axes, title, upwards in (
            (self._left, "KL(policy ‖ reference) at the optimum", "nats"),
            (self._right, "KL after a budget of steps (solid)", ""),
        ):
            _cost_axes(axes, title, upwards)
            move_line(axes, "optimum", BETAS, self._at_optimum, **OPTIMUM.line)
        hidden = [""] * len(responses)
        policies.name_bars(self._best, responses, "Reference (striped), π* (crossed)")
        policies.name_bars(self._now, hidden, "Reference (striped), policy (solid)")

    def draw(self, beta: float, steps: int, lr: float, optimizer: str) -> Figure:
        """The figure at these values of the controls."""
        index, row = int(np.abs(np.log(BETAS / beta)).argmin()), LRS.index(lr)
        reached = self._after_steps[optimizer][row, :, steps]
        move_line(self._right, "reached", BETAS, reached, **POLICY.line)
        for axes, height, colour in (
            (self._left, self._at_optimum, OPTIMUM.colour),
            (self._right, reached, POLICY.colour),
        ):
            move_line(axes, "here", [BETAS[index]], [height[index]], color=colour, **POINT)
        reference, walk = self._reference[self._prompt], self._walks[optimizer]
        draw_policies(self._best, reference=reference, optimum=self._optima[index, self._prompt])
        draw_policies(self._now, reference=reference, policy=walk[row, index, steps, self._prompt])
        write_above(
            self._figure, "Two truths about beta",
            f"beta {BETAS[index]:.2g}   KL at the optimum {self._at_optimum[index]:.3f} nats   "
            f"after {steps} steps of {optimizer}, lr {lr:g}: KL {reached[index]:.2g} nats   "
            f"{_farthest(reached)}",
        )  # fmt: skip
        return self._figure


def _cost_axes(axes: Axes, title: str, upwards: str) -> None:
    """KL by beta, both on logarithmic scales."""
    axes.set_yscale("log")
    axes.set_ylim(1e-5, 30)
    axes.set_yticks(COSTS, [f"{cost:g}" for cost in COSTS])
    beta_axis(axes, title, upwards, BETAS)
    look = {"color": OPTIMUM.colour, "fontsize": 9, "va": "bottom"}
    move_texts(axes, "named", [(BETAS[1], 4)], ["the optimum"], **look)


def _farthest(reached: Tensor) -> str:
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
    """The optimum with a reference that is sharpened (below 1) or flattened (above 1).

    Left the policies of one prompt; right the optimum's KL by beta, to the changed reference and to
    the original one.
    """
    world = world or TabularWorld.example()
    before, rewards = world.reference_logps[prompt], world.rewards[prompt]
    title = "Reference (striped), π* (crossed)"
    figure, bars, curves = policies.bars_and_curves(world.responses[prompt], title, 0.235, 0.86)
    bars.set_xlabel("probability; ▼ before")
    beta_axis(curves, "The optimum's KL by beta", "nats", WIDE)
    curves.set_ylim(0, 2.6)
    marks = {"color": INK, "marker": "v", "markersize": 4.5, "linestyle": "none"}

    def draw(beta: float, temperature: float) -> Figure:
        reference = (before / temperature).log_softmax(-1)
        optimum = tabular.optimal_logps(reference, rewards, beta)
        draw_policies(bars, reference=reference, optimum=optimum)
        heights = policies.row_heights(len(before)) + 0.43
        move_line(bars, "before", before.exp(), heights, **marks)
        _draw_costs(curves, reference, before, rewards)
        move_line(curves, "here", [beta] * 2, [0, 9], color=INK, linewidth=1)
        write_above(
            figure, world.prompts[prompt],
            f"temperature {temperature:.2f}   beta {beta:.3g}   KL(π* ‖ this reference) "
            f"{tabular.kl(optimum, reference):.3f}   KL(π* ‖ the one before) "
            f"{tabular.kl(optimum, before):.3f}   expected reward "
            f"{tabular.expected(optimum, rewards):.3f}",
        )  # fmt: skip
        return figure

    temperatures = slider(temperature, 0.2, 4.0, 0.05, "reference temperature")
    return Explorer(draw, beta=beta_slider(beta), temperature=temperatures)


def _draw_costs(axes: Axes, reference: Tensor, before: Tensor, rewards: Tensor) -> None:
    """The KL of the optimum of every beta in WIDE, to both references, (response,) each."""
    optima = (reference + rewards / torch.tensor(WIDE)[:, None]).log_softmax(-1)  # (beta, response)
    ends = {}
    for name, other, line in (
        ("to this reference", reference, OPTIMUM.line),
        ("to the one before", before, {**OPTIMUM.line, "linestyle": ":", "color": INK}),
    ):  # fmt: skip
        costs = tabular.kl(optima, other)
        move_line(axes, name, WIDE, costs, **line)
        ends[name] = (costs[-1].item(), line["color"])
    policies.name_lines(axes, ends)
