"""Steps from buffers that stay in place give what ordinary steps give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workbench.core.attention import KVCache
from workbench.core.fast.decode_step import DecodeStep
from workbench.core.fast.fast_kernels import FAST
from workbench.core.fast.gpu.static_decode import StaticDecodeStep, decode_step
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import generate

VOCAB, WIDTH, STEPS = 23, 5, 4


def decoder() -> Transformer:
    shape = TransformerConfig(VOCAB, dim=32, layers=2, heads=4, kv_heads=2, hidden_dim=48)
    return Transformer(shape, seed=3, kernels=FAST)


def prefilled(policy: Transformer, tokens: torch.Tensor, first: torch.Tensor) -> KVCache:
    cache = policy.new_cache(len(tokens), WIDTH + STEPS)
    index = torch.arange(WIDTH)
    square = torch.ones(WIDTH, WIDTH, dtype=torch.bool).tril()
    mask = square & ((index >= first)[:, None] | torch.eye(WIDTH, dtype=torch.bool))
    policy.hidden(tokens[:, :WIDTH], (index - first).clamp(min=0), mask, cache)
    return cache


@torch.no_grad()
@pytest.mark.parametrize("cast", [False, True])
@pytest.mark.parametrize("padding", [(0, 0, 0), (0, 3, 1)])
def test_equal_to_ordinary_steps(padding: tuple[int, ...], cast: bool) -> None:
    policy, first = decoder(), torch.tensor(padding)[:, None]
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, VOCAB, (3, WIDTH + STEPS), generator=draw)
    index = torch.arange(WIDTH + STEPS)
    near = {"atol": 0.05, "rtol": 0.05} if cast else {"atol": 1e-5, "rtol": 1e-4}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
        caches = [prefilled(policy, tokens, first) for _ in range(2)]
        steps = StaticDecodeStep(policy, caches[0], 3), DecodeStep(policy, caches[1], 3)
        kept = []
        for at in range(WIDTH, WIDTH + STEPS):
            if at == WIDTH + 2:  # another number of rows, in another order
                rows = torch.tensor([2, 0, 1, 2])
                tokens, first = tokens[rows], first[rows]
                for cache in caches:
                    cache.reorder(rows)
            visible = (index >= first)[:, : at + 1] if any(padding) else None
            places = (at - first[:, 0]).clamp(min=0)
            ours, theirs = (step(tokens[:, at], places, visible) for step in steps)
            torch.testing.assert_close(ours, theirs, **near)
            kept.append((ours, ours.clone()))
    assert caches[0].length == caches[1].length == WIDTH + STEPS
    assert all(torch.equal(one, then) for one, then in kept)  # not overwritten by later steps


@pytest.mark.parametrize("beams", [1, 3])
def test_the_same_answers(beams: int) -> None:
    config = SamplingConfig(temperature=0, max_new_tokens=12, beams=beams)
    answers = []
    for kernels in (FAST, replace(FAST, decode_step=decode_step)):
        policy = decoder()
        policy.kernels = kernels
        answers.append(generate(policy, [[3, 4, 5], [6]], config, (1,), 0))
    assert answers[0] == answers[1]


def test_other_models_are_computed_as_before() -> None:
    assert decode_step(decoder(), None, 1) is None
    assert decode_step(torch.nn.Linear(2, 2), decoder().new_cache(1, 4), 1) is None
