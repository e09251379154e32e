"""The derivation's pictures: each answers to each of its sliders, and writes the right numbers."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from workbench.core.tabular import TabularWorld, descend
from workbench.errors import WorkbenchError
from workbench.view.controls.explorer import Explorer
from workbench.view.html.images import png
from workbench.view.lessons.derivation import (
    explore_objective,
    explore_optimum,
    explore_preference,
    explore_reward,
)
from workbench.view.lessons.descent import explore_loss, watch_descent
from workbench.view.plot.layers import Layers

MADE = {
    function.__name__: function()
    for function in (
        explore_objective, explore_optimum, explore_reward, explore_preference, explore_loss
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Explorers are shared: each test finds them as they were made."""
    for explorer in MADE.values():
        explorer.set(beta=0.5)


SLIDERS = [(name, control) for name, explorer in MADE.items() for control in explorer.values]


def numbers(explorer: Explorer) -> str:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown.texts[1].get_text()


def texts(explorer: Explorer, panel: int) -> list[str]:
    assert isinstance(explorer.shown, Figure)
    return [text.get_text() for text in explorer.shown.axes[panel].texts]


@pytest.mark.parametrize(("name", "control"), SLIDERS)
def test_every_slider_changes_the_picture(name: str, control: str) -> None:
    explorer = MADE[name]
    start, before = explorer.values, explorer.png
    value = start[control]
    low, high = explorer.controls[control].min, explorer.controls[control].max
    moved = value * 1.5 if value else 1.0
    explorer.set(**{control: moved if low <= moved <= high else (low + high) / 2})
    assert explorer.png != before
    explorer.set(**start)
    assert explorer.png == before


@pytest.mark.parametrize("name", MADE)
def test_the_quick_picture_is_the_whole_picture(name: str) -> None:
    explorer = MADE[name]
    explorer.set(beta=explorer.values["beta"] * 1.3)
    assert isinstance(explorer.shown, Figure)
    assert len(explorer.png) > 1000
    fresh = Layers(explorer.shown).png()
    assert explorer.png == fresh
    whole = png(explorer.shown)
    one, other = (
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)
        for data in (fresh, whole)
    )
    apart = (abs(one - other).max(-1) > 64).mean()
    assert apart < 0.01  # only where lines cross what is behind them


def test_the_optimum_is_written_as_computed_by_hand() -> None:
    # pi_ref = 1/2 each, r = (1, 0), beta = 1: pi*(A) = e / (1 + e) = 0.731.
    explorer = explore_objective(reference=0.5, reward=1.0, beta=1.0)
    assert "optimum π* 0.731" in numbers(explorer)
    # Z = (e + 1) / 2 = 1.859; the objective is log Z = 0.620.
    world = TabularWorld(("x",), (("A", "B"),), [[0.0, 0.0]], [[1.0, 0.0]])
    shown = numbers(explore_optimum(world, beta=1.0))
    assert f"Z {(math.e + 1) / 2:.4g} " in shown
    assert f"objective {math.log((math.e + 1) / 2):.3f}" in shown


def test_the_shift_of_rewards_moves_z_and_nothing_else() -> None:
    explorer = explore_reward()
    policy, before = texts(explorer, 1), numbers(explorer)
    explorer.set(shift=2.0)
    assert texts(explorer, 1) == policy
    assert numbers(explorer) != before
    assert "difference +3.254 to +3.254" in numbers(explorer)
    assert "beta log Z +3.254" in numbers(explorer)


def test_both_tables_of_preferences_agree() -> None:
    explorer = explore_preference()
    explorer.set(beta=2.0, shift=-1.0)
    assert texts(explorer, 0) == texts(explorer, 1)
    # sigmoid(2.0 - 0.5) = 0.82, whatever beta is.
    assert texts(explorer, 0)[1] == "0.82"


@pytest.mark.parametrize("loss", ["dpo", "cdpo", "ipo", "hinge"])
def test_the_loss_of_a_pair_is_the_registered_one(loss: str) -> None:
    explorer = explore_loss(loss, beta=0.5)
    # Log-ratios +2 and -1: margin 3, reward margin 1.5.
    assert "margin +3.00   reward margin +1.500" in numbers(explorer)
    wanted = {"dpo": -math.log(1 / (1 + math.exp(-1.5))), "ipo": (3 - 1) ** 2, "hinge": 0.0}
    if loss in wanted:
        assert f"loss {wanted[loss]:.4f}" in numbers(explorer)


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(WorkbenchError, match="loss='dop' is unknown; accepted: dpo, cdpo"):
        explore_loss("dop")


def test_watched_descent_ends_where_descent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []

    def go_through(states, draw):
        for state in states:
            drawn.append(draw(state))

    monkeypatch.setattr("workbench.view.lessons.descent.watch", go_through)
    world = TabularWorld.example()
    ends = watch_descent(world, starts=2, steps=30)
    for seed, end in enumerate(ends):
        *_, wanted = descend(world, 0.5, steps=30, seed=seed)
        assert end.kl == wanted.kl
    assert "2 of 2 below" in drawn[-1].texts[1].get_text()
