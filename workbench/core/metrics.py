"""What is measured on pairs, each defined once, under the names that the field's trackers use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workbench.core.losses import LabelledLogps, PairLogps


def pair_metrics(
    logps: PairLogps, rewards: tuple[Tensor, Tensor], losses: Tensor | None = None
) -> dict[str, Tensor]:
    """Values per pair, each (pair,), natural-log units.

    Args:
        logps: of the pairs.
        rewards: of chosen and rejected, from `Loss.rewards`.
        losses: of the pairs, where they are at hand.

    Returns:
        The keys of `reward_metrics`; `logps/*` sequence sums; where there is a reference,
        `logratios/*` policy minus reference and `grad_weight` sigmoid of minus the reward margin
        (Rafailov et al. 2023, section 4); `lengths/*` scored tokens.
    """
    values = {"logps/chosen": logps.policy_chosen, "logps/rejected": logps.policy_rejected}
    if logps.reference_chosen is not None:
        values |= {
            "logratios/chosen": logps.chosen_logratios,
            "logratios/rejected": logps.rejected_logratios,
        }
    values |= reward_metrics(*rewards, losses)
    if logps.reference_chosen is not None:
        values["grad_weight"] = torch.sigmoid(rewards[1] - rewards[0])
    if logps.chosen_lengths is not None and logps.rejected_lengths is not None:
        values["lengths/chosen"] = logps.chosen_lengths.float()
        values["lengths/rejected"] = logps.rejected_lengths.float()
    return {name: value.detach() for name, value in values.items()}


def reward_metrics(
    chosen: Tensor, rejected: Tensor, losses: Tensor | None = None
) -> dict[str, Tensor]:
    """Values per pair, each (pair,), of the rewards (pair,) of both sides.

    `rewards/chosen`, `rewards/rejected` and their difference `rewards/margins`;
    `rewards/accuracies` 1 where that is above 0; `rewards/ties` 1 where it is exactly 0, as all are
    before the first step; `loss` where it is given.
    """
    margins = chosen - rejected
    values = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": margins,
        "rewards/accuracies": (margins > 0).float(),
        "rewards/ties": (margins == 0).float(),
    }
    values |= {} if losses is None else {"loss": losses}
    return {name: value.detach() for name, value in values.items()}


def label_metrics(logps: LabelledLogps, beta: float, losses: Tensor) -> dict[str, Tensor]:
    """Values per labelled completion, each (item,); NaN where a label does not concern it.

    `rewards/chosen` of the desirable and `rewards/rejected` of the undesirable completions, beta
    times the log-ratio; `logps/*` and `logratios/*` likewise; `rewards/accuracies` 1 where the
    log-ratio is above `z` for a desirable completion and below it for an undesirable one; `z`.
    """
    ratios, good = logps.logratios.detach(), logps.labels
    values = {"logps": logps.policy.detach(), "logratios": ratios, "rewards": beta * ratios}
    found = {
        f"{name}/{side}": value.masked_fill(~mask, math.nan)
        for name, value in values.items()
        for side, mask in (("chosen", good), ("rejected", ~good))
    }
    above = ratios - logps.z
    return found | {
        "rewards/accuracies": torch.where(good, above > 0, above < 0).float(),
        "rewards/ties": (above == 0).float(),
        "z": logps.z.expand_as(ratios),
        "loss": losses.detach(),
    }


def mean_metrics(values: dict[str, Tensor]) -> dict[str, float]:
    """The mean over items of every entry, NaN left out; an entry that is NaN alone is dropped.

    Where only the means of both sides are known, `rewards/margins` is their difference.
    """
    stacked = torch.stack([value.float() for value in values.values()])
    known = ~stacked.isnan()
    means = torch.where(known.all(1), stacked.mean(1), stacked.nansum(1) / known.sum(1))
    found = dict(zip(values, means.tolist(), strict=True))
    sides = found.get("rewards/chosen", math.nan), found.get("rewards/rejected", math.nan)
    found.setdefault("rewards/margins", sides[0] - sides[1])
    return {name: value for name, value in found.items() if not math.isnan(value)}


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


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """The mean of values (sample,) and its standard error, which is NaN for a single one."""
    wide = values.double()
    error = wide.std().item() / math.sqrt(len(wide)) if len(wide) > 1 else math.nan
    return wide.mean().item(), error


def sampled_kl(policy_logps: Tensor, reference_logps: Tensor) -> tuple[float, float]:
    """KL(policy || reference) and its standard error, in nats per completion.

    Both are (sample,) summed log-probabilities of completions drawn from the *policy* at
    temperature 1; the mean log-ratio is an unbiased estimate, and single ones may be negative.
    Where the models themselves are at hand, `Kernels.scored_kl` has the same mean, a smaller error
    and no negative values.
    """
    return mean_and_error(policy_logps - reference_logps)
