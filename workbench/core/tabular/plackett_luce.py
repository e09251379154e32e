"""Rankings of two answers or more: the Plackett-Luce model and its DPO form, exactly.

The best answer is chosen among all, the next among those that remain, and so on, each with a
probability proportional to exp(reward). With two answers this is Bradley-Terry.
"""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor

from workbench.core.tabular.closed_forms import implied_rewards
from workbench.errors import WorkbenchError


def choice_logps(rewards: Tensor) -> Tensor:
    """(..., rank) rewards, the best answer first -> (..., rank) log-probability of choosing each
    among those that remain (Plackett 1975; Rafailov et al. 2023, eq. 18). The last one's is 0."""
    return rewards - rewards.flip(-1).logcumsumexp(-1).flip(-1)


def ranking_loss(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    """(..., rank) twice, the best answer first -> (...): DPO's loss of a ranking, minus its
    log-probability under beta * log(pi / pi_ref) (Rafailov et al. 2023, eq. 20)."""
    return -choice_logps(implied_rewards(policy_logps, reference_logps, beta)).sum(-1)


def ranking_slopes(rewards: Tensor) -> Tensor:
    """(..., rank) -> (..., rank): the derivative of minus a ranking's log-probability by rewards.

    Each rank's chances of being chosen in the draws up to its own, minus 1 for the draw that it
    wins. Times beta it is the derivative of `ranking_loss` by the log-ratios.
    """
    remaining = rewards.flip(-1).logcumsumexp(-1).flip(-1)  # (..., draw)
    chances = (rewards[..., None, :] - remaining[..., :, None]).exp()  # (..., draw, rank)
    return chances.triu().sum(-2) - 1


def all_rankings(answers: int, length: int) -> Tensor:
    """(ranking, rank) indices: every ordered choice of `length` among the `answers`."""
    if not 2 <= length <= answers:
        raise WorkbenchError(f"length={length!r} is not accepted: 2 to {answers} answers")
    return torch.tensor(list(permutations(range(answers), length)))


def ranking_chances(rewards: Tensor, length: int) -> Tensor:
    """(response,) -> (ranking,): how often each of `all_rankings` is given, where the answers that
    are ranked are drawn alike. They sum to 1."""
    table = all_rankings(len(rewards), length)
    chances = choice_logps(rewards[table]).sum(-1).exp()
    return chances / chances.sum()


def ranking_information(rewards: Tensor, length: int) -> Tensor:
    """(response,) -> (response, response): the Fisher information of one ranking about the rewards.

    The mean of slope times slope over `ranking_chances`. Its null direction is the reward that is
    added to all answers, which no ranking tells.
    """
    table = all_rankings(count := len(rewards), length)
    slopes = torch.zeros(len(table), count, dtype=rewards.dtype)
    slopes.scatter_(1, table, ranking_slopes(rewards[table]))
    return torch.einsum("k,ki,kj->ij", ranking_chances(rewards, length), slopes, slopes)


def pairs_worth(rewards: Tensor, length: int) -> float:
    """How many pairs tell as much about the rewards as one ranking of `length` answers.

    The ratio of the variances of many-sample fits: the mean over all pairs of answers of the
    variance of their difference in reward, with one pair and with one ranking.
    """

    def variance(length: int) -> Tensor:
        return torch.linalg.pinv(
            ranking_information(rewards, length), rtol=1e-9, hermitian=True
        ).trace()

    return (variance(2) / variance(length)).item()
