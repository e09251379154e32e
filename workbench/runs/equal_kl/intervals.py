"""t-intervals over seeds, and a ranking of only what they tell apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = NDArray[np.float64]
LEVEL = 0.95


def central_probability(t: float, dof: int) -> float:
    """P(|T| <= t) of Student's T with `dof` degrees of freedom.

    Abramowitz and Stegun 1964, 26.7.3 and 26.7.4: a finite sum for a whole number of them.

    >>> round(central_probability(2.776, 4), 4)
    0.95
    """
    angle = math.atan(t / math.sqrt(dof))
    odd = dof % 2
    term = 0.0 if dof == 1 else math.cos(angle) ** odd
    total = term
    for power in range(odd, dof - 3, 2):
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
        total += term
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def t_quantile(level: float, dof: int) -> float:
    """The t with P(|T| <= t) = `level`, by bisection.

    >>> round(t_quantile(0.95, 4), 3)
    2.776
    """
    low, high = 0.0, 1.0
    while central_probability(high, dof) < level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        below = central_probability(middle, dof) < level
        low, high = (middle, high) if below else (low, middle)
    return high


def t_interval(values: Values, level: float = LEVEL) -> tuple[float, float, float]:
    """The mean of `values` (seed,), two or more, with its interval: (mean, low, high).

    >>> [round(number, 3) for number in t_interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.484, 4.484]
    """
    error = values.std(ddof=1) / math.sqrt(len(values))
    mean, half = float(values.mean()), float(t_quantile(level, len(values) - 1) * error)
    return mean, mean - half, mean + half


def paired_differences(values: Mapping[str, Values], higher: bool) -> pd.DataFrame:
    """The mean difference of every two methods, paired over seeds, with its interval.

    Args:
        values: method -> one value per seed, the same seeds in the same order.
        higher: whether more is better.

    Returns:
        `first`, `second`, `difference` (first minus second), `low`, `high`, `better`. With m pairs
        of methods each interval has the level 1 - 0.05 / m (Bonferroni), so that all of them hold
        together with 95%. `better` names one of the two where the interval leaves out 0; it is
        empty where they are not told apart.
    """
    pairs = list(combinations(values, 2))
    rows = []
    for first, second in pairs:
        apart = values[first] - values[second]
        mean, low, high = t_interval(apart, 1 - (1 - LEVEL) / len(pairs))
        leader = first if (mean > 0) == higher else second
        rows.append((first, second, mean, low, high, leader if low > 0 or high < 0 else ""))
    columns = ["first", "second", "difference", "low", "high", "better"]
    return pd.DataFrame(rows, columns=columns)


def rank(differences: pd.DataFrame, name: str, of: int) -> tuple[int, int, list[str]]:
    """The best and the worst rank that `differences` leave to one of `of` methods, from 1.

    Also the methods from which it is not told apart; both ranks are alike where there are none.
    """
    own = differences[(differences["first"] == name) | (differences["second"] == name)]
    unsure = own[own["better"] == ""]
    wins = int((own["better"] == name).sum())
    losses = len(own) - len(unsure) - wins
    others = [one for pair in zip(unsure["first"], unsure["second"], strict=True) for one in pair]
    return 1 + losses, of - wins, [other for other in others if other != name]
