"""Blocks and log-probabilities by `torch.compile`: their definitions, fused by the compiler.

Both are functions that get their weights as arguments, so that one compilation serves all layers,
the reference's too, and rows of any length.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from workbench.core.attention import AttentionFn
from workbench.core.batch import SequenceBatch
from workbench.core.fast import scored_logps as in_chunks
from workbench.core.fast.gpu.flex_rows import FlexRows
from workbench.core.logps import ScoredLogps
from workbench.core.policy import call_block

KEPT_BYTES = 1 << 32  # of logits in half precision that are kept for the backward pass


def block(module: Any, x: Tensor, attend: AttentionFn, layer: int) -> Tensor:
    """`core.policy.call_block`, compiled for rows without a cache."""
    if not isinstance(attend, FlexRows):
        return call_block(module, x, attend, layer)
    return compiled_block()(module, x, attend, 0)  # a number would be compiled in


@cache
def compiled_block() -> Any:
    """`call_block`, compiled for any number of tokens."""
    return torch.compile(call_block, dynamic=True)


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """log softmax(logits)[target] in float32 at least: (row, vocab) and (row,) -> (row,)."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.gather(-1, targets[:, None])[:, 0] - wide.logsumexp(-1)


@cache
def compiled_token_logps() -> Any:
    """`token_logps`, in which no float32 copy of the logits is ever in memory."""
    return torch.compile(token_logps, dynamic=True)


def scored_logps(policy: Any, batch: SequenceBatch) -> ScoredLogps:
    """`core.logps.scored_logps`."""
    return in_chunks.scored_logps(policy, batch, compiled_token_logps(), KEPT_BYTES)
