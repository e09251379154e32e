"""Every loss, one short function each, in one registry.

Each takes log-probabilities (or rewards) and gives one value per item: never reduced, never logged.
A new loss is one decorated function here, its parameters included: menus, sliders, flags, sweeps,
run folders and the tests read them from `LOSSES`. They need the names alone, so torch is not loaded
here until a loss is computed.

On the direction of `beta`: at the optimum a higher beta stays closer to the reference. Within a
fixed budget of plain gradient steps the opposite shows first, because the gradient of the DPO loss
is `beta * sigmoid(-beta * margin)` and starts at beta / 2. Both statements are true. Optimisers
that divide by the gradient's size, as Adam does, take that factor out again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.core.loss_inputs import LabelledLogps, PairLogps
from workbench.core.loss_registry import LOSSES as LOSSES
from workbench.core.loss_registry import Parameter, loss

# For those who read the registry: imported from here, it is never empty.
from workbench.core.loss_registry import check_parameter as check_parameter
from workbench.core.loss_registry import find_loss as find_loss

if TYPE_CHECKING:
    from torch import Tensor

BETA = Parameter("strength of the pull to the reference", 1e-3, 10.0, log=True)
SMOOTHING = Parameter("assumed share of flipped labels", 0.0, 0.49)
WEIGHT = (
    "weight of {} completions; with unequal numbers of both, weight times number should be alike"
)


def log_sigmoid(values: Tensor) -> Tensor:
    """log sigmoid(x) of each value, exact far from 0 too."""
    from torch.nn.functional import logsigmoid  # here, so that the names load no torch

    return logsigmoid(values)


def _per_token(logps: PairLogps, **_: Any) -> PairLogps:
    return logps.per_token()


@loss("Rafailov et al. 2023, eq. 7", beta=BETA)
def dpo(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """-log sigmoid(beta * margin): the chosen should gain on the rejected."""
    return -log_sigmoid(beta * logps.margins)


@loss(
    "Mitchell 2023, A note on DPO with noisy preferences, eq. 3",
    beta=BETA,
    label_smoothing=SMOOTHING,
)
def cdpo(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """DPO that assumes a share of flipped labels, so the wanted margin is finite."""
    scaled = beta * logps.margins
    kept, flipped = -log_sigmoid(scaled), -log_sigmoid(-scaled)
    return (1 - label_smoothing) * kept + label_smoothing * flipped


def _ipo_scores(logps: PairLogps, normalize: bool = False, **_: Any) -> PairLogps:
    return logps.per_token() if normalize else logps


@loss(
    "Azar et al. 2023, eq. 17",
    scores=_ipo_scores,
    beta=BETA,
    normalize=Parameter("compare log-probabilities per token instead of sums"),
)
def ipo(logps: PairLogps, beta: float = 0.1, normalize: bool = False) -> Tensor:
    """(margin - 1 / (2 beta))^2: the margin has a target instead of a pull to infinity.

    On sums, as the equation is written; `normalize=True` takes log-probabilities per token, as TRL
    does, whose authors were told that the paper's results were made so.
    """
    margins = _ipo_scores(logps, normalize).margins
    return (margins - 1 / (2 * beta)).square()


@loss(
    "x-transformers' convention; compare Meng et al. 2024 (SimPO), eq. 4, for the length norm",
    scores=_per_token,
    beta=BETA,
)
def dpo_norm(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """DPO on log-ratios per token: long completions weigh no more than short ones."""
    return -log_sigmoid(beta * logps.per_token().margins)


@loss("Zhao et al. 2023 (SLiC-HF), eq. 1, with DPO's margin", beta=BETA)
def hinge(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """max(0, 1 - beta * margin): no pull once the reward margin reaches 1."""
    return (1 - beta * logps.margins).relu()


@loss(
    "Meng et al. 2024, eq. 6",
    needs_reference=False,
    scores=_per_token,
    beta=BETA,
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
    "Ethayarajh et al. 2024, eq. 7 and 8",
    method="kto",
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
