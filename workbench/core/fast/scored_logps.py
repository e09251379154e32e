"""`core.logps.scored_logps`, with the head at the scored positions alone.

Logits are made for some positions at a time. They are kept for the backward pass while they are few
and in half precision, and made again there when not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.core.batch import SequenceBatch
from workbench.core.fast.scored_positions import (
    logits_bytes,
    position_chunks,
    scored_positions,
    wide_rows,
)
from workbench.core.logps import ScoredLogps

KEPT_BYTES = 1 << 28  # of logits in half precision that are kept for the backward pass


def scored_logps(
    policy: Any,
    batch: SequenceBatch,
    token_logps: Callable[[Tensor, Tensor], Tensor] | None = None,
    kept_bytes: int = KEPT_BYTES,
) -> ScoredLogps:
    """Log-probabilities of the scored tokens of a batch.

    Args:
        token_logps: (position, vocab) logits and (position,) targets -> (position,); left out: a
            few rows at a time, in the memory of the logits.
        kept_bytes: of logits in half precision, up to which they are kept for the backward pass.
    """
    of_logits = token_logps or _TokenLogps.apply
    states, targets, owners = scored_positions(policy, batch)

    def score(states: Tensor, wanted: Tensor) -> Tensor:
        return of_logits(policy.head(states), wanted)

    row = logits_bytes(policy, states)
    chunks = list(position_chunks(row, states, targets))
    again = row > 2 * policy.vocab_size or len(states) * row > kept_bytes
    if len(chunks) > 1 and again and torch.is_grad_enabled():
        scores = [checkpoint(score, *chunk, use_reentrant=False) for chunk in chunks]
    else:
        scores = [score(*chunk) for chunk in chunks]
    return ScoredLogps(torch.cat(scores), owners)


class _TokenLogps(torch.autograd.Function):
    """log softmax(logits)[target]; keeps the logits in their own type and one number per row.

    A float32 copy of the logits exists for a few rows at a time only, which fit a processor's
    cache; the gradient takes the place of the logits.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        kind = torch.promote_types(logits.dtype, torch.float32)
        picked = torch.empty(targets.shape, dtype=kind, device=logits.device)
        total = torch.empty_like(picked)[:, None]
        for rows, wide in wide_rows(logits, kind):
            top = wide.amax(-1, keepdim=True)
            picked[rows] = wide.gather(-1, targets[rows, None])[:, 0]
            total[rows] = wide.sub_(top).exp_().sum(-1, keepdim=True).log_().add_(top)
        ctx.save_for_backward(logits, targets, total)
        return picked - total[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, total = ctx.saved_tensors
        gradient = gradients[0][:, None].to(total.dtype)
        for rows, wide in wide_rows(logits, total.dtype):
            here = gradient[rows]
            wide.sub_(total[rows]).exp_().mul_(-here)
            logits[rows] = wide.scatter_add_(-1, targets[rows, None], here)
        return logits, None
