"""Answers without names, for a reader who is to tell the policy's."""

from __future__ import annotations

import numpy as np
import pandas as pd

SHEET = ["prompt", "a", "b"]


def blinded(answers: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The rows of `answers_before_and_after` in another order, sides drawn by chance.

    Returns:
        `prompt`, `a`, `b`, which are all that a reader is shown, and the key `policy`: which of
        the two, "a" or "b", is the policy's.
    """
    generator = np.random.default_rng(seed)
    mixed = answers.iloc[generator.permutation(len(answers))].reset_index(drop=True)
    first = generator.random(len(mixed)) < 0.5
    return pd.DataFrame(
        {
            "prompt": mixed["prompt"],
            "a": mixed["after"].where(first, mixed["before"]),
            "b": mixed["before"].where(first, mixed["after"]),
            "policy": np.where(first, "a", "b"),
        }
    )
