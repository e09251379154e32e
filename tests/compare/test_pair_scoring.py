"""The plain way agrees with the way that training goes, on a real decoder."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.compare.mistakes import MISTAKES
from workbench.compare.pair_scoring import score_pair, score_rows, text_rows
from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.config import LAYOUTS
from workbench.core.logps import completion_logps
from workbench.core.losses import LOSSES, PairLogps
from workbench.errors import WorkbenchError
from workbench.models.load import Model

TEXTS = ("how was the film?", "the plot was good.", "overall, i hated the music.")


@pytest.fixture(scope="module")
def models(trained: Model) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A policy that has moved away from its reference."""
    policy = copy.deepcopy(trained.policy)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return policy, trained.policy


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", ["dpo", "ipo", "dpo_norm"])
def test_without_mistakes_it_is_what_training_computes(
    trained: Model, models: tuple, layout: str, loss: str
) -> None:
    policy, reference = models
    tokenizer = trained.tokenizer
    prompt, *sides = TEXTS
    chosen, rejected = (tuple(tokenizer.completion(side)) for side in sides)
    pair = Pair(tuple(tokenizer.render_prompt(prompt)), chosen, rejected)
    batch = collate([pair], tokenizer.pad_id, layout)
    with torch.no_grad():
        before = completion_logps(reference, batch)
    logps = PairLogps.from_sequences(batch, completion_logps(policy, batch), before)
    expected = LOSSES[loss](logps, beta=0.4).sum()
    gradient = torch.autograd.grad(expected, list(policy.parameters()))
    ours = score_rows(policy, reference, text_rows(tokenizer, *TEXTS), 0.4, loss)
    assert ours.loss == pytest.approx(expected.item(), rel=1e-4)
    assert ours.margin == pytest.approx(logps.margins.item(), abs=1e-4)
    assert ours.gradient is not None
    for one, other in zip(ours.gradient, gradient, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_the_rows_are_those_of_collate(trained: Model) -> None:
    tokenizer = trained.tokenizer
    prompt, *sides = TEXTS
    chosen, rejected = (tuple(tokenizer.completion(side)) for side in sides)
    batch = collate([Pair(tuple(tokenizer.render_prompt(prompt)), chosen, rejected)], 0)
    rows = text_rows(tokenizer, *TEXTS)
    assert torch.equal(rows.tokens, batch.tokens)
    assert torch.equal(rows.scored, batch.completion_mask)


@settings(max_examples=60, deadline=None)
@given(mistakes=st.sets(st.sampled_from(list(MISTAKES))), width=st.integers(0, 30))
def test_any_set_of_mistakes_can_be_scored(
    trained: Model, models: tuple, mistakes: set[str], width: int
) -> None:
    rows = text_rows(trained.tokenizer, *TEXTS, mistakes, width)
    wrong = score_rows(*models, rows, 0.5)
    assert not rows.scored[:, 0].any()
    assert wrong.loss > 0
    assert torch.isfinite(wrong.slopes).all()
    # Only what is scored pulls, the chosen side's tokens up and the rejected side's down.
    assert torch.equal(wrong.slopes != 0, rows.scored[:, 1:])
    assert (wrong.slopes[0] <= 0).all()
    assert (wrong.slopes[1] >= 0).all()
    right = score_rows(*models, text_rows(trained.tokenizer, *TEXTS), 0.5)
    assert -1 <= wrong.direction(right) <= 1


def test_dpo_on_means_is_dpo_norm(trained: Model, models: tuple) -> None:
    wrong = score_pair(*models, trained.tokenizer, *TEXTS, ["mean_for_sum"], beta=0.4)
    right = text_rows(trained.tokenizer, *TEXTS)
    assert wrong.loss == pytest.approx(score_rows(*models, right, 0.4, "dpo_norm").loss, abs=1e-6)


def test_the_prompt_cancels_in_a_sum(trained: Model, models: tuple) -> None:
    one = score_pair(*models, trained.tokenizer, *TEXTS, beta=0.4)
    other = score_pair(*models, trained.tokenizer, *TEXTS, ["prompt_scored"], beta=0.4)
    moved = other.logratios - one.logratios
    assert moved.abs().min() > 0.01
    assert moved[0].item() == pytest.approx(moved[1].item(), abs=1e-4)
    assert other.margin == pytest.approx(one.margin, abs=1e-4)
    assert other.direction(one) == pytest.approx(1.0, abs=1e-5)


def test_a_gradient_that_was_not_kept_is_missed(trained: Model, models: tuple) -> None:
    scoring = score_rows(*models, text_rows(trained.tokenizer, *TEXTS), gradient=False)
    assert scoring.gradient is None
    with pytest.raises(WorkbenchError, match="gradient=True"):
        _ = scoring.gradient_norm


def test_where_nothing_is_scored_nothing_pulls(trained: Model, models: tuple) -> None:
    # One token per side without an end; the mask moves one position on, where no token is.
    mistakes = ["missing_eos", "mask_off_by_one"]
    nothing = score_pair(*models, trained.tokenizer, "how", "good", "bad", mistakes)
    right = score_pair(*models, trained.tokenizer, "how", "good", "bad")
    assert nothing.margin == 0
    assert nothing.gradient_norm == 0
    assert nothing.direction(right) == 0
