"""Rankings: chances by hand, slopes by automatic gradients, and DPO at two answers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.core import tabular
from workbench.core.losses import LOSSES, PairLogps
from workbench.core.tabular import TabularWorld, choice_logps, pairs_worth, ranking_loss
from workbench.core.tabular.maximum_likelihood import minimise
from workbench.core.tabular.plackett_luce import (
    all_rankings,
    ranking_chances,
    ranking_information,
    ranking_slopes,
)
from workbench.errors import WorkbenchError

SEEDS = range(4)


def rewards_of(seed: int, answers: int = 4) -> Tensor:
    return TabularWorld.random(1, answers, seed).rewards[0]


def test_a_ranking_by_hand() -> None:
    # exp(reward) 4, 3, 1: the first of all 4/8, the second of the rest 3/4, the last 1.
    rewards = torch.tensor([4.0, 3.0, 1.0], dtype=torch.float64).log()
    wanted = torch.tensor([1 / 2, 3 / 4, 1.0], dtype=torch.float64)
    torch.testing.assert_close(choice_logps(rewards).exp(), wanted)
    # beta 1/2, log-ratios twice these rewards: the loss is -log(3/8).
    loss = ranking_loss(2 * rewards - 5, torch.full_like(rewards, -5), beta=0.5)
    assert loss.item() == pytest.approx(math.log(8 / 3))
    # Slopes: 4/8 - 1; 3/8 + 3/4 - 1; 1/8 + 1/4 + 1 - 1.
    wanted = torch.tensor([-1 / 2, 1 / 8, 3 / 8], dtype=torch.float64)
    torch.testing.assert_close(ranking_slopes(rewards), wanted)


@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_at_two_answers_it_is_dpo(seed: int, beta: float) -> None:
    """Values and gradients, eq. 20 against eq. 7."""
    generator = torch.Generator().manual_seed(seed)
    policy, reference = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64)
    policy.requires_grad_()
    ours = ranking_loss(policy, reference, beta)
    theirs = LOSSES["dpo"](
        PairLogps(policy[:, 0], policy[:, 1], reference[:, 0], reference[:, 1]), beta=beta
    )
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad(loss.sum(), policy)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("length", [2, 3, 4, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_slopes_are_the_derivative(seed: int, length: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logps = torch.randn(5, length, generator=generator, dtype=torch.float64, requires_grad=True)
    reference = torch.zeros_like(logps)
    (found,) = torch.autograd.grad(ranking_loss(logps, reference, 0.3).sum(), logps)
    torch.testing.assert_close(0.3 * ranking_slopes(0.3 * logps.detach()), found)
    torch.testing.assert_close(found.sum(-1), torch.zeros(5, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda at: ranking_loss(at, reference, 0.3), logps)


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_chances_of_all_rankings_sum_to_one_and_hold_bradley_terry(
    seed: int, length: int
) -> None:
    rewards = rewards_of(seed)
    table, chances = all_rankings(4, length), ranking_chances(rewards, length)
    assert chances.sum().item() == pytest.approx(1)
    # Whatever is ranked beside them, 0 is before 1 as often as Bradley-Terry says (Luce's axiom).
    both = ((table == 0) | (table == 1)).sum(-1) == 2
    first = (table == 0).int().argmax(-1) < (table == 1).int().argmax(-1)
    share = chances[both & first].sum() / chances[both].sum()
    torch.testing.assert_close(share, tabular.preferences(rewards)[0, 1])


@pytest.mark.parametrize("length", [3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_dpo_on_rankings_ends_at_the_optimum(seed: int, length: int) -> None:
    world, beta = TabularWorld.random(1, 4, seed), 0.5
    table, chances = all_rankings(4, length), ranking_chances(world.rewards[0], length)
    reference = world.reference_logps[0]

    def loss(logits: Tensor) -> Tensor:
        logps = logits.log_softmax(-1)
        return chances @ ranking_loss(logps[table], reference[table], beta)

    found = minimise(loss, reference).log_softmax(-1)
    assert (found - world.optimum(beta)[0]).abs().max() < 1e-6


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_information_is_the_mean_curvature(seed: int, length: int) -> None:
    """By its other definition: the Hessian of the mean of minus log p, by automatic gradients."""
    rewards = rewards_of(seed)
    table, chances = all_rankings(4, length), ranking_chances(rewards, length)
    wanted = torch.autograd.functional.hessian(
        lambda at: -chances @ choice_logps(at[table]).sum(-1), rewards
    )
    torch.testing.assert_close(ranking_information(rewards, length), wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ranking_tells_more_than_its_draws_and_less_than_its_pairs(seed: int) -> None:
    rewards = rewards_of(seed, answers=6)
    assert pairs_worth(rewards, 2) == pytest.approx(1)
    for length in (3, 4, 5, 6):
        assert length - 1 < pairs_worth(rewards, length) < length * (length - 1) / 2


@pytest.mark.parametrize("length", [1, 5])
def test_a_length_that_can_not_be_is_refused(length: int) -> None:
    with pytest.raises(WorkbenchError, match=f"length={length} is not accepted: 2 to 4 answers"):
        ranking_chances(torch.zeros(4), length)
