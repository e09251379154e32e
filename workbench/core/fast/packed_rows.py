"""How attention lays out packed rows.

A packed row holds pair behind pair, each as prompt, chosen, rejected, with no padding between:
everything that treats tokens one by one (nearly all of a model) runs on the row as it is. Attention
alone spreads the pairs over a table, one line per pair, prompt, chosen and rejected each in columns
of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from workbench.core.attention import rotary
from workbench.core.batch import Lengths, Packed

# Columns of queries, columns of their keys, and (pair, 1, query, 1, key) True where a query may not
# attend, for the last of these keys: all queries attend to those before.
Tile = tuple[slice, tuple[slice, ...], Tensor]

TILE = 256  # queries of a tile
WHOLE = 192  # columns up to which one tile is faster than several


@dataclass(frozen=True)
class Table:
    """Where the tokens of a packed row lie in the table that attention works on.

    Attributes:
        take: (pair * kv_head * column,) the index in the row, (token kv_head), of each cell.
        back: (token * kv_head,) the cell of the table that holds each token of the row.
        empty: cells that hold no token; they attend to themselves and have no gradient.
        visible: (pair, column, column), True where a query may attend.
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
    def tiles(self) -> list[Tile]:
        """They cover every query once."""
        found = []
        for queries, keys in _cover(self.widths):
            hidden = ~torch.cat([self.visible[:, queries, part] for part in keys], -1)
            somewhere = hidden.any(0).any(0).nonzero()
            hidden = hidden[..., int(somewhere[0]) if len(somewhere) else hidden.shape[-1] :]
            found.append((queries, keys, rearrange(hidden, "pair query key -> pair 1 query 1 key")))
        return found

    def spread(self, row: Tensor, width: int) -> Tensor:
        """(token, (head dim)) -> ((pair kv_head column), width), heads of a group side by side."""
        return row.reshape(-1, width).index_select(0, self.take)

    def collect(self, table: Tensor, width: int, tokens: int) -> Tensor:
        """The way back: ((pair kv_head), (column ...), dim) -> (token, (head dim))."""
        return table.reshape(-1, width).index_select(0, self.back).reshape(tokens, -1)

    def rotate(self, flat: Tensor, dim: int, sign: int) -> Tensor:
        """Rotate ((pair kv_head column), (head dim)) by its positions (Su et al. 2021, eq. 15), or
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
        positions: (token,) position of each token in its own sequence.
        kv_heads, head_dim, theta: of the model; `dtype` that its linear layers compute in.
    """
    device, lengths = positions.device, torch.tensor(packed.lengths)  # (pair, part)
    widths: Any = tuple(lengths.amax(0).tolist())
    part = torch.arange(3).repeat_interleave(torch.tensor(widths))  # (column,)
    held, token = _columns_held(lengths, widths, part)
    take, back, empty = _indices(held, token, len(positions), kv_heads)
    same = (part == 0) | (part[:, None] == part)
    visible = (held[:, None, :] & same).tril() | torch.eye(len(part), dtype=torch.bool)
    cos, sin = (
        rearrange(angle, "pair 1 column dim -> pair 1 column 1 dim").to(dtype)
        for angle in rotary(positions[token.to(device)], head_dim, theta)
    )
    return Table(
        take.to(device), back.to(device), empty.to(device), visible.to(device), widths, cos, sin,
        kv_heads,
    )  # fmt: skip


def _columns_held(lengths: Tensor, widths: Lengths, part: Tensor) -> tuple[Tensor, Tensor]:
    """(pair, column) whether a column holds a token, and which token of the row it is, or 0."""
    offset = torch.cat([torch.arange(width) for width in widths])
    flat = lengths.flatten()
    starts = (flat.cumsum(0) - flat).view(-1, 3)
    held = offset < lengths[:, part]
    return held, torch.where(held, starts[:, part] + offset, 0)


def _indices(
    held: Tensor, token: Tensor, tokens: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`take`, `back` and `empty` of the table."""
    cells = torch.arange(held.numel() * kv_heads).view(len(held), kv_heads, -1)
    cells = rearrange(cells, "pair head column -> pair column head")
    back = torch.empty(tokens, kv_heads, dtype=torch.long)
    back[token[held]] = cells[held]
    heads = torch.arange(kv_heads)[:, None]
    take = (token[:, None, :] * kv_heads + heads).flatten()
    return take, back.flatten(), cells[~held].flatten()
