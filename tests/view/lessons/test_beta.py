"""Beta's two truths and the reference's temperature: the numbers drawn are the exact ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from workbench.core.tabular import TabularWorld, descend, kl
from workbench.view.controls.explorer import Explorer
from workbench.view.lessons.beta import BETAS, explore_reference_temperature, explore_two_truths

WORLD = TabularWorld.example()


@pytest.fixture(scope="module")
def truths() -> Explorer:
    return explore_two_truths()


@pytest.fixture(scope="module")
def temperature() -> Explorer:
    return explore_reference_temperature()


def lines(explorer: Explorer, panel: int) -> dict[str, Any]:
    assert isinstance(explorer.shown, Figure)
    return {line.get_gid(): line for line in explorer.shown.axes[panel].lines}


def numbers(explorer: Explorer) -> str:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown.texts[1].get_text()


def test_at_the_optimum_a_higher_beta_stays_closer(truths: Explorer) -> None:
    drawn = lines(truths, 0)["optimum"].get_xydata()
    wanted = [kl(WORLD.optimum(b), WORLD.reference_logps).mean().item() for b in BETAS]
    np.testing.assert_allclose(drawn, np.stack([BETAS, wanted], 1))
    assert (np.diff(drawn[:, 1]) < 0).all()


def test_in_a_fixed_budget_it_goes_farther_until_the_optimum_is_there(truths: Explorer) -> None:
    truths.set(steps=20, lr=1.0, optimizer="plain gradients", beta=0.1)
    drawn = lines(truths, 1)["reached"].get_ydata()
    peak = int(drawn.argmax())
    assert 0 < peak < len(BETAS) - 1
    assert (np.diff(drawn[: peak + 1]) > 0).all()
    *_, end = descend(WORLD, 0.1, steps=20, lr=1.0)
    reached = kl(end.logps, WORLD.reference_logps).mean().item()
    assert lines(truths, 1)["here"].get_ydata() == [pytest.approx(reached)]
    assert f"lr 1: KL {reached:.2g} nats" in numbers(truths)
    assert f"farthest at beta {BETAS[peak]:.2g}" in numbers(truths)
    truths.set(steps=1)
    assert "the larger beta, the farther" in numbers(truths)


def test_adamw_takes_beta_out_of_the_step(truths: Explorer) -> None:
    truths.set(steps=5, lr=0.1, optimizer="AdamW")
    drawn = lines(truths, 1)["reached"].get_ydata()
    assert (np.diff(drawn) < 0).all()
    assert "the smaller beta, the farther" in numbers(truths)
    # Nothing has told the betas apart yet: Adam's first step is the learning rate.
    truths.set(steps=1)
    assert "all betas equally far" in numbers(truths)
    # On the way neither truth holds; the farthest is in between.
    truths.set(steps=20)
    drawn = lines(truths, 1)["reached"].get_ydata()
    assert 0 < (peak := int(drawn.argmax())) < len(BETAS) - 1
    assert f"farthest at beta {BETAS[peak]:.2g}" in numbers(truths)


def test_temperature_1_is_the_reference_and_then_both_distances_are_one(
    temperature: Explorer,
) -> None:
    temperature.set(temperature=1.0, beta=0.5)
    both = [
        lines(temperature, 1)[f"to {name}"].get_ydata()
        for name in ("this reference", "the one before")
    ]
    np.testing.assert_allclose(*both)
    temperature.set(temperature=2.0)
    here = (WORLD.reference_logps[0] / 2).log_softmax(-1)
    optimum = (here + WORLD.rewards[0] / 0.5).log_softmax(-1)
    assert f"KL(π* ‖ this reference) {kl(optimum, here):.3f}" in numbers(temperature)
    assert f"before) {kl(optimum, WORLD.reference_logps[0]):.3f}" in numbers(temperature)
    assert f"reward {torch.dot(optimum.exp(), WORLD.rewards[0]):.3f}" in numbers(temperature)


@pytest.mark.parametrize(
    ("name", "control", "value"),
    [
        ("truths", "beta", 1.0), ("truths", "steps", 77), ("truths", "lr", 0.3),
        ("truths", "optimizer", "AdamW"), ("temperature", "beta", 1.3),
        ("temperature", "temperature", 3.0),
    ],
)  # fmt: skip
def test_every_control_changes_the_picture(
    name: str, control: str, value: Any, request: pytest.FixtureRequest
) -> None:
    explorer: Explorer = request.getfixturevalue(name)
    explorer.set(**{"beta": 0.1, control: explorer.values[control]})
    if name == "truths":
        explorer.set(steps=20, lr=1.0, optimizer="plain gradients")
    before, start = explorer.png, explorer.values[control]
    explorer.set(**{control: value})
    assert explorer.png != before
    explorer.set(**{control: start})
    assert explorer.png == before
