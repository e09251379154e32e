"""Log-probabilities: the shift, the masks, and every layout against the plain definition."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core import logps as logps_module
from workbench.core.batch import Pair
from workbench.core.collation import collate, collate_sequences
from workbench.core.logps import completion_logps, sequence_logps, token_logps
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError

VOCAB = 11
MODEL = Transformer(
    TransformerConfig(VOCAB, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24), seed=3
)
for parameter in MODEL.parameters():  # far from uniform, so that mistakes show
    parameter.data *= 12 if parameter.dim() > 1 else 1

ids = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9).map(tuple)
pair = st.builds(Pair, ids, ids, ids)


@torch.no_grad()
def one_by_one(prompt: tuple[int, ...], completion: tuple[int, ...]) -> float:
    """Straight from the definition: a full softmax at each place, no batch, no mask."""
    tokens = torch.tensor([[*prompt, *completion]])
    probabilities = MODEL(tokens)[0].softmax(-1)
    places = range(len(prompt), tokens.shape[1])
    return sum(math.log(probabilities[place - 1, tokens[0, place]]) for place in places)


def test_token_logps_by_hand():
    # Two tokens, two words. Position 0 says 0.25 / 0.75; the second token is word 1: log 0.75.
    # What position 1 says is about a third token and must not matter.
    logits = torch.tensor([[[0.25, 0.75], [0.9, 0.1]]]).log()
    assert token_logps(logits, torch.tensor([[0, 1]])).tolist() == [[pytest.approx(math.log(0.75))]]


def test_sequence_logps_by_hand():
    # Tokens: prompt, prompt, completion, end, pad. Scored: -3 and -4, so -7, or -3.5 on average.
    values = torch.tensor([-1.0, -3.0, -4.0, -math.inf])
    mask = torch.tensor([False, False, True, True, False])
    assert sequence_logps(values, mask).item() == -7
    assert sequence_logps(values, mask, "mean").item() == -3.5
    assert sequence_logps(values, mask[1:]).item() == -7  # already in line with the values


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(WorkbenchError, match="logits"):
        token_logps(torch.zeros(1, 3, 5), torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(WorkbenchError, match="completion_mask"):
        sequence_logps(torch.zeros(1, 3), torch.ones(1, 6))
    with pytest.raises(WorkbenchError, match="reduction='max'"):
        sequence_logps(torch.zeros(1, 3), torch.ones(1, 4), "max")


@settings(max_examples=60, deadline=None)
@given(st.lists(pair, min_size=1, max_size=4), st.integers(0, VOCAB - 1))
def test_all_layouts_equal_the_definition(pairs, pad_id):
    expected = torch.tensor(
        [one_by_one(p.prompt, side) for p in pairs for side in (p.chosen, p.rejected)]
    )
    with torch.no_grad():
        stacked = collate(pairs, pad_id)
        logits = MODEL(stacked.tokens, stacked.positions)
        plain = sequence_logps(token_logps(logits, stacked.tokens), stacked.completion_mask)
        shared = completion_logps(MODEL, collate(pairs, pad_id, "shared_prefix"))
        unpadded = [
            completion_logps(MODEL, collate([p], pad_id, layout))
            for p in pairs
            for layout in ("stacked", "shared_prefix")
        ]
        packed = completion_logps(MODEL, collate(pairs, pad_id, "packed"))
        fast = completion_logps(MODEL, stacked)
    kinds = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(plain, expected, **kinds)
    torch.testing.assert_close(fast, expected, **kinds)
    torch.testing.assert_close(shared, expected, **kinds)
    torch.testing.assert_close(packed, expected, **kinds)
    torch.testing.assert_close(torch.cat(unpadded[0::2]), expected, **kinds)
    torch.testing.assert_close(torch.cat(unpadded[1::2]), expected, **kinds)


@settings(max_examples=20, deadline=None)
@given(st.lists(pair, min_size=1, max_size=3))
def test_layouts_have_the_same_gradient(pairs):
    model = copy.deepcopy(MODEL).double()  # so that only a mistake could tell them apart
    gradients = []
    for layout, plain, recompute in (
        ("stacked", True, False),
        ("stacked", False, False),
        ("shared_prefix", True, False),
        ("shared_prefix", False, False),
        ("packed", True, False),
        ("packed", False, False),
        ("packed", False, True),
    ):
        model.zero_grad()
        model.plain, model.recompute = plain, recompute
        weights = torch.arange(1.0, 2 * len(pairs) + 1)
        (completion_logps(model, collate(pairs, 0, layout)) * weights).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for found in gradients[1:]:
        # The angles of the positions are computed in float32.
        torch.testing.assert_close(found, gradients[0], atol=1e-6, rtol=1e-5)


@given(
    st.lists(pair, min_size=1, max_size=4), st.sampled_from(["stacked", "shared_prefix", "packed"])
)
def test_exactly_the_completion_is_scored(pairs, layout):
    # The padding id also occurs as a token, so masks can't have come from ids.
    batch = collate(pairs, pad_id=0, layout=layout)
    sides = [side for p in pairs for side in (p.chosen, p.rejected)]
    for number, side in enumerate(sides):
        scored = batch.completion_mask & (batch.sequence == number)
        assert tuple(batch.tokens[scored].tolist()) == side  # first token in, no pad token
    assert batch.lengths().tolist() == [len(side) for side in sides]


def test_what_the_other_side_says_does_not_matter():
    one = collate([Pair((1, 2), (3, 4), (5, 6, 7))], 0, "shared_prefix")
    other = collate([Pair((1, 2), (8, 9), (5, 6, 7))], 0, "shared_prefix")
    with torch.no_grad():
        assert completion_logps(MODEL, one)[1] == completion_logps(MODEL, other)[1]


def test_chunked_head_equals_whole_head(monkeypatch):
    batch = collate([Pair((1, 2), (3, 4, 5, 6), (7, 8, 9))] * 3, 0)
    results = []
    for chunk in (1 << 20, 8 * VOCAB):  # all at once, or two positions
        monkeypatch.setattr(logps_module, "CHUNK_BYTES", chunk)
        MODEL.zero_grad()
        values = completion_logps(MODEL, batch)
        values.sum().backward()
        results.append((values.detach(), MODEL.embed_tokens.weight.grad.clone()))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_log_probabilities_of_half_precision_logits_are_summed_in_float32(monkeypatch):
    monkeypatch.setattr(logps_module, "ROWS", 2)
    generator = torch.Generator().manual_seed(0)
    for kind, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        logits = (5 * torch.randn(5, 40, generator=generator)).to(kind).requires_grad_()
        targets = torch.tensor([0, 39, 7, 7, 1])
        weights = torch.tensor([1.0, -2.0, 0.0, 3.0, 0.5])
        found = logps_module._TokenLogps.apply(logits * 1, targets)
        (found * weights).sum().backward()
        wide = logits.detach().double().requires_grad_()
        expected = wide.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        (expected * weights).sum().backward()
        # The value is as good as float32 for logits of any type; the gradient has their type.
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(logits.grad.double(), wide.grad, atol=tolerance, rtol=tolerance)


def test_single_sequences():
    sequences = [((1, 2), (3,)), ((4,), (5, 6, 7))]
    with torch.no_grad():
        values = completion_logps(MODEL, collate_sequences(sequences, 0))
    expected = [one_by_one(*sequence) for sequence in sequences]
    assert values.tolist() == pytest.approx(expected, abs=1e-5)
