"""Losses on pairs that compare the policy's own log-probabilities; no reference is loaded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.loss_registry import loss
from workbench.core.losses.pairwise import PAIRS, log_sigmoid, per_token
from workbench.core.losses.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

PER_TOKEN = {"ld_alpha": "it is normalised by length already"}


def _log1mexp(values: Tensor) -> Tensor:
    """log(1 - exp(x)) for x below 0, exact near 0 and far from it (Maechler 2012, eq. 7)."""
    import torch  # here, so that the names load no torch

    # A probability of 1 has no finite odds; the largest one below it in this precision is taken.
    values = values.clamp(max=-torch.finfo(values.dtype).eps / 2)
    near = values > -math.log(2)
    # Each branch is kept within its range, so that no NaN of the other reaches the gradient.
    small = (-values.where(near, -values.new_ones(())).expm1()).log()
    large = (-values.where(~near, -values.new_ones(())).exp()).log1p()
    return torch.where(near, small, large)


@loss(
    "Meng et al. 2024, eq. 6",
    needs_reference=False,
    scores=per_token,
    needs_lengths=True,
    modifiers=PAIRS,
    why_not=PER_TOKEN,
    beta=Parameter("scale of the log-probabilities per token", 1e-3, 10.0, log=True),
    gamma=Parameter("margin by which the chosen reward should exceed the rejected", 0.0, 5.0),
)
def simpo(logps: PairLogps, beta: float = 2.0, gamma: float = 1.0) -> Tensor:
    """-log sigmoid(beta * (logp per token of the chosen - of the rejected) - gamma), no reference.

    The paper's settings have beta 2 to 2.5 and gamma 0.3 to 1.6 (table 8); here `gamma` is not
    divided by beta.
    """
    logps = logps.per_token()
    return -log_sigmoid(beta * (logps.policy_chosen - logps.policy_rejected) - gamma)


@loss(
    "Hong et al. 2024, eq. 6 and 7",
    needs_reference=False,
    scores=per_token,
    needs_lengths=True,
    modifiers=PAIRS,
    why_not=PER_TOKEN,
    odds_weight=Parameter("weight of the odds ratio beside the likelihood", 1e-3, 10.0, log=True),
)
def orpo(logps: PairLogps, odds_weight: float = 0.1) -> Tensor:
    """-logp of the chosen - odds_weight * log sigmoid(log odds ratio), all per token, no reference.

    The odds of a completion are p / (1 - p), p its probability per token. The likelihood is that of
    the completion; TRL's takes in the prompt. The paper writes lambda, TRL `beta`.
    """
    logps = logps.per_token()
    chosen, rejected = logps.policy_chosen, logps.policy_rejected
    log_odds = chosen - rejected - (_log1mexp(chosen) - _log1mexp(rejected))
    return -chosen - odds_weight * log_sigmoid(log_odds)


@loss(
    "Xu et al. 2024, eq. 3 to 5",
    needs_reference=False,
    needs_lengths=True,
    modifiers=PAIRS,
    beta=Parameter("scale of the log-probabilities", 1e-3, 10.0, log=True),
    nll_weight=Parameter("weight of the chosen's likelihood", 0.0, 10.0),
)
def cpo(logps: PairLogps, beta: float = 0.1, nll_weight: float = 1.0) -> Tensor:
    """-log sigmoid(beta * (logp of the chosen - of the rejected)) + nll_weight * NLL, no reference.

    NLL is the chosen's negative log-likelihood per token, for each pair; TRL takes its mean over
    all tokens of a batch.
    """
    preference = -log_sigmoid(beta * (logps.policy_chosen - logps.policy_rejected))
    return preference - nll_weight * logps.per_token().policy_chosen


@loss(
    "negative log-likelihood of the chosen; a term of weighted sums",
    needs_reference=False,
    scores=per_token,
    needs_lengths=True,
    modifiers=PAIRS,
    why_not=PER_TOKEN,
)
def nll(logps: PairLogps) -> Tensor:
    """-logp of the chosen per token: supervised training on the chosen, each pair alike."""
    return -logps.per_token().policy_chosen
