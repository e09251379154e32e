"""From logits to log-probabilities of tokens and of completions.

The logits at a position predict the *next* token. `next_token` is the one place that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.core.batch import SequenceBatch
from workbench.core.transformer import Policy
from workbench.errors import WorkbenchError

REDUCTIONS = ("sum", "mean")
CHUNK_BYTES = 1 << 27  # of logits that are made at once
KEPT_BYTES = 1 << 28  # of logits in half precision that are kept for the backward pass
ROWS = 32  # rows of logits that are in float32 at once, on a processor


def next_token(outputs: Tensor, *aligned: Tensor) -> tuple[Tensor, ...]:
    """Line up outputs (..., pos, dim) with what they predict: (..., pos) -> (..., pos-1)."""
    return outputs[..., :-1, :], *(values[..., 1:] for values in aligned)


class _TokenLogps(torch.autograd.Function):
    """log softmax(logits)[target]; keeps the logits in their own type and one number a row.

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


def token_logps(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token but the first, given those before it.

    Args:
        logits: (..., pos, vocab).
        tokens: (..., pos).

    Returns:
        (..., pos-1), entry `t` belonging to token `t + 1`.
    """
    if logits.shape[:-1] != tokens.shape:
        raise WorkbenchError(
            f"logits {tuple(logits.shape)} and tokens {tuple(tokens.shape)} do not fit; "
            "accepted: (..., pos, vocab) and (..., pos)"
        )
    outputs, targets = next_token(logits, tokens)
    wide = outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    return wide.gather(-1, targets[..., None])[..., 0] - wide.logsumexp(-1)


def sequence_logps(token_logps: Tensor, completion_mask: Tensor, reduction: str = "sum") -> Tensor:
    """Log-probability of each completion: (..., pos-1), (..., pos) -> (...).

    Args:
        token_logps: (..., pos-1) from `token_logps`.
        completion_mask: (..., pos), True on scored tokens; the first position can't be scored. A
            mask of (..., pos-1) is taken as already in line with `token_logps`.
        reduction: "sum" (Rafailov et al. 2023), or "mean" over the scored tokens.
    """
    if reduction not in REDUCTIONS:
        raise WorkbenchError(f"reduction={reduction!r} is unknown; accepted: sum, mean")
    if completion_mask.shape[-1] == token_logps.shape[-1] + 1:
        completion_mask = completion_mask[..., 1:]
    if completion_mask.shape != token_logps.shape:
        raise WorkbenchError(
            f"completion_mask {tuple(completion_mask.shape)} does not fit token_logps "
            f"{tuple(token_logps.shape)}; accepted: (..., pos) with (..., pos-1)"
        )
    # Selected, not multiplied: an unscored -inf must not turn into NaN.
    total = token_logps.masked_fill(~completion_mask.bool(), 0.0).sum(-1)
    return total if reduction == "sum" else total / completion_mask.sum(-1).clamp(min=1)


def completion_logps(policy: Policy, batch: SequenceBatch) -> Tensor:
    """Summed log-probability of every completion of a batch, (sequence,).

    Equal to `sequence_logps(token_logps(...))` on stacked rows, which is what a policy with `plain`
    set computes, layout by layout. Otherwise only scored positions reach the head, some of them at
    a time; their logits are kept for the backward pass while they are few and in half precision,
    and made again there when not.
    """
    hidden = policy.hidden(batch.tokens, batch.positions, batch.packed or batch.attention_mask())
    if getattr(policy, "plain", False):
        values = token_logps(policy.head(hidden), batch.tokens)
        scored, owner = batch.completion_mask[..., 1:], batch.sequence[..., 1:]
        return _by_sequence(values[scored], owner[scored], batch.sequences)
    before, targets, scored, owner = next_token(
        hidden, batch.tokens, batch.completion_mask, batch.sequence
    )
    before, targets, owner = before[scored], targets[scored], owner[scored]  # (scored, ...)

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
    return _by_sequence(torch.cat(scores), owner, batch.sequences)


def _head_type(hidden: Tensor) -> torch.dtype:
    """What the head's logits will be: autocast's type where that is on."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _by_sequence(values: Tensor, owner: Tensor, sequences: int) -> Tensor:
    """Sums of (scored,) values by the sequence that each belongs to."""
    return values.new_zeros(sequences).index_add(0, owner, values)
