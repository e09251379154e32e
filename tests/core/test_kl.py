"""KL along a completion and squared probabilities: by hand, by enumeration, fast as defined."""

import copy
import itertools
import math

import pytest
import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate, collate_sequences
from workbench.core.fast import scored_positions
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps, log_collision, next_token_kl
from workbench.core.policy import PLAIN
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError

VOCAB = 11
SHAPE = TransformerConfig(VOCAB, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24)
PAIRS = [Pair((1, 2), (3, 4, 5, 6), (7, 8, 9)), Pair((4,), (5, 10), (6, 1, 1, 1, 0))]
BY_KERNELS = pytest.mark.parametrize("kernels", [PLAIN, FAST], ids=["plain", "fast"])
BY_LAYOUT = pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])


def model(seed: int, shape: TransformerConfig = SHAPE) -> Transformer:
    made = Transformer(shape, seed)
    for parameter in made.parameters():  # far from uniform, so that mistakes show
        parameter.data *= 12 if parameter.dim() > 1 else 1
    return made


def with_kernels(kernels, *models: Transformer) -> list[Transformer]:
    copies = [copy.deepcopy(one) for one in models]
    for one in copies:
        one.kernels = kernels
    return copies


POLICY, REFERENCE = model(3), model(4)


@torch.no_grad()
def chances(policy: Transformer, prompt, completion) -> torch.Tensor:
    """(completion, vocab) probabilities, one sequence at a time."""
    tokens = torch.tensor([[*prompt, *completion]])
    return policy.logits(tokens)[0].double().softmax(-1)[len(prompt) - 1 : -1]


def test_kl_by_hand():
    # 0.8 / 0.2 against 0.5 / 0.5: 0.8 log 1.6 + 0.2 log 0.4 = 0.376013 - 0.183258 = 0.192745.
    # Logits are shifted by 7, which changes no probability.
    ours, theirs = torch.tensor([0.8, 0.2]).log() + 7, torch.tensor([0.5, 0.5]).log()
    assert next_token_kl(ours, theirs).item() == pytest.approx(0.192745, abs=1e-6)
    assert next_token_kl(theirs, theirs).item() == 0


def test_squared_probabilities_by_hand():
    # 0.8^2 + 0.2^2 = 0.68; of four equal ones 4 / 16.
    found = log_collision(torch.tensor([0.8, 0.2]).log() - 3)
    assert found.item() == pytest.approx(math.log(0.68))
    assert log_collision(torch.zeros(2, 4)).tolist() == pytest.approx([math.log(0.25)] * 2)


def test_half_precision_logits_are_summed_in_float32():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (
        (5 * torch.randn(6, 40, generator=generator)).to(torch.bfloat16) for _ in range(2)
    )
    expected = next_token_kl(ours.double(), theirs.double())
    torch.testing.assert_close(next_token_kl(ours, theirs).double(), expected, atol=1e-5, rtol=1e-5)
    expected = log_collision(ours.double())
    torch.testing.assert_close(log_collision(ours).double(), expected, atol=1e-5, rtol=1e-5)


