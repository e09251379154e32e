"""FlexAttention gives what the tables of packed rows give, in gradients too."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import flex_attention as torch_flex

from workbench.core.attention import AttentionFn, DenseAttention
from workbench.core.batch import Packed
from workbench.core.fast.gpu import flex_rows
from workbench.core.policy import PLAIN

HEADS, KV_HEADS, DIM = 4, 2, 16
LENGTHS = st.lists(
    st.tuples(st.integers(1, 300), st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=4
)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """FlexAttention has a backward pass on a processor, which is refused for being slow; and it
    warns that without the compiler it is slow."""
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *_: None)
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def positions_of(lengths: list[tuple[int, int, int]]) -> torch.Tensor:
    found = []
    for prompt, chosen, rejected in lengths:
        found += [*range(prompt), *range(prompt, prompt + chosen)]
        found += range(prompt, prompt + rejected)
    return torch.tensor([found])


def mixed(attend: AttentionFn, seed: int, tokens: int) -> list[torch.Tensor]:
    """What comes out, and the gradients of what goes in."""
    draw = torch.Generator().manual_seed(seed)
    sizes = (HEADS, KV_HEADS, KV_HEADS)
    parts = [torch.randn(tokens, size * DIM, generator=draw, requires_grad=True) for size in sizes]
    out = attend(*parts, 0)
    weights = torch.randn(out.shape, generator=draw)
    return [out, *torch.autograd.grad((out * weights).sum(), parts)]


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize("lengths", [[(3, 2, 4)], [(70, 90, 40), (130, 0, 0), (1, 1, 1)]])
def test_equal_to_the_definition(lengths: list[tuple[int, int, int]]) -> None:
    positions = positions_of(lengths)
    given = positions, Packed(tuple(lengths)), None, KV_HEADS, DIM, 10_000.0
    quick, plain = flex_rows.attention(*given), PLAIN.attention(*given)
    assert isinstance(quick, flex_rows.FlexRows)
    assert isinstance(plain, DenseAttention)
    found, wanted = (mixed(one, 1, positions.shape[1]) for one in (quick, plain))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(lengths=LENGTHS)
def test_blocks_hide_nothing_visible(lengths: list[tuple[int, int, int]]) -> None:
    tokens = sum(map(sum, lengths))
    padded = flex_rows.bucket(tokens)
    seen = Packed((*lengths, (padded - tokens, 0, 0))).dense()[0]
    mask = flex_rows.block_mask(tuple(lengths), padded, torch.device("cpu"))
    place = torch.arange(padded)
    assert torch.equal(mask.mask_mod(0, 0, place[:, None], place), seen)  # type: ignore[arg-type]
    count = padded // flex_rows.BLOCK
    by_block = seen.view(count, flex_rows.BLOCK, count, flex_rows.BLOCK).transpose(1, 2)
    part = torch.tensor([*lengths, (padded - tokens, 0, 0)]).flatten()
    some, full = flex_rows.visible_blocks(torch.arange(len(part)).repeat_interleave(part))
    assert not (by_block.any(-1).any(-1) & ~some).any()
    assert not (full & ~by_block.all(-1).all(-1)).any()


def test_blocks_leave_out_other_pairs_and_the_other_completion() -> None:
    part = torch.arange(6).repeat_interleave(128)  # each part fills a block of its own
    some, full = flex_rows.visible_blocks(part)
    rows = ["100000", "110000", "101000", "000100", "000110", "000101"]
    assert some.int().tolist() == [[int(one) for one in row] for row in rows]
    assert torch.equal(full, some & ~torch.eye(6, dtype=torch.bool))


@pytest.mark.parametrize(
    ("tokens", "size"), [(1, 256), (256, 256), (257, 384), (1100, 1152), (1200, 1280), (9000, 9216)]
)
def test_lengths_fall_into_few_sizes(tokens: int, size: int) -> None:
    assert flex_rows.bucket(tokens) == size
    sizes = {flex_rows.bucket(count) for count in range(1, 16_385)}
    assert len(sizes) <= 40
    assert all(flex_rows.bucket(count) < 1.125 * count + 256 for count in range(1, 16_385))


def test_masks_are_made_once_for_the_same_lengths() -> None:
    first, again = (flex_rows.block_mask(((5, 3, 2),), 128, torch.device("cpu")) for _ in range(2))
    assert first is again


def test_rows_with_a_cache_or_tiny_heads_are_computed_as_before() -> None:
    positions = torch.arange(4)[None]
    for dim in (8, DIM):
        found = flex_rows.attention(positions, None, None, KV_HEADS, dim, 1e4)
        assert isinstance(found, flex_rows.FlexRows) == (dim == DIM)
