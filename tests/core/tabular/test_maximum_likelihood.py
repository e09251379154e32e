"""Two exact stages of RLHF are DPO on the same pairs; both fits by hand and by their slopes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from workbench.core import tabular
from workbench.core.displacement import pair_probabilities
from workbench.core.tabular import TabularWorld, expected_loss, fit_dpo, fit_rewards, optimal_logps
from workbench.core.tabular.maximum_likelihood import minimise
from workbench.errors import WorkbenchError


def counts(world: TabularWorld, seed: int) -> Tensor:
    """Some wins of everybody over everybody, uneven, more of them for the better response."""
    generator = torch.Generator().manual_seed(seed)
    return (100 * world.preferences).round() + torch.randint(
        1, 30, world.preferences.shape, generator=generator
    )


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_reward_by_hand() -> None:
    # 3 wins to 1: the difference is log 3. What is on the diagonal is no pair.
    wins = torch.tensor([[[9.0, 3.0], [1.0, 9.0]]])
    half = math.log(3) / 2
    wanted = torch.tensor([[half, -half]], dtype=torch.float64)
    torch.testing.assert_close(fit_rewards(wins), wanted)
    # There 3 of 4 pairs have a probability of 3/4, one has 1/4.
    loss = (3 * math.log(4 / 3) + math.log(4)) / 4
    assert tabular.reward_loss(wanted, wins).item() == pytest.approx(loss)
    # The policy: pi_ref exp(r / beta) with pi_ref (1/4, 3/4), beta 1/2: 1/4 * 3^2 against 3/4.
    reference = torch.tensor([[0.25, 0.75]], dtype=torch.float64).log()
    found = fit_dpo(reference, wins, beta=0.5).exp()
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25]], dtype=torch.float64))


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_two_exact_stages_are_dpo(seed: int, beta: float) -> None:
    world = TabularWorld.random(3, 5, seed)
    pairs = {
        "every pair alike": world.preferences,
        "pairs of the reference": pair_probabilities(world),
        "counts that are nobody's probabilities": counts(world, seed),
    }
    for name, weights in pairs.items():
        ours = optimal_logps(world.reference_logps, fit_rewards(weights), beta)
        theirs = fit_dpo(world.reference_logps, weights, beta)
        assert (ours - theirs).abs().max() < 1e-6, name
        assert (theirs - world.reference_logps).abs().max() > 0.1  # they have gone somewhere


@pytest.mark.parametrize("chance", [1e-3, 1e-8, 1e-30])
@pytest.mark.parametrize("seed", range(3))
def test_a_rare_response_that_is_in_pairs_changes_nothing(seed: int, chance: float) -> None:
    world = TabularWorld.random(2, 4, seed)
    reference = world.reference_logps.clone()
    reference[:, 0] = math.log(chance)
    reference = reference.log_softmax(-1)
    ours = optimal_logps(reference, fit_rewards(world.preferences), 0.5)
    assert (ours - fit_dpo(reference, world.preferences, 0.5)).abs().max() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_with_all_pairs_the_fit_is_the_truth(seed: int) -> None:
    world = TabularWorld.random(2, 4, seed)
    gap = fit_rewards(world.preferences) - world.rewards
    torch.testing.assert_close(gap, gap.mean(-1, keepdim=True).expand_as(gap))
    torch.testing.assert_close(
        fit_dpo(world.reference_logps, world.preferences, 0.3), world.optimum(0.3)
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_neighbour_fits_better(seed: int) -> None:
    world = TabularWorld.random(2, 4, seed)
    weights, beta = counts(world, seed), 0.4
    logps = fit_dpo(world.reference_logps, weights, beta)
    least = expected_loss(logps, world.reference_logps, weights, beta=beta)
    for number in range(20):
        near = (logps + 1e-3 * normal(2, 4, seed=number)).log_softmax(-1)
        assert expected_loss(near, world.reference_logps, weights, beta=beta) > least


@pytest.mark.parametrize("seed", range(3))
def test_a_response_that_is_in_no_pair_stays_where_it_starts(seed: int) -> None:
    world = TabularWorld.random(2, 4, seed)
    weights = world.preferences.clone()
    weights[:, -1] = weights[:, :, -1] = 0
    start = normal(2, 4, seed=seed)
    first, second = fit_rewards(weights), fit_rewards(weights, start=start)
    torch.testing.assert_close(second[:, -1], start[:, -1])
    torch.testing.assert_close(second[:, :-1].sum(-1), start[:, :-1].sum(-1))
    torch.testing.assert_close(second[:, 0] - second[:, 1], first[:, 0] - first[:, 1])
    # The same for DPO, whose start is a log-ratio; the rest of the probability is shared out alike.
    at, other = (fit_dpo(world.reference_logps, weights, 0.5, start=one) for one in (None, start))
    torch.testing.assert_close(at[:, 0] - at[:, 1], other[:, 0] - other[:, 1])
    assert (at - other).abs().max() > 0.01


def test_one_weight_for_all_prompts() -> None:
    """Truth and family agree: the weight is found, and it is DPO's times beta."""
    features = normal(3, 4, 2)
    weights = torch.tensor([0.7, -1.2], dtype=torch.float64)
    world = TabularWorld.random(3, 4, 1)
    pairs = tabular.preferences(features @ weights)
    torch.testing.assert_close(fit_rewards(pairs, features), features @ weights)
    found = fit_dpo(world.reference_logps, pairs, 0.5, features)
    torch.testing.assert_close(found, optimal_logps(world.reference_logps, features @ weights, 0.5))


def test_the_minimiser_leaves_a_saddle() -> None:
    """x^4 - x^2 bends downwards at its start; the lowest points are at +-sqrt(1/2)."""
    found = minimise(lambda x: (x**4 - x**2).sum(), torch.tensor([0.1, -0.2]))
    torch.testing.assert_close(found, torch.tensor([1, -1], dtype=torch.float64) / math.sqrt(2))


def test_what_has_no_fit_is_refused() -> None:
    wins = torch.tensor([[[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]]])
    with pytest.raises(WorkbenchError, match="prompt 0 have no finite fit: response 0 beats respo"):
        fit_rewards(wins)  # 0 beats 2 by way of 1, and 2 has never won
    with pytest.raises(WorkbenchError, match="no finite fit"):
        fit_dpo(torch.zeros(1, 3), wins, beta=1.0)
    wins[0, 2, 0] = 1.0  # a circle: all have won and lost
    assert fit_rewards(wins).isfinite().all()
    with pytest.raises(WorkbenchError, match=r"start has shape \(3,\); accepted: \(1, 3\)"):
        fit_rewards(wins, start=torch.zeros(3))
    with pytest.raises(WorkbenchError, match="steps=3 of Newton's method do not reach a minimum"):
        minimise(lambda x: (-x).exp().sum(), torch.zeros(1), steps=3)
