"""`packed_attention.attention` by FlexAttention (Dong et al. 2024), which skips what is masked.

The row stays as it is: no table, no padding of pairs. Its length is rounded up to one of few, so
that what was compiled for one batch serves the next; the blocks that hold anything visible follow
from the lengths of the pairs on the host, and are kept for the passes that read the same batch.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from workbench.core.attention import AttentionFn, KVCache, rotary, rotate
from workbench.core.batch import Lengths, Packed
from workbench.core.fast import packed_attention

BLOCK = 128  # queries, and keys, of a block: FlexAttention's default
LEAST_DIM = 16  # of a head, that a GPU's matrix units take


def attention(
    positions: Tensor,
    mask: Tensor | Packed | None,
    cache: KVCache | None,
    kv_heads: int,
    head_dim: int,
    theta: float,
) -> AttentionFn:
    """`kernels.dense_attention`; by FlexAttention for packed rows and for plain causal ones."""
    rows, count = positions.shape
    if mask is None and cache is None:
        mask = Packed(((count, 0, 0),) * rows)
    if isinstance(mask, Packed) and cache is None and head_dim >= LEAST_DIM:
        return FlexRows(mask, positions.flatten(), head_dim, theta)
    return packed_attention.attention(positions, mask, cache, kv_heads, head_dim, theta)


class FlexRows:
    """Attention within the items of a packed row; nothing of it changes from layer to layer."""

    def __init__(self, packed: Packed, positions: Tensor, head_dim: int, theta: float) -> None:
        self.cos, self.sin = rotary(positions[None], head_dim, theta)
        self.mask = block_mask(packed.lengths, bucket(len(positions)), positions.device)
        self._attend = compiled_attend() if positions.is_cuda else attend_flex

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, layer: int) -> Tensor:
        return self._attend(queries, keys, values, self.cos, self.sin, self.mask)


def attend_flex(
    queries: Tensor, keys: Tensor, values: Tensor, cos: Tensor, sin: Tensor, mask: BlockMask
) -> Tensor:
    """Rotary positions and softmax attention with grouped queries.

    Args:
        queries: (token, (head dim)); keys, values: (token, (kv_head dim)), not yet rotated.
        cos, sin: (1, 1, token, dim), from `rotary`.
        mask: from `block_mask`.

    Returns:
        (token, (head dim)).
    """
    split = "token (head dim) -> 1 head token dim"
    q, k, v = (rearrange(x, split, dim=cos.shape[-1]) for x in (queries, keys, values))
    q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
    more = mask.seq_lengths[0] - queries.shape[0]
    q, k, v = (F.pad(x, (0, 0, 0, more)) for x in (q, k, v))
    mixed: Any = flex_attention(q, k, v, block_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    return rearrange(mixed[0, :, : queries.shape[0]], "head token dim -> token (head dim)")


@cache
def compiled_attend() -> Any:
    """`attend_flex`, compiled once for rows of any length."""
    return torch.compile(attend_flex, dynamic=True)


def bucket(tokens: int) -> int:
    """`tokens` rounded up to whole blocks, of eight sizes between two powers of two.

    Two blocks at least, because for one the compiler makes a version of its own.
    """
    step = max(BLOCK, 1 << (tokens.bit_length() - 1) >> 3)
    return max(2 * BLOCK, -(-tokens // step) * step)


@lru_cache(maxsize=64)
def block_mask(lengths: tuple[Lengths, ...], tokens: int, device: torch.device) -> BlockMask:
    """The mask of `Packed(lengths)`, continued to `tokens` by an item that nobody reads."""
    sizes = torch.tensor([*lengths, (tokens - sum(map(sum, lengths)), 0, 0)]).flatten()
    part = torch.arange(len(sizes)).repeat_interleave(sizes)  # (token,), 3 to an item, ascending
    some, full = visible_blocks(part)
    own, prompt = part.to(device), (part // 3 * 3).to(device)

    def visible(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return ((own[query] == own[key]) | (prompt[query] == own[key])) & (key <= query)

    return BlockMask.from_kv_blocks(
        *_listed(some & ~full, device), *_listed(full, device), BLOCK, visible, (tokens, tokens)
    )


def visible_blocks(part: Tensor) -> tuple[Tensor, Tensor]:
    """(query block, key block) each: where anything may be visible, and where all of it is."""
    blocks = part.view(-1, BLOCK)
    first, last = blocks[:, 0], blocks[:, -1]
    query_first, query_last = first[:, None], last[:, None]
    order = torch.arange(len(blocks))
    before, same = order[:, None] > order, order[:, None] == order
    single, prompt = first == last, first % 3 == 0  # of the keys of a block
    some = before & (last // 3 >= query_first // 3)
    some &= ~(single & ~prompt & (first < query_first))
    one_item = (query_first // 3 == first // 3) & (query_last // 3 == first // 3)
    one_part = (query_first == first) & (query_last == first)
    return some | same, before & single & torch.where(prompt, one_item, one_part)


def _listed(chosen: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """How many blocks each line has, and which; (1, 1, line) and (1, 1, line, block)."""
    which = chosen.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    return chosen.sum(-1)[None, None].int().to(device), which[None, None].int().to(device)
