"""Supervised training: the mean over all tokens of a step, however its passes are split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.core.batch import Completion, SequenceBatch
from workbench.core.transformer import Transformer
from workbench.runs.run import Run
from workbench.train.batches import batches_for
from workbench.train.events import EvalEvent, StepEvent
from workbench.train.method import find_method

SFT = find_method("sft")
# Completions of 1, 6, 2, 4 and 3 tokens: 16 together.
ITEMS = [
    Completion((1, 2), (3,)),
    Completion((4,), (5, 6, 7, 8, 9, 10)),
    Completion((11, 12, 13), (14, 15)),
    Completion((16, 17), (18, 19, 20, 21)),
    Completion((1,), (9, 8, 7)),
]


def collate(numbers: list[int], layout: str = "stacked") -> SequenceBatch:
    return SFT.collate([ITEMS[number] for number in numbers], 0, layout, numbers)


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
@pytest.mark.parametrize(
    "parts", [[[0, 1, 2, 3, 4]], [[0], [1, 2, 3, 4]], [[0, 1], [2], [3, 4]]], ids=str
)
def test_a_step_is_the_mean_over_the_tokens_of_all_its_passes(
    policy: Transformer, logp: Callable[..., Tensor], take_step: Any, gradients: Any,
    assert_equal_gradients: Any, layout: str, parts: list[list[int]],
) -> None:  # fmt: skip
    logps = [logp(policy, item.prompt, item.completion) for item in ITEMS]
    loss = -torch.stack(logps).sum() / (1 + 6 + 2 + 4 + 3)
    of_means = torch.stack(
        [-torch.stack([logps[i] for i in part]).sum() / sum(len(ITEMS[i].completion) for i in part)
         for part in parts]
    ).mean()  # fmt: skip
    if len(parts) > 1:
        assert abs(of_means - loss) > 1e-3, "the mean of the passes' means is another number"
    expected = gradients(loss, policy)
    found, metrics = take_step(policy, [collate(part, layout) for part in parts], method="sft")
    assert_equal_gradients(found, expected)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert metrics["lengths/completion"] == pytest.approx(16 / 5)
    assert metrics["logps/completion"] == pytest.approx(-loss.item() * 16 / 5, rel=1e-6)


@pytest.mark.parametrize("max_tokens", [0, 5, 12])
@pytest.mark.parametrize(("batch_size", "accumulate"), [(5, 1), (2, 3), (1, 5)])
def test_the_settings_that_split_a_step_leave_it_as_it_is(
    policy: Transformer, take_step: Any, assert_equal_gradients: Any,
    max_tokens: int, batch_size: int, accumulate: int,
) -> None:  # fmt: skip
    whole, told = take_step(policy, [collate([0, 1, 2, 3, 4])], method="sft")
    source = batches_for(SFT, ITEMS, 0, batch_size, accumulate, "packed", max_tokens=max_tokens)
    found, metrics = take_step(policy, source.at(0), method="sft")
    assert_equal_gradients(found, whole)
    assert metrics["loss"] == pytest.approx(told["loss"], rel=1e-6)


def test_a_run_learns_the_chosen_and_needs_no_reference(
    make_run: Callable[..., Run], logp: Callable[..., Tensor]
) -> None:
    run = make_run(method="sft", lr=1e-2)
    list(run)
    assert not run.compares
    evaluations = [event.metrics for event in run.events if isinstance(event, EvalEvent)]
    assert evaluations[-1]["held_out/loss"] < evaluations[0]["held_out/loss"]
    with torch.no_grad():
        total = sum(float(logp(run.policy, i.prompt, i.completion)) for i in run.data.held_out)
    tokens = sum(len(item.completion) for item in run.data.held_out)
    assert evaluations[-1]["held_out/loss"] == pytest.approx(-total / tokens, rel=1e-4)
    assert "held_out/samples/length" in evaluations[-1]
    assert "held_out/kl/policy_reference" not in evaluations[-1]
    steps = [event for event in run.events if isinstance(event, StepEvent)]
    assert set(steps[0].metrics) == {
        "loss", "logps/completion", "lengths/completion", "grad_norm", "lr", "pairs_per_second",
    }  # fmt: skip
    assert len(run.data.train) + len(run.data.held_out) == 48, "one completion of every pair"


def test_of_labelled_rows_the_desirable_are_learnt(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    rows = [
        {"prompt": f"review of the {topic}", "completion": f"it was {text}", "label": text != "bad"}
        for topic in ("film", "book", "hotel", "game")
        for text in ("good", "bad", "not bad")
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    run = make_run(method="sft", data=str(path), held_out=2, batch_size=4)
    list(run)
    texts = [*run.data.train_texts, *run.data.held_out_texts]
    assert sorted({text.completion for text in texts}) == ["it was good", "it was not bad"]
    assert len(texts) == 8
    assert list(run.held_out_frame())[:2] == ["prompt", "completion"]
