"""Attention within packed rows, worked through in tiles.

A packed row holds pair behind pair, each as prompt, chosen, rejected, with no padding between:
everything that treats tokens one by one (nearly all of a model) runs on the row as it is. Attention
alone spreads the pairs over a table, one pair a line, prompt, chosen and rejected each in columns
of their own, and goes through it in tiles of queries, leaving out the keys that none of them sees.
`kernels.attend` with the dense mask of `Packed` is the definition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from workbench.core.kernels import attend, rotate

Lengths = tuple[int, int, int]

TILE = 128  # queries of a tile
WHOLE = 192  # columns up to which one tile is faster than several
LONGEST = 1536  # columns up to which the weights of attention are kept for the backward pass


@dataclass(frozen=True)
class Packed:
    """Who sees whom in one long row, in short.

    Attributes:
        lengths: of prompt, chosen and rejected of each pair, in the order of the row; a plain
            sequence is (length, 0, 0).
    """

    lengths: tuple[Lengths, ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest pair."""
        return max(map(sum, self.lengths))

    def dense(self, device: torch.device | str = "cpu") -> Tensor:
        """(1, query, key) True where a query may look: the definition."""
        parts = torch.tensor(self.lengths).flatten()  # (pair part)
        owner = torch.arange(len(parts)).repeat_interleave(parts)
        pair, part = owner // 3, owner % 3
        seen = (pair[:, None] == pair) & ((part == 0) | (part[:, None] == part))
        return seen.tril()[None].to(device)


