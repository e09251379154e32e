"""Runs with and without some pairs differ in these pairs and in nothing else."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from workbench.compare.ches import ches_frame
from workbench.compare.model_handles import ModelHandle
from workbench.compare.removal import REMOVED, ranked_pairs, run_without, train_without
from workbench.data.pairs import TextPair, write_jsonl
from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.runs.prepare import prepare
from workbench.runs.run import Run
from workbench.train.config import TrainConfig


def test_the_frame_grows_and_the_base_stays(trained: Model, small: dict[str, Any]) -> None:
    before = model_hash(trained.policy)
    told = list[float]()
    config = TrainConfig(**small)
    frames = list(
        train_without(config, trained, 0.25, (0, 3), progress=lambda text, done: told.append(done))
    )
    assert told[-1] == 1
    assert model_hash(trained.policy) == before
    assert [len(frame) for frame in frames] == [1, 2, 3, 4, 5, 6]
    frame = frames[-1]
    assert frame["removed"].tolist() == [*REMOVED, *REMOVED]
    assert frame["pairs"].tolist() == [38, 28, 28] * 2  # a quarter of 38, rounded, is 10
    assert frame["step"].tolist() == [10] * 6  # as many as with all pairs
    assert frame["logratios/chosen"].nunique() == 6


def test_with_nothing_removed_it_is_the_plain_run(trained: Model, small: dict[str, Any]) -> None:
    config = TrainConfig(**small)
    first = next(train_without(config, trained, seeds=(config.seed,))).iloc[0]
    run = Run.create(config, base=copy.deepcopy(trained))
    list(run)
    for name, value in run.evaluate().items():
        assert first[name.removeprefix("held_out/")] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_the_removed_pairs_are_not_trained_on(trained: Model, small: dict[str, Any]) -> None:
    parts = prepare(TrainConfig(**small), base=copy.deepcopy(trained))
    ranked = ranked_pairs(parts, "ches_norm")
    handle = ModelHandle("m", trained.policy, trained.tokenizer)
    frame = ches_frame(handle, parts.data.train_texts)
    scores = frame.set_index("pair")["ches_norm"][ranked]
    assert sorted(ranked) == list(range(38))
    assert scores.is_monotonic_decreasing
    run = run_without(parts, ranked[:10], seed=1)
    kept = [index for index in range(38) if index not in ranked[:10]]
    assert run.data.train == [parts.data.train[index] for index in kept]
    assert run.data.train_texts == [parts.data.train_texts[index] for index in kept]
    assert run.data.held_out == parts.data.held_out
    list(run)
    assert model_hash(parts.model.policy) == model_hash(trained.policy)


@pytest.mark.parametrize(
    ("changes", "share", "message"),
    [
        ({}, 0.0, r"share=0.0 is not accepted: a number above 0 and up to 0.5"),
        ({}, 0.6, "share=0.6"),
        ({"held_out": 0}, 0.1, "0 rows held out is not accepted"),
        ({"loss": "kto"}, 0.1, "method kto with loss kto and 18 rows"),
        ({"loss": "simpo"}, 0.1, "method preference with loss simpo"),
    ],
)
def test_what_cannot_be_compared_is_refused_at_once(
    trained: Model, small: dict[str, Any], changes: dict[str, Any], share: float, message: str
) -> None:
    base = copy.deepcopy(trained)
    with pytest.raises(WorkbenchError, match=message):
        train_without(TrainConfig(**(small | changes)), base, share)


def test_a_single_pair_leaves_nothing_to_train_on(
    trained: Model, small: dict[str, Any], tmp_path: Path
) -> None:
    pairs = [TextPair(prompt, "the food was superb.", "the food was awful.") for prompt in "ab"]
    write_jsonl(pairs, tmp_path / "two.jsonl")
    config = TrainConfig(**(small | {"held_out": 1, "data": str(tmp_path / "two.jsonl")}))
    with pytest.raises(WorkbenchError, match="there is one pair to train on"):
        train_without(config, copy.deepcopy(trained))


def test_an_unknown_score_is_named(trained: Model, small: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match="by='chess' is unknown; accepted: ches, ches_norm"):
        train_without(TrainConfig(**small), trained, by="chess")
