"""Fits to the last digit: the reward of the first stage of RLHF, and the policy of DPO.

Both minimise -log sigma over the same pairs by Newton's method in float64. They share no more than
the minimiser: one fits rewards, the other a policy's logits through its log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from workbench.core.losses import LOSSES
from workbench.core.tabular.descent import expected_loss
from workbench.errors import WorkbenchError

FLAT = 1e-13  # the largest slope at which a minimum counts as found
UNSEEN = 1e-11  # a curvature below this share of the largest: no pair sees the direction


def reward_loss(rewards: Tensor, preferences: Tensor) -> Tensor:
    """The mean of -log sigma(r_i - r_j) over all pairs of different responses, (): stage one.

    `rewards` (..., response); `preferences` (..., response, response) as in `expected_loss`.
    """
    i, j = (~torch.eye(rewards.shape[-1], dtype=torch.bool)).nonzero().T
    weights = preferences[..., i, j]
    values = LOSSES["bradley_terry"](rewards[..., i], rewards[..., j])
    return (weights * values).sum() / weights.sum()


def fit_rewards(
    preferences: Tensor, features: Tensor | None = None, start: Tensor | None = None
) -> Tensor:
    """(prompt, response) rewards that make the preferences most likely under Bradley-Terry
    (Rafailov et al. 2023, eq. 2).

    Differences of rewards are determined where responses are compared, if by way of others. All
    else stays as it starts: the sum over responses that are compared with each other, and the
    reward of one that is compared with none.

    Args:
        preferences: (prompt, response, response) as in `expected_loss`.
        features: (prompt, response, feature); the rewards are then these times weights that all
            prompts share. Left open: every reward is free.
        start: (prompt, response) rewards, or (feature,) weights, to begin with; left open: 0.

    Raises:
        WorkbenchError: no finite reward fits, because some response only wins.
    """

    def loss(weights: Tensor) -> Tensor:
        return reward_loss(_table(weights, features), preferences)

    _check_finite(preferences)
    return _table(minimise(loss, _begin(start, features, preferences)), features)


def fit_dpo(
    reference_logps: Tensor,
    preferences: Tensor,
    beta: float,
    features: Tensor | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """(prompt, response) log-probabilities of a policy with the smallest DPO loss on the same pairs
    (Rafailov et al. 2023, eq. 7). Where several have it, the start decides.

    Args:
        features, start: as in `fit_rewards`, for the log-ratios: logits are those of the reference
            plus `start` plus what is fitted. Left open, it starts at the reference.
    """

    def logps(weights: Tensor) -> Tensor:
        return (reference_logps + _table(weights, features)).log_softmax(-1)

    def loss(weights: Tensor) -> Tensor:
        return expected_loss(logps(weights), reference_logps, preferences, "dpo", beta=beta)

    _check_finite(preferences)
    return logps(minimise(loss, _begin(start, features, preferences)))


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int = 200) -> Tensor:
    """A minimum of a smooth function by Newton's method, from `start`, of the same shape.

    A direction in which the function does not bend is not moved along. One in which it bends
    downwards is followed downwards; a step that would climb is halved.

    Raises:
        WorkbenchError: the slope is not 0 after so many `steps`.
    """
    at = start.double()
    slope_at = torch.func.grad(loss)
    hessian = torch.func.jacrev(slope_at)
    for _ in range(steps):
        slope = slope_at(at).flatten()
        if slope.abs().max() < FLAT:
            return at
        bends, directions = torch.linalg.eigh(hessian(at).reshape(len(slope), len(slope)))
        seen = bends.abs() > UNSEEN * bends.abs().max()
        along = directions[:, seen]
        step = (along @ ((along.T @ slope) / bends[seen].abs())).reshape(at.shape)
        before = loss(at)
        while loss(at - step) > before + 1e-15 and step.abs().max() > FLAT:
            step = step / 2
        at = at - step
    raise WorkbenchError(f"steps={steps!r} of Newton's method do not reach a minimum")


def _table(weights: Tensor, features: Tensor | None) -> Tensor:
    """Weights -> (prompt, response)."""
    return weights if features is None else features @ weights


def _begin(start: Tensor | None, features: Tensor | None, preferences: Tensor) -> Tensor:
    shape = preferences.shape[:-1] if features is None else features.shape[-1:]
    if start is None:
        return torch.zeros(shape, dtype=torch.float64)
    if start.shape != shape:
        raise WorkbenchError(f"start has shape {tuple(start.shape)}; accepted: {tuple(shape)}")
    return start


def _check_finite(preferences: Tensor) -> None:
    """Refuse pairs whose likelihood has no maximum: who beats another, if by way of others, must
    lose to it as well, if by way of others (Ford 1957)."""
    count = preferences.shape[-1]
    reaches = (preferences > 0) | torch.eye(count, dtype=torch.bool)
    for _ in range(count.bit_length()):  # chains of 2, 4, 8, ... wins
        reaches = (reaches.double() @ reaches.double()) > 0
    for prompt, winner, loser in (reaches & ~reaches.mT).nonzero().tolist():
        raise WorkbenchError(
            f"preferences of prompt {prompt} have no finite fit: response {winner} beats response "
            f"{loser} and never loses to it; accepted: wins of both, if by way of other responses"
        )
