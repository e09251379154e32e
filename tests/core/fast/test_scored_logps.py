"""The head at the scored positions alone: in pieces, and summed in float32."""

import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.fast import scored_logps as module
from workbench.core.fast import scored_positions
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.transformer import Transformer, TransformerConfig

VOCAB = 11
MODEL = Transformer(
    TransformerConfig(VOCAB, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24),
    seed=3,
    kernels=FAST,
)
for parameter in MODEL.parameters():  # far from uniform, so that mistakes show
    parameter.data *= 12 if parameter.dim() > 1 else 1


def test_chunked_head_equals_whole_head(monkeypatch):
    batch = collate([Pair((1, 2), (3, 4, 5, 6), (7, 8, 9))] * 3, 0)
    results = []
    for chunk in (1 << 20, 8 * VOCAB):  # all at once, or two positions
        monkeypatch.setattr(scored_positions, "CHUNK_BYTES", chunk)
        MODEL.zero_grad()
        values = completion_logps(MODEL, batch)
        values.sum().backward()
        results.append((values.detach(), MODEL.embed_tokens.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_log_probabilities_of_half_precision_logits_are_summed_in_float32(monkeypatch):
    monkeypatch.setattr(scored_positions, "ROWS", 2)
    generator = torch.Generator().manual_seed(0)
    for kind, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        logits = (5 * torch.randn(5, 40, generator=generator)).to(kind).requires_grad_()
        targets = torch.tensor([0, 39, 7, 7, 1])
        weights = torch.tensor([1.0, -2.0, 0.0, 3.0, 0.5])
        found = module._TokenLogps.apply(logits * 1, targets)
        (found * weights).sum().backward()
        wide = logits.detach().double().requires_grad_()
        expected = wide.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        (expected * weights).sum().backward()
        # The value is as good as float32 for logits of any type; the gradient has their type.
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits.grad.double(), wide.grad, atol=tolerance, rtol=tolerance)
