"""Reading a method at a given KL, on made-up curves with known answers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from workbench.runs.equal_kl.readings import farthest, read_method, read_off

# reward = slope * sqrt(kl): (strength, seed) -> slope.
Slopes = dict[tuple[float, int], float]


def curves(slopes: Slopes, kls: tuple[float, ...] = (0.0, 1.0, 4.0)) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"value": value, "seed": seed, "step": step, "kl": kl, "reward": slope * kl**0.5}
            for (value, seed), slope in slopes.items()
            for step, kl in enumerate(kls)
        ]
    )


@pytest.mark.parametrize(
    ("at", "expected"),
    [(0.0, 5.0), (1.0, 6.0), (1.5, 7.0), (2.0, 8.0), (-1.0, 5.0), (3.0, 7.5), (4.0, math.nan)],
)
def test_the_first_passage_is_read_by_a_straight_line(at: float, expected: float) -> None:
    # Back from 2 to 1 in between: 1.5 is read where it is first passed; 3 after the way back.
    along, measured = np.array([0.0, 1.0, 2.0, 1.0, 3.5]), np.array([5.0, 6.0, 8.0, 3.5, 8.5])
    assert read_off(along, measured, at) == pytest.approx(expected, nan_ok=True)


def test_between_evaluations_reward_grows_with_the_root_of_the_kl() -> None:
    rows = curves({(0.1, 0): 1.0, (0.1, 1): 3.0}, kls=(0.0, 4.0))
    found = read_method(rows, "kl", "reward", 1.0)
    assert found is not None
    assert found.values.tolist() == pytest.approx([1.0, 3.0])
    # The other way round: reward 1 takes a KL of 1, and of 1/9.
    needed = read_method(rows, "reward", "kl", 1.0)
    assert needed is not None
    assert needed.values.tolist() == pytest.approx([1.0, 1 / 9])


def test_an_estimate_below_0_counts_as_0() -> None:
    rows = curves({(0.1, 0): 1.0, (0.1, 1): 1.0}, kls=(0.0, 1.0))
    rows.loc[rows["step"] == 0, "kl"] = -0.5
    found = read_method(rows, "kl", "reward", 0.25)
    assert found is not None
    assert found.values.tolist() == pytest.approx([0.5, 0.5])


def test_rows_in_any_order_are_read_by_step() -> None:
    rows = curves({(0.1, 0): 1.0, (0.1, 1): 3.0}).sample(frac=1, random_state=0)
    found = read_method(rows, "kl", "reward", 4.0)
    assert found is not None
    assert found.values.tolist() == pytest.approx([2.0, 6.0])


def test_the_strength_of_a_seed_is_chosen_by_the_others() -> None:
    # Seed 0 was lucky with strength 1. Without it 2 is better (3 > 2), so it is read at 2; for
    # seeds 1 and 2 the others' means are 5 at strength 1 and 2 at 2.
    rows = curves({
        (1.0, 0): 8.0, (1.0, 1): 2.0, (1.0, 2): 2.0,
        (2.0, 0): 1.0, (2.0, 1): 3.0, (2.0, 2): 3.0,
    })  # fmt: skip
    found = read_method(rows, "kl", "reward", 1.0)
    assert found is not None
    assert found.values.tolist() == pytest.approx([1.0, 2.0, 2.0])
    assert found.strength == 1.0  # over all seeds 4 > 7/3
    # A reward of 1 takes a KL of 1 / slope^2, and less is better. Without seed 0: 1/4 > 1/9.
    needed = read_method(rows, "reward", "kl", 1.0)
    assert needed is not None
    assert needed.values.tolist() == pytest.approx([1.0, 1 / 4, 1 / 4])
    assert needed.strength == 1.0  # (1/64 + 1/4 + 1/4) < (1 + 1/9 + 1/9)


def test_only_strengths_that_get_there_with_every_seed_count() -> None:
    near = curves({(1.0, 0): 9.0, (1.0, 1): 9.0}, kls=(0.0, 1.0))
    mixed = pd.concat([
        curves({(2.0, 0): 5.0}, kls=(0.0, 9.0)), curves({(2.0, 1): 5.0}, kls=(0.0, 2.0)),
    ])  # fmt: skip
    rows = pd.concat([near, mixed])
    assert farthest(rows, "kl") == 2.0
    found = read_method(rows, "kl", "reward", 2.0)
    assert found is not None
    assert found.strength == 2.0
    assert read_method(rows, "kl", "reward", 2.001) is None


def test_a_loss_without_a_strength_is_read_all_the_same() -> None:
    rows = curves({(math.nan, 0): 1.0, (math.nan, 1): 2.0})
    found = read_method(rows, "kl", "reward", 4.0)
    assert found is not None
    assert math.isnan(found.strength)
    assert found.values.tolist() == pytest.approx([2.0, 4.0])
    assert farthest(rows, "kl") == 4.0
