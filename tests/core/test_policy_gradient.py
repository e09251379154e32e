"""The pieces of PPO and GRPO against arithmetic that is worked here."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.policy_gradient import (
    clipped_loss,
    gae,
    group_advantages,
    is_clipped,
    kl_estimate,
    token_rewards,
    whiten,
)

MASK = torch.tensor([[True, True, True], [True, True, False]])


def test_score_comes_last_and_each_token_pays_for_its_log_ratio() -> None:
    policy = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, -9.0]])
    reference = torch.tensor([[-2.0, -2.0, -2.0], [-1.5, -1.0, -5.0]])
    found = token_rewards(torch.tensor([10.0, 20.0]), policy, reference, MASK, beta=0.5)
    # First: log-ratios 1, 0, -1. Second: 0.5, 0; the third token is padding.
    expected = [[-0.5, 0.0, 10.5], [-0.25, 20.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_gae_by_hand() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 99.0]])
    values = torch.tensor([[0.5, 1.0, -1.0], [2.0, 1.0, 99.0]])
    # First row, discount 0.9, lambda 0.5, backwards:
    #   delta_2 = 2 + 0.9 * 0 + 1     = 3        A_2 = 3
    #   delta_1 = 0 + 0.9 * -1 - 1    = -1.9     A_1 = -1.9 + 0.45 * 3      = -0.55
    #   delta_0 = 1 + 0.9 * 1 - 0.5   = 1.4      A_0 = 1.4 + 0.45 * -0.55   = 1.1525
    # Second row ends after two tokens:
    #   delta_1 = 3 - 1 = 2                      A_1 = 2
    #   delta_0 = 0 + 0.9 * 1 - 2     = -1.1     A_0 = -1.1 + 0.45 * 2      = -0.2
    advantages, returns = gae(rewards, values, MASK, discount=0.9, gae_lambda=0.5)
    expected = torch.tensor([[1.1525, -0.55, 3.0], [-0.2, 2.0, 0.0]])
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(returns, expected + values * MASK)


def test_with_lambda_1_the_return_is_the_rest_of_the_rewards() -> None:
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 2, 3, generator=generator)
    _, returns = gae(rewards, values, MASK, discount=1.0, gae_lambda=1.0)
    kept = rewards * MASK
    torch.testing.assert_close(returns, kept.flip(1).cumsum(1).flip(1) * MASK)


def test_with_lambda_0_the_advantage_is_the_one_step_error() -> None:
    generator = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(2, 1, 3, generator=generator)
    advantages, _ = gae(rewards, values, MASK[:1], discount=0.8, gae_lambda=0.0)
    after = torch.cat([values[:, 1:], torch.zeros(1, 1)], 1)
    torch.testing.assert_close(advantages, rewards + 0.8 * after - values)


def test_whitened_values_have_mean_0_and_deviation_1_under_the_mask() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 1e9]])
    found = whiten(values, MASK)
    kept = found[MASK]
    assert kept.mean().item() == pytest.approx(0, abs=1e-6)
    assert kept.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert found[1, 2] == 0


def test_scores_are_compared_with_those_of_the_same_prompt() -> None:
    scores = torch.tensor([1.0, 5.0, 3.0, 5.0, 5.0])
    groups = torch.tensor([0, 1, 0, 1, 1])
    plain = group_advantages(scores, groups, scale=False)
    torch.testing.assert_close(plain, torch.tensor([-1.0, 0.0, 1.0, 0.0, 0.0]))
    scaled = group_advantages(3 * scores, groups)  # means 6 and 15, deviations 3 and 0
    torch.testing.assert_close(scaled, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "stopped"),
    [
        (1.1, 2.0, -2.2, False),  # within the range
        (1.5, 2.0, -2.4, True),  # a good token, likelier by more than the clip: 1.2 * 2
        (0.5, 2.0, -1.0, False),  # a good token that became less likely is pulled back
        (0.5, -2.0, 1.6, True),  # a bad token, rarer by more than the clip: 0.8 * 2
        (1.5, -2.0, 3.0, False),  # a bad token that became likelier is pulled back
        (1.5, 0.0, 0.0, False),
    ],
)
def test_clipped_loss(ratio: float, advantage: float, expected: float, stopped: bool) -> None:
    logp = torch.tensor(math.log(ratio), dtype=torch.float64, requires_grad=True)
    old, given_advantage = torch.zeros_like(logp), torch.tensor(advantage, dtype=torch.float64)
    loss = clipped_loss(logp, old, given_advantage, clip=0.2)
    assert loss.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(loss, logp)
    assert gradient.item() == pytest.approx(0.0 if stopped else -ratio * advantage)
    assert bool(is_clipped(logp, old, given_advantage, 0.2)) == stopped


@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4), st.lists(st.floats(-4, 4), min_size=4))
def test_kl_estimate_has_the_kl_as_its_mean(ours: list[float], theirs: list[float]) -> None:
    policy, reference = (
        torch.tensor(logits[:4], dtype=torch.float64).log_softmax(0) for logits in (ours, theirs)
    )
    estimate = kl_estimate(policy, reference)
    assert (estimate >= 0).all()
    exact = (policy.exp() * (policy - reference)).sum()
    torch.testing.assert_close((policy.exp() * estimate).sum(), exact, atol=1e-9, rtol=1e-9)
