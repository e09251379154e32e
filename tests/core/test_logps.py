"""Log-probabilities: the shift, the masks, and every layout and both kernels by definition."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.batch import Pair
from workbench.core.collation import collate, collate_sequences
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps, sequence_logps, token_logps
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError

VOCAB = 11
MODEL = Transformer(
    TransformerConfig(VOCAB, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24), seed=3
)
for parameter in MODEL.parameters():  # far from uniform, so that mistakes show
    parameter.data *= 12 if parameter.dim() > 1 else 1

QUICK = copy.deepcopy(MODEL)  # the same weights
QUICK.kernels = FAST
BY_KERNELS = pytest.mark.parametrize("model", [MODEL, QUICK], ids=["plain", "fast"])

ids = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9).map(tuple)


@st.composite
def pairs_of_tokens(draw: st.DrawFn) -> Pair:
    """Half of them score some tokens of their completions only."""
    chosen, rejected = draw(ids), draw(ids)
    marks = [
        draw(st.lists(st.booleans(), min_size=len(s), max_size=len(s)).filter(any).map(tuple))
        for s in (chosen, rejected)
        if draw(st.booleans())
    ]
    if len(marks) < 2:
        return Pair(draw(ids), chosen, rejected)
    return Pair(draw(ids), chosen, rejected, *marks)


pair = pairs_of_tokens()


def sides_of(pairs: list[Pair]) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]]:
    return [
        (pair.prompt, side, marks or (True,) * len(side))
        for pair in pairs
        for side, marks in (
            (pair.chosen, pair.chosen_scored), (pair.rejected, pair.rejected_scored),
        )
    ]  # fmt: skip


@torch.no_grad()
def one_by_one(
    prompt: tuple[int, ...],
    completion: tuple[int, ...],
    scored: tuple[bool, ...] | None = None,
    model: Transformer = MODEL,
) -> float:
    """Straight from the definition: a full softmax at each position, no batch, no mask."""
    tokens = torch.tensor([[*prompt, *completion]])
    probabilities = model.logits(tokens)[0].softmax(-1)
    positions = range(len(prompt), tokens.shape[1])
    marks = (True,) * len(completion) if scored is None else scored
    return sum(
        math.log(probabilities[position - 1, tokens[0, position]])
        for position, counts in zip(positions, marks, strict=True)
        if counts
    )


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


@BY_KERNELS
@settings(max_examples=60, deadline=None)
@given(st.lists(pair, min_size=1, max_size=4), st.integers(0, VOCAB - 1))
def test_all_layouts_equal_the_definition(model, pairs, pad_id):
    expected = torch.tensor([one_by_one(*side) for side in sides_of(pairs)])
    with torch.no_grad():
        stacked = collate(pairs, pad_id)
        logits = model.logits(stacked.tokens)
        whole = sequence_logps(token_logps(logits, stacked.tokens), stacked.completion_mask)
        scored = completion_logps(model, stacked)
        shared = completion_logps(model, collate(pairs, pad_id, "shared_prefix"))
        unpadded = [
            completion_logps(model, collate([p], pad_id, layout))
            for p in pairs
            for layout in ("stacked", "shared_prefix")
        ]
        packed = completion_logps(model, collate(pairs, pad_id, "packed"))
    kinds = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(whole, expected, **kinds)
    torch.testing.assert_close(scored, expected, **kinds)
    torch.testing.assert_close(shared, expected, **kinds)
    torch.testing.assert_close(packed, expected, **kinds)
    torch.testing.assert_close(torch.cat(unpadded[0::2]), expected, **kinds)
    torch.testing.assert_close(torch.cat(unpadded[1::2]), expected, **kinds)


@settings(max_examples=20, deadline=None)
@given(st.lists(pair, min_size=1, max_size=3))
def test_layouts_have_the_same_gradient(pairs):
    model = copy.deepcopy(MODEL).double()  # so that only a mistake could tell them apart
    gradients = []
    for layout, kernels, recompute in (
        ("stacked", PLAIN, False),
        ("stacked", FAST, False),
        ("shared_prefix", PLAIN, False),
        ("shared_prefix", FAST, False),
        ("packed", PLAIN, False),
        ("packed", FAST, False),
        ("packed", FAST, True),
    ):
        model.zero_grad()
        model.kernels, model.recompute = kernels, recompute
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
    sides = [
        tuple(token for token, counts in zip(side, marks, strict=True) if counts)
        for _, side, marks in sides_of(pairs)
    ]
    for number, side in enumerate(sides):
        scored = batch.completion_mask & (batch.sequence == number)
        assert tuple(batch.tokens[scored].tolist()) == side  # first token in, no pad token
    assert batch.lengths().tolist() == [len(side) for side in sides]


@BY_KERNELS
def test_what_the_other_side_says_does_not_matter(model):
    one = collate([Pair((1, 2), (3, 4), (5, 6, 7))], 0, "shared_prefix")
    other = collate([Pair((1, 2), (8, 9), (5, 6, 7))], 0, "shared_prefix")
    with torch.no_grad():
        assert completion_logps(model, one)[1] == completion_logps(model, other)[1]


@BY_KERNELS
@pytest.mark.parametrize("layout", ["stacked", "packed"])
def test_single_sequences(model, layout):
    sequences = [((1, 2), (3,)), ((4,), (5, 6, 7)), ((4,), (5, 6, 7))]
    scored = [(), (), (True, False, True)]
    plain, model = (copy.deepcopy(one).double() for one in (MODEL, model))
    with torch.no_grad():
        values = completion_logps(model, collate_sequences(sequences, 0, layout, scored=scored))
    marks = [None, None, scored[2]]
    expected = [
        one_by_one(*sequence, own, plain) for sequence, own in zip(sequences, marks, strict=True)
    ]
    assert values.tolist() == pytest.approx(expected, abs=1e-5)
