"""Metrics by hand."""

import math

import pytest
import torch

from workbench.core.losses import LOSSES, PairLogps
from workbench.core.metrics import (
    mean_metrics,
    pair_metrics,
    reward_metrics,
    sampled_kl,
    wilson_interval,
    win_interval,
)


def test_pair_metrics_by_hand():
    # Pair 0: log-ratios 2 and -1, margin 3. Pair 1: policy equals reference, a tie.
    logps = PairLogps(
        torch.tensor([-8.0, -5.0]), torch.tensor([-12.0, -6.0]),
        torch.tensor([-10.0, -5.0]), torch.tensor([-11.0, -6.0]),
        torch.tensor([4, 2]), torch.tensor([3, 1]),
    )  # fmt: skip
    rewards = LOSSES["dpo"].rewards(logps, beta=0.5)
    values = pair_metrics(logps, rewards, torch.tensor([0.2, 0.6]))
    assert values["logratios/chosen"].tolist() == [2.0, 0.0]
    assert values["logratios/rejected"].tolist() == [-1.0, 0.0]
    assert values["rewards/chosen"].tolist() == [1.0, 0.0]
    assert values["rewards/rejected"].tolist() == [-0.5, 0.0]
    assert values["rewards/margins"].tolist() == [1.5, 0.0]
    assert values["rewards/accuracies"].tolist() == [1.0, 0.0]
    assert values["rewards/ties"].tolist() == [0.0, 1.0]
    assert values["grad_weight"].tolist() == pytest.approx([1 / (1 + math.exp(1.5)), 0.5])
    means = mean_metrics(values)
    assert means["loss"] == pytest.approx(0.4)
    assert means["logps/chosen"] == pytest.approx(-6.5)
    assert means["lengths/rejected"] == 2.0


def test_without_reference_rewards_come_from_the_policy():
    # SimPO's are per token: -4 over 4 tokens and -6 over 2, times beta 2.
    logps = PairLogps(
        torch.tensor([-4.0]), torch.tensor([-6.0]),
        chosen_lengths=torch.tensor([4]), rejected_lengths=torch.tensor([2]),
    )  # fmt: skip
    values = pair_metrics(logps, LOSSES["simpo"].rewards(logps, beta=2.0, gamma=0.5))
    assert values["rewards/chosen"].tolist() == [-2.0]
    assert values["rewards/rejected"].tolist() == [-6.0]
    assert values["rewards/margins"].tolist() == [4.0]
    assert not {"logratios/chosen", "logratios/rejected", "grad_weight"} & set(values)


def test_metrics_carry_no_gradient():
    policy = torch.zeros(2, requires_grad=True)
    logps = PairLogps(policy, policy * 2, torch.zeros(2), torch.zeros(2))
    rewards = policy * 4, policy * 5
    values = pair_metrics(logps, rewards, policy * 3)
    values |= {f"of dpo {n}": side for n, side in enumerate(LOSSES["dpo"].rewards(logps, beta=1))}
    assert not any(value.requires_grad for value in values.values())


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    [(81 / 263, 263, 0.2553, 0.3662), (15 / 148, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)
def test_wilson_interval_as_published(share, count, low, high):
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=5e-5)


def test_no_pairs_say_nothing():
    assert wilson_interval(0.0, 0) == (0.0, 1.0)


def test_sampled_kl_by_hand():
    # Log-ratios 1, 2, 3: mean 2, standard deviation 1, error 1 / sqrt(3).
    mean, error = sampled_kl(torch.tensor([1.0, 2, 3]), torch.zeros(3))
    assert (mean, error) == pytest.approx((2.0, 1 / math.sqrt(3)))


def test_sampled_kl_finds_the_exact_kl():
    # Two words: policy 0.8 / 0.2, reference 0.5 / 0.5.
    policy, reference = torch.tensor([0.8, 0.2]).log(), torch.tensor([0.5, 0.5]).log()
    exact = (policy.exp() * (policy - reference)).sum().item()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(policy.exp(), 20_000, replacement=True, generator=generator)
    mean, error = sampled_kl(policy[drawn], reference[drawn])
    assert abs(mean - exact) < 4 * error


def test_win_interval_as_published():
    # The example of statpsych's ci.prop.ps, which is Bonett and Price 2012: 26 and 4 discordant of
    # 48 give a difference between 0.2548067 and 0.6251933; a rate is (1 + difference) / 2.
    low, high = win_interval(wins=26, losses=4, count=48, z=1.959964)
    assert (2 * low - 1, 2 * high - 1) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)


@pytest.mark.parametrize(("wins", "losses"), [(20, 0), (0, 20), (0, 0)])
def test_win_interval_has_a_width_where_all_outcomes_are_alike(wins, losses):
    low, high = win_interval(wins, losses, 20)
    rate = (1 + (wins - losses) / 20) / 2
    assert low <= rate <= high
    assert high - low > 0.1


def test_ties_make_the_win_interval_narrower():
    widths = [high - low for low, high in (win_interval(n, n, 60) for n in (30, 20, 10, 0))]
    assert widths == sorted(widths, reverse=True)
    assert win_interval(0, 0, 0) == (0.0, 1.0)


def test_reward_metrics_by_hand():
    chosen, rejected = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.5, 1.0, 3.0])
    values = reward_metrics(chosen, rejected, chosen)
    assert values["rewards/margins"].tolist() == [1.5, 0.0, -3.0]
    assert values["rewards/accuracies"].tolist() == [1.0, 0.0, 0.0]
    assert values["rewards/ties"].tolist() == [0.0, 1.0, 0.0]
