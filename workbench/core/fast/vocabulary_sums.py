"""`core.logps.scored_kl` and `scored_log_collision`, with the head at the scored positions alone.

As in `scored_logps`, few rows of logits are in float32 at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.fast.scored_positions import reduce_logits, wide_rows
from workbench.core.logps import ScoredKL, ScoredLogps, check_vocabularies


def scored_kl(policy: Any, reference: Any, batch: SequenceBatch) -> ScoredKL:
    """KL(policy || reference) at the scored positions, and both models' log-probabilities there."""
    check_vocabularies(policy, reference)
    values, owners = reduce_logits((policy, reference), batch, _kl_and_logps)
    kl, ours, theirs = values.unbind(-1)
    return ScoredKL(kl, ours, theirs, owners)


def scored_log_collision(policy: Any, batch: SequenceBatch) -> ScoredLogps:
    """log of the sum of the squared probabilities at the scored positions."""
    return ScoredLogps(*reduce_logits((policy,), batch, _log_collision))


def _kl_and_logps(targets: Tensor, policy: Tensor, reference: Tensor) -> Tensor:
    """(position, 3): KL, and the log-probability of the target under both models.

    With logits a and b shifted to a maximum of 0, KL = sum p (a - b) - log sum e^a + log sum e^b.
    """
    kind = torch.promote_types(torch.promote_types(policy.dtype, reference.dtype), torch.float32)
    found = torch.empty((len(targets), 3), dtype=kind, device=targets.device)
    both = zip(wide_rows(policy, kind), wide_rows(reference, kind), strict=True)
    for (rows, ours), (_, theirs) in both:
        wanted = targets[rows, None]
        for wide in (ours, theirs):
            wide.sub_(wide.amax(-1, keepdim=True))
        picked = [wide.gather(-1, wanted)[:, 0] for wide in (ours, theirs)]
        difference = ours - theirs
        sums = [wide.exp_().sum(-1) for wide in (ours, theirs)]
        mean = difference.mul_(ours).sum(-1) / sums[0]
        kl = (mean - sums[0].log() + sums[1].log()).clamp(min=0)
        logps = [value - total.log() for value, total in zip(picked, sums, strict=True)]
        found[rows] = torch.stack([kl, *logps], dim=-1)
    return found


def _log_collision(targets: Tensor, logits: Tensor) -> Tensor:
    """(position,)"""
    kind = torch.promote_types(logits.dtype, torch.float32)
    found = torch.empty(len(targets), dtype=kind, device=targets.device)
    for rows, wide in wide_rows(logits, kind):
        wide.sub_(wide.amax(-1, keepdim=True)).exp_()
        total = wide.sum(-1)
        found[rows] = wide.square_().sum(-1).log() - 2 * total.log()
    return found
