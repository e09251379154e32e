"""Reward against KL: the exact curve above all runs, every run's points in its place and look."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from workbench.core.tabular import TabularWorld
from workbench.runs.exact.exact_sweep import KL, REWARD, tabular_sweep
from workbench.view.html.images import png
from workbench.view.lessons.reward_and_kl import (
    PANELS,
    below_optimum,
    frontier,
    looks,
    optima,
    reward_and_grammar,
    trajectories,
)

WORLD = TabularWorld.example()
BETAS = (0.2, 1.0, 5.0)


@pytest.fixture(scope="module")
def exact() -> pd.DataFrame:
    *_, frame = tabular_sweep(WORLD, BETAS, [0, 1], pairs=40, steps=50, eval_every=25)
    return frame


@pytest.fixture
def reviews() -> pd.DataFrame:
    """Two runs of two evaluations, as `sweep` tells them."""
    rows = [(0.1, 0, 0, -0.01, 0.0, 1.0, 0.0), (0.1, 0, 9, 16.0, 0.9, 0.5, 0.45),
            (1.0, 0, 0, 0.0, 0.0, 1.0, 0.0), (1.0, 0, 9, 1.0, 0.7, 1.0, 0.7)]  # fmt: skip
    return pd.DataFrame(rows, columns=["beta", "seed", "step", KL, *PANELS])


def test_optima_of_two_equal_actions_by_hand() -> None:
    # Rewards ln 4 and 0 at beta 1: pi* is 4/5 and 1/5, so the expected reward is 0.8 ln 4 and the
    # KL to one half each is 0.8 ln 1.6 + 0.2 ln 0.4.
    world = TabularWorld(("?",), (("a", "b"),), np.zeros((1, 2)), np.array([[math.log(4), 0.0]]))
    (distance,), (reward,) = optima(world, np.array([1.0]))
    assert distance == pytest.approx(0.8 * math.log(1.6) + 0.2 * math.log(0.4))
    assert reward == pytest.approx(0.8 * math.log(4))


def test_runs_lie_below_the_curve_that_is_drawn(exact: pd.DataFrame) -> None:
    axes = below_optimum(exact, WORLD, Figure().subplots())
    curve = axes.lines[0].get_xydata()
    assert (np.diff(curve[:, 0]) >= 0).all()
    bound = np.interp(exact[KL], curve[:, 0], curve[:, 1])
    # A chord lies below a curve that bends down, by less than this between 200 points.
    assert (exact[REWARD] <= bound + 1e-3).all()


def test_means_of_ends_are_filled_and_optima_hollow(exact: pd.DataFrame) -> None:
    axes = below_optimum(exact, WORLD, Figure().subplots())
    ends = exact[exact["step"] == 50]
    for beta, look in looks(exact).items():
        primitives = [line for line in axes.lines if line.get_marker() == look["marker"]]
        hollow, filled = sorted(primitives, key=lambda line: line.get_zorder())
        assert hollow.get_markerfacecolor() == "white"
        np.testing.assert_allclose(np.ravel(hollow.get_data()), np.ravel(optima(WORLD, [beta])))
        these = ends[ends["beta"] == beta][[KL, REWARD]]
        np.testing.assert_allclose(filled.get_xydata(), [these.mean()])


def test_band_and_bars_are_one_deviation_to_either_side(exact: pd.DataFrame) -> None:
    axes = below_optimum(exact, WORLD, Figure().subplots())
    ends = exact[exact["step"] == 50].groupby("beta")[[KL, REWARD]]
    low, high = ends.mean() - ends.std(), ends.mean() + ends.std()
    band, *bars = axes.collections
    corners = band.get_paths()[0].vertices
    for beta in BETAS:
        at = corners[np.isclose(corners[:, 0], ends.mean()[KL][beta])][:, 1]
        np.testing.assert_allclose([at.min(), at.max()], [low[REWARD][beta], high[REWARD][beta]])
    ends_of_bars = [bar.get_segments()[0][:, 0] for bar in bars]
    np.testing.assert_allclose(ends_of_bars, np.stack([low[KL], high[KL]], -1))


def test_runs_end_with_two_standard_errors_of_their_kl(reviews: pd.DataFrame) -> None:
    axes = trajectories(reviews.assign(**{f"{KL}_se": 0.5}), Figure().subplots(), "samples/reward")
    bars = [bar.get_segments()[0].tolist() for bar in axes.collections]
    assert bars == [[[15.0, 0.9], [17.0, 0.9]], [[0.0, 0.7], [2.0, 0.7]]]


def test_every_beta_has_a_colour_and_a_mark_of_its_own(exact: pd.DataFrame) -> None:
    found = looks(exact)
    assert list(found) == sorted(BETAS)
    assert len({look["marker"] for look in found.values()}) == 3
    assert len({to_rgba(look["color"]) for look in found.values()}) == 3


def test_trajectories_end_in_the_large_mark(reviews: pd.DataFrame) -> None:
    axes = trajectories(reviews, Figure().subplots(), "samples/grammatical")
    large = [line.get_xydata().tolist() for line in axes.lines if line.get_markersize() > 6]
    assert large == [[[16.0, 0.5]], [[1.0, 1.0]]]
    left, right = axes.get_xlim()
    assert left <= -0.01
    assert right > 16
    assert [tick for tick in axes.get_xticks() if tick <= right] == [0, 1, 4, 9, 16]


def test_reward_and_grammar_shows_reward_fluency_and_both(reviews: pd.DataFrame) -> None:
    figure = reward_and_grammar(reviews)
    assert [axes.get_title("left") for axes in figure.axes] == [
        title for title, _ in PANELS.values()
    ]
    assert figure.axes[0].get_xlim() == figure.axes[2].get_xlim()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beta 0.1", "beta 1"]
    assert png(figure)


def test_the_figures_are_opaque_and_say_which_mark_is_which_beta(exact: pd.DataFrame) -> None:
    figure = frontier(exact, WORLD)
    assert figure.get_facecolor() == (1, 1, 1, 1)
    written = [text.get_text() for text in figure.legends[0].get_texts()]
    assert written == ["beta 0.2", "beta 1", "beta 5"]


def test_a_figure_can_grow_from_its_first_run(exact: pd.DataFrame, reviews: pd.DataFrame) -> None:
    assert png(frontier(exact[:3], WORLD))
    assert png(reward_and_grammar(reviews[:1]))
