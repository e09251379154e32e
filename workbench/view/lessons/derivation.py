"""The derivation of DPO, interactive: one function per step, exact numbers.

Each figure is a pure function of its sliders on a world small enough to enumerate. Reference and
pi* look as in every figure, see `primitives.ModelLook`; numbers stand beside colours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from workbench.core import tabular
from workbench.core.tabular import TabularWorld
from workbench.view.controls.explorer import BETAS, Explorer, beta_slider, slider
from workbench.view.lessons import policies
from workbench.view.lessons.policies import (
    bars_and_curves,
    beta_axis,
    draw_policies,
    name_bars,
    name_rows,
    write_above,
)
from workbench.view.plot.primitives import (
    COST,
    INK,
    MUTED,
    OPTIMUM,
    REFERENCE,
    REWARD,
    move_line,
    name_axes,
    new_figure,
)

BARS = "Reference (striped), π* (crossed)"
GRID = np.geomspace(*BETAS, 60)
NAMES = ("KL(π* ‖ reference)", "expected reward")
STEP = 0.5  # in which limits of axes grow: each change draws everything anew
LOWEST = 3.0


def explore_objective(reference: float = 0.3, reward: float = 1.0, beta: float = 0.5) -> Explorer:
    """The RLHF objective over all policies with two responses, and where it is highest.

    Args:
        reference: probability that the reference gives to response A.
        reward: of response A; that of B is 0.
        beta: weight of the KL term.
    """
    figure, (axes,) = new_figure(size=(820, 360))
    figure.subplots_adjust(0.08, 0.14, 0.78, 0.78)
    name_axes(axes, "The objective and its two parts", "probability of response A", "nats, reward")
    axes.set_xlim(0, 1)
    grid = torch.linspace(1e-4, 1 - 1e-4, 301, dtype=torch.float64)
    policies = torch.stack([grid, 1 - grid], -1).log()  # (policy, response)

    def draw(beta: float, reward: float, reference: float) -> Figure:
        known = torch.tensor([reference, 1 - reference], dtype=torch.float64).log()
        rewards = torch.tensor([reward, 0.0], dtype=torch.float64)
        gains = tabular.expected(policies, rewards)
        costs = -beta * tabular.kl(policies, known)
        total = tabular.objective(policies, known, rewards, beta)
        axes.set_ylim(_range(gains, costs, total))
        _draw_objective(axes, grid, gains, costs, total)
        best = tabular.optimal_logps(known, rewards, beta)
        probability = best[0].exp().item()
        value = tabular.objective(best, known, rewards, beta).item()
        point: dict[str, Any] = {"marker": "o", "markersize": 8, "linestyle": "none"}
        move_line(axes, "optimum", [probability], [value], zorder=4, color=OPTIMUM.colour, **point)
        move_line(axes, "reference", [reference] * 2, [-LOWEST, LOWEST], **REFERENCE.line)
        divergence = tabular.kl(best, known).item()
        write_above(
            figure, "Two responses: A, and B with reward 0",
            f"reference {reference:.2f} (dashed)   optimum π* {probability:.3f} (point)   "
            f"KL {divergence:.3f} nats   expected reward {probability * reward:.3f}   "
            f"sum {value:.3f}",
        )  # fmt: skip
        return figure

    return Explorer(
        draw, beta=beta_slider(beta), reward=slider(reward, -2, 2, 0.05, "reward of A"),
        reference=slider(reference, 0.02, 0.98, 0.01, "reference"),
    )  # fmt: skip


def _range(gains: Tensor, costs: Tensor, total: Tensor) -> tuple[float, float]:
    """Limits in steps that hold all curves; what lies below -LOWEST is cut off."""
    top = max(gains.max().item(), total.max().item())
    bottom = max(min(costs.min().item(), gains.min().item()), -LOWEST)
    return STEP * math.floor(bottom / STEP - 0.2), STEP * math.ceil(top / STEP + 0.2)


def _draw_objective(axes: Axes, grid: Tensor, gains: Tensor, costs: Tensor, total: Tensor) -> None:
    """The objective and its parts, (policy,) each, over the probability of A in `grid`."""
    ends = {}
    for name, values, colour, dash, width in (
        ("expected reward", gains, REWARD, "--", 1.8),
        ("− beta · KL", costs, COST, ":", 2.0),
        ("their sum", total, INK, "-", 2.4),
    ):
        move_line(axes, name, grid, values, color=colour, linestyle=dash, linewidth=width)
        ends[name] = (values[-1].item(), colour)
    policies.name_lines(axes, ends)


def explore_optimum(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.5
) -> Explorer:
    """pi_ref, pi*, Z and KL of one prompt; sliders for beta, every reward and the reference.

    Args:
        world: its responses are named in the figure.
        prompt: row of the world.
        beta: where its slider starts.
    """
    world = world or TabularWorld.example()
    figure, bars, curves = bars_and_curves(world.responses[prompt], BARS)
    beta_axis(curves, "The optimum's KL and reward by beta", "nats, reward", GRID)

    def draw(beta: float, temperature: float, **given: float) -> Figure:
        rewards = torch.tensor(list(given.values()), dtype=torch.float64)
        reference = (world.reference_logps[prompt] / temperature).log_softmax(-1)
        optimum = tabular.optimal_logps(reference, rewards, beta)
        draw_policies(bars, reference=reference, optimum=optimum)
        _draw_by_beta(curves, reference, rewards)
        move_line(curves, "here", [beta] * 2, [-9, 9], color=INK, linewidth=1)
        log_z = tabular.log_partition(reference, rewards, beta).item()
        write_above(
            figure, world.prompts[prompt],
            f"beta {beta:.3g}   Z {np.exp(log_z):.4g}   log Z {log_z:.3f}   "
            f"KL {tabular.kl(optimum, reference):.3f} nats   "
            f"expected reward {tabular.expected(optimum, rewards):.3f}   "
            f"objective {tabular.objective(optimum, reference, rewards, beta):.3f} = beta log Z",
        )  # fmt: skip
        return figure

    sliders = {
        f"reward_{index}": slider(float(value), -3, 3, 0.1, f"reward {index + 1}")
        for index, value in enumerate(world.rewards[prompt])
    }
    temperature = slider(1.0, 0.3, 3.0, 0.05, "reference temperature")
    return Explorer(draw, beta=beta_slider(beta), temperature=temperature, **sliders)


def _draw_by_beta(axes: Axes, reference: Tensor, rewards: Tensor) -> None:
    """KL and expected reward of the optimum of every beta; arguments are (response,)."""
    optima = (reference + rewards / torch.tensor(GRID)[:, None]).log_softmax(-1)  # (beta, response)
    costs, gains = tabular.kl(optima, reference), tabular.expected(optima, rewards)
    move_line(axes, NAMES[0], GRID, costs, color=COST, linestyle="--", linewidth=1.8)
    move_line(axes, NAMES[1], GRID, gains, color=REWARD, linewidth=1.8)
    lowest, highest = gains.min().item(), max(costs.max().item(), gains.max().item())
    bottom = math.floor(min(0.0, lowest) / STEP) * STEP  # below 0 only where a reward is
    axes.set_ylim(bottom, STEP * math.ceil(highest / STEP + 0.2))
    if axes.get_legend() is None:
        axes.legend(axes.lines[:2], NAMES, frameon=False, fontsize=8.5, labelcolor=INK)


def explore_reward(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.5
) -> Explorer:
    """The reward computed from the optimal policy: beta times its log-ratio, plus beta log Z.

    The slider `shift` adds the same number to every reward of the prompt. The policy does not
    change; only Z does.
    """
    world = world or TabularWorld.example()
    names, count = world.responses[prompt], len(world.responses[prompt])
    figure, (axes, bars) = new_figure(2, (940, 100 + 66 * count))
    figure.subplots_adjust(0.26, 0.15, 0.965, 0.74, wspace=0.12)
    name_rows(axes, names, "Reward", "reward = beta · log-ratio + beta · log Z")
    axes.set_xlim(-6, 6)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    name_bars(bars, [""] * count, BARS)

    def draw(beta: float, shift: float) -> Figure:
        reference, rewards = world.reference_logps[prompt], world.rewards[prompt] + shift
        optimum = tabular.optimal_logps(reference, rewards, beta)
        implied = tabular.implied_rewards(optimum, reference, beta)
        offset = beta * tabular.log_partition(reference, rewards, beta)
        policies.draw_pair(
            axes, rewards, implied, (policies.FROM_REWARD, policies.FROM_OPTIMUM), "{:+.2f}"
        )
        draw_policies(bars, reference=reference, optimum=optimum)
        gap = rewards - implied
        write_above(
            figure, world.prompts[prompt],
            f"solid: true reward   crossed: beta · log-ratio of π*   "
            f"difference {gap.min():+.3f} to {gap.max():+.3f}   beta log Z {offset:+.3f}",
        )  # fmt: skip
        return figure

    return Explorer(draw, beta=beta_slider(beta), shift=slider(0, -3, 3, 0.1, "shift of rewards"))


def explore_preference(
    world: TabularWorld | None = None, prompt: int = 0, beta: float = 0.5
) -> Explorer:
    """The probability that one response beats another: from the rewards, and from the policy alone.

    Both tables are the same whatever the sliders, because Z cancels in the difference.
    """
    world = world or TabularWorld.example()
    count = len(world.responses[prompt])
    figure, tables = new_figure(2, (940, 130 + 54 * count))
    figure.subplots_adjust(0.26, 0.09, 0.965, 0.74, wspace=0.06)
    titles = "from the rewards: σ(r1 − r2)", "from π*: σ(beta · (log-ratio 1 − log-ratio 2))"
    numbered = [f"{name}   {row}" for row, name in enumerate(world.responses[prompt], 1)]
    for axes, title in zip(tables, titles, strict=True):
        name_axes(axes, title)
        axes.set_yticks(range(count), numbered if axes is tables[0] else [""] * count)

    def draw(beta: float, shift: float) -> Figure:
        reference, rewards = world.reference_logps[prompt], world.rewards[prompt] + shift
        optimum = tabular.optimal_logps(reference, rewards, beta)
        implied = tabular.implied_rewards(optimum, reference, beta)
        both = tabular.preferences(rewards), tabular.preferences(implied)
        for axes, table in zip(tables, both, strict=True):
            policies.draw_table(axes, table)
        apart = (both[0] - both[1]).abs().max()
        log_z = tabular.log_partition(reference, rewards, beta)
        write_above(
            figure, world.prompts[prompt],
            f"chance that the row beats the column   beta {beta:.3g}   log Z {log_z:.3f}   "
            f"largest difference of the tables {apart:.0e}",
        )  # fmt: skip
        return figure

    return Explorer(draw, beta=beta_slider(beta), shift=slider(0, -3, 3, 0.1, "shift of rewards"))
