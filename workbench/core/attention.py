"""Attention as it is defined, rotary positions, and the cache of keys and values.

The blocks of the decoder call an `AttentionFn`, which knows which positions may attend to which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

# (queries, keys, values, number of the layer), each ((row pos), (head dim)) as projected
# -> ((row pos), (head dim)).
AttentionFn = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax attention with grouped queries (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023).

    Args:
        queries: (row, head, query, dim); keys, values: (row, kv_head, key, dim), where consecutive
            heads share a kv_head.
        mask: (row, 1, query, key), True where a query may attend; None means causal, with as many
            queries as keys, or a single query that attends to all keys.

    Returns:
        (row, head, query, dim).
    """
    group = queries.shape[1] // keys.shape[1]
    if group > 1:
        spread = "row head key dim -> row (head group) key dim"
        keys, values = (repeat(part, spread, group=group) for part in (keys, values))
    causal = mask is None and queries.shape[2] > 1
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)


def rotary(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine (row, 1, pos, head_dim) of rotary positions (Su et al. 2021, eq. 15)."""
    steps = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    frequencies = theta ** (-steps / head_dim)
    angles = repeat(positions[..., None] * frequencies, "row pos half -> row 1 pos (2 half)")
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each (first half, second half) of (row, head, pos, dim) by its angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class KVCache:
    """Keys and values of the positions seen so far, preallocated for `max_length` positions."""

    def __init__(self, rows: int, kv_heads: int, max_length: int, head_dim: int) -> None:
        self._shape = (rows, kv_heads, max_length, head_dim)
        self._layers: list[tuple[Tensor, Tensor]] = []
        self.length = 0

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (row, kv_head, new, dim) to the positions seen; returns all of them."""
        if layer == len(self._layers):
            self._layers.append((keys.new_zeros(self._shape), values.new_zeros(self._shape)))
        end = self.length + keys.shape[2]
        stored_keys, stored_values = self._layers[layer]
        stored_keys[:, :, self.length : end] = keys
        stored_values[:, :, self.length : end] = values
        return stored_keys[:, :, :end], stored_values[:, :, :end]

    def buffers(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values (row, kv_head, max_length, dim), also of positions not yet seen."""
        return self._layers[layer]

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes a copy of row `rows[i]`, (row,); there may be more or fewer than before."""
        as_many = len(rows) == self._shape[0]
        self._shape = (len(rows), *self._shape[1:])
        for number, parts in enumerate(self._layers):
            kept = [part[:, :, : self.length][rows] for part in parts]
            if not as_many:
                parts = (kept[0].new_zeros(self._shape), kept[1].new_zeros(self._shape))
            for part, seen in zip(parts, kept, strict=True):
                part[:, :, : self.length] = seen
            self._layers[number] = parts


@dataclass
class DenseAttention:
    """Attention over whole rows with a mask, or over what a cache holds.

    Attributes:
        cos, sin: (row, 1, pos, dim), from `rotary`.
        mask: (row, 1, query, key); see `attend`.
        attend: computes the softmax attention.
    """

    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    cache: KVCache | None
    head_dim: int
    attend: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor] = attend

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: int) -> Tensor:
        split = "(row pos) (head dim) -> row head pos dim"
        queries, keys, values = (
            rearrange(part, split, row=self.cos.shape[0], dim=self.head_dim)
            for part in (queries, keys, values)
        )
        if self.cos.dtype != queries.dtype:  # once for all layers
            self.cos, self.sin = self.cos.to(queries.dtype), self.sin.to(queries.dtype)
        queries, keys = rotate(queries, self.cos, self.sin), rotate(keys, self.cos, self.sin)
        if self.cache is not None:
            keys, values = self.cache.update(layer, keys, values)
        mixed = self.attend(queries, keys, values, self.mask)
        return rearrange(mixed, "row head pos dim -> (row pos) (head dim)")
