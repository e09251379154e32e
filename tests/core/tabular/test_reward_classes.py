"""Rewards that differ by a function of the prompt (Rafailov et al. 2023, section 5.1): the same
preferences (lemma 1), the same optimal policy (lemma 2), one member of DPO's form (theorem 1)."""

from __future__ import annotations

import pytest
import torch

from workbench.core import tabular
from workbench.core.tabular import TabularWorld, canonical_rewards
from workbench.core.tabular.plackett_luce import ranking_chances

BETA = 0.4
SEEDS = range(4)


def world_and_shift(seed: int) -> tuple[TabularWorld, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shift = 3 * torch.randn(3, 1, generator=generator, dtype=torch.float64)
    return TabularWorld.random(3, 4, seed), shift


@pytest.mark.parametrize("seed", SEEDS)
def test_one_class_has_one_set_of_preferences_and_one_policy(seed: int) -> None:
    world, shift = world_and_shift(seed)
    shifted = world.rewards + shift
    torch.testing.assert_close(tabular.preferences(shifted), world.preferences)
    for length in (2, 3, 4):
        both = (ranking_chances(rewards, length) for rewards in (shifted[0], world.rewards[0]))
        torch.testing.assert_close(next(both), next(both))
    moved = tabular.optimal_logps(world.reference_logps, shifted, BETA)
    torch.testing.assert_close(moved, world.optimum(BETA))


@pytest.mark.parametrize("seed", SEEDS)
def test_another_class_has_other_preferences_and_another_policy(seed: int) -> None:
    world, shift = world_and_shift(seed)
    other = world.rewards.clone()
    other[:, 0] += shift[:, 0]  # of one response: no function of the prompt
    assert (tabular.preferences(other) - world.preferences).abs().max() > 0.01
    moved = tabular.optimal_logps(world.reference_logps, other, BETA)
    assert (moved - world.optimum(BETA)).abs().max() > 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_each_class_has_one_member_that_is_an_implicit_reward(seed: int) -> None:
    world, shift = world_and_shift(seed)
    reference = world.reference_logps
    member = canonical_rewards(world.rewards, reference, BETA)
    # It is an implicit reward, that of the optimum,
    wanted = tabular.implied_rewards(world.optimum(BETA), reference, BETA)
    torch.testing.assert_close(member, wanted)
    # whichever reward of the class it is computed from, itself included,
    for rewards in (world.rewards + shift, member):
        torch.testing.assert_close(canonical_rewards(rewards, reference, BETA), member)
    # and the only one: another shift leaves no policy behind, for pi would not sum to 1.
    sums = (reference + (member + shift) / BETA).logsumexp(-1)
    torch.testing.assert_close(sums, shift[:, 0] / BETA)
    # Another reference or beta selects another member of the same class.
    for changed in (canonical_rewards(world.rewards, reference.flip(-1).log_softmax(-1), BETA),
                    canonical_rewards(world.rewards, reference, 2 * BETA)):  # fmt: skip
        gap = changed - member
        assert gap.abs().min() > 1e-4
        torch.testing.assert_close(gap, gap[:, :1].expand_as(gap))
