"""Intervals and ranks by hand-made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.runs.equal_kl.intervals import (
    central_probability,
    paired_differences,
    rank,
    t_interval,
    t_quantile,
)


@pytest.mark.parametrize(
    ("level", "dof", "expected"),
    [  # from printed tables of Student's t
        (0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 3, 3.182), (0.95, 4, 2.776), (0.95, 5, 2.571),
        (0.95, 9, 2.262), (0.95, 30, 2.042), (0.99, 4, 4.604), (0.99, 1, 63.657), (0.5, 2, 0.816),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(level: float, dof: int, expected: float) -> None:
    assert t_quantile(level, dof) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 7, 8, 40])
@pytest.mark.parametrize("t", [0.1, 1.0, 3.5])
def test_the_sum_is_the_integral_of_the_density(dof: int, t: float) -> None:
    x = np.linspace(-t, t, 20_001)
    scale = math.gamma((dof + 1) / 2) / math.gamma(dof / 2) / math.sqrt(dof * math.pi)
    density = scale * (1 + x * x / dof) ** (-(dof + 1) / 2)
    area = ((density[1:] + density[:-1]) / 2 * np.diff(x)).sum()
    assert central_probability(t, dof) == pytest.approx(area, abs=1e-8)


def test_an_interval_by_hand() -> None:
    # Mean 2, standard deviation 1, standard error 1 / sqrt(3), times 4.303.
    mean, low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2.0
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)


def test_differences_are_paired_and_all_intervals_hold_together() -> None:
    # Seeds differ by ten times what the methods do: only pairing shows that a is ahead of b.
    seeds = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    wiggle = np.array([0.0, 0.01, -0.01, 0.01, -0.01])
    values = {"a": seeds + 0.1, "b": seeds + wiggle, "c": seeds + 5 * wiggle}
    found = paired_differences(values, higher=True).set_index(["first", "second"])
    # a - b: 0.1 - wiggle, mean 0.1, standard deviation 0.01. Three pairs: the level is 1 - 0.05/3,
    # whose quantile for 4 degrees of freedom is 3.961 (table of Bonferroni's t).
    half = 3.961 * 0.01 / 5**0.5
    row = found.loc[("a", "b")]
    assert (row.difference, row.low, row.high) == pytest.approx(
        (0.1, 0.1 - half, 0.1 + half), abs=1e-5
    )
    assert list(found["better"]) == ["a", "a", ""]
    assert list(paired_differences(values, higher=False)["better"]) == ["b", "c", ""]


def test_an_interval_that_touches_0_tells_nothing() -> None:
    alike = {"a": np.array([1.0, 2.0]), "b": np.array([1.0, 2.0])}
    assert list(paired_differences(alike, higher=True)["better"]) == [""]


def test_ranks_are_those_that_the_differences_leave() -> None:
    seeds = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    noise = np.array([0.0, 0.4, -0.4, 0.4, -0.4])
    values = {"best": seeds + 9, "one": seeds, "other": seeds + noise, "worst": seeds - 9}
    found = paired_differences(values, higher=True)
    assert rank(found, "best", 4) == (1, 1, [])
    assert rank(found, "one", 4) == (2, 3, ["other"])
    assert rank(found, "other", 4) == (2, 3, ["one"])
    assert rank(found, "worst", 4) == (4, 4, [])
