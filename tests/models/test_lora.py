"""Adapters on our decoder and on other people's models: nothing changes until they are trained."""

import copy
from functools import partial

import pytest
import torch

from workbench.core.collation import collate_sequences
from workbench.core.fast.fast_kernels import FAST
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.generation.scoped_policy import ScopedPolicy
from workbench.models.hub import HubPolicy
from workbench.models.load import model_hash
from workbench.models.lora import (
    DECODER_TARGETS,
    adapters_off,
    add_lora,
    has_lora,
    lora_state,
    merge_lora,
)

pytest.importorskip("peft")


@pytest.fixture(params=["native", "LlamaConfig", "GPT2Config"])
def policy(request, make_model) -> torch.nn.Module:
    if request.param == "native":
        config = TransformerConfig(61, dim=32, heads=4, kv_heads=2, hidden_dim=48, layers=2)
        return Transformer(config, seed=2, kernels=FAST)
    return HubPolicy(make_model(request.param))


@torch.no_grad()
def logits(policy: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return policy.head(policy.hidden(tokens))


def train(policy: torch.nn.Module, tokens: torch.Tensor) -> None:
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.5)
    for _ in range(2):  # the first step only moves B, which starts at zero
        optimiser.zero_grad()
        policy.head(policy.hidden(tokens)).log_softmax(-1)[..., 7].mean().neg().backward()
        optimiser.step()


def test_the_policy_starts_as_the_reference_and_only_adapters_train(policy, tokens) -> None:
    before = logits(policy, tokens)
    base = copy.deepcopy(policy)
    add_lora(policy, rank=4)
    assert has_lora(policy)
    assert not has_lora(base)
    assert torch.equal(logits(policy, tokens), before)
    train(policy, tokens)
    assert not torch.allclose(logits(policy, tokens), before)
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert trained == set(lora_state(policy))
    with adapters_off(policy):
        assert torch.equal(logits(policy, tokens), before)
        with adapters_off(policy):
            pass
        assert torch.equal(logits(policy, tokens), before)
    assert not torch.allclose(logits(policy, tokens), before)


def test_all_linear_layers_but_the_head_are_adapted(policy) -> None:
    add_lora(policy, rank=4)
    adapted = {name.split(".lora_")[0] for name in lora_state(policy)}
    linear = {
        name
        for name, module in policy.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and "lora_" not in name
    }
    linear = {name.removesuffix(".base_layer") for name in linear}
    assert adapted == {name for name in linear if not name.endswith("lm_head")}
    assert len(adapted) in (8, 14)  # two layers of 4 (GPT-2) or 7 (Llama)


def test_adapters_train_again_after_they_were_off(policy, tokens) -> None:
    add_lora(policy, rank=2)
    before = {name: p.requires_grad for name, p in policy.named_parameters()}
    loss = policy.head(policy.hidden(tokens)).logsumexp(-1).sum()
    with adapters_off(policy):
        logits(policy, tokens)
    loss.backward()
    assert {name: p.requires_grad for name, p in policy.named_parameters()} == before
    assert any(p.grad is not None and p.grad.any() for p in policy.parameters())


def test_adapters_come_on_again_after_an_error(policy, tokens) -> None:
    add_lora(policy, rank=2)
    train(policy, tokens)
    trained = logits(policy, tokens)
    with pytest.raises(ZeroDivisionError), adapters_off(policy):
        _ = 1 / 0
    assert torch.equal(logits(policy, tokens), trained)


def test_the_state_carries_the_training_over(policy, tokens) -> None:
    fresh = copy.deepcopy(policy)
    add_lora(policy, rank=3)
    train(policy, tokens)
    add_lora(fresh, rank=3, seed=9)
    assert not fresh.load_state_dict(lora_state(policy), strict=False).unexpected_keys
    assert torch.equal(logits(fresh, tokens), logits(policy, tokens))


def test_merged_weights_give_the_same_and_are_plain(policy, tokens) -> None:
    names = policy.state_dict().keys()
    add_lora(policy, rank=4, alpha=12)
    train(policy, tokens)
    trained = logits(policy, tokens)
    merge_lora(policy)
    assert policy.state_dict().keys() == names
    assert not has_lora(policy)
    assert all(parameter.requires_grad for parameter in policy.parameters())
    torch.testing.assert_close(logits(policy, tokens), trained, atol=1e-4, rtol=1e-4)
    add_lora(policy, rank=2)  # and it can start again


def test_the_scale_is_alpha_over_rank(tokens) -> None:
    """One layer, by hand: W x + alpha / rank * B A x."""
    config = TransformerConfig(61, dim=32, heads=4, hidden_dim=48, layers=1)
    policy = Transformer(config, seed=2)
    add_lora(policy, rank=4, alpha=6, targets=["o_proj"])
    layer = policy.layers[0].self_attn.o_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        b.copy_(torch.randn(32, 4, generator=torch.Generator().manual_seed(1)))
        expected = x @ layer.weight.T + 6 / 4 * x @ a.T @ b.T
        torch.testing.assert_close(layer(x), expected)
    assert len(lora_state(policy)) == 2


def test_the_seed_decides_and_the_global_random_state_stays(policy) -> None:
    first, second, other = (copy.deepcopy(policy) for _ in range(3))
    before = torch.get_rng_state()
    for copied, seed in ((first, 1), (second, 1), (other, 2)):
        add_lora(copied, rank=2, seed=seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert model_hash(first) == model_hash(second) != model_hash(other)


def test_bad_calls_say_what_is_wrong() -> None:
    policy = Transformer(TransformerConfig(61, dim=32, heads=4, hidden_dim=48, layers=1))
    with pytest.raises(WorkbenchError, match="rank=0"):
        add_lora(policy, rank=0)
    with pytest.raises(WorkbenchError, match=r"targets=\['nothing'\]"):
        add_lora(policy, rank=1, targets=["nothing"])
    with pytest.raises(WorkbenchError, match="no adapters"), adapters_off(policy):
        pass
    with pytest.raises(WorkbenchError, match="no adapters"):
        merge_lora(policy)
    add_lora(policy, rank=1, targets=DECODER_TARGETS[:1])
    with pytest.raises(WorkbenchError, match="adapters already"):
        add_lora(policy, rank=1)


def test_the_kl_to_the_policy_without_adapters_switches_its_head_too(make_model) -> None:
    """The head of this model has an adapter, so hidden states alone would not tell them apart."""
    policy = HubPolicy(make_model("LlamaConfig"))
    base = copy.deepcopy(policy)
    add_lora(policy, rank=4, targets=["q_proj", "lm_head"])
    batch = collate_sequences([((3, 4), (5, 6, 7)), ((8,), (9, 10))], 0)
    train(policy, batch.tokens)
    off = ScopedPolicy(policy, partial(adapters_off, policy))
    with torch.no_grad():
        states = base.hidden(batch.tokens)
        assert not torch.allclose(policy.head(states), off.head(states), atol=1e-3)
    for kernels in (PLAIN, FAST):
        found, expected = (kernels.scored_kl(policy, one, batch) for one in (off, base))
        torch.testing.assert_close(found, expected)
        assert found.kl.min() > 0
