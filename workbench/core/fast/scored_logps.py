"""`core.logps.scored_logps`, with the head at the scored positions alone.

Logits are made for some positions at a time. They are kept for the backward pass while they are few
and in half precision, and made again there when not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.core.batch import SequenceBatch
from workbench.core.logps import ScoredLogps, next_token

CHUNK_BYTES = 1 << 27  # of logits that are made at once
KEPT_BYTES = 1 << 28  # of logits in half precision that are kept for the backward pass
ROWS = 32  # rows of logits that are in float32 at once, on a processor


def scored_logps(policy: Any, batch: SequenceBatch) -> ScoredLogps:
    """Log-probabilities of the scored tokens of a batch."""
    hidden = policy.hidden(batch.tokens, batch.positions, batch.packed or batch.attention_mask())
    before, targets, scored, owners = next_token(
        hidden, batch.tokens, batch.completion_mask, batch.sequence
    )
    before, targets, owners = before[scored], targets[scored], owners[scored]  # (scored, ...)

    def score(states: Tensor, wanted: Tensor) -> Tensor:
        return _TokenLogps.apply(policy.head(states), wanted)

    row = policy.vocab_size * torch.empty((), dtype=_head_type(hidden)).element_size()
    count = max(1, -(-len(before) * row // CHUNK_BYTES))
    step = max(1, -(-len(before) // count))
    chunks = list(zip(before.split(step), targets.split(step), strict=True))
    again = row > 2 * policy.vocab_size or len(before) * row > KEPT_BYTES
    if len(chunks) > 1 and again and torch.is_grad_enabled():
        scores = [checkpoint(score, *chunk, use_reentrant=False) for chunk in chunks]
    else:
        scores = [score(*chunk) for chunk in chunks]
    return ScoredLogps(torch.cat(scores), owners)


def _head_type(hidden: Tensor) -> torch.dtype:
    """What the head's logits will be: autocast's type where that is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


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
        for rows, wide in _wide(logits, kind):
            top = wide.amax(-1, keepdim=True)
            picked[rows] = wide.gather(-1, targets[rows, None])[:, 0]
            total[rows] = wide.sub_(top).exp_().sum(-1, keepdim=True).log_().add_(top)
        ctx.save_for_backward(logits, targets, total)
        return picked - total[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, total = ctx.saved_tensors
        gradient = gradients[0][:, None].to(total.dtype)
        for rows, wide in _wide(logits, total.dtype):
            here = gradient[rows]
            wide.sub_(total[rows]).exp_().mul_(-here)
            logits[rows] = wide.scatter_add_(-1, targets[rows, None], here)
        return logits, None


def _wide(logits: Tensor, kind: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Copies of (row, vocab) in `kind`, some rows at a time, all in the same place."""
    step = ROWS if logits.device.type == "cpu" else len(logits)
    scratch = logits.new_empty((min(step, len(logits)), logits.shape[-1]), dtype=kind)
    for start in range(0, len(logits), step):
        rows = slice(start, min(start + step, len(logits)))
        yield rows, scratch[: rows.stop - start].copy_(logits[rows])
