"""Who wins among several models, and what a selection is saved as."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from workbench.compare.judging.judges import Outcomes
from workbench.compare.judging.winners import (
    best,
    extremes,
    judged,
    pairs_of,
    save_pairs,
    save_prompts,
)
from workbench.data.pairs import read_pairs
from workbench.errors import WorkbenchError

NAMES = ("reference", "one", "two")


def frame(rewards: Sequence[Sequence[float]]) -> pd.DataFrame:
    """A prompt for each row of rewards, answered by the three models."""
    return pd.DataFrame(
        {"place": place, "prompt": f"p{place}", "who": who, "text": f"{who} {place}", "reward": r}
        for place, row in enumerate(rewards)
        for who, r in zip(NAMES, row, strict=True)
    )


def test_shares_count_the_others_that_are_beaten() -> None:
    found = judged(frame([(0.0, 0.5, 0.5)]))["judged/true reward"].tolist()
    # 0.0 beats none of two; each 0.5 beats one of two and ties with the other: (1 + 1/2) / 2.
    assert found == [0.0, 0.75, 0.75]


def test_what_has_no_reward_has_no_verdict() -> None:
    found = judged(frame([(math.nan, 0.5, 0.1)]))["judged/true reward"].tolist()
    assert math.isnan(found[0])
    assert found[1:] == [1.0, 0.0]


def test_given_judges_take_the_place_of_the_reward() -> None:
    class Longer:
        name = "longer"

        def __call__(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Outcomes:
            scores = [float(len(x) > len(y)) for x, y in zip(a, b, strict=True)]
            return Outcomes.of(prompts, a, b, scores)

    found = judged(frame([(1.0, 0.0, 0.0)]), [Longer()])
    assert [column for column in found if column.startswith("judged/")] == ["judged/longer"]
    assert best(list(found["judged/longer"]), NAMES) == "reference"


@pytest.mark.parametrize(
    ("shares", "wins", "ends"),
    [
        ((0.0, 1.0, 0.5), "one", ("one", "reference")),
        ((0.0, 0.75, 0.75), "tie", ("one", "reference")),
        ((0.5, 0.5, 0.5), "tie", ("", "")),
        ((math.nan, 1.0, 0.0), "one", ("one", "two")),
        ((math.nan,) * 3, "", ("", "")),
    ],
)
def test_best_and_extremes(shares: Sequence[float], wins: str, ends: tuple[str, str]) -> None:
    assert best(shares, NAMES) == wins
    assert extremes(shares, NAMES) == ends


def test_pairs_are_what_training_reads(tmp_path: Path) -> None:
    answers = judged(frame([(0.0, 1.0, 0.5), (0.5, 0.5, 0.5), (1.0, 0.0, 0.5)]))
    pairs = pairs_of(answers, [0, 1, 2])
    assert pairs == [
        {"prompt": "p0", "chosen": "one 0", "rejected": "reference 0"},
        {"prompt": "p2", "chosen": "reference 2", "rejected": "one 2"},
    ]
    assert save_pairs(pairs, tmp_path / "pairs.jsonl") == 2
    read = read_pairs(tmp_path / "pairs.jsonl")
    texts = read[0] if isinstance(read, tuple) else read.pairs
    assert [(t.prompt, t.chosen, t.rejected) for t in texts] == [tuple(p.values()) for p in pairs]


def test_models_can_be_chosen_by_name() -> None:
    answers = frame([(0.0, 1.0, 0.5)]).drop(columns="reward")
    assert pairs_of(judged(answers), [0], "two", "one")[0]["chosen"] == "two 0"
    with pytest.raises(WorkbenchError, match=r"'winner' can't be chosen.*accepted: reference, one"):
        pairs_of(judged(answers), [0])


def test_prompts_are_saved_once_each(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    assert save_prompts(["a", "b", "a"], file) == 2
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"prompt": "a"}, {"prompt": "b"},
    ]  # fmt: skip
    with pytest.raises(WorkbenchError, match="nothing to save"):
        save_prompts([], file)
