"""From logits to log-probabilities of tokens and of completions.

The logits at a position predict the *next* token. `next_token` is the one place that says so.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.core.batch import SequenceBatch
from workbench.core.transformer import Policy
from workbench.errors import WorkbenchError

REDUCTIONS = ("sum", "mean")
HEAD_CHUNK = 128  # scored positions that meet the vocabulary at once


def next_token(outputs: Tensor, *aligned: Tensor) -> tuple[Tensor, ...]:
    """Line up outputs (..., pos, dim) with what they predict: (..., pos) -> (..., pos-1)."""
    return outputs[..., :-1, :], *(values[..., 1:] for values in aligned)


def _gather(logits: Tensor, targets: Tensor) -> Tensor:
    """log softmax(logits)[target], in float32 at least: (..., vocab), (...) -> (...)."""
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide.gather(-1, targets[..., None])[..., 0] - wide.logsumexp(-1)


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
    return _gather(*next_token(logits, tokens))


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

    Equal to `sequence_logps(token_logps(...))` on stacked rows; only scored positions reach the
    head, and at most `HEAD_CHUNK` of their logits exist at a time, in the backward pass too.
    """
    hidden = policy.hidden(batch.tokens, batch.positions, batch.attention_mask())
    before, targets, scored, owner = next_token(
        hidden, batch.tokens, batch.completion_mask, batch.sequence
    )
    before, targets, owner = before[scored], targets[scored], owner[scored]  # (scored, ...)

    def score(states: Tensor, wanted: Tensor) -> Tensor:
        return _gather(policy.head(states), wanted)

    chunks = zip(before.split(HEAD_CHUNK), targets.split(HEAD_CHUNK), strict=True)
    if len(before) > HEAD_CHUNK and torch.is_grad_enabled():
        scores = [checkpoint(score, *chunk, use_reentrant=False) for chunk in chunks]
    else:
        scores = [score(*chunk) for chunk in chunks]
    values = torch.cat(scores)
    return values.new_zeros(batch.sequences).index_add(0, owner, values)
