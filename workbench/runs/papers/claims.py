"""A claim of a paper as one number, with its interval, and whether it came out here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

import numpy as np
import pandas as pd

from workbench.runs.equal_kl.intervals import t_interval

REPRODUCED, NOT_REPRODUCED, NOT_TOLD = "reproduced", "not reproduced", "not told apart"


@dataclass(frozen=True)
class Claim:
    """One number of a result.

    Attributes:
        claim: what is measured.
        expected: what the paper says of it.
        measured: the number; a mean where chance enters.
        low, high: its 95% interval; the number itself where nothing is drawn at random, NaN for a
            single draw.
        verdict: "reproduced", "not reproduced", or "not told apart" where the interval holds both.
    """

    claim: str
    expected: str
    measured: float
    low: float
    high: float
    verdict: str


def equals(claim: str, expected: float, measured: float, tolerance: float) -> Claim:
    """A number without chance that the paper gives.

    >>> equals("P(A)", 0.731, 0.7312, 0.001).verdict
    'reproduced'
    """
    verdict = REPRODUCED if abs(measured - expected) <= tolerance else NOT_REPRODUCED
    return Claim(claim, f"{expected:.3f} ± {tolerance:g}", measured, measured, measured, verdict)


def above(claim: str, values: Sequence[float], bound: float = 0.0) -> Claim:
    """The mean of independent `values` is claimed to lie above `bound`.

    >>> above("gain", [1.0, 2.0, 3.0, 2.0]).verdict, above("gain", [-1.0, 2.0, 3.0, -2.0]).verdict
    ('reproduced', 'not told apart')
    """
    mean, low, high = interval(values)
    verdict = REPRODUCED if low > bound else NOT_REPRODUCED if high < bound else NOT_TOLD
    return Claim(claim, f"above {bound:g}", mean, low, high, verdict)


def alike(claim: str, values: Sequence[float], tolerance: float) -> Claim:
    """The mean of independent differences is claimed to lie within `tolerance` of 0.

    >>> alike("difference", [0.01, -0.02, 0.0, 0.03], 0.05).verdict
    'reproduced'
    """
    mean, low, high = interval(values)
    inside = -tolerance <= low and high <= tolerance
    outside = low > tolerance or high < -tolerance
    verdict = REPRODUCED if inside else NOT_REPRODUCED if outside else NOT_TOLD
    return Claim(claim, f"0 ± {tolerance:g}", mean, low, high, verdict)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and the ends of its 95% interval by Student's t; NaN for a single value."""
    if len(values) < 2:
        return fmean(values), math.nan, math.nan
    return t_interval(np.asarray(values, dtype=np.float64))


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row per claim, in their order."""
    return pd.DataFrame([asdict(claim) for claim in claims])
