"""bf16 copies of the weights: what they compute, and what the optimiser makes of them."""

import copy
from contextlib import nullcontext, suppress

import pytest
import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.fast import bf16_weights as working
from workbench.core.fast.bf16_weights import BF16Weights
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.train.config import TrainConfig
from workbench.train.loop import make_optimizer
from workbench.train.precision import autocast, computing

PAIRS = [Pair((1, 2, 3), (4, 5), (6, 7, 8)), Pair((9,), (10, 11, 12), (13,))]


def make(tied: bool = True) -> Transformer:
    config = TransformerConfig(32, dim=16, layers=2, heads=4, kv_heads=2, tie_embeddings=tied)
    policy = Transformer(config, seed=1, kernels=FAST)
    for weight in policy.parameters():
        weight.data *= 4 if weight.dim() > 1 else 1
    return policy


def loss(policy: Transformer) -> torch.Tensor:
    with autocast("cpu", "bf16"):
        return (completion_logps(policy, collate(PAIRS, 0, "packed")) * torch.arange(4)).sum()


@pytest.mark.parametrize("tied", [True, False])
def test_the_values_are_those_of_weights_that_are_rounded(tied: bool) -> None:
    policy = make(tied)
    rounded = copy.deepcopy(policy)
    for weight in rounded.parameters():
        if weight.dim() > 1:
            weight.data = weight.data.bfloat16().float()
    with torch.no_grad():
        expected = loss(rounded)
        with BF16Weights(policy).active():
            assert torch.equal(loss(policy), expected)
    assert {weight.dtype for weight in policy.parameters()} == {torch.float32}


def test_outside_the_weights_are_the_trained_ones_even_after_an_error() -> None:
    policy = make()
    before = list(policy.parameters())
    with suppress(ZeroDivisionError), BF16Weights(policy).active():
        assert policy.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
        raise ZeroDivisionError
    assert all(one is other for one, other in zip(policy.parameters(), before, strict=True))


@pytest.mark.parametrize("piece", [1 << 20, 100])
@pytest.mark.parametrize("passes", [1, 3])
def test_a_step_is_that_of_adamw_on_the_same_gradients(
    monkeypatch: pytest.MonkeyPatch, passes: int, piece: int
) -> None:
    monkeypatch.setattr(working, "PIECE", piece)
    config = TrainConfig(lr=1e-2, weight_decay=0.1).resolved()
    policy, plain = make(), make()
    copies, optimizer = BF16Weights(policy), make_optimizer(policy, config)
    expected = make_optimizer(plain, config)
    for _ in range(3):
        with copies.active():
            for number in range(passes):
                (loss(policy) * (number + 1)).backward()
                copies.gather(number == 0, number == passes - 1)
        gradients = {}
        for weight, place, here in copies.pieces(list(policy.parameters())):
            gradients.setdefault(weight, torch.zeros(weight.numel()))[place] = here
        for weight, twin in zip(policy.parameters(), plain.parameters(), strict=True):
            twin.grad = gradients[weight].view_as(twin)
        norm = copies.step(optimizer, 0.5)
        assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)))
        expected.step()
        optimizer.zero_grad()
        for weight, twin in zip(policy.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(weight, twin, atol=1e-7, rtol=1e-6)
    for one, other in zip(
        *(o.state_dict()["state"].values() for o in (optimizer, expected)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-7, rtol=1e-5)


def test_several_passes_are_added_up_in_float32() -> None:
    # 256 + 1 is 256 in bf16.
    policy = make()
    copies = BF16Weights(policy)
    weight = policy.norm.weight
    matrix = policy.layers[0].mlp.up_proj.weight
    for number, value in enumerate((256.0, 1.0, 1.0)):
        with copies.active():
            inside = policy.layers[0].mlp.up_proj.weight
            inside.grad = torch.full_like(inside, value)
        copies.gather(number == 0, number == 2)
    pieces = [here.clone() for _, _, here in copies.pieces([weight, matrix])]
    assert [piece.unique().tolist() for piece in pieces] == [[258.0]]  # none for the norm


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    policy, before = make(), make()
    copies = BF16Weights(policy)
    with copies.active():
        inside = policy.layers[0].mlp.up_proj.weight
        inside.grad = torch.full_like(inside, torch.nan)
    optimizer = make_optimizer(policy, TrainConfig(lr=0.1).resolved())
    assert copies.step(optimizer, 1.0).isnan()
    torch.testing.assert_close(policy.state_dict(), before.state_dict(), atol=0, rtol=0)


def test_weights_changed_from_outside_are_rounded_anew() -> None:
    policy = make()
    copies = BF16Weights(policy)
    with torch.no_grad():
        policy.embed_tokens.weight.zero_()
        with copies.active():
            assert not policy.embed_tokens.weight.any()


def all_gradients(precision: str, way: str) -> torch.Tensor:
    policy = make()
    policy.kernels = PLAIN if way == "plain" else FAST
    batch = collate(PAIRS, 0, "packed")
    copies = BF16Weights(policy) if way == "copies" else None
    with copies.active() if copies else nullcontext():
        with autocast("cpu", precision):
            total = (completion_logps(policy, batch) * torch.arange(4)).sum()
        total.backward()
    if copies:
        copies.gather(True, True)
        return torch.cat([here.clone() for *_, here in copies.pieces(list(policy.parameters()))])
    return torch.cat([weight.grad.to_dense().flatten() for weight in policy.parameters()])


def test_the_gradient_is_as_good_as_autocasts() -> None:
    exact, plain = all_gradients("float32", "plain"), all_gradients("bf16", "plain")
    torch.testing.assert_close(all_gradients("float32", "fast"), exact, atol=1e-4, rtol=1e-5)
    error = (all_gradients("bf16", "copies") - exact).norm() / exact.norm()
    assert error < 1.5 * (plain - exact).norm() / exact.norm()
    assert error < 0.2  # a sharp model; each rounding is off by up to 2^-9


def test_evaluation_sees_the_same_values() -> None:
    policy = make()
    with torch.no_grad(), computing(policy, "cpu", "bf16"):
        inside = loss(policy)
        with computing(policy, "cpu", "bf16"):  # once is enough
            assert torch.equal(loss(policy), inside)
        assert policy.embed_tokens.weight.dtype == torch.bfloat16
    assert policy.embed_tokens.weight.dtype == torch.float32
