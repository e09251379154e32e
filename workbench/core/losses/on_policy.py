"""Losses on completions that the policy wrote itself and a reward has scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.core.losses.loss_registry import loss
from workbench.core.losses.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.core.rollouts import RolloutLogps

CLIP = Parameter("how far a token's probability ratio may move before its gradient ends", 0.01, 1.0)


@loss(
    "Schulman et al. 2017, eq. 7 and 9; KL penalty of Ouyang et al. 2022, eq. 2",
    method="ppo",
    rollouts=True,
    beta=Parameter("weight of the KL penalty per token", 1e-3, 10.0, log=True),
    clip=CLIP,
    value_weight=Parameter("weight of the value head's squared error", 0.0, 1.0),
    discount=Parameter("discount of later rewards", 0.0, 1.0),
    gae_lambda=Parameter("lambda of the advantages (GAE)", 0.0, 1.0),
)
def ppo(
    logps: RolloutLogps,
    beta: float = 0.1,
    clip: float = 0.2,
    value_weight: float = 0.1,
    discount: float = 1.0,
    gae_lambda: float = 0.95,
) -> Tensor:
    """Clipped policy gradient with advantages of a value head, the KL penalty in the rewards.

    Summed over each completion's tokens; a step divides by the number of its tokens.
    """
    from workbench.core.policy_gradient import clipped_loss  # here: the names load no torch

    advantages, returns = logps.rollout.advantages(beta, discount, gae_lambda)
    old, advantage = logps.at(logps.rollout.policy_logps), logps.at(advantages)
    values = clipped_loss(logps.policy, old, advantage, clip)
    if logps.values is not None:
        values = values + value_weight / 2 * (logps.values - logps.at(returns)).square()
    return logps.sums(values)


@loss(
    "Shao et al. 2024, eq. 3 and 4",
    method="grpo",
    rollouts=True,
    beta=Parameter("weight of the KL penalty", 1e-3, 10.0, log=True),
    clip=CLIP,
    scale_scores=Parameter("divide a prompt's scores by their standard deviation"),
    kl_in_reward=Parameter("take the KL penalty off the scores instead of adding it to the loss"),
)
def grpo(
    logps: RolloutLogps,
    beta: float = 0.04,
    clip: float = 0.2,
    scale_scores: bool = True,
    kl_in_reward: bool = False,
) -> Tensor:
    """Clipped policy gradient with the score against those of the same prompt as advantage.

    The mean over each completion's tokens. As published, its fixed point is not the optimum of the
    KL-penalised reward: the estimate in the loss has the gradient of KL(reference || policy), and
    the division gives every prompt a beta of its own. With `scale_scores` False and `kl_in_reward`
    True it is that optimum.
    """
    from workbench.core.policy_gradient import clipped_loss, kl_estimate

    rollout = logps.rollout
    advantage = logps.at(rollout.group_advantages(beta, scale_scores, kl_in_reward))
    values = clipped_loss(logps.policy, logps.at(rollout.policy_logps), advantage, clip)
    if not kl_in_reward:
        kl = kl_estimate(logps.policy, logps.at(rollout.reference_logps))
        values = values + rollout.beta_scale * beta * kl
    return logps.sums(values) / logps.lengths


@loss("Dong et al. 2023 (RAFT), algorithm 1", method="best_of_n", rollouts=True)
def best_of_n(logps: RolloutLogps) -> Tensor:
    """-log p of the best of n completions of each prompt, summed over its tokens.

    The reference only measures how far the policy has moved; a step divides by its tokens.
    """
    return logps.sums(-logps.policy)
