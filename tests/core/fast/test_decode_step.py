"""One token a row at a time: the same numbers as the decoder itself, its cache included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.core.attention import KVCache
from workbench.core.fast import decode_step as stepper
from workbench.core.fast.decode_step import DecodeStep, decode_step
from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig

VOCAB, WIDTH, STEPS = 23, 5, 4


def decoder(heads: int = 4, kv_heads: int = 2, tied: bool = True) -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=32, layers=2, heads=heads, kv_heads=kv_heads, hidden_dim=48, max_length=32,
        tie_embeddings=tied,
    )  # fmt: skip
    return Transformer(shape, seed=3)


def prefilled(
    policy: Transformer, tokens: Tensor, visible: Tensor, positions: Tensor
) -> tuple[KVCache, Tensor]:
    """A cache that holds the first WIDTH positions, and the mask for all of them."""
    square = torch.ones(WIDTH, WIDTH, dtype=torch.bool).tril()
    mask = square & (visible[:, None, :WIDTH] | torch.eye(WIDTH, dtype=torch.bool))
    cache = policy.new_cache(len(tokens), WIDTH + STEPS)
    policy.hidden(tokens[:, :WIDTH], positions[:, :WIDTH], mask, cache)
    return cache, mask


@torch.no_grad()
@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("laid_out", [False, True])
@given(
    padding=st.lists(st.integers(0, WIDTH - 1), min_size=1, max_size=3),
    heads=st.sampled_from([(4, 4), (4, 2), (4, 1)]),
    tied=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_steps_are_the_decoders(
    cast: bool,
    laid_out: bool,
    padding: list[int],
    heads: tuple[int, int],
    tied: bool,
    seed: int,
) -> None:
    policy = decoder(*heads, tied)
    generator = torch.Generator().manual_seed(seed)
    rows = len(padding)
    tokens = torch.randint(0, VOCAB, (rows, WIDTH + STEPS), generator=generator)
    place = torch.arange(WIDTH + STEPS)
    first = torch.tensor(padding)[:, None]
    visible, positions = place >= first, (place - first).clamp(min=0)
    before = stepper.LAID_OUT
    stepper.LAID_OUT = 0 if laid_out else 1 << 30
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
            plain, _ = prefilled(policy, tokens, visible, positions)
            quick, _ = prefilled(policy, tokens, visible, positions)
            step = DecodeStep(policy, quick, rows)
            for at in range(WIDTH, WIDTH + STEPS):
                here = slice(at, at + 1)
                mask = visible[:, None, : at + 1]
                hidden = policy.hidden(tokens[:, here], positions[:, here], mask, plain)
                wanted = policy.head(hidden[:, 0]).float()
                seen = visible[:, : at + 1] if any(padding) else None
                found = step(tokens[:, at], positions[:, at], seen)
                room = {"atol": 0.05, "rtol": 0.05} if cast else {"atol": 1e-5, "rtol": 1e-4}
                torch.testing.assert_close(found, wanted, **room)
            assert quick.length == plain.length == WIDTH + STEPS
    finally:
        stepper.LAID_OUT = before


def test_only_what_it_computes_is_stepped_through() -> None:
    policy = decoder()
    assert isinstance(decode_step(policy, policy.new_cache(1, 4), 1), DecodeStep)
    assert decode_step(policy, None, 1) is None
    assert decode_step(torch.nn.Linear(2, 2), policy.new_cache(1, 4), 1) is None
    policy.layers[0].mlp.up_proj = torch.nn.Sequential(policy.layers[0].mlp.up_proj)
    assert decode_step(policy, policy.new_cache(1, 4), 1) is None
    assert PLAIN.decode_step(decoder(), decoder().new_cache(1, 4), 1) is None
    assert isinstance(FAST.decode_step(decoder(), decoder().new_cache(1, 4), 1), DecodeStep)