@BY_KERNELS
@BY_LAYOUT
@pytest.mark.parametrize("chunk", [1 << 27, 5 * VOCAB])  # all positions at once, or one by one
def test_scored_positions_one_sequence_at_a_time(monkeypatch, kernels, layout, chunk):
    monkeypatch.setattr(scored_positions, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(scored_positions, "ROWS", 3)
    policy, reference = with_kernels(kernels, POLICY, REFERENCE)
    batch = collate(PAIRS, 0, layout)
    found = kernels.scored_kl(policy, reference, batch)
    squares = kernels.scored_log_collision(policy, batch)
    assert not any(value.requires_grad for value in (*found, *squares))
    for owner, (pair, side) in enumerate(itertools.product(PAIRS, ("chosen", "rejected"))):
        ids = getattr(pair, side)
        ours, theirs = (chances(one, pair.prompt, ids) for one in (POLICY, REFERENCE))
        here, rows = found.owners == owner, torch.arange(len(ids))
        expected = {
            "kl": (ours * (ours / theirs).log()).sum(-1),
            "policy": ours[rows, torch.tensor(ids)].log(),
            "reference": theirs[rows, torch.tensor(ids)].log(),
        }
        for name, values in expected.items():
            value = getattr(found, name)[here].double()
            torch.testing.assert_close(value, values, atol=1e-4, rtol=1e-4)
        squared = squares.values[squares.owners == owner].double()
        torch.testing.assert_close(squared, ours.square().sum(-1).log(), atol=1e-4, rtol=1e-4)
    assert found.kl.max() > 1


@BY_LAYOUT
def test_both_log_probabilities_are_those_of_the_models_alone(layout):
    policy, reference = with_kernels(FAST, POLICY, REFERENCE)
    batch = collate(PAIRS, 0, layout)
    _, *found = FAST.scored_kl(policy, reference, batch).sums(batch.sequences)
    for values, one in zip(found, (policy, reference), strict=True):
        torch.testing.assert_close(values, completion_logps(one, batch).detach())


@BY_KERNELS
def test_a_model_is_at_no_distance_from_itself(kernels):
    (policy,) = with_kernels(kernels, POLICY)
    found = kernels.scored_kl(policy, copy.deepcopy(policy), collate(PAIRS, 0))
    assert found.kl.tolist() == [0.0] * len(found.kl)


@BY_KERNELS
def test_models_that_differ_by_rounding_have_no_negative_kl(kernels):
    policy, other = with_kernels(kernels, POLICY, POLICY)
    noise = torch.randn(VOCAB, SHAPE.dim, generator=torch.Generator().manual_seed(0))
    other.embed_tokens.weight.data += 1e-6 * noise
    batch = collate_sequences([(range(1, 5), range(VOCAB))] * 9, 0)
    found = kernels.scored_kl(policy, other, batch)
    assert not torch.equal(found.policy, found.reference)
    assert found.kl.min() == 0, "without the clamp it would be below"
    assert 0 < found.kl.max() < 1e-5


@BY_KERNELS
def test_different_vocabularies_are_refused(kernels):
    other = model(4, TransformerConfig(VOCAB + 1, dim=16, layers=1, heads=2, kv_heads=1))
    with pytest.raises(WorkbenchError, match="11 and 12 tokens"):
        kernels.scored_kl(POLICY, other, collate(PAIRS, 0))


@BY_KERNELS
def test_the_mean_over_all_completions_is_the_exact_kl_and_the_variance_is_smaller(kernels):
    """Three tokens, of which 0 ends a completion, and at most four positions: 31 completions.

    The exact KL is taken from the probabilities of whole completions, multiplied out one by one.
    """
    words, end, longest, prompt = 3, 0, 4, (1, 2)
    shape = TransformerConfig(words, dim=16, layers=2, heads=4, kv_heads=2, hidden_dim=24)
    policy, reference = with_kernels(kernels, model(5, shape).double(), model(6, shape).double())
    completions = [
        ids
        for size in range(1, longest + 1)
        for ids in itertools.product(range(words), repeat=size)
        if end not in ids[:-1] and (ids[-1] == end or size == longest)
    ]
    assert len(completions) == 31
    weights = []
    for one in (policy, reference):
        rows = [chances(one, prompt, ids).tolist() for ids in completions]
        weights.append(
            [
                math.prod(row[token] for row, token in zip(table, ids, strict=True))
                for table, ids in zip(rows, completions, strict=True)
            ]
        )
    assert [sum(chance) for chance in weights] == pytest.approx([1, 1])
    exact = sum(p * math.log(p / q) for p, q in zip(*weights, strict=True))
    batch = collate_sequences([(prompt, ids) for ids in completions], 0)
    kl, ours, theirs = kernels.scored_kl(policy, reference, batch).sums(batch.sequences)
    chance = torch.tensor(weights[0], dtype=torch.float64)
    means, variances = [], []
    for estimate in (kl, ours - theirs):
        means.append((chance * estimate).sum().item())
        variances.append((chance * (estimate - means[-1]).square()).sum().item())
    assert means == pytest.approx([exact, exact], abs=1e-6)
    assert exact > 0.05
    assert variances[0] < variances[1]
