"""The figures of RLHF beside DPO: what is drawn is what was computed, and controls move it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.core.tabular import TabularWorld, TokenTree, completion_sums, pairs_worth
from workbench.runs.exact.two_stages import FROM_REFERENCE, TWO_STAGES
from workbench.view.controls.explorer import Explorer
from workbench.view.lessons.rlhf.broken_equality import broken_equality_figure
from workbench.view.lessons.rlhf.frontier_figures import hacking_figure, rlhf_figure
from workbench.view.lessons.rlhf.pipeline import BOXES, pipeline_figure
from workbench.view.lessons.rlhf.rankings import explore_ranking, rankings_figure
from workbench.view.lessons.rlhf.token_tree import explore_token_tree


def figure_of(explorer: Explorer) -> Figure:
    assert isinstance(explorer.shown, Figure)
    return explorer.shown


def numbers(explorer: Explorer) -> str:
    return figure_of(explorer).texts[1].get_text()


def bars(explorer: Explorer, panel: int, key: str) -> list[float]:
    patches: list[Any] = list(figure_of(explorer).axes[panel].patches)
    return [bar.get_width() for bar in patches if bar.get_gid() == key]


def test_the_pipeline_names_its_boxes() -> None:
    written = [text.get_text() for text in pipeline_figure().axes[0].texts]
    assert set(BOXES) <= set(written)


def test_every_break_is_drawn_with_its_mean() -> None:
    two = {"seed": [0, 0, 1, 1]}
    fits = pd.concat(
        pd.DataFrame(two | {"steps": [1, 10] * 2, "fit": fit, "kl": [0.4, 0.2, 0.2, 0.1]})
        for fit in (TWO_STAGES, FROM_REFERENCE)
    )
    tables = {
        "never_compared": pd.DataFrame(two | {"spread": [0.0, 1.0] * 2, "kl": [0, 0.2, 0, 0.4]}),
        "off_support": fits.rename(columns={"steps": "chance", "kl": "probability"}),
        "small_family": pd.DataFrame(
            two | {"correlation": [0.0, 1.0] * 2, "kl": [1.0, 0, 3.0, 0], "same_family": 0.0}
        ),
        "finite_budget": fits,
    }
    never, support, family, budget = broken_equality_figure(tables).axes
    thick = [
        [line.get_ydata() for line in axes.lines if line.get_linewidth() > 2]
        for axes in (never, support, family, budget)
    ]
    np.testing.assert_allclose(thick[0], [[0, 0.3]])
    np.testing.assert_allclose(thick[1], [[0.3, 0.15]] * 2)
    np.testing.assert_allclose(thick[2], [[2, 0], [0, 0]])
    np.testing.assert_allclose(thick[3], [[0.3, 0.15]] * 2)
    assert [len(axes.lines) for axes in (never, support, family, budget)] == [3, 6, 6, 6]


def test_a_ranking_is_drawn_draw_by_draw() -> None:
    explorer = explore_ranking(length=3, beta=0.5, moved=0.0)
    np.testing.assert_allclose(bars(explorer, 0, "bars"), [1 / 3, 1 / 2, 1, 0])
    # 1/3 - 1; 1/3 + 1/2 - 1; 1/3 + 1/2 + 1 - 1, times beta; the last answer is not ranked.
    np.testing.assert_allclose(bars(explorer, 1, "bars"), np.array([-4, -1, 5, 0]) / 12)
    assert "ranking 0.1667" in numbers(explorer)
    assert "loss 1.792   at the reference log 3! = 1.792" in numbers(explorer)


def test_two_ranked_answers_are_a_pair() -> None:
    explorer = explore_ranking(length=2, beta=0.5, moved=1.0)
    gap = 2.0 - 0.5  # the best two rewards of the first prompt
    wanted = 1 / (1 + np.exp(-0.5 * gap))
    np.testing.assert_allclose(bars(explorer, 0, "bars")[:2], [wanted, 1])


def test_rankings_are_compared_with_pairs() -> None:
    (axes,) = rankings_figure(seeds=[2]).axes
    rewards = TabularWorld.random(1, 6, 2).rewards[0]
    wanted = [pairs_worth(rewards, length) for length in range(2, 7)]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), wanted)
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [1, 3, 6, 10, 15])
    np.testing.assert_allclose(axes.lines[2].get_ydata(), [1, 2, 3, 4, 5])


def test_the_tree_shows_advantages_and_one_completion() -> None:
    tree = TokenTree.random(2, 3, seed=5)
    text = tree.completions[0]
    explorer = explore_token_tree(tree, beta=0.4)
    advantages = tree.advantages(0.4)
    (edges,) = figure_of(explorer).axes[0].collections
    np.testing.assert_allclose(edges.get_array(), np.concatenate([a.flatten() for a in advantages]))
    for key, tables in (("upper", tree.rewards), ("lower", advantages)):
        wanted = [table[(0,) * (t + 1)].item() for t, table in enumerate(tables)]
        np.testing.assert_allclose(bars(explorer, 1, key), wanted)
    reward, root = completion_sums(tree.rewards)[0].item(), tree.values(0.4)[1][0].item()
    shown = f"{text}: reward {reward:+.2f}   V*(root) {root:+.2f}   "
    assert f"{shown}sum of implicit rewards {reward - root:+.2f}" in numbers(explorer)


@pytest.mark.parametrize(
    ("make", "control", "value"),
    [
        (explore_ranking, "length", 2), (explore_ranking, "beta", 2.0),
        (explore_ranking, "moved", 2.0), (explore_token_tree, "beta", 2.0),
        (explore_token_tree, "completion", "not bad good"),
    ],
)  # fmt: skip
def test_every_control_changes_the_picture(make: Any, control: str, value: Any) -> None:
    explorer = make()
    before, start = explorer.png, explorer.values[control]
    explorer.set(**{control: value})
    assert explorer.png != before
    explorer.set(**{control: start})
    assert explorer.png == before


def test_reward_against_kl_counts_what_lies_beyond() -> None:
    frame = pd.DataFrame(
        {"method": ["DPO", "DPO", "PPO"], "kl": [0.5, 40.0, 1.0], "reward": [0.1, 0.2, 0.3]}
    )
    curve = pd.DataFrame({"kl": [3.0, 0.0, 30.0], "reward": [0.9, 0.0, 1.0]})
    (axes,) = rlhf_figure(frame, curve, curve).axes
    assert "1 of 3 points lie beyond 12 nats" in axes.get_title("left")
    shown = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert shown["DPO"] == [0.5]
    assert shown["optimum for the true reward"] == [0.0, 3.0]  # in order, within the axis


def test_the_learned_and_the_true_reward_have_a_panel_per_method() -> None:
    rows = [
        (method, seed, step, step * 1.0, 2.0 * step + seed, seed - step)
        for method in ("PPO", "DPO")
        for seed in (0, 2)
        for step in (0, 4, 9)
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "step", "kl", "score", "reward"])
    figure = hacking_figure(frame)
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["PPO", "DPO"]
    for axes, across in ((figure.axes[0], [0, 2, 3]), (figure.axes[2], [0, 4, 9])):
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["learned"].get_xydata().tolist() == [
            [x, y] for x, y in zip(across, (1, 9, 19), strict=True)
        ]
        assert lines["true"].get_ydata().tolist() == [1, -3, -8]
    assert hacking_figure(frame[frame.seed == 0]).axes  # without a band
