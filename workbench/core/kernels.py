"""The inner operations of a model as they are defined, together in `PLAIN`.

A model computes by the `Kernels` that it holds. `core.fast` has another set, `FAST`, equal to this
one and faster; a model that is built without a choice computes by the definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from workbench.core.attention import AttentionFn, DenseAttention, KVCache, attend, rotary
from workbench.core.batch import Packed, SequenceBatch
from workbench.core.logps import ScoredLogps, scored_logps


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x * weight / sqrt(mean(x^2) + eps)` over the last axis (Zhang & Sennrich 2019, eq. 4)."""
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, both (..., dim) (Shazeer 2020, eq. 6)."""
    return F.silu(gate) * up


def embed(tokens: Tensor, table: Tensor, tied: bool) -> Tensor:
    """(row, pos) ids and (vocab, dim) -> (row, pos, dim); `tied`: the head shares the table."""
    return F.embedding(tokens, table)


def dense_attention(
    positions: Tensor,
    mask: Tensor | Packed | None,
    cache: KVCache | None,
    kv_heads: int,
    head_dim: int,
    theta: float,
    attend: Callable[..., Tensor] = attend,
) -> AttentionFn:
    """Attention over rows at `positions` (row, pos); the arguments are those of `Policy.hidden`."""
    start, count = (cache.length if cache is not None else 0), positions.shape[1]
    if isinstance(mask, Packed):
        mask = mask.dense(positions.device)
    if mask is not None:
        mask = rearrange(mask, "row query key -> row 1 query key")
    elif start and count > 1:
        mask = torch.ones(count, start + count, device=positions.device)
        mask = mask.tril(start).bool()[None, None]
    cos, sin = rotary(positions, head_dim, theta)
    return DenseAttention(cos, sin, mask, cache, head_dim, attend)


def no_decode_step(policy: Any, cache: Any, rows: int) -> None:
    """Generation then takes its steps by `Policy.hidden` and `Policy.head`, as the first one."""


@dataclass(frozen=True)
class Kernels:
    """The operations that a model computes by; the functions of this module tell what each does.

    `decode_step(policy, cache, rows)` gives a function (tokens, positions, visible) -> logits for
    one new token per row, or None where there is none for this model.
    """

    name: str
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    swiglu: Callable[[Tensor, Tensor], Tensor]
    embed: Callable[[Tensor, Tensor, bool], Tensor]
    attention: Callable[..., AttentionFn]
    scored_logps: Callable[[Any, SequenceBatch], ScoredLogps]
    decode_step: Callable[[Any, Any, int], Callable[..., Tensor] | None]

    @property
    def plain(self) -> bool:
        """Whether these are the definitions."""
        return self.name == "plain"


PLAIN = Kernels("plain", rms_norm, swiglu, embed, dense_attention, scored_logps, no_decode_step)
