"""Where two exact stages and DPO agree, and each way in which they come apart, world by world."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import Tensor

from workbench.core.tabular import TabularWorld, descend, expected_loss, objective, optimal_logps
from workbench.runs.exact.two_stages import (
    ASCENT,
    FROM_ELSEWHERE,
    FROM_REFERENCE,
    TWO_STAGES,
    _feature,
    ascend,
    broken_equality,
    two_stages_and_dpo,
)

SEEDS, BETA = range(4), 0.5
INF = float("inf")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return broken_equality(SEEDS, BETA)


def by_seed(frame: pd.DataFrame, *columns: str, value: str = "kl") -> pd.DataFrame:
    return frame.pivot(index="seed", columns=list(columns), values=value)


def test_two_exact_stages_are_dpo_on_all_pairs_and_on_drawn_ones() -> None:
    frame = two_stages_and_dpo(SEEDS, [0.1, 2.0], pairs=3000)
    assert len(frame) == 4 * 2 * 2
    assert frame.apart.max() < 1e-6
    assert frame.kl.min() > 0.01


def test_without_pairs_the_start_of_the_reward_decides(tables: dict[str, pd.DataFrame]) -> None:
    """And the DPO loss sees no difference between the policies."""
    frame = tables["never_compared"]
    assert frame.loss_apart.max() < 1e-12
    kl = by_seed(frame, "spread")
    assert kl[0.0].abs().max() < 1e-10
    assert kl[1.0].min() > 0.05
    assert (kl[2.0] > kl[0.5]).all()


def test_off_the_support_only_a_kl_holds_the_policy(tables: dict[str, pd.DataFrame]) -> None:
    frame = tables["off_support"]
    assert frame.groupby("seed").loss.agg(lambda loss: loss.max() - loss.min()).max() < 1e-12
    chances = by_seed(frame, "fit", "chance", value="probability")
    for fit in (TWO_STAGES, FROM_REFERENCE):  # a hundredth of the chance, a hundredth of the mass
        ratio = chances[fit, 1e-8] / chances[fit, 1e-6]
        assert ratio.between(0.0099, 0.0101).all()
        assert (chances[fit, 1e-8] < 1e-6).all()
    elsewhere = chances[FROM_ELSEWHERE]
    assert (elsewhere[1e-8] > 0.05).all()
    torch.testing.assert_close(*(torch.tensor(elsewhere[c].to_numpy()) for c in (1e-8, 1e-1)))


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_off_the_support_leave_dpo_without_a_loss(seed: int) -> None:
    """At a reference of exactly 0 two stages give 0; DPO's loss is infinite, whatever the policy
    gives to that response."""
    world = TabularWorld.random(1, 3, seed)
    reference = torch.cat([world.reference_logps[:, :2].log_softmax(-1), torch.tensor([[-INF]])], 1)
    optimum = optimal_logps(reference, world.rewards, BETA)
    assert optimum.exp()[0, 2] == 0
    assert optimum.exp().sum().item() == pytest.approx(1)
    for share in (1e-9, 0.5):
        rest = world.reference_logps[:, :2].log_softmax(-1).exp() * (1 - share)
        policy = torch.cat([rest, torch.tensor([[share]])], 1).log()
        assert expected_loss(policy, reference, world.preferences, beta=BETA) == INF


def test_a_small_family_of_rewards_costs(tables: dict[str, pd.DataFrame]) -> None:
    """Unless it holds the truth, or DPO's policy is of the same family."""
    frame = tables["small_family"]
    assert frame.same_family.abs().max() < 1e-10
    kl = by_seed(frame, "correlation")
    assert kl[1.0].abs().max() < 1e-10
    assert kl[0.9].min() > 0.01
    assert (kl[0.0] > kl[0.9]).all()


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_feature_is_as_near_to_the_truth_as_it_says(seed: int, correlation: float) -> None:
    rewards = TabularWorld.random(3, 4, seed).rewards
    truth, feature = rewards - rewards.mean(-1, keepdim=True), _feature(rewards, correlation, seed)
    assert feature.mean(-1).abs().max() < 1e-12  # so the sums below are covariances
    found = (feature * truth).sum() / (feature.norm() * truth.norm())
    assert found.item() == pytest.approx(correlation, abs=1e-12)


def test_a_finite_budget_leaves_them_apart(tables: dict[str, pd.DataFrame]) -> None:
    kl = by_seed(tables["finite_budget"], "fit", "steps")
    # After as many steps of the same length DPO is farther from the optimum: at this beta its
    # reward moves by beta^2 of what the reward model's does.
    for steps in (3, 10, 30):
        assert (kl[FROM_REFERENCE, steps] > 5 * kl[TWO_STAGES, steps]).all()
    # The second stage takes its own steps, too.
    for steps in (10, 30, 100):
        assert (kl[ASCENT, steps] > 5 * kl[TWO_STAGES, steps]).all()
    for fit in (TWO_STAGES, FROM_REFERENCE):
        assert kl[fit, 1000].max() < 1e-8
    assert kl[ASCENT, 1000].max() < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_with_the_step_divided_by_beta_squared_dpo_is_the_reward_fit(seed: int) -> None:
    """At every step, not only in the end: DPO on rewards beta * log-ratio is the same descent."""
    world, lr = TabularWorld.random(2, 4, seed), 4.0
    flat = TabularWorld(world.prompts, world.responses, 0 * world.rewards, world.rewards)
    fits = descend(flat, 1.0, steps=20, lr=lr)  # uniform reference, beta 1: the logits are a reward
    for reward, dpo in zip(fits, descend(world, BETA, steps=20, lr=lr / BETA**2), strict=True):
        wanted = optimal_logps(world.reference_logps, reward.logps, BETA)
        torch.testing.assert_close(dpo.logps, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ascent_is_that_of_the_objective(seed: int) -> None:
    world, lr = TabularWorld.random(2, 4, seed), 0.7
    given: tuple[Tensor, Tensor] = (world.reference_logps, world.rewards)
    logits = world.reference_logps
    for _ in range(3):
        logits = logits.detach().requires_grad_()
        objective(logits.log_softmax(-1), *given, BETA).sum().backward()
        assert logits.grad is not None
        logits = logits + lr * logits.grad
    torch.testing.assert_close(ascend(*given, BETA, lr, 3), logits.detach().log_softmax(-1))
