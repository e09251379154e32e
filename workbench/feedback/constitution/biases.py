"""Biases of labels: for what is shown first, and for what is longer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.core.metrics import wilson_interval
from workbench.feedback.constitution.labelling import Label

POSITION, DISAGREE, LONGER = "first position wins", "orders disagree", "longer wins"


def label_biases(labels: Sequence[Label]) -> pd.DataFrame:
    """Shares with their 95% intervals (Wilson), one row each: share, low, high, count.

    * first position wins: of all questions, two for each label, those in which the answer shown
      first is preferred; one half without position bias.
    * orders disagree: of the labels, those whose winner changes with the order.
    * longer wins: of the labels with a winner after averaging and with answers of different
      lengths, those in which the one with more words wins. One half only where length has nothing
      to do with the principle; averaging does not remove it.

    An undecided question counts one half for the first position. Labels without both replies in
    form are left out. The two questions of a label are not independent, so the interval of the
    first row is that of as many labels.
    """
    known = [label for label in labels if label.score is not None]
    first = np.array([label.a_first for label in known], float)
    second = np.array([label.a_second for label in known], float)
    wins = (np.sign(first - 0.5) - np.sign(second - 0.5)) / 4 + 0.5  # of the first position
    disagree = np.sign(first - 0.5) != np.sign(second - 0.5)
    score = (first + second) / 2
    longer = np.array([len(one.a.split()) - len(one.b.split()) for one in known], float)
    decided = (score != 0.5) & (longer != 0)
    right = np.sign(score - 0.5) == np.sign(longer)
    shares = {POSITION: wins, DISAGREE: disagree, LONGER: right[decided]}
    return pd.DataFrame(
        [[name, *_share(values.astype(float))] for name, values in shares.items()],
        columns=["bias", "share", "low", "high", "count"],
    )


def _share(values: np.ndarray) -> tuple[float, float, float, int]:
    if not len(values):
        return float("nan"), 0.0, 1.0, 0
    share = float(values.mean())
    return share, *wilson_interval(share, len(values)), len(values)
