"""Attention in tiles against the plain definition: dense mask, rotated queries and keys."""

import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.attention import attend, rotary, rotate
from workbench.core.batch import Packed
from workbench.core.fast import packed_attention as attention
from workbench.core.fast import packed_rows as layout
from workbench.core.fast.packed_attention import attend_packed
from workbench.core.fast.packed_rows import arrange

HEADS, KV_HEADS, DIM, THETA = 4, 2, 6, 100.0
lengths = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(
        lambda part: sum(part)
    ),
    min_size=1,
    max_size=4,
)


def draw(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def places(packed: Packed) -> torch.Tensor:
    """Both completions go on where the prompt ends."""
    found = []
    for prompt, chosen, rejected in packed.lengths:
        found += [
            *range(prompt),
            *range(prompt, prompt + chosen),
            *range(prompt, prompt + rejected),
        ]
    return torch.tensor(found)


def defined(queries, keys, values, packed):
    positions = places(packed)[None]
    split = "pos (head dim) -> 1 head pos dim"
    queries, keys, values = (rearrange(x, split, dim=DIM) for x in (queries, keys, values))
    cos, sin = (part.double() for part in rotary(positions, DIM, THETA))
    mixed = attend(
        rotate(queries, cos, sin), rotate(keys, cos, sin), values, packed.dense()[:, None]
    )
    return rearrange(mixed, "1 head pos dim -> pos (head dim)")


def tiled(queries, keys, values, packed):
    table = arrange(packed, places(packed), KV_HEADS, DIM, THETA, torch.float64)
    return attend_packed(queries, keys, values, table)


@pytest.mark.parametrize(
    ("longest", "kept", "whole", "tile"),
    [(999, 999, 192, 128), (999, 999, 0, 3), (999, 0, 0, 8), (0, 0, 0, 0)],
)
@given(lengths)
@settings(max_examples=40, deadline=None)
def test_tiles_equal_the_definition(longest, kept, whole, tile, lengths):
    packed = Packed(tuple(lengths))
    size = sum(map(sum, lengths))
    inputs = [
        draw(size, heads * DIM, seed=seed) for seed, heads in enumerate((HEADS, KV_HEADS, KV_HEADS))
    ]
    weights = draw(size, HEADS * DIM, seed=9)
    before = attention.LONGEST, attention.KEPT, layout.WHOLE, layout.TILE
    attention.LONGEST, attention.KEPT, layout.WHOLE, layout.TILE = longest, kept, whole, tile
    try:
        results = []
        for function in (tiled, defined):
            given_ = [x.clone().requires_grad_() for x in inputs]
            out = function(*given_, packed)
            (out * weights).sum().backward()
            results.append([out.detach(), *(x.grad for x in given_)])
    finally:
        attention.LONGEST, attention.KEPT, layout.WHOLE, layout.TILE = before
    # The angles are computed in float32 on both sides.
    torch.testing.assert_close(*results, atol=1e-6, rtol=1e-6)


def test_who_sees_whom():
    # Two pairs: prompt of 1, chosen of 2, rejected of 1; then a prompt of 2 alone.
    packed = Packed(((1, 2, 1), (2, 0, 0)))
    #  p c c r | p p
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]
    assert packed.dense()[0].int().tolist() == expected


def test_every_query_is_in_one_tile_and_every_visible_key_in_it(monkeypatch):
    monkeypatch.setattr(layout, "WHOLE", 0)
    monkeypatch.setattr(layout, "TILE", 8)
    packed = Packed(((20, 11, 17),))
    table = arrange(packed, torch.zeros(48), 1, 2, THETA, torch.float32)
    covered = torch.zeros_like(table.visible)
    for queries, keys, _ in table.tiles:
        for part in keys:
            covered[:, queries, part] = True
    assert not (table.visible & ~covered).any()
    columns = [column for queries, _, _ in table.tiles for column in range(48)[queries]]
    assert sorted(columns) == list(range(48))
