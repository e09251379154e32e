"""Objective, optimum, implied reward and preferences: the steps from RLHF to DPO, exactly."""

from __future__ import annotations

import math

from torch import Tensor

from workbench.core.losses import check_parameter


def objective(
    policy_logps: Tensor, reference_logps: Tensor, rewards: Tensor, beta: float
) -> Tensor:
    """Expected reward minus beta times KL, (..., response) each -> (...); the RLHF objective
    (Rafailov et al. 2023, eq. 3)."""
    check_parameter("beta", beta)
    return expected(policy_logps, rewards) - beta * kl(policy_logps, reference_logps)


def expected(policy_logps: Tensor, values: Tensor) -> Tensor:
    """Mean of `values` under the policy, (..., response) each -> (...)."""
    return (policy_logps.exp() * values).sum(-1)


def kl(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """KL(policy || reference) in nats, (..., response) each -> (...); exact."""
    # A response of probability 0 counts nothing, although its log-ratio is minus infinity.
    logratios = (policy_logps - reference_logps).masked_fill(policy_logps == -math.inf, 0.0)
    return expected(policy_logps, logratios)


def log_partition(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log Z(x) = log sum_y pi_ref(y|x) exp(r(x, y) / beta), (..., response) each -> (...)
    (Rafailov et al. 2023, below eq. 4)."""
    check_parameter("beta", beta)
    return (reference_logps + rewards / beta).logsumexp(-1)


def optimal_logps(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log pi*(y|x) = log pi_ref + r / beta - log Z(x), (..., response) each -> (..., response)
    (Rafailov et al. 2023, eq. 4)."""
    check_parameter("beta", beta)
    return (reference_logps + rewards / beta).log_softmax(-1)


def implied_rewards(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    """beta * log(pi / pi_ref), (..., response): the reward that the policy is optimal for, up to
    beta * log Z(x), which no comparison sees (Rafailov et al. 2023, eq. 5)."""
    check_parameter("beta", beta)
    return beta * (policy_logps - reference_logps)


def canonical_rewards(rewards: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    """r - beta log Z(x), (..., response): of all rewards that differ from `rewards` by a function
    of the prompt, the one of the form beta * log(pi / pi_ref) (Rafailov et al. 2023, eq. 8)."""
    return rewards - beta * log_partition(reference_logps, rewards, beta)[..., None]


def preferences(rewards: Tensor) -> Tensor:
    """(..., response) -> (..., response, response): entry [i, j] is the probability that i is
    preferred to j, sigmoid(r_i - r_j) (Bradley & Terry 1952)."""
    return (rewards[..., :, None] - rewards[..., None, :]).sigmoid()
