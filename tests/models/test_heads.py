"""Reward models: the right token is read, in every layout, of our models and of others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workbench.core.batch import Pair
from workbench.core.collation import collate, collate_sequences
from workbench.core.config import LAYOUTS
from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import PLAIN, Kernels
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.models.heads import RewardModel, last_scored
from workbench.models.hub import HubPolicy

PAIRS = [
    Pair(prompt=(3, 4, 5, 6), chosen=(7, 8, 1), rejected=(9, 10, 11, 12, 1)),
    Pair(prompt=(13,), chosen=(14, 1), rejected=(15, 16, 17, 1)),
    Pair(prompt=(20, 21), chosen=(2,) * 9, rejected=(1,)),
]
IDS = st.lists(st.integers(0, 22), min_size=1, max_size=5).map(tuple)


def decoder(kernels: Kernels = FAST, **changes: Any) -> Transformer:
    shape: dict[str, Any] = {"dim": 16, "layers": 2, "heads": 2, "kv_heads": 1, "hidden_dim": 24}
    config = TransformerConfig(23, max_length=32, **{**shape, **changes})
    return Transformer(config, seed=4, kernels=kernels)


def filled(policy: nn.Module) -> RewardModel:
    """A reward model whose head says something."""
    model = RewardModel(policy)
    with torch.no_grad():
        model.weight.normal_(generator=torch.Generator().manual_seed(1))
    return model


def by_hand(model: RewardModel, pair: Pair) -> list[float]:
    """The definition: each text alone, its last hidden state times the head."""
    rewards = []
    for side in (pair.chosen, pair.rejected):
        hidden = model.body.hidden(torch.tensor([[*pair.prompt, *side]]))  # type: ignore[operator]
        rewards.append((hidden[0, -1] @ model.weight).item())
    return rewards


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernels", [PLAIN, FAST], ids=["plain", "fast"])
def test_rewards_are_read_at_the_end_of_each_text(layout: str, kernels: Kernels) -> None:
    model = filled(decoder(kernels))
    assert model.kernels == kernels
    expected = torch.tensor([reward for pair in PAIRS for reward in by_hand(model, pair)])
    for pad_id in (0, 1):  # padding may be the end of sequence
        found = model(collate(PAIRS, pad_id, layout))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["LlamaConfig", "GPT2Config"])
def test_other_people_s_models_give_rewards(kind: str, make_model: Callable[..., Any]) -> None:
    model = filled(HubPolicy(make_model(kind)))
    expected = torch.tensor([reward for pair in PAIRS for reward in by_hand(model, pair)])
    for layout in ("stacked", "shared_prefix"):
        found = model(collate(PAIRS, 0, layout))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=4), st.integers(0, 22))
@settings(deadline=None, max_examples=50)
def test_the_last_scored_token_comes_from_lengths(
    texts: list[tuple[tuple[int, ...], tuple[int, ...]]], pad_id: int
) -> None:
    batch = collate_sequences(texts, pad_id)
    width = batch.tokens.shape[1]
    ends = [row * width + len(p) + len(c) - 1 for row, (p, c) in enumerate(texts)]
    assert last_scored(batch).tolist() == ends


def test_before_the_first_step_all_texts_are_worth_the_same() -> None:
    assert RewardModel(decoder())(collate(PAIRS, 0)).tolist() == [0.0] * 6


def test_a_reference_that_is_kept_in_bf16_is_read_in_float32() -> None:
    model = RewardModel(decoder().bfloat16().requires_grad_(False))
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_the_policy_is_left_alone_and_gradients_are_dense(tied: bool) -> None:
    policy = decoder(tie_embeddings=tied).requires_grad_(False)
    before = copy.deepcopy(policy.state_dict())
    model = filled(policy)
    model(collate(PAIRS, 0)).sum().backward()
    table = model.body.embed_tokens.weight  # type: ignore[union-attr]
    assert table.grad is not None
    assert not table.grad.is_sparse
    assert policy.config.tie_embeddings is tied
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert not any(weight.requires_grad for weight in policy.parameters())
