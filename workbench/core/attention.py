"""Who looks where: attention as the blocks of the decoder call it.

A *look* takes what a layer has projected and gives what its heads found, side by side. `DenseAttention`
is the definition, and serves a cache; `PackedAttention` is faster within packed rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from einops import rearrange
from torch import Tensor

from workbench.core.fast.kernels import attend, rotate
from workbench.core.fast.packed_attention import attend_packed
from workbench.core.fast.packed_rows import Packed, Table, arrange

# (queries, keys, values, number of the layer) as projected -> (..., (head dim)).
AttentionFn = Callable[[Tensor, Tensor, Tensor, int], Tensor]


class KVCache:
    """Keys and values of the positions seen so far, preallocated for `max_length` positions."""

    def __init__(self, rows: int, kv_heads: int, max_length: int, head_dim: int) -> None:
        self._shape = (rows, kv_heads, max_length, head_dim)
        self._layers: list[tuple[Tensor, Tensor]] = []
        self.length = 0

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write (row, kv_head, new, dim) behind the positions seen; return all up to now."""
        if layer == len(self._layers):
            self._layers.append((keys.new_zeros(self._shape), values.new_zeros(self._shape)))
        end = self.length + keys.shape[2]
        stored_keys, stored_values = self._layers[layer]
        stored_keys[:, :, self.length : end] = keys
        stored_values[:, :, self.length : end] = values
        return stored_keys[:, :, :end], stored_values[:, :, :end]

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
    """Attention over whole rows with a mask, or over what a cache holds: the definition."""

    cos: Tensor  # (row, 1, pos, dim), as sin
    sin: Tensor
    mask: Tensor | None  # (row, 1, query, key)
    cache: KVCache | None
    head_dim: int
    plain: bool = False

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: int) -> Tensor:
        split = "row pos (head dim) -> row head pos dim"
        queries, keys, values = (
            rearrange(part, split, dim=self.head_dim) for part in (queries, keys, values)
        )
        if self.cos.dtype != queries.dtype:  # once for all layers
            self.cos, self.sin = self.cos.to(queries.dtype), self.sin.to(queries.dtype)
        queries, keys = rotate(queries, self.cos, self.sin), rotate(keys, self.cos, self.sin)
        if self.cache is not None:
            keys, values = self.cache.update(layer, keys, values)
        mixed = attend(queries, keys, values, self.mask, self.plain)
        return rearrange(mixed, "row head pos dim -> row pos (head dim)")


class PackedAttention:
    """Attention within the pairs of a packed row, in tiles: equal to the definition, faster."""

    def __init__(
        self, packed: Packed, positions: Tensor, kv_heads: int, head_dim: int, theta: float
    ) -> None:
        self._arrange = partial(arrange, packed, positions, kv_heads, head_dim, theta)
        self._table: Table | None = None

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: int) -> Tensor:
        self._table = self._table or self._arrange(queries.dtype)
        return attend_packed(queries, keys, values, self._table)
