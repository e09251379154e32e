"""Compiled blocks and log-probabilities are their definitions, compiled once for all lengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.attention import flex_attention as torch_flex

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.fast.fast_kernels import FAST
from workbench.core.fast.gpu import compiled_block, flex_rows
from workbench.core.policy import PLAIN, Kernels, call_block, rms_norm, swiglu
from workbench.core.transformer import Transformer, TransformerConfig

VOCAB = 31


def decoder(kernels: Kernels, recompute: bool = False) -> Transformer:
    shape = TransformerConfig(VOCAB, dim=64, layers=3, heads=4, kv_heads=2, hidden_dim=48)
    policy = Transformer(shape, seed=3, kernels=kernels)
    policy.recompute = recompute
    return policy


def batch_of(sizes: list[tuple[int, int, int]]) -> Any:
    draw = torch.Generator().manual_seed(sum(map(sum, sizes)))
    pairs = [
        Pair(*(tuple(torch.randint(2, VOCAB, (n,), generator=draw).tolist()) for n in size))
        for size in sizes
    ]
    return collate(pairs, 0, "packed")


def results(policy: Transformer, batch: Any) -> list[torch.Tensor]:
    """Log-probabilities of the batch, and the gradient of each weight."""
    policy.zero_grad()
    found = policy(batch).values
    (found * torch.linspace(-1, 1, len(found))).mean().backward()
    return [found.detach(), *(weight.grad for weight in policy.parameters())]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # by Dynamo itself
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("compiles", [False, pytest.param(True, marks=pytest.mark.full)])
def test_one_compilation_serves_layers_and_lengths(
    compiles: bool, recompute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *_: None)  # refused: it is slow
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", not compiles)
    graphs: list[str] = []

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        """Traced for any shape without a break; what was traced is run as it is."""

        def backend(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
            graphs.append(function.__name__)
            return graph.forward

        torch.compiler.reset()
        return torch.compile(function, backend=backend, dynamic=True, fullgraph=True)

    block, logps = call_block, compiled_block.token_logps
    if compiles:
        block, logps = compiled(block), compiled(logps)
        # As on a GPU: compiled on its own too, and then within the compiled block.
        attend = torch.compile(flex_rows.attend_flex, backend="eager", dynamic=True)
        monkeypatch.setattr(flex_rows, "attend_flex", attend)
    monkeypatch.setattr(compiled_block, "compiled_block", lambda: block)
    monkeypatch.setattr(compiled_block, "compiled_token_logps", lambda: logps)
    kernels = replace(
        FAST, attention=flex_rows.attention, block=compiled_block.block, rms_norm=rms_norm,
        swiglu=swiglu, scored_logps=compiled_block.scored_logps,
    )  # fmt: skip
    ours, plain = decoder(kernels, recompute), decoder(PLAIN)
    for sizes in ([(9, 5, 4)], [(40, 60, 50), (7, 3, 8)], [(100, 90, 80)]):
        batch = batch_of(sizes)
        for found, wanted in zip(results(ours, batch), results(plain, batch), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert graphs.count("token_logps") == int(compiles)
    assert graphs.count("call_block") == int(compiles)
