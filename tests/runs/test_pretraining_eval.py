"""Snapshots: what they measure is right, they come when asked, and the training does not notice."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest
import torch

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.grammar import is_review, join_words, split_words
from workbench.data.reviews.likelihood import next_words, review_logp
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.runs.pretraining_eval import (
    PretrainingEval,
    Snapshot,
    ladder,
    pretrain_with_snapshots,
)
from workbench.train.base_model import BaseConfig, new_model, pretrain
from workbench.train.events import StepEvent

WORLD = Reviews(ReviewsConfig(pairs=8, topics=3))
SMALL = BaseConfig(dim=16, layers=1, hidden_dim=24, steps=12, texts=256)


@pytest.fixture(scope="module")
def examination() -> PretrainingEval:
    return PretrainingEval(WORLD, WORLD.prompts[3:5], samples=6, fresh=10)


def test_the_weights_are_those_of_pretraining_alone(examination: PretrainingEval) -> None:
    plain, watched = new_model(WORLD, SMALL), new_model(WORLD, SMALL)
    losses = [e.metrics["loss"] for e in pretrain(plain, WORLD, SMALL) if isinstance(e, StepEvent)]
    said = list(pretrain_with_snapshots(watched, WORLD, SMALL, examination))
    assert model_hash(watched.policy) == model_hash(plain.policy)
    assert [e.metrics["loss"] for e in said if isinstance(e, StepEvent)] == losses


def test_snapshots_come_first_when_asked_and_sharpened_last(examination: PretrainingEval) -> None:
    model = new_model(WORLD, SMALL)
    said = list(pretrain_with_snapshots(model, WORLD, SMALL, examination, at=[5]))
    taken = [event for event in said if isinstance(event, Snapshot)]
    assert [(s.step, s.sharpened) for s in taken] == [
        (0, False), (5, False), (12, False), (12, True),
    ]  # fmt: skip
    assert said.index(taken[1]) == 6  # a snapshot and five steps come before it
    assert taken[1].loss < taken[0].loss
    assert taken[3] == examination(model, 12, 12, sharpened=True)
    plain = replace(SMALL, sharpen=1.0)
    last = list(pretrain_with_snapshots(new_model(WORLD, plain), WORLD, plain, examination))[-1]
    assert isinstance(last, Snapshot)
    assert not last.sharpened


def test_loss_and_floor_are_means_over_the_same_tokens(examination: PretrainingEval) -> None:
    """Against a sum by hand, text by text and word by word."""
    model = new_model(WORLD, SMALL)
    ours = grammars = count = 0.0
    for example in WORLD.corpus(10, seed=-1):
        prompt = model.tokenizer.render_prompt(example.prompt)
        completion = model.tokenizer.completion(example.completion)
        with torch.no_grad():
            logps = model.policy.logits(torch.tensor([prompt + completion])).log_softmax(-1)[0]
        ours -= sum(float(logps[len(prompt) - 1 + i, word]) for i, word in enumerate(completion))
        grammars -= review_logp(WORLD.topic_of(example.prompt), example.completion)
        count += len(completion)
    assert examination.loss(model) == pytest.approx(ours / count, rel=1e-5)
    assert examination.floor == pytest.approx(grammars / count)
    assert examination.loss(model) > examination.floor


def test_misfits_are_what_cannot_come_next(examination: PretrainingEval) -> None:
    """A model with equal logits gives every word 1 of the vocabulary's share."""
    model = new_model(WORLD, SMALL)
    with torch.no_grad():
        model.policy.norm.weight.zero_()  # type: ignore[union-attr,operator]
    rests = []
    for example in WORLD.corpus(2, seed=-1):
        topic, words = WORLD.topic_of(example.prompt), split_words(example.completion)
        for place in range(len(words) + 1):
            so_far = join_words(words[:place])
            fits = len(next_words(topic, so_far)) + is_review(topic, so_far)
            rests.append(1 - fits / WORLD.tokenizer.vocab_size)
    assert examination.misfit(model, 2) == pytest.approx(fmean(rests))


def test_texts_are_judged(examination: PretrainingEval, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["the plot was good.", "the plot was breakfast.", "the plot was", "", "no.", "i"]
    module = "workbench.runs.pretraining_eval.write_answers"
    monkeypatch.setattr(module, lambda *_: answers)
    taken = examination(new_model(WORLD, SMALL), 1, 2)
    assert [text.prompt for text in taken.texts[:2]] == list(WORLD.prompts[3:5])
    assert [text.parses for text in taken.texts] == [True, False, False, False, False, False]
    assert [text.fitting for text in taken.texts] == [5, 3, 3, 0, 0, 1]
    assert taken.grammatical == 1 / 6


def test_an_untrained_model_knows_as_much_as_nobody(examination: PretrainingEval) -> None:
    taken = examination(new_model(WORLD, SMALL), 0, 1)
    assert taken.grammatical == 0
    assert taken.loss == pytest.approx(math.log(WORLD.tokenizer.vocab_size), rel=0.1)


@pytest.mark.parametrize("total", [1, 2, 60, 1000])
def test_the_ladder_ends_at_the_top(total: int) -> None:
    steps = ladder(total)
    assert steps == sorted(set(steps))
    assert steps[-1] == total
    assert all(total / 100 <= step <= total for step in steps)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"fresh": 0}])
def test_nothing_to_ask_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(WorkbenchError, match="accepted are 1 and more"):
        PretrainingEval(WORLD, **wrong)  # type: ignore[arg-type]
