"""Losses of methods whose rows are not pairs, or whose values are not log-probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.core.losses.inputs import LabelledLogps
from workbench.core.losses.loss_registry import loss
from workbench.core.losses.pairwise import BETA, log_sigmoid
from workbench.core.losses.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT = (
    "weight of {} completions; where both weights are left open, that of the rarer label is raised "
    "until weight times number is alike"
)


@loss(
    "Ethayarajh et al. 2024, eq. 7 and 8",
    method="kto",
    needs_step=True,
    beta=BETA,
    desirable_weight=Parameter(WEIGHT.format("desirable"), 1e-2, 100.0, log=True),
    undesirable_weight=Parameter(WEIGHT.format("undesirable"), 1e-2, 100.0, log=True),
)
def kto(
    logps: LabelledLogps,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """weight * (1 - sigmoid(+-beta * (log-ratio - z))): better or worse than the typical text.

    The sign is + for desirable completions. The paper writes `lambda - v`; the two differ by a
    constant.
    """
    import torch  # here, so that the names load no torch

    signs = torch.where(logps.labels, 1.0, -1.0)
    weights = torch.where(logps.labels, desirable_weight, undesirable_weight)
    return weights * (-signs * beta * (logps.logratios - logps.z)).sigmoid()


@loss("negative log-likelihood; the mean over all scored tokens of a step", "sft", False)
def sft(logps: Tensor) -> Tensor:
    """-log p of each completion, summed over its tokens; a step divides by their number."""
    return -logps


@loss("Ouyang et al. 2022, eq. 1", "reward_model", False)
def bradley_terry(chosen: Tensor, rejected: Tensor) -> Tensor:
    """-log sigmoid(chosen reward - rejected reward).

    The paper ranks several answers per prompt and takes the mean over all pairs of them; here each
    pair stands for itself.
    """
    return -log_sigmoid(chosen - rejected)
