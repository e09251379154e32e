"""Losses on pairs that compare distributions: sorted values against sorted values.

A value depends on the other pairs of the optimiser step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.loss_registry import loss
from workbench.core.losses.pairwise import BETA, SMOOTHING, smoothed

if TYPE_CHECKING:
    from torch import Tensor

SORTED = dict.fromkeys(
    ("divergence", "ld_alpha", "wpo"), "it compares sorted values, which belong to no single pair"
)


@loss(
    "Melnyk et al. 2024 (AOT), paired",
    needs_step=True,
    why_not=SORTED,
    beta=BETA,
    label_smoothing=SMOOTHING,
)
def aot(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """`cdpo` on sorted differences: the policy's n-th against the reference's n-th.

    The distribution of chosen minus rejected log-probabilities should exceed the reference's. The
    value at a pair is that of its rank among the policy's differences.
    """
    policy = logps.policy_chosen - logps.policy_rejected
    reference = logps.given("reference_chosen") - logps.given("reference_rejected")
    ranks = policy.detach().argsort().argsort()
    return smoothed(beta * (policy - reference.sort().values[ranks]), label_smoothing)


@loss(
    "Melnyk et al. 2024 (AOT), unpaired",
    needs_step=True,
    why_not=SORTED,
    beta=BETA,
    label_smoothing=SMOOTHING,
)
def aot_unpaired(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """`cdpo` on sorted log-ratios: the n-th of the chosen against the n-th of the rejected.

    The value at a pair is that of its chosen's rank.
    """
    chosen, rejected = logps.chosen_logratios, logps.rejected_logratios
    ranks = chosen.detach().argsort().argsort()
    return smoothed(beta * (chosen - rejected.sort().values[ranks]), label_smoothing)
