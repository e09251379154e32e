"""The DPO loss of one pair, and gradient descent on the loss of a whole world, as pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure

from workbench.core.loss_inputs import PairLogps
from workbench.core.losses import find_loss
from workbench.core.metrics import pair_metrics
from workbench.core.tabular import Descent, TabularWorld, descend
from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.controls.watch import watch
from workbench.view.lessons.policies import SMALL, draw_policies, name_rows, places_of, write_above
from workbench.view.plot.primitives import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    draw_guide,
    move_bars,
    move_line,
    move_texts,
    name_axes,
    new_figure,
)  # fmt: skip

MARGINS = torch.linspace(-12, 12, 241, dtype=torch.float64)
REACHED = 1e-3  # nats to the optimum that count as there


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
    name_rows(bars, names, "Log-ratios, policy minus reference", "nats")
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
        places = places_of(3)
        move_bars(bars, "ratios", places, lengths, height=0.5, facecolor=BLUE)
        spots = [
            (max(length, 0.0) + 0.4, place) for length, place in zip(lengths, places, strict=True)
        ]
        move_texts(bars, "numbers", spots, [f"{length:+.2f}" for length in lengths], **SMALL)
        move_line(curve, "loss", MARGINS, function(grid, beta=beta), color=BLUE, linewidth=2)
        ends = np.array([margin - 5, margin + 5])
        tangent = height + slope.item() * (ends - margin)
        move_line(curve, "tangent", ends, tangent, color=ORANGE, linestyle="--", linewidth=1.6)
        look = {"color": INK, "marker": "o", "markersize": 7, "linestyle": "none", "zorder": 4}
        move_line(curve, "here", [margin], [height], **look)
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
        starts: seeds 0, 1, ... of the logits to start from.
        prompt: whose policy is drawn.

    Returns:
        Where each start ended.
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
        names = world.responses[prompt]
        self._figure, (self._bars, self._kl) = new_figure(2, (940, 100 + 66 * len(names)))
        self._figure.subplots_adjust(0.26, 0.15, 0.965, 0.74, wspace=0.24)
        name_rows(self._bars, names, "Optimum (hatched) and policy (solid)", "probability")
        self._bars.set_xlim(0, 1.12)
        name_axes(self._kl, "KL(policy ‖ optimum), one line a start", "step", "nats")
        self._kl.set_yscale("log")
        self._kl.set_xlim(0, steps)
        self._kl.set_ylim(1e-7, 20)
        self._kl.minorticks_off()
        draw_guide(self._kl, REACHED)

    def add(self, seed: int, found: Descent) -> None:
        """Remember a step."""
        self._curves.setdefault(seed, []).append((found.step, max(found.kl, 1e-12)))

    def draw(self, state: tuple[int, Descent]) -> Figure:
        """The figure as things stand."""
        seed, found = state
        draw_policies(self._bars, self._optimum, found.logps[self._prompt])
        for place, points in self._curves.items():
            steps, values = zip(*points, strict=True)
            look = {"color": BLUE, "linewidth": 1.0, "alpha": 0.5}
            move_line(self._kl, f"start {place}", steps, values, **look)
        there = sum(points[-1][1] < REACHED for points in self._curves.values())
        write_above(
            self._figure, self._world.prompts[self._prompt],
            f"start {seed + 1}   step {found.step}   loss {found.loss:.4f}   KL {found.kl:.1e}   "
            f"{there} of {len(self._curves)} below {REACHED:g} (dotted)   beta {self._beta:g}",
        )  # fmt: skip
        return self._figure
