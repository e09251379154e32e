"""The pieces of PPO and GRPO, each as it is defined; tables are (sequence, token).

`mask` is True on a completion's tokens, its end of sequence included. What lies beyond counts
nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_rewards(
    scores: Tensor, policy_logps: Tensor, reference_logps: Tensor, mask: Tensor, beta: float
) -> Tensor:
    """Rewards per token: the score at the last token, minus beta times every token's log-ratio.

    Their sum is `score - beta * log(pi / pi_ref)` of the completion (Ouyang et al. 2022, eq. 2).

    Args:
        scores: (sequence,).
        policy_logps, reference_logps: (sequence, token), those of the policy that wrote the text.
        beta: weight of the KL penalty.
    """
    rewards = -beta * (policy_logps - reference_logps).masked_fill(~mask, 0.0)
    last = mask.sum(1, keepdim=True) - 1
    return rewards.scatter_add(1, last, scores[:, None].to(rewards.dtype))


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, discount: float = 1.0, gae_lambda: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages A and returns A + V, (sequence, token) each.

    A_t = delta_t + discount * gae_lambda * A_{t+1}, delta_t = r_t + discount * V_{t+1} - V_t, and
    after the last token V and A are 0 (Schulman et al. 2016, eq. 16).

    Args:
        rewards, values: (sequence, token); V_t is the value before token t is chosen.
        discount: gamma, 0 to 1.
        gae_lambda: 0 to 1; 1 makes the advantage the rest of the rewards minus the value.
    """
    rewards, values = (table.masked_fill(~mask, 0.0) for table in (rewards, values))
    advantages = torch.zeros_like(values)
    coming = value_after = values.new_zeros(len(values))
    for token in reversed(range(values.shape[1])):
        delta = rewards[:, token] + discount * value_after - values[:, token]
        coming = (delta + discount * gae_lambda * coming) * mask[:, token]
        advantages[:, token], value_after = coming, values[:, token]
    return advantages, advantages + values


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over what `mask` holds, 0 elsewhere."""
    kept = values[mask]
    spread = kept.std(correction=0) + 1e-8
    return ((values - kept.mean()) / spread).masked_fill(~mask, 0.0)


def group_advantages(scores: Tensor, groups: Tensor, scale: bool = True) -> Tensor:
    """(sequence,) how far each score lies above the mean of its group.

    All are 0 in a group whose scores are equal (Shao et al. 2024, section 4.1.2).

    Args:
        scores: (sequence,).
        groups: (sequence,) the number of each completion's prompt, from 0.
        scale: in standard deviations of the group.
    """
    count = int(groups.max()) + 1
    sizes = groups.bincount(minlength=count)
    centred = scores - (scores.new_zeros(count).index_add(0, groups, scores) / sizes)[groups]
    if not scale:
        return centred
    squares = scores.new_zeros(count).index_add(0, groups, centred.square())
    return centred / ((squares / sizes).sqrt()[groups] + 1e-6)


def clipped_loss(logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """-min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A) per token, ratio = pi / pi_old
    (Schulman et al. 2017, eq. 7). All have one shape; `clip` is above 0."""
    ratio = (logps - old_logps).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def is_clipped(logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Where `clipped_loss` has no gradient: the ratio has left the range the way A asks for."""
    ratio = (logps - old_logps).exp()
    return torch.where(advantages > 0, ratio > 1 + clip, (ratio < 1 - clip) & (advantages < 0))


def kl_estimate(logps: Tensor, reference_logps: Tensor) -> Tensor:
    """pi_ref / pi - log(pi_ref / pi) - 1 per token: unbiased for KL(policy || reference) at tokens
    of the policy, never negative (Schulman 2020; Shao et al. 2024, eq. 4)."""
    difference = reference_logps - logps
    return difference.expm1() - difference
