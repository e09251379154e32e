"""`attention.DenseAttention` for packed rows and for plain causal ones, computed in tiles.

The tiles of a table's queries leave out the keys that none of them attends to.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from workbench.core.attention import AttentionFn, KVCache, rotate
from workbench.core.batch import Packed
from workbench.core.fast.block_kernels import attend
from workbench.core.fast.packed_rows import Table, Tile, arrange
from workbench.core.policy import dense_attention

LONGEST = 4096  # columns of a table up to which tiles are faster than PyTorch's own attention
KEPT = 1024  # columns up to which the weights are kept for the backward pass


def attention(
    positions: Tensor,
    mask: Tensor | Packed | None,
    cache: KVCache | None,
    kv_heads: int,
    head_dim: int,
    theta: float,
) -> AttentionFn:
    """`kernels.dense_attention`; in tiles for packed rows, and for plain causal ones where that is
    faster."""
    rows, count = positions.shape
    if mask is None and cache is None and positions.device.type == "cpu" and count <= LONGEST:
        mask = Packed(((count, 0, 0),) * rows)
    if isinstance(mask, Packed) and cache is None:
        return PackedAttention(mask, positions.flatten(), kv_heads, head_dim, theta)
    return dense_attention(positions, mask, cache, kv_heads, head_dim, theta, attend)


class PackedAttention:
    """Attention within the items of a packed row; its table is laid out once for all layers."""

    def __init__(
        self, packed: Packed, positions: Tensor, kv_heads: int, head_dim: int, theta: float
    ) -> None:
        self._arrange = partial(arrange, packed, positions, kv_heads, head_dim, theta)
        self._table: Table | None = None

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: int) -> Tensor:
        self._table = self._table or self._arrange(queries.dtype)
        return attend_packed(queries, keys, values, self._table)


def attend_packed(queries: Tensor, keys: Tensor, values: Tensor, table: Table) -> Tensor:
    """Rotary positions and softmax attention with grouped queries within each pair of a row.

    Args:
        queries: (token, (head dim)); keys, values: (token, (kv_head dim)), not yet rotated.
        table: from `arrange`.

    Returns:
        (token, (head dim)).
    """
    if queries.device.type == "cpu" and table.columns <= LONGEST:
        return _AttendPacked.apply(queries, keys, values, table)
    return _attend_whole(queries, keys, values, table)


def _attend_whole(queries: Tensor, keys: Tensor, values: Tensor, table: Table) -> Tensor:
    """The table at once through PyTorch's own attention: on a GPU, and where pairs are long."""
    dim = keys.shape[1] // table.kv_heads
    group = queries.shape[1] // keys.shape[1]
    fold = {"pair": table.pairs, "kv": table.kv_heads, "dim": dim}
    lay = "(pair kv column) (group dim) -> pair (kv group) column dim"
    q, k, v = (
        rearrange(table.spread(part, width * dim), lay, **fold)
        for part, width in ((queries, group), (keys, 1), (values, 1))
    )
    cos, sin = table.cos[..., 0, :], table.sin[..., 0, :]
    mixed = attend(rotate(q, cos, sin), rotate(k, cos, sin), v, table.visible[:, None])
    flat = rearrange(
        mixed, "pair (kv group) column dim -> (pair kv) (column group) dim", group=group
    )
    return table.collect(flat, group * dim, queries.shape[0])


class _AttendPacked(torch.autograd.Function):
    """Keeps rotated queries, keys, values and, of short pairs, the weights; makes those of long
    ones again, which would grow with the square of their length."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, table: Table) -> Tensor:
        tokens, lines = queries.shape[0], table.pairs * table.kv_heads
        dim = keys.shape[1] // table.kv_heads
        group = queries.shape[1] // keys.shape[1]
        turned = table.rotate(table.spread(queries, group * dim), dim, 1).mul_(dim**-0.5)
        q = turned.view(lines, -1, dim)  # (pair kv_head) (column group) dim
        k = table.rotate(table.spread(keys, dim), dim, 1).view(lines, -1, dim)
        v = table.spread(values, dim).view(lines, -1, dim)
        out, kept = torch.empty_like(q), []
        for tile in table.tiles:
            here = slice(tile[0].start * group, tile[0].stop * group)
            weights = _weights(q[:, here], k, table, tile)
            out[:, here] = weights @ _columns(v, tile[1])
            if table.columns <= KEPT:
                kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.table, ctx.group = table, group
        return table.collect(out, group * dim, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        table, group = ctx.table, ctx.group
        q, k, v, *kept = ctx.saved_tensors
        tokens, dim = gradients[0].shape[0], q.shape[-1]
        out = table.spread(gradients[0], group * dim)
        if len(table.empty):
            out.index_fill_(0, table.empty, 0)
        out = out.view(q.shape)
        for_q, for_k, for_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for number, tile in enumerate(table.tiles):
            queried, seen, _ = tile
            here = slice(queried.start * group, queried.stop * group)
            weight = kept[number] if kept else _weights(q[:, here], k, table, tile)
            gradient = out[:, here]
            for_weight = gradient @ _columns(v, seen).transpose(1, 2)
            scores = torch._softmax_backward_data(for_weight, weight, -1, weight.dtype)
            for_q[:, here] = scores @ _columns(k, seen)
            _add(for_k, seen, scores.transpose(1, 2) @ q[:, here])
            _add(for_v, seen, weight.transpose(1, 2) @ gradient)
        for_q = table.rotate(for_q.mul_(dim**-0.5), dim, -1)
        for_k = table.rotate(for_k, dim, -1)
        return (
            table.collect(for_q, group * dim, tokens),
            table.collect(for_k, dim, tokens),
            table.collect(for_v, dim, tokens),
            None,
        )


def _weights(queries: Tensor, keys: Tensor, table: Table, tile: Tile) -> Tensor:
    """Softmax over the visible keys of a tile: (line, (column group), key)."""
    queried, seen, hidden = tile
    scores = queries @ _columns(keys, seen).transpose(1, 2)
    group = queries.shape[1] // (queried.stop - queried.start)
    shape = (table.pairs, table.kv_heads, -1, group, scores.shape[-1])
    scores.view(shape)[..., scores.shape[-1] - hidden.shape[-1] :].masked_fill_(hidden, -torch.inf)
    return scores.softmax(-1)  # summed in float32 inside, whatever its type


def _columns(table: Tensor, parts: tuple[slice, ...]) -> Tensor:
    """Some columns of (line, column, dim)."""
    found = [table[:, part] for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found, 1)


def _add(table: Tensor, parts: tuple[slice, ...], values: Tensor) -> None:
    """Add (line, column, dim) to the columns from which `_columns` took."""
    sizes = [part.stop - part.start for part in parts]
    for part, piece in zip(parts, values.split(sizes, 1), strict=True):
        table[:, part] += piece
