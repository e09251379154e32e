"""Verdicts and intervals, by arithmetic."""

from __future__ import annotations

import math

import pytest

from workbench.runs.papers.claims import above, alike, claims_table, equals, interval


@pytest.mark.parametrize(("count", "quantile"), [(4, 3.182), (5, 2.776), (10, 2.262), (30, 2.045)])
def test_the_interval_is_students(count: int, quantile: float) -> None:
    # Half of the values 1, half -1 (one 0 where the count is odd): the mean is 0.
    values = [1.0, -1.0] * (count // 2) + [0.0] * (count % 2)
    error = math.sqrt(2 * (count // 2) / (count - 1) / count)
    mean, low, high = interval(values)
    assert mean == pytest.approx(0)
    assert high == pytest.approx(quantile * error, rel=1e-3)
    assert low == pytest.approx(-high)


def test_a_single_value_has_no_interval() -> None:
    claim = above("gain", [2.0])
    assert claim.measured == 2
    assert math.isnan(claim.low)
    assert math.isnan(claim.high)
    assert claim.verdict == "not told apart"


SPREAD = [-0.1, 0.1, -0.1, 0.1]  # half an interval: 3.18 * 0.1155 / 2 = 0.184


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        (0.2, "reproduced"),
        (0.1, "not told apart"),
        (-0.1, "not told apart"),
        (-0.2, "not reproduced"),
    ],
)
def test_above(mean: float, verdict: str) -> None:
    assert above("gain", [mean + value for value in SPREAD]).verdict == verdict
    assert above("gain", [mean + value + 5 for value in SPREAD], bound=5).verdict == verdict


@pytest.mark.parametrize(
    ("mean", "tolerance", "verdict"),
    [
        (0.0, 0.2, "reproduced"),
        (0.0, 0.1, "not told apart"),
        (0.4, 0.3, "not told apart"),
        (0.5, 0.3, "not reproduced"),
        (-0.5, 0.3, "not reproduced"),
    ],
)
def test_alike(mean: float, tolerance: float, verdict: str) -> None:
    assert alike("difference", [mean + value for value in SPREAD], tolerance).verdict == verdict


def test_a_number_without_chance() -> None:
    assert equals("P", 0.731, 0.7305, 0.001).verdict == "reproduced"
    assert equals("P", 0.731, 0.733, 0.001).verdict == "not reproduced"
    assert equals("P", 1.0, math.nan, 0.001).verdict == "not reproduced"


def test_the_table_has_a_row_for_each_claim() -> None:
    table = claims_table([equals("P", 0.5, 0.5, 0.1), above("gain", [1.0, 1.0, 1.0, 1.0])])
    assert list(table.columns) == ["claim", "expected", "measured", "low", "high", "verdict"]
    assert list(table.claim) == ["P", "gain"]
