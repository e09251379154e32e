"""Sweeps of the small world: exact, below the frontier, and each the plain descent that it says."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest
import torch

from workbench.core.tabular import TabularWorld, descend, expected, kl, objective
from workbench.errors import WorkbenchError
from workbench.runs.exact.exact_sweep import (
    KL,
    REWARD,
    fixed_budget,
    sample_pairs,
    tabular_sweep,
)

WORLD = TabularWorld.example()


def test_pairs_follow_reference_and_bradley_terry() -> None:
    counts = sample_pairs(WORLD, 200_000, seed=1)
    assert counts.sum((1, 2)).tolist() == [200_000.0] * 3
    assert torch.diagonal(counts, dim1=1, dim2=2).sum() == 0
    # Of the pairs {i, j}, i wins with probability sigmoid(r_i - r_j): 0.8176 for rewards 2 and 0.5.
    won, lost = counts[0, 0, 1].item(), counts[0, 1, 0].item()
    assert won / (won + lost) == pytest.approx(1 / (1 + math.exp(-1.5)), abs=0.01)
    # The reference writes them with 0.20 and 0.35, twice the product over all pairs that differ.
    differ = 1 - sum(p * p for p in (0.20, 0.35, 0.40, 0.05))
    assert (won + lost) / 200_000 == pytest.approx(2 * 0.20 * 0.35 / differ, abs=0.01)
    assert torch.equal(sample_pairs(WORLD, 50, seed=2), sample_pairs(WORLD, 50, seed=2))


def test_tabular_sweep_is_exact_and_never_above_the_frontier() -> None:
    frames = list(tabular_sweep(WORLD, [0.1, 1.0], [0, 1], pairs=40, steps=60, eval_every=25))
    assert [len(frame) for frame in frames] == [8, 16]
    assert list(frames[0]["step"]) == [0, 0, 25, 25, 50, 50, 60, 60]
    frame = frames[-1]
    assert list(frame["beta"]) == [0.1, 1.0] * 8
    assert list(frame["seed"]) == [0] * 8 + [1] * 8
    first = frame[frame["step"] == 0]
    assert first[KL].abs().max() < 1e-12
    assert first[REWARD].to_numpy() == pytest.approx(
        expected(WORLD.reference_logps, WORLD.rewards).mean().item()
    )
    # For every beta the optimum's objective bounds every policy's.
    for beta in (0.05, 0.3, 2.0):
        best = objective(WORLD.optimum(beta), WORLD.reference_logps, WORLD.rewards, beta).mean()
        assert (frame[REWARD] - beta * frame[KL]).max() <= best.item() + 1e-12


def test_one_descent_a_seed_is_the_descent_of_every_beta() -> None:
    betas = [0.1, 1.0, 3.0]
    *_, frame = tabular_sweep(WORLD, betas, [4], pairs=40, steps=60, eval_every=60)
    counts = sample_pairs(WORLD, 40, seed=4)
    rows = frame[frame["step"] == 60]
    for beta, distance, reward in zip(rows["beta"], rows[KL], rows[REWARD], strict=True):
        *_, end = descend(WORLD, beta, steps=60, preferences=counts)
        assert distance == pytest.approx(kl(end.logps, WORLD.reference_logps).mean().item())
        assert reward == pytest.approx(expected(end.logps, WORLD.rewards).mean().item())


def test_many_pairs_bring_a_run_to_the_optimum() -> None:
    *_, frame = tabular_sweep(WORLD, [1.0], [0], pairs=100_000)
    optimum = WORLD.optimum(1.0)
    last = frame.iloc[-1]
    assert last[KL] == pytest.approx(kl(optimum, WORLD.reference_logps).mean().item(), abs=0.01)
    assert last[REWARD] == pytest.approx(expected(optimum, WORLD.rewards).mean().item(), abs=0.01)


@pytest.mark.parametrize(
    "wrong", [{"betas": []}, {"betas": [1.0, 0.0]}, {"seeds": []}, {"pairs": 0}]
)
def test_tabular_sweep_tells_mistakes_at_once(wrong: dict[str, Any]) -> None:
    name = next(iter(wrong)).rstrip("s")
    with pytest.raises(WorkbenchError, match=name):
        tabular_sweep(WORLD, **{"betas": [1.0], "seeds": [0], **wrong})


def test_a_fixed_budget_is_plain_descent_of_every_beta() -> None:
    betas, lrs = [0.1, 1.0], [0.5, 1.0]
    reached = fixed_budget(WORLD, betas, lrs, 20)
    assert reached.shape == (2, 2, 21, 3, 4)
    for row, lr in enumerate(lrs):
        for column, beta in enumerate(betas):
            steps = [at.logps for at in descend(WORLD, beta, steps=20, lr=lr)]
            torch.testing.assert_close(reached[row, column], torch.stack(steps))


def test_in_a_fixed_budget_beta_hurries_plain_gradients_but_not_adam() -> None:
    betas = [0.1, 0.3, 1.0]
    plain, adam = (
        kl(fixed_budget(WORLD, betas, [lr], 5, adam)[0, :, 5], WORLD.reference_logps).mean(-1)
        for lr, adam in ((1.0, False), (0.1, True))
    )
    assert plain[0] < plain[1] < plain[2]
    assert adam[0] > adam[1] > adam[2]


def test_frames_are_tidy() -> None:
    *_, frame = tabular_sweep(WORLD, [0.5], [0], pairs=5, steps=2)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == ["beta", "seed", "step", KL, REWARD]
