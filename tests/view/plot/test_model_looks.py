"""Reference, policy and pi* look alike in every figure, and no two of them look the same."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from workbench.core.tabular import TabularWorld
from workbench.view.lessons.beta import explore_reference_temperature, explore_two_truths
from workbench.view.lessons.derivation import explore_objective, explore_optimum, explore_reward
from workbench.view.lessons.displacement import explore_displacement, explore_shared_features
from workbench.view.lessons.reward_and_kl import OPTIMUM as DRAWN_ABOVE_RUNS
from workbench.view.plot import outcome
from workbench.view.plot.primitives import OPTIMUM, POLICY, REFERENCE

LOOKS = {"reference": REFERENCE, "policy": POLICY, "optimum": OPTIMUM}
# Figure, panel with bars, and whose they are: above, below.
BARS = [
    (explore_optimum, 0, ("reference", "optimum")),
    (explore_reward, 1, ("reference", "optimum")),
    (explore_two_truths, 2, ("reference", "optimum")),
    (explore_two_truths, 3, ("reference", "policy")),
    (explore_reference_temperature, 0, ("reference", "optimum")),
    (explore_displacement, 0, ("reference", "optimum")),
    (explore_shared_features, 0, ("reference", "policy")),
]


def test_no_two_models_share_colour_hatch_or_dashes():
    for one, other in combinations(LOOKS.values(), 2):
        assert one.colour != other.colour
        assert one.hatch != other.hatch
        assert one.dashes != other.dashes


@pytest.mark.parametrize(("explore", "panel", "names"), BARS)
def test_bars_have_the_look_of_their_model(explore, panel, names):
    axes = explore().shown.axes[panel]
    for side, name in zip(("upper", "lower"), names, strict=True):
        bars = [bar for bar in axes.patches if bar.get_gid() == side]
        assert bars
        for bar in bars:
            assert bar.get_edgecolor()[:3] == pytest.approx(to_rgb(LOOKS[name].colour))
            assert (bar.get_hatch() or "") == LOOKS[name].hatch


def test_histograms_and_curves_take_the_same_looks():
    assert outcome.LOOKS == {"reference": REFERENCE, "policy": POLICY}
    assert DRAWN_ABOVE_RUNS is OPTIMUM
    lines = {line.get_gid(): line for line in explore_two_truths().shown.axes[1].lines}
    assert lines["optimum"].get_color() == OPTIMUM.colour
    assert lines["reached"].get_color() == POLICY.colour


@pytest.mark.parametrize("beta", [0.05, 0.5, 10.0])
@pytest.mark.parametrize("reward", [1.0, -2.0])
def test_objective_fills_its_height(beta, reward):
    axes = explore_objective(0.3, reward, beta).shown.axes[0]
    bottom, top = axes.get_ylim()
    drawn = np.concatenate([line.get_ydata() for line in axes.lines if line.get_gid() in
                            ("expected reward", "− beta · KL", "their sum")])  # fmt: skip
    assert top - drawn.max() <= 0.6  # a step and a fifth
    assert max(drawn.min(), -3.0) - bottom <= 0.6


def test_optimum_has_room_below_0_only_where_a_reward_is():
    explorer = explore_optimum(TabularWorld.example())
    curves = explorer.shown.axes[1]
    explorer.set(reward_0=1.0, reward_1=1.0, reward_2=0.5, reward_3=0.0)
    assert curves.get_ylim()[0] == 0
    explorer.set(**{f"reward_{index}": -2.0 for index in range(4)})
    assert curves.get_ylim()[0] <= -2
