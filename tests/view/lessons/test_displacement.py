"""The figures of displacement: exact numbers, and each control changes the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from workbench.core.displacement import LogLinearWorld, pair_logratios
from workbench.core.tabular import TabularWorld
from workbench.view.controls.explorer import Explorer
from workbench.view.lessons.displacement import GRID, explore_displacement, explore_shared_features


def lines(explorer: Explorer) -> dict[str, Any]:
    assert isinstance(explorer.shown, Figure)
    return {line.get_gid(): line for line in explorer.shown.axes[1].lines}


def numbers(explorer: Explorer) -> str:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown.texts[1].get_text()


def test_the_curves_by_beta_are_the_exact_means() -> None:
    world = TabularWorld.random(2, 3, seed=1)
    explorer = explore_displacement(world, prompt=1, beta=0.3)
    for index, side in enumerate(("chosen", "rejected")):
        wanted = [pair_logratios(world, beta).mean(0)[index].item() for beta in GRID.tolist()]
        np.testing.assert_allclose(lines(explorer)[side].get_ydata(), wanted)
    (chosen, rejected), here = pair_logratios(world, 0.3).mean(0), pair_logratios(world, 0.3)[1]
    assert f"chosen {chosen:+.2f}, rejected {rejected:+.2f} nats" in numbers(explorer)
    assert f"this prompt: {here[0]:+.2f}, {here[1]:+.2f}" in numbers(explorer)
    before = explorer.png
    explorer.set(beta=2.0)
    assert explorer.png != before
    assert "beta 2" in numbers(explorer)


def test_the_example_world_is_the_one_of_the_derivation() -> None:
    assert "chosen -0.40, rejected -2.03 nats" in numbers(explore_displacement())


@pytest.mark.parametrize(("mildness", "word"), [(0.1, "falls"), (0.5, "rises")])
def test_the_descent_is_drawn_as_computed(mildness: float, word: str) -> None:
    explorer = explore_shared_features(mildness, step=30)
    world = LogLinearWorld.example(mildness)
    logps, losses = world.descend(steps=200)
    for name, values in zip(world.responses, logps.exp().T.numpy(), strict=True):
        np.testing.assert_allclose(lines(explorer)[name].get_ydata(), values)
    change = (logps[30] - logps[0]).tolist()
    shown = numbers(explorer)
    assert f"loss {losses[30]:.3f}" in shown
    assert f"No {change[0]:+.2f}, Never {change[1]:+.2f}, Yes {change[3]:+.2f}" in shown
    assert shown.endswith(f"{world.slopes(logps[0])[0]:+.4f}: it {word} at first")


@pytest.mark.parametrize(("control", "value"), [("mildness", 0.7), ("step", 20)])
def test_either_slider_changes_the_picture(control: str, value: float) -> None:
    explorer = explore_shared_features()
    before, start = explorer.png, explorer.values[control]
    explorer.set(**{control: value})
    assert explorer.png != before
    explorer.set(**{control: start})
    assert explorer.png == before
