"""What a method reaches at a given KL, or the KL that it needs, read from its runs.

Each run moves away from the reference, evaluation by evaluation. It is read where it first passes
the value asked for, by a straight line between the two evaluations around it, in the square root of
the KL: that is the scale on which reward grows most evenly (Gao et al. 2022, section 3.1). Nothing
is read beyond the farthest evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.runs.equal_kl.intervals import Values

KL = "kl"


@dataclass(frozen=True)
class Reading:
    """A method at one value of the axis.

    Attributes:
        values: (seed,) what was measured there.
        strength: value of its strength, the best one over all seeds.
    """

    values: Values
    strength: float


def read_off(along: Values, measured: Values, at: float) -> float:
    """`measured` where `along` first reaches `at`, both (evaluation,); NaN where it never does.

    >>> read_off(np.array([0.0, 2.0, 4.0]), np.array([0.0, 1.0, 5.0]), 3.0)
    3.0
    """
    reached = np.flatnonzero(along >= at)
    if not len(reached):
        return math.nan
    index = reached[0]
    if index == 0:
        return float(measured[0])
    before, after = along[index - 1], along[index]
    share = (at - before) / (after - before)
    return float(measured[index - 1] + share * (measured[index] - measured[index - 1]))


def farthest(rows: pd.DataFrame, along: str) -> float:
    """The largest value of `along` in one method's `rows` that all seeds of a strength reach."""
    ends = rows.groupby(["value", "seed"], dropna=False)[along].max()
    return float(ends.groupby("value", dropna=False).min().max())


def read_method(rows: pd.DataFrame, along: str, measured: str, at: float) -> Reading | None:
    """One method where `along` is `at`; None where no strength gets there with every seed.

    Which strength counts for a seed is decided by the mean over the *other* seeds: chosen by its
    own value, a method with more luck or more strengths would come out better than it is.

    Args:
        rows: of one method: `value` of its strength, `seed`, `step`, and both axes, of which one is
            "kl". More of the other one is better.
    """
    strengths, found = [], []
    for value, runs in rows.groupby("value", dropna=False, sort=True):
        read = [
            _read_run(run.sort_values("step"), along, measured, at)
            for _, run in runs.groupby("seed", sort=True)
        ]
        if not np.isnan(read).any():
            strengths.append(float(value))
            found.append(read)
    if not found:
        return None
    table = np.array(found)  # (strength, seed)
    signed = -table if measured == KL else table
    others = signed.sum(1, keepdims=True) - signed
    values = np.take_along_axis(table, others.argmax(0)[None], 0)[0]
    return Reading(values, strengths[int(signed.sum(1).argmax())])


def _read_run(run: pd.DataFrame, along: str, measured: str, at: float) -> float:
    """One run; a KL is read on its square root, and an estimate below 0 counts as 0."""
    x, y = (
        np.sqrt(run[name].clip(lower=0)) if name == KL else run[name] for name in (along, measured)
    )
    value = read_off(x.to_numpy(), y.to_numpy(), math.sqrt(at) if along == KL else at)
    return value * value if measured == KL else value
