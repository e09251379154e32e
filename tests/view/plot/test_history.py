"""Curves stay small, keep their means, and set out from where a parent stood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.train.events import ChangeEvent, StepEvent
from workbench.view.plot.history import MOST_POINTS, Curve, History


def test_short_curve_keeps_every_point() -> None:
    curve = Curve()
    for step in range(5):
        curve.add(step, step * step)
    steps, values = curve.points()
    assert steps.tolist() == [0, 1, 2, 3, 4]
    assert values.tolist() == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("count", [MOST_POINTS - 1, MOST_POINTS, 1001, 12_345])
def test_long_curve_is_bounded_and_averages_neighbours(count: int) -> None:
    curve = Curve()
    for step in range(count):
        curve.add(step, 2.0 * step)
    steps, values = curve.points()
    assert min(count, MOST_POINTS / 2) <= len(steps) <= MOST_POINTS
    # The mean of neighbours on a straight line lies on that line, halfway between them.
    np.testing.assert_allclose(values, 2 * steps)
    assert (np.diff(steps) > 0).all()
    assert curve.last == (count - 1, 2.0 * (count - 1))


def test_averages_are_over_equally_many_neighbours() -> None:
    curve = Curve()
    rng = np.random.default_rng(0)
    data = rng.normal(size=MOST_POINTS * 2)
    for step, value in enumerate(data):
        curve.add(step, value)
    # 600 points: halved once at 300 (pairs), and again when 300 pairs are full (fours).
    np.testing.assert_allclose(curve.points()[1], data.reshape(-1, 4).mean(axis=1))


def test_empty_curve_has_no_points() -> None:
    steps, values = Curve().points()
    assert steps.shape == values.shape == (0,)


def test_history_of_a_run_and_of_its_frame_are_the_same(fake_run: Any) -> None:
    run = fake_run(total=7)
    live = History()
    for event in run:
        live.add("run", event)
    told = History.of(run.frame())
    assert told.total == live.total == 7
    assert told.runs["run"].keys() == live.runs["run"].keys()
    for metric, curve in live.runs["run"].items():
        np.testing.assert_array_equal(told.runs["run"][metric].points(), curve.points())


def test_frame_keeps_the_order_of_its_runs() -> None:
    rows = [("second", 1, "loss", 1.0), ("first", 1, "loss", 2.0), ("second", 2, "loss", 0.5)]
    frame = pd.DataFrame(rows, columns=["run", "step", "metric", "value"])
    assert list(History.of(frame).runs) == ["second", "first"]


def test_branch_sets_out_from_its_parent() -> None:
    history = History()
    history.add("run", StepEvent(1, 9, 0, {"loss": 0.7}))
    history.add("run", StepEvent(2, 9, 0, {"loss": 0.6}))
    history.fork("run", "branch 1")
    history.add("branch 1", StepEvent(3, 9, 0, {"loss": 0.1}))
    steps, values = history.runs["branch 1"]["loss"].points()
    assert (steps.tolist(), values.tolist()) == ([2, 3], [0.6, 0.1])
    assert history.runs["run"]["loss"].points()[0].tolist() == [1, 2]


def test_many_changes_at_one_step_are_one_mark() -> None:
    history = History()
    for step, beta in ((3, 0.1), (3, 0.2), (5, 0.3)):
        history.add("run", ChangeEvent(step, "beta", beta))
    assert history.changes == {"run": [3, 5]}


def test_runs_are_picked_renamed_and_removed_and_keep_their_numbers() -> None:
    history = History()
    for run in ("a", "b", "c"):
        history.add(run, StepEvent(1, 9, 0, {"loss": 0.7}))
    history.add("c", ChangeEvent(1, "beta", 0.2))
    history.rename("c", "d")
    history.remove("a")
    assert (list(history.runs), history.changes) == (["b", "d"], {"d": [1]})
    assert history.only(["d", "unknown", "b"]).numbers == {"d": 2, "b": 1}
    assert list(history.only(["d", "b"]).runs) == ["d", "b"]
    history.add("e", StepEvent(1, 9, 0, {"loss": 0.7}))
    assert history.numbers["e"] == 3


def test_since_a_mark_there_is_only_what_has_changed() -> None:
    curve, points = Curve(), np.empty((0, 2))
    mark = (0, 0, 0)
    for step in range(3 * MOST_POINTS):
        curve.add(step, math.sin(step))
        if step % 7 == 0:
            start, new = curve.since(mark)
            mark = curve.mark
            points = np.concatenate([points[:start], new])
            np.testing.assert_allclose(points.T, curve.points(), rtol=1e-6, atol=1e-6)
    assert curve.since(mark)[1].shape[0] <= 1, "nothing but the point that is still averaged"
