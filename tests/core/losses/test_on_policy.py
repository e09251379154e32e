"""The losses on rollouts, worked by hand, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.core.losses import LOSSES
from workbench.core.rollouts import Rollout, RolloutLogps

# Two completions of one prompt: two tokens, and one.
MASK = torch.tensor([[True, True], [True, False]])
OLD = torch.tensor([[-1.0, -2.0], [-0.5, 0.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-1.5, -2.0], [-0.5, 0.0]], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 1.0], [0.0, 0.0]], dtype=torch.float64)
SCORES = torch.tensor([2.0, -1.0], dtype=torch.float64)
OWNERS, PLACES = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])


def rollout(beta_scale: float = 1.0) -> Rollout:
    zeros = torch.zeros(2, dtype=torch.long)
    return Rollout([], zeros, zeros, SCORES, MASK, OLD, REFERENCE, VALUES, beta_scale)


def logps(policy: Tensor, values: Tensor | None = None, beta_scale: float = 1.0) -> RolloutLogps:
    rows = torch.tensor([0, 1])
    return RolloutLogps(policy, OWNERS, PLACES, rows, rollout(beta_scale), values)


def test_ppo_by_hand() -> None:
    # Rewards with beta 0.2: the first token pays 0.2 * 0.5, so [-0.1, 2] and [-1].
    # discount 1, lambda 0.5: deltas  -0.1 + 1 - 0.5 = 0.4,  2 - 1 = 1;  -1 - 0 = -1
    #                         advantages 0.4 + 0.5 * 1 = 0.9, 1; -1;  returns 1.4, 2; -1
    raw = [0.9, 1.0, -1.0]
    mean = sum(raw) / 3
    spread = math.sqrt(sum((a - mean) ** 2 for a in raw) / 3)
    one, two, three = ((a - mean) / (spread + 1e-8) for a in raw)
    policy = torch.tensor([-1.0 + math.log(1.1), -2.0 + math.log(1.5), -0.5 + math.log(0.5)])
    values = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    found = LOSSES["ppo"](
        logps(policy.double(), values), beta=0.2, clip=0.2, value_weight=0.1, gae_lambda=0.5
    )
    errors = [(1.0 - 1.4) ** 2, (1.0 - 2.0) ** 2, (0.0 + 1.0) ** 2]
    first = -1.1 * one - 1.2 * two + 0.05 * (errors[0] + errors[1])
    second = -0.8 * three + 0.05 * errors[2]
    assert found.tolist() == pytest.approx([first, second], abs=1e-6)


def test_grpo_by_hand() -> None:
    # Scores 2 and -1: mean 0.5, deviation 1.5, so advantages 1 and -1. Ratios 1.
    # KL estimates at ratios pi_ref / pi of exp(-0.5), 1, 1: exp(-0.5) + 0.5 - 1, 0, 0.
    policy = OLD[MASK]
    kl = math.exp(-0.5) - 0.5
    found = LOSSES["grpo"](logps(policy), beta=0.4)
    assert found.tolist() == pytest.approx([-1.0 + 0.4 * kl / 2, 1.0], abs=1e-5)
    plain = LOSSES["grpo"](logps(policy), beta=0.4, scale_scores=False)
    assert plain.tolist() == pytest.approx([-1.5 + 0.4 * kl / 2, 1.5])
    # In the reward the first pays 0.4 * 0.5: 1.8 and -1, mean 0.4.
    inside = LOSSES["grpo"](logps(policy), beta=0.4, scale_scores=False, kl_in_reward=True)
    assert inside.tolist() == pytest.approx([-1.4, 1.4])


def test_a_controller_scales_the_penalty() -> None:
    policy, values = OLD[MASK], VALUES[MASK]
    for name, inputs in (("ppo", (policy, values)), ("grpo", (policy,))):
        doubled = LOSSES[name](logps(*inputs, beta_scale=2.0), beta=0.2)
        torch.testing.assert_close(doubled, LOSSES[name](logps(*inputs), beta=0.4))


def test_best_of_n_is_the_negative_log_likelihood() -> None:
    assert LOSSES["best_of_n"](logps(OLD[MASK])).tolist() == pytest.approx([3.0, 0.5])


@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_at_the_first_step_the_gradient_is_minus_the_advantage(name: str) -> None:
    policy = OLD[MASK].clone().requires_grad_()
    values = VALUES[MASK] if name == "ppo" else None
    loss = LOSSES[name](logps(policy, values), beta=1e-3)
    (gradient,) = torch.autograd.grad(loss.sum(), policy)
    if name == "ppo":
        advantages, _ = rollout().advantages(1e-3, 1.0, 0.95)
        torch.testing.assert_close(gradient, -advantages[MASK])
    else:
        expected = torch.tensor([-0.5, -0.5, 1.0], dtype=torch.float64)  # the mean over tokens
        torch.testing.assert_close(gradient, expected, atol=1e-3, rtol=0)


def test_a_controller_scales_the_penalty_in_the_scores_too() -> None:
    policy, inside = OLD[MASK], {"kl_in_reward": True, "scale_scores": False}
    doubled = LOSSES["grpo"](logps(policy, beta_scale=2.0), beta=0.2, **inside)
    torch.testing.assert_close(doubled, LOSSES["grpo"](logps(policy), beta=0.4, **inside))
