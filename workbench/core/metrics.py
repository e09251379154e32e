"""What is measured on pairs, each defined once, under the names that the field's trackers use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workbench.core.losses import PairLogps


def pair_metrics(logps: PairLogps, beta: float, losses: Tensor | None = None) -> dict[str, Tensor]:
    """Values a pair, each (pair,), natural-log units.

    Keys: `loss` when given; `logps/*` sequence sums; `logratios/*` policy minus reference;
    `rewards/*` beta times those; `rewards/margins`; `rewards/accuracies` 1 where the margin is
    positive; `rewards/ties` 1 where it is exactly 0, as all are before the first step;
    `grad_weight` sigmoid(-beta * margin) (Rafailov et al. 2023, section 4); `lengths/*` scored
    tokens. Without a reference the log-ratios are the policy's log-probabilities.
    """
    chosen, rejected = logps.policy_chosen.detach(), logps.policy_rejected.detach()
    values = {"logps/chosen": chosen, "logps/rejected": rejected}
    if logps.reference_chosen is not None and logps.reference_rejected is not None:
        chosen, rejected = chosen - logps.reference_chosen, rejected - logps.reference_rejected
    margins = chosen - rejected
    values |= {
        "logratios/chosen": chosen,
        "logratios/rejected": rejected,
        "rewards/chosen": beta * chosen,
        "rewards/rejected": beta * rejected,
        "rewards/margins": beta * margins,
        "rewards/accuracies": (margins > 0).float(),
        "rewards/ties": (margins == 0).float(),
        "grad_weight": torch.sigmoid(-beta * margins),
    }
    if logps.chosen_lengths is not None and logps.rejected_lengths is not None:
        values["lengths/chosen"] = logps.chosen_lengths.float()
        values["lengths/rejected"] = logps.rejected_lengths.float()
    if losses is not None:
        values["loss"] = losses.detach()
    return values


def reward_metrics(chosen: Tensor, rejected: Tensor, losses: Tensor) -> dict[str, Tensor]:
    """Values a pair, each (pair,), of a model that gives each text a reward, on no fixed scale.

    The keys are those of `pair_metrics`, whose rewards are implicit ones.
    """
    margins = (chosen - rejected).detach()
    return {
        "loss": losses.detach(),
        "rewards/chosen": chosen.detach(),
        "rewards/rejected": rejected.detach(),
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).float(),
        "rewards/ties": (margins == 0).float(),
    }


def mean_metrics(values: dict[str, Tensor]) -> dict[str, float]:
    """The mean over pairs of every entry of `pair_metrics`."""
    stacked = torch.stack([value.float() for value in values.values()])
    return dict(zip(values, stacked.mean(dim=1).tolist(), strict=True))


def wilson_interval(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share out of `count` (Wilson 1927); 95% with the default z.

    >>> [round(bound, 3) for bound in wilson_interval(0.5, 100)]
    [0.404, 0.596]
    """
    if count == 0:
        return 0.0, 1.0
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    spread = math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    half = z * spread / (1 + z * z / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def win_interval(wins: float, losses: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Interval of a win rate in which ties count half; 95% with the default z.

    The rate is one half plus half of what wins are ahead of losses, as a share of all `count`, and
    that is the difference of two paired shares: Wald's interval after one win and one loss were
    added (Bonett & Price 2012). Ties make it narrower, as they should, which Wilson's does not
    know; and it has a width even where all wins are one side's, or all are ties, where a bootstrap
    and a t-interval have none.

    >>> [round(bound, 3) for bound in win_interval(wins=50, losses=50, count=100)]
    [0.403, 0.597]
    >>> [round(bound, 3) for bound in win_interval(wins=5, losses=5, count=100)]
    [0.467, 0.533]
    """
    if count == 0:
        return 0.0, 1.0
    won, lost = (wins + 1) / (count + 2), (losses + 1) / (count + 2)
    ahead = won - lost
    half = z * math.sqrt((won + lost - ahead * ahead) / (count + 2))
    return max(0.0, (1 + ahead - half) / 2), min(1.0, (1 + ahead + half) / 2)


def sampled_kl(policy_logps: Tensor, reference_logps: Tensor) -> tuple[float, float]:
    """KL(policy || reference) and its standard error, in nats a completion.

    Both are (sample,) summed log-probabilities of completions drawn from the *policy* at
    temperature 1; the mean log-ratio is an unbiased estimate, and single ones may be negative.
    """
    ratios = (policy_logps - reference_logps).double()
    error = ratios.std().item() / math.sqrt(len(ratios)) if len(ratios) > 1 else math.nan
    return ratios.mean().item(), error
