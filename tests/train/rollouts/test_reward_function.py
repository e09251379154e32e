"""What a reward may not return; each is one line that says which and what is accepted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from workbench.errors import WorkbenchError
from workbench.train.rollouts.reward_function import require_signal, scored

PROMPTS, TEXTS = ["a?", "b?"], ["yes", "no"]


def giving(value: Any) -> Any:
    def reward(prompts: Any, completions: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return reward


@pytest.mark.parametrize(
    "value", [[1, 2.5], (1.0, 2.5), np.array([1.0, 2.5]), torch.tensor([1.0, 2.5])]
)
def test_any_row_of_numbers_is_taken(value: Any) -> None:
    assert scored(giving(value), PROMPTS, TEXTS) == [1.0, 2.5]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1.0, math.nan], r"returned nan for 'no' after 'b\?'; accepted: finite numbers"),
        ([-math.inf, 1.0], r"returned -inf for 'yes' after 'a\?'"),
        ([1.0], "returned 1 values for 2 texts"),
        ([[1.0, 2.0], [3.0, 4.0]], r"returned \[\[1.0, 2.0\], \[3.0, 4.0\]\]; accepted: a list"),
        (torch.ones(2, 3), "accepted: a list of numbers"),
        (3.0, "returned 3.0; accepted: a list of numbers"),
        (None, "returned None"),
        (["good", "bad"], "accepted: a list of numbers"),
        ([1.0, 1e39], "returned 1e.39 for 'no' .*; accepted: finite numbers, at most 1e.12"),
        ([1, 10**400], "accepted: a list of numbers"),
        ("12", "returned '12'; accepted: a list of numbers"),
        ({1: 0.5, 2: 0.7}, "accepted: a list of numbers"),
        (ValueError("first\nsecond"), "raised ValueError: first second"),
        (ValueError("no such word"), "the reward 'reward' raised ValueError: no such word"),
    ],
    ids=str,
)
def test_anything_else_is_refused(value: Any, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said) as caught:
        scored(giving(value), PROMPTS, TEXTS)
    assert "\n" not in str(caught.value)


def test_what_a_reward_does_to_its_arguments_changes_nothing() -> None:
    def clears(prompts: list[str], completions: list[str]) -> list[float]:
        prompts.clear()
        completions.clear()
        return [1.0, 2.0]

    prompts, texts = list(PROMPTS), list(TEXTS)
    assert scored(clears, prompts, texts) == [1.0, 2.0]
    assert (prompts, texts) == (PROMPTS, TEXTS)


def test_a_generator_that_raises_is_said_in_one_line() -> None:
    def generator(prompts: Any, completions: Any) -> Any:
        yield 1.0
        raise RuntimeError("no dictionary")

    with pytest.raises(WorkbenchError, match="'generator' raised RuntimeError: no dictionary"):
        scored(generator, PROMPTS, TEXTS)


def test_a_constant_reward_has_no_signal() -> None:
    require_signal(giving(None), [0.5, 0.5, 0.6])
    with pytest.raises(WorkbenchError, match=r"gave 0.5 to all 2 completions.*nothing to learn"):
        require_signal(giving(None), [0.5, 0.5])
