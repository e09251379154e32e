"""The figures of the published results: what is drawn is what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from workbench.errors import WorkbenchError
from workbench.runs.papers import PAPERS, bandit, over_optimisation, two_actions
from workbench.view.html.images import png
from workbench.view.lessons.papers import FIGURES, draw_seeds, paper_figure


def test_every_paper_has_a_figure_and_no_other() -> None:
    assert list(FIGURES) == list(PAPERS)
    with pytest.raises(WorkbenchError, match="name='dpo' is unknown; accepted: ipo, rankings"):
        paper_figure("dpo", pd.DataFrame())


def test_two_actions_has_a_line_for_each_beta() -> None:
    frame = two_actions.measure(steps=3)
    figure = paper_figure("ipo", frame)
    for axes, loss in zip(figure.axes, ("ipo", "dpo"), strict=True):
        assert len(axes.lines) == len(two_actions.BETAS)
        first = frame[(frame.loss == loss) & (frame.beta == two_actions.BETAS[0])]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), first.probability)
    assert png(figure)


def test_rankings_parts_the_pairs_in_three() -> None:
    gaps = {"reference": [-2.0, -2.0, 3.0, 1.0], "policy": [1.0, -1.0, 4.0, -1.0]}
    figure = paper_figure("rankings", pd.DataFrame(gaps))
    right, half, wrong = (points.get_offsets().tolist() for points in figure.axes[0].collections)
    assert right == [[-2.0, 1.0], [3.0, 4.0]]
    assert half == [[-2.0, -1.0]]
    assert wrong == [[1.0, -1.0]]
    assert png(figure)


def test_bandit_draws_means_over_seeds() -> None:
    parts = [
        bandit.train(peak, method, data, seeds=2, rounds=1).assign(
            peak=peak, method=method, data=data
        )
        for peak in bandit.PEAKS
        for method, data in bandit.METHODS
    ]
    figure = paper_figure("bandit", pd.concat(parts))
    for axes in figure.axes:
        assert len(axes.lines) == len(bandit.METHODS)
    mean = parts[0].groupby("round").reward.mean()
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), mean)
    assert png(figure)


def test_over_optimisation_draws_means_over_worlds() -> None:
    rows = [
        (labels, method, strength, world, strength + world, 2.0 * world, 1.0)
        for labels in over_optimisation.LABELS
        for method in ("best-of-n", "dpo")
        for strength in (3.0, 8.0)
        for world in (0, 2)
    ]
    columns = ["labels", "method", "strength", "world", "kl", "gold", "proxy"]
    figure = paper_figure("over_optimisation", pd.DataFrame(rows, columns=columns))
    gold, _ = figure.axes
    assert len(gold.lines) == 4
    np.testing.assert_allclose(gold.lines[0].get_xydata(), [[2, 2], [3, 2]])
    assert png(figure)


def test_seeds_stand_behind_their_mean_and_interval() -> None:
    axes = Figure().subplots()
    draw_seeds(axes, [pd.Series([1.0, 2.0, 3.0, 4.0, 5.0])])
    values, interval, mean = axes.lines
    np.testing.assert_array_equal(values.get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(interval.get_xdata(), [1.04, 4.96], atol=0.01)
    assert mean.get_xdata() == [3]


@pytest.mark.parametrize(("name", "column"), [("robust", "loss"), ("kto", "method")])
def test_reviews_has_a_row_for_each_method(name: str, column: str) -> None:
    rows = [(method, 0.1 * seed, 2.0) for method in ("dpo", "other") for seed in range(4)]
    figure = paper_figure(name, pd.DataFrame(rows, columns=[column, "reward", "kl"]))
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == ["dpo", "other"]
    assert png(figure)
