"""The DPO loss of one pair, and gradient descent on the loss of a whole world, as pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core.losses import PairLogps, find_loss
from workbench.core.metrics import pair_metrics
from workbench.core.tabular import Descent, TabularWorld, descend
from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.controls.watch import watch
from workbench.view.lessons import policies
from workbench.view.lessons.policies import draw_policies, row_heights, write_above
from workbench.view.plot.primitives import (
    BLUE,
    INK,
    MUTED,
    PINK,
    Values,
    draw_guide,
    move_bars,
    move_line,
    move_texts,
    name_axes,
    new_figure,
)

MARGINS = torch.linspace(-12, 12, 241, dtype=torch.float64)
REACHED = 1e-3  # nats to the optimum that count as having reached it


def explore_loss(loss: str = "dpo", beta: float = 0.5) -> Explorer:
    """One pair: four log-probabilities, their log-ratios and margin, the loss and its slope.

    Args:
        loss: a name in LOSSES.
        beta: where its slider starts.
    """
    function = find_loss(loss)
    figure, (bars, curve) = new_figure(2, (900, 340))
    figure.subplots_adjust(0.15, 0.15, 0.965, 0.74, wspace=0.22)
    names = ["chosen", "rejected", "margin"]
    policies.name_rows(bars, names, "Log-ratios, policy minus reference", "nats")
    bars.set_xlim(-13, 13)
    bars.axvline(0, color=MUTED, linewidth=0.8)
    name_axes(curve, f"Loss ({loss}) and its tangent", "margin, nats", "nats")
    curve.set_xlim(-12, 12)
    curve.set_ylim(-0.4, 6.4)
    draw_guide(curve, np.log(2))
    zero = torch.zeros_like(MARGINS)
    grid = PairLogps(MARGINS, zero, zero, zero)

    def draw(
        beta: float, policy_chosen: float, policy_rejected: float,
        reference_chosen: float, reference_rejected: float,
    ) -> Figure:  # fmt: skip
        given = policy_chosen, policy_rejected, reference_chosen, reference_rejected
        one = PairLogps(*torch.tensor(given, dtype=torch.float64)[:, None].requires_grad_())
        losses = function(one, beta=beta)
        (slope,) = torch.autograd.grad(losses.sum(), one.policy_chosen)
        values = pair_metrics(one, function.rewards(one, beta=beta), losses)
        found = {name: value.item() for name, value in values.items()}
        margin, height = one.margins.item(), found["loss"]
        lengths = np.array([found["logratios/chosen"], found["logratios/rejected"], margin])
        _draw_ratios(bars, lengths)
        move_line(curve, "loss", MARGINS, function(grid, beta=beta), color=BLUE, linewidth=2)
        _draw_tangent(curve, margin, height, slope.item())
        write_above(
            figure, "One pair",
            f"margin {margin:+.2f}   reward margin {found['rewards/margins']:+.3f}   "
            f"loss {height:.4f}   slope {slope.item():+.4f}   beta {beta:.3g}",
        )  # fmt: skip
        return figure

    start = {"policy_chosen": -10, "policy_rejected": -16,
             "reference_chosen": -12, "reference_rejected": -15}  # fmt: skip
    sliders = {
        name: slider(value, -18, -6, 0.25, name.replace("_", ", ")) for name, value in start.items()
    }
    return Explorer(draw, beta=beta_slider(beta), **sliders)


def _draw_ratios(axes: Axes, ratios: Values) -> None:
    """Both log-ratios and the margin as bars with their numbers, (3,)."""
    heights = row_heights(len(ratios))
    move_bars(axes, "ratios", heights, ratios, height=0.5, facecolor=BLUE)
    spots = [(max(ratio, 0.0) + 0.4, y) for ratio, y in zip(ratios, heights, strict=True)]
    move_texts(axes, "numbers", spots, [f"{ratio:+.2f}" for ratio in ratios], **policies.SMALL)


def _draw_tangent(axes: Axes, margin: float, loss: float, slope: float) -> None:
    """The point of the pair on the curve of the loss, and the tangent there."""
    ends = np.array([margin - 5, margin + 5])
    look = {"color": PINK, "linestyle": "--", "linewidth": 1.6}
    move_line(axes, "tangent", ends, loss + slope * (ends - margin), **look)
    point = {"color": INK, "marker": "o", "markersize": 7, "linestyle": "none", "zorder": 4}
    move_line(axes, "here", [margin], [loss], **point)


def watch_descent(
    world: TabularWorld | None = None,
    beta: float = 0.5,
    loss: str = "dpo",
    starts: int = 20,
    steps: int = 150,
    lr: float | None = None,
    prompt: int = 0,
) -> list[Descent]:
    """Gradient descent from random starts, live: the last policy beside the optimum, and the KL.

    Args:
        world, beta, loss, steps, lr: as in `tabular.descend`.
        starts: number of random starts; their seeds are 0, 1, ...
        prompt: its policy is drawn.

    Returns:
        The last state of each start.
    """
    world = world or TabularWorld.example()
    picture = _DescentPicture(world, beta, steps, prompt)
    ends: list[Descent] = []

    def states() -> Iterator[tuple[int, Descent]]:
        for seed in range(starts):
            for found in descend(world, beta, loss, steps, lr, seed):
                picture.add(seed, found)
                yield seed, found
            ends.append(found)

    watch(states(), picture.draw)
    return ends


class _DescentPicture:
    """Left the policy of one prompt beside the optimum, right the KL of every start so far."""

    def __init__(self, world: TabularWorld, beta: float, steps: int, prompt: int) -> None:
        self._world, self._beta, self._prompt = world, beta, prompt
        self._curves: dict[int, list[tuple[int, float]]] = {}
        self._optimum = world.optimum(beta)[prompt]
        title = "π* (crossed), policy (solid)"
        parts = policies.bars_and_curves(world.responses[prompt], title)
        self._figure, self._bars, self._kl = parts
        name_axes(self._kl, "KL(policy ‖ optimum), one line per start", "step", "nats")
        self._kl.set_yscale("log")
        self._kl.set_xlim(0, steps)
        self._kl.set_ylim(1e-7, 20)
        self._kl.minorticks_off()
        draw_guide(self._kl, REACHED)

    def add(self, seed: int, found: Descent) -> None:
        """Add a step."""
        self._curves.setdefault(seed, []).append((found.step, max(found.kl, 1e-12)))

    def draw(self, state: tuple[int, Descent]) -> Figure:
        """The figure after the steps so far."""
        seed, found = state
        draw_policies(self._bars, optimum=self._optimum, policy=found.logps[self._prompt])
        for start, points in self._curves.items():
            steps, values = zip(*points, strict=True)
            look = {"color": BLUE, "linewidth": 1.0, "alpha": 0.5}
            move_line(self._kl, f"start {start}", steps, values, **look)
        reached = sum(points[-1][1] < REACHED for points in self._curves.values())
        write_above(
            self._figure, self._world.prompts[self._prompt],
            f"start {seed + 1}   step {found.step}   loss {found.loss:.4f}   KL {found.kl:.1e}   "
            f"{reached} of {len(self._curves)} below {REACHED:g} (dotted)   beta {self._beta:g}",
        )  # fmt: skip
        return self._figure