@dataclass(frozen=True)
class Table:
    """Where the tokens of a packed row lie in the table that attention works on.

    Attributes:
        take: (pair * kv_head * column,) which (token kv_head) of the row stands in each place.
        back: (token * kv_head,) in which place of the table each of the row's stands.
        empty: places that hold no token; they see themselves and have no gradient.
        visible: (pair, column, column) True where a query may look.
        widths: columns of prompts, chosen and rejected.
        cos, sin: (pair, 1, column, 1, dim) of the rotary positions.
        kv_heads: as in the model.
    """

    take: Tensor
    back: Tensor
    empty: Tensor
    visible: Tensor
    widths: Lengths
    cos: Tensor
    sin: Tensor
    kv_heads: int

    @property
    def pairs(self) -> int:
        """Lines of the table."""
        return self.visible.shape[0]

    @property
    def columns(self) -> int:
        """Columns of the table."""
        return sum(self.widths)

    @cached_property
    def tiles(self) -> list[tuple[slice, tuple[slice, ...], Tensor]]:
        """Columns of queries, columns of their keys, and (pair, 1, query, 1, key) True where a
        query may not look."""
        found = []
        for queries, keys in _cover(self.widths):
            seen = torch.cat([self.visible[:, queries, part] for part in keys], -1)
            hidden = rearrange(~seen, "pair query key -> pair 1 query 1 key")
            found.append((queries, keys, hidden))
        return found

    def spread(self, row: Tensor, width: int) -> Tensor:
        """(token, (head dim)) -> ((pair kv_head column), width), a head group side by side."""
        return row.reshape(-1, width).index_select(0, self.take)

    def collect(self, table: Tensor, width: int, tokens: int) -> Tensor:
        """The way back: ((pair kv_head), (column ...), dim) -> (token, (head dim))."""
        return table.reshape(-1, width).index_select(0, self.back).reshape(tokens, -1)

    def rotate(self, flat: Tensor, dim: int, sign: int) -> Tensor:
        """Turn ((pair kv_head column), (head dim)) by its positions (Su et al. 2021, eq. 15), or
        back with `sign` -1."""
        shape = (self.pairs, self.kv_heads, self.columns, -1, dim)
        x = flat.view(shape)
        turned = x * self.cos
        first, second = x.chunk(2, -1)
        sin = self.sin[..., : dim // 2]
        turned[..., : dim // 2].addcmul_(second, sin, value=-sign)
        turned[..., dim // 2 :].addcmul_(first, sin, value=sign)
        return turned


def _cover(widths: Lengths) -> Iterator[tuple[slice, tuple[slice, ...]]]:
    """Tiles of queries with their keys: the prompt and, behind it, the query's own part."""
    prompt, columns = widths[0], sum(widths)
    if columns <= WHOLE:
        yield slice(0, columns), (slice(0, columns),)
        return
    start = 0
    for part, width in enumerate(widths):
        for begin in range(start, start + width, TILE):
            end = min(begin + TILE, start + width)
            own = slice(start if part == 2 else 0, end)  # chosen lies right behind the prompt
            yield slice(begin, end), ((slice(0, prompt), own) if part == 2 else (own,))
        start += width


def arrange(
    packed: Packed,
    positions: Tensor,
    kv_heads: int,
    head_dim: int,
    theta: float,
    dtype: torch.dtype,
) -> Table:
    """The table of a packed row.

    Args:
        packed: which tokens belong together.
        positions: (token,) place of each token in its own sequence.
        kv_heads, head_dim, theta: of the model; `dtype` that its linear layers compute in.
    """
    device = positions.device
    lengths = torch.tensor(packed.lengths)  # (pair, part)
    widths: Any = tuple(lengths.amax(0).tolist())
    part = torch.arange(3).repeat_interleave(torch.tensor(widths))  # (column,)
    offset = torch.cat([torch.arange(width) for width in widths])
    flat = lengths.flatten()
    starts = (flat.cumsum(0) - flat).view(-1, 3)
    held = offset < lengths[:, part]  # (pair, column)
    token = torch.where(held, starts[:, part] + offset, 0)
    same = (part == 0) | (part[:, None] == part)
    visible = (held[:, None, :] & same).tril() | torch.eye(len(part), dtype=torch.bool)

    place = torch.arange(held.numel() * kv_heads).view(len(lengths), kv_heads, -1)
    place = rearrange(place, "pair head column -> pair column head")
    empty = place[~held]
    back = torch.empty(len(positions), kv_heads, dtype=torch.long)
    back[token[held]] = place[held]
    heads = torch.arange(kv_heads)[:, None]
    take = (token[:, None, :] * kv_heads + heads).flatten()

    token = token.to(device)
    where = rearrange(positions[token], "pair column -> pair 1 column 1 1")
    steps = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32)
    angles = (where * theta ** (-steps / head_dim)).repeat(1, 1, 1, 1, 2)
    return Table(
        take.to(device), back.flatten().to(device), empty.flatten().to(device),
        visible.to(device), widths, angles.cos().to(dtype), angles.sin().to(dtype), kv_heads,
    )  # fmt: skip


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
    """Keeps rotated queries, keys, values and the weights; five products a tile backwards."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, table: Table) -> Tensor:
        tokens, lines = queries.shape[0], table.pairs * table.kv_heads
        dim = keys.shape[1] // table.kv_heads
        group = queries.shape[1] // keys.shape[1]
        turned = table.rotate(table.spread(queries, group * dim), dim, 1).mul_(dim**-0.5)
        q = turned.view(lines, -1, dim)  # (pair kv_head) (column group) dim
        k = table.rotate(table.spread(keys, dim), dim, 1).view(lines, -1, dim)
        v = table.spread(values, dim).view(lines, -1, dim)
        out, weights = torch.empty_like(q), []
        for asked, looked, hidden in table.tiles:
            here = slice(asked.start * group, asked.stop * group)
            near, told = _columns(k, looked), _columns(v, looked)
            scores = q[:, here] @ near.transpose(1, 2)
            shape = (table.pairs, table.kv_heads, -1, group, scores.shape[-1])
            scores.view(shape).masked_fill_(hidden, -torch.inf)
            weights.append(scores.softmax(-1))  # summed in float32 inside, whatever its type
            out[:, here] = weights[-1] @ told
        ctx.save_for_backward(q, k, v, *weights)
        ctx.table, ctx.group = table, group
        return table.collect(out, group * dim, tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        table, group = ctx.table, ctx.group
        q, k, v, *weights = ctx.saved_tensors
        tokens, dim = gradients[0].shape[0], q.shape[-1]
        out = table.spread(gradients[0], group * dim)
        if len(table.empty):
            out.index_fill_(0, table.empty, 0)
        out = out.view(q.shape)
        for_q, for_k, for_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for (asked, looked, _), weight in zip(table.tiles, weights, strict=True):
            here = slice(asked.start * group, asked.stop * group)
            told = out[:, here]
            for_weight = told @ _columns(v, looked).transpose(1, 2)
            scores = torch._softmax_backward_data(for_weight, weight, -1, weight.dtype)
            for_q[:, here] = scores @ _columns(k, looked)
            _add(for_k, looked, scores.transpose(1, 2) @ q[:, here])
            _add(for_v, looked, weight.transpose(1, 2) @ told)
        for_q = table.rotate(for_q.mul_(dim**-0.5), dim, -1)
        for_k = table.rotate(for_k, dim, -1)
        return (
            table.collect(for_q, group * dim, tokens),
            table.collect(for_k, dim, tokens),
            table.collect(for_v, dim, tokens),
            None,
        )


def _columns(table: Tensor, parts: tuple[slice, ...]) -> Tensor:
    """Some columns of (line, column, dim)."""
    found = [table[:, part] for part in parts]
    return found[0] if len(found) == 1 else torch.cat(found, 1)


def _add(table: Tensor, parts: tuple[slice, ...], values: Tensor) -> None:
    """Add (line, column, dim) to the columns from which `_columns` took."""
    sizes = [part.stop - part.start for part in parts]
    for part, piece in zip(parts, values.split(sizes, 1), strict=True):
        table[:, part] += piece
