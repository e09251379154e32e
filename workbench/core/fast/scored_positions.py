"""The scored positions of a batch, with the logits of some of them at a time.

The logits of all positions at once would take gigabytes where the vocabulary is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.logps import next_token

CHUNK_BYTES = 1 << 27  # of logits that are made at once
ROWS = 32  # rows of logits that are in float32 at once, on a processor


class ScoredPositions(NamedTuple):
    """What a model's head reads at each scored position, and what is predicted there.

    `states` are hidden states (scored, dim); `targets` and `owners`, token ids and numbers of
    completions, are (scored,).
    """

    states: Tensor
    targets: Tensor
    owners: Tensor


def scored_positions(policy: Any, batch: SequenceBatch) -> ScoredPositions:
    """One forward pass of a batch, without the head."""
    hidden = policy.hidden(batch.tokens, batch.positions, batch.packed or batch.attention_mask())
    states, targets, scored, owners = next_token(
        hidden, batch.tokens, batch.completion_mask, batch.sequence
    )
    return ScoredPositions(states[scored], targets[scored], owners[scored])


def logits_bytes(policy: Any, states: Tensor) -> int:
    """Bytes of the logits of one position; autocast sets their type where it is on."""
    kind = states.device.type
    autocast = torch.is_autocast_enabled(kind)
    dtype = torch.get_autocast_dtype(kind) if autocast else states.dtype
    return policy.vocab_size * dtype.itemsize


def position_chunks(row_bytes: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Parts of tensors (scored, ...) whose rows of `row_bytes` each stay below CHUNK_BYTES."""
    scored = len(tensors[0])
    count = max(1, -(-scored * row_bytes // CHUNK_BYTES))
    step = max(1, -(-scored // count))
    return zip(*(tensor.split(step) for tensor in tensors), strict=True)


@torch.no_grad()
def reduce_logits(
    policies: Sequence[Any], batch: SequenceBatch, reduce: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """What a function makes of the logits of one or more models at the scored positions.

    Args:
        policies: with one vocabulary. Each has its own forward pass; hidden states of the scored
            positions are kept, and the heads take turns.
        reduce: (targets (position,), logits (position, vocab) of each model) -> (position, ...);
            it may overwrite the logits.

    Returns:
        The results (scored, ...), and the owners of the positions, (scored,).
    """
    found = [scored_positions(policy, batch) for policy in policies]
    first = found[0]
    row = sum(logits_bytes(policy, first.states) for policy in policies)
    parts = [
        reduce(targets, *(policy.head(here) for policy, here in zip(policies, states, strict=True)))
        for targets, *states in position_chunks(row, first.targets, *(one.states for one in found))
    ]
    return torch.cat(parts), first.owners


def wide_rows(logits: Tensor, kind: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Copies of (row, vocab) in `kind`, some rows at a time, all in the same memory."""
    step = ROWS if logits.device.type == "cpu" else len(logits)
    scratch = logits.new_empty((min(step, len(logits)), logits.shape[-1]), dtype=kind)
    for start in range(0, len(logits), step):
        rows = slice(start, min(start + step, len(logits)))
        yield rows, scratch[: rows.stop - start].copy_(logits[rows])
