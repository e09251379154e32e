"""Losses on pairs that compare how far each side moved from the reference.

Each takes a `PairLogps` and gives one value per pair: never reduced, never logged. A new loss is
one decorated function, its parameters included: menus, sliders, flags, sweeps, run folders and the
tests read them from `LOSSES`. They need the names alone, so torch is not loaded here until a loss
is computed.

On the direction of `beta`: at the optimum a higher beta stays closer to the reference. Within a
fixed budget of plain gradient steps the opposite shows first, because the gradient of the DPO loss
is `beta * sigmoid(-beta * margin)` and starts at beta / 2. Both statements are true. Optimisers
that divide by the gradient's size, as Adam does, take that factor out again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from workbench.core.losses.inputs import PairLogps
from workbench.core.losses.loss_registry import loss
from workbench.core.losses.parameter import Parameter

if TYPE_CHECKING:
    from torch import Tensor

BETA = Parameter("strength of the pull to the reference", 1e-3, 10.0, log=True)
SMOOTHING = Parameter("assumed share of flipped labels", 0.0, 0.49)
# Defined for losses of one margin of two log-ratios; of sums of log-ratios; of any pair.
MARGIN = ("divergence", "divergence_alpha", "ld_alpha", "wpo")
SUMS = ("ld_alpha", "wpo")
PAIRS = ("wpo",)


def log_sigmoid(values: Tensor) -> Tensor:
    """log sigmoid(x) of each value, exact far from 0 too."""
    from torch.nn.functional import logsigmoid  # here, so that the names load no torch

    return logsigmoid(values)


def per_token(logps: PairLogps, **_: Any) -> PairLogps:
    """What losses on log-probabilities per token read."""
    return logps.per_token()


def smoothed(scaled: Tensor, label_smoothing: float) -> Tensor:
    """The expectation of -log sigmoid over labels that are flipped with this probability."""
    kept, flipped = -log_sigmoid(scaled), -log_sigmoid(-scaled)
    return (1 - label_smoothing) * kept + label_smoothing * flipped


@loss("Rafailov et al. 2023, eq. 7", modifiers=MARGIN, beta=BETA)
def dpo(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """-log sigmoid(beta * margin): the chosen should gain on the rejected."""
    return -log_sigmoid(beta * logps.margins)


@loss(
    "Mitchell 2023, A note on DPO with noisy preferences, eq. 3",
    modifiers=MARGIN,
    beta=BETA,
    label_smoothing=SMOOTHING,
)
def cdpo(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """DPO that assumes a share of flipped labels, so the wanted margin is finite."""
    return smoothed(beta * logps.margins, label_smoothing)


@loss(
    "Chowdhury et al. 2024, Provably robust DPO, section 3",
    modifiers=MARGIN,
    beta=BETA,
    label_smoothing=SMOOTHING,
)
def robust(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.1) -> Tensor:
    """DPO whose mean over labels flipped at this rate is DPO on the clean labels."""
    scaled, flip = beta * logps.margins, label_smoothing
    return (-(1 - flip) * log_sigmoid(scaled) + flip * log_sigmoid(-scaled)) / (1 - 2 * flip)


def _ipo_scores(logps: PairLogps, normalize: bool = False, **_: Any) -> PairLogps:
    return logps.per_token() if normalize else logps


@loss(
    "Azar et al. 2023, eq. 17",
    scores=_ipo_scores,
    modifiers=SUMS,
    why_not={"divergence": "its target 1 / (2 beta) is derived for the KL divergence"},
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
    scores=per_token,
    needs_lengths=True,
    modifiers=PAIRS,
    beta=BETA,
)
def dpo_norm(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """DPO on log-ratios per token: long completions weigh no more than short ones."""
    return -log_sigmoid(beta * logps.per_token().margins)


@loss("Zhao et al. 2023 (SLiC-HF), eq. 1, with DPO's margin", modifiers=MARGIN, beta=BETA)
def hinge(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """max(0, 1 - beta * margin): no pull once the reward margin reaches 1."""
    return (1 - beta * logps.margins).relu()


@loss(
    "Pal et al. 2024 (Smaug), eq. 3",
    modifiers=SUMS,
    beta=BETA,
    drop_weight=Parameter("weight of a chosen log-ratio below 0", 0.0, 500.0),
)
def dpop(logps: PairLogps, beta: float = 0.1, drop_weight: float = 5.0) -> Tensor:
    """-log sigmoid(beta * (margin - drop_weight * max(0, -chosen log-ratio))).

    A chosen that has fallen below the reference is pulled back. The paper takes 5 to 500.
    """
    fallen = (-logps.chosen_logratios).relu()
    return -log_sigmoid(beta * (logps.margins - drop_weight * fallen))


@loss(
    "Park et al. 2024, Disentangling length from quality in DPO (R-DPO)",
    needs_lengths=True,
    modifiers=SUMS,
    beta=BETA,
    length_weight=Parameter("reward taken off for each token", 0.0, 1.0),
)
def rdpo(logps: PairLogps, beta: float = 0.1, length_weight: float = 0.02) -> Tensor:
    """-log sigmoid(beta * margin + length_weight * (chosen length - rejected length)).

    The optimum for a reward from which `length_weight` is taken off per token. The sign is that of
    the paper: a pair whose chosen is longer counts as partly decided by its length and weighs less.
    With a minus in its place a positive weight would make answers longer.
    """
    longer = logps.given("chosen_lengths") - logps.given("rejected_lengths")
    return -log_sigmoid(beta * logps.margins + length_weight * longer)


@loss("D'Oosterlinck et al. 2024, eq. 7", modifiers=SUMS, beta=BETA)
def apo_zero(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """1 - sigmoid(chosen reward) + sigmoid(rejected reward): chosen up, rejected down.

    For completions that are better than what the model writes.
    """
    chosen, rejected = beta * logps.chosen_logratios, beta * logps.rejected_logratios
    return 1 - chosen.sigmoid() + rejected.sigmoid()


@loss("D'Oosterlinck et al. 2024, eq. 8", modifiers=SUMS, beta=BETA)
def apo_down(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """sigmoid(chosen reward) + 1 - sigmoid(reward margin): both down, the rejected further.

    For completions that are worse than what the model writes.
    """
    return (beta * logps.chosen_logratios).sigmoid() + 1 - (beta * logps.margins).sigmoid()


@loss("Wu et al. 2024 (SPPO), eq. 4.7 with certain preferences", modifiers=SUMS, beta=BETA)
def sppo_hard(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """Each log-ratio has a target: +1 / (2 beta) of the chosen, -1 / (2 beta) of the rejected."""
    target = 1 / (2 * beta)
    chosen, rejected = logps.chosen_logratios - target, logps.rejected_logratios + target
    return chosen.square() + rejected.square()


@loss("Jung et al. 2024 (BCO), without the reward shift", modifiers=SUMS, beta=BETA)
def bco_pair(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """-log sigmoid(chosen reward) - log sigmoid(-rejected reward): a classifier of each side."""
    chosen, rejected = beta * logps.chosen_logratios, beta * logps.rejected_logratios
    return -log_sigmoid(chosen) - log_sigmoid(-rejected)


@loss("Chen et al. 2024, Noise contrastive alignment (NCA), for pairs", modifiers=SUMS, beta=BETA)
def nca_pair(logps: PairLogps, beta: float = 0.1) -> Tensor:
    """-log sigmoid(r_w) - (log sigmoid(-r_w) + log sigmoid(-r_l)) / 2: keeps the chosen likely."""
    chosen, rejected = beta * logps.chosen_logratios, beta * logps.rejected_logratios
    return -log_sigmoid(chosen) - (log_sigmoid(-chosen) + log_sigmoid(-rejected)) / 2


@loss(
    "Ji et al. 2024 (EXO), eq. 16",
    modifiers=MARGIN,
    beta=BETA,
    label_smoothing=Parameter("assumed share of flipped labels", 1e-4, 0.49),
)
def exo_pair(logps: PairLogps, beta: float = 0.1, label_smoothing: float = 0.001) -> Tensor:
    """KL(policy's preference || label): DPO has the two the other way round."""
    scaled = beta * logps.margins
    right, wrong = log_sigmoid(scaled), log_sigmoid(-scaled)
    return right.exp() * (right - math.log1p(-label_smoothing)) + wrong.exp() * (
        wrong - math.log(label_smoothing)
    )


@loss(
    "Lu et al. 2024 (DiscoPOP), eq. 5",
    modifiers=MARGIN,
    beta=BETA,
    tau=Parameter("reward margin over which logistic gives way to exponential", 1e-2, 10, log=True),
)
def discopop(logps: PairLogps, beta: float = 0.1, tau: float = 0.05) -> Tensor:
    """(1 - m) * logistic + m * exponential loss, m = sigmoid(reward margin / tau).

    Found by search, and not convex: with the paper's tau of 0.05 a margin of 0 shrinks at first.
    """
    scaled = beta * logps.margins
    # As one exponential: far below 0 the second factor alone has no number in float32.
    exponential = (log_sigmoid(scaled / tau) - scaled).exp()
    return (-scaled / tau).sigmoid() * -log_sigmoid(scaled) + exponential
