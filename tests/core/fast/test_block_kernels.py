"""The fast inner operations against their plain definitions, values and gradients."""

import pytest
import torch

from workbench.core import policy as plain_kernels
from workbench.core.fast import block_kernels
from workbench.core.fast.block_kernels import attend, rms_norm, swiglu


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def plain_attention(queries, keys, values, mask):
    group = queries.shape[1] // keys.shape[1]
    rows = []
    for row in range(queries.shape[0]):
        heads = []
        for head in range(queries.shape[1]):
            scores = queries[row, head] @ keys[row, head // group].T / queries.shape[-1] ** 0.5
            weights = torch.where(mask[row], scores, -torch.inf).softmax(-1)
            heads.append(weights @ values[row, head // group])
        rows.append(torch.stack(heads))
    return torch.stack(rows)


@pytest.mark.parametrize("short", [0, 10_000])  # the fused form, and the written-out one
@pytest.mark.parametrize("heads", [2, 6])
@pytest.mark.parametrize("masked", [True, False])
def test_attention_equals_its_definition(monkeypatch, short, heads, masked):
    monkeypatch.setattr(block_kernels, "SHORT", short)
    parts = [draw(3, heads, 7, 4), draw(3, 2, 7, 4, seed=1), draw(3, 2, 7, 4, seed=2)]
    causal = torch.ones(7, 7, dtype=torch.bool).tril()
    mask = (draw(3, 7, 7, seed=3) > 0) & causal | torch.eye(7, dtype=torch.bool)
    results = []
    for function in (attend, plain_attention):
        inputs = [part.clone().requires_grad_() for part in parts]
        if function is plain_attention:
            given = mask if masked else causal.expand(3, 7, 7)
        else:
            given = mask[:, None] if masked else None
        out = function(*inputs, given)
        (out * draw(*out.shape, seed=4)).sum().backward()
        results.append([out.detach(), *(part.grad for part in inputs)])
    torch.testing.assert_close(*results)


def test_rms_norm_equals_its_definition():
    x, weight = draw(2, 3, 5).requires_grad_(), draw(5, seed=1).requires_grad_()
    plain = plain_kernels.rms_norm(x, weight, 1e-5)
    torch.testing.assert_close(rms_norm(x, weight, 1e-5), plain)
    assert torch.autograd.gradcheck(lambda a, b: rms_norm(a, b, 1e-5), (x, weight))


def test_under_autocast_the_norm_rounds_once():
    x, weight = draw(4, 8).float(), draw(8, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = rms_norm(x, weight, 1e-5)
    assert value.dtype == torch.bfloat16
    assert torch.equal(value, rms_norm(x, weight, 1e-5).bfloat16())


def test_swiglu_equals_its_definition():
    gate, up = draw(3, 5).requires_grad_(), draw(3, 5, seed=1).requires_grad_()
    torch.testing.assert_close(swiglu(gate, up), plain_kernels.swiglu(gate, up))
    torch.testing.assert_close(swiglu(gate, up), gate * gate.sigmoid() * up)
    assert torch.autograd.gradcheck(swiglu, (gate, up))
