"""The exercises on PPO: advantages, and the clipped ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.core import policy_gradient
from workbench.exercises import far_inputs as far
from workbench.exercises import random_inputs as inputs
from workbench.exercises.registry import exercise


@exercise(
    inputs.episodes,
    hint="Go through the tokens backwards. The error of a token is its reward plus discount times "
    "the next value minus its own value, and after the last token the value is 0; to it comes "
    "discount times gae_lambda times the advantage of the next token.",
)
def gae(rewards: Tensor, values: Tensor, discount: float, gae_lambda: float) -> Tensor:
    """The advantages of one completion's tokens, (token,) twice -> (token,);
    Schulman et al. 2016, eq. 16."""
    mask = torch.ones(1, len(rewards), dtype=torch.bool)
    tables = rewards[None], values[None], mask
    advantages, _ = policy_gradient.gae(*tables, discount, gae_lambda)
    return advantages[0]


@exercise(
    inputs.ratios,
    hint="The ratio is exp of new minus old log-probability. Clip the ratio, not its product with "
    "the advantage; then take the smaller of the two products per token. The loss is minus their "
    "mean.",
    far=far.RATIOS,
)
def ppo_loss(logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The mean clipped loss of tokens, (token,) three times -> (); Schulman et al. 2017, eq. 7."""
    return policy_gradient.clipped_loss(logps, old_logps, advantages, clip).mean()
