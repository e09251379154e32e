"""What a round of training changed in the answers, by true scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from statistics import fmean

import numpy as np

from workbench.compare.judging.judges import LOSS, WIN, compare
from workbench.compare.judging.win_rate import design_effect
from workbench.compare.model_handles import ModelHandle
from workbench.core.metrics import win_interval
from workbench.generation.config import SamplingConfig
from workbench.runs.evaluate import TextScores

MEASURED = 256  # answers of each model


def round_scores(
    models: Sequence[ModelHandle],
    prompts: Sequence[str],
    sampling: SamplingConfig,
    scores: TextScores,
) -> dict[str, float]:
    """Mean true scores of the first model's answers, and its win rates over the others.

    Args:
        models: the policy, and after a round also the policy at its start and the very first one.
    """
    asked = list(islice(cycle(dict.fromkeys(prompts)), MEASURED))
    scored = [list(map(scores, asked, one.answer(asked, sampling))) for one in models]
    means = {name: fmean(one[name] for one in scored[0]) for name in scored[0][0]}
    if len(models) == 1:
        return means
    own, start, first = ([one["reward"] for one in answers] for answers in scored)
    outcomes = compare(np.array(own), np.array(start))
    effect = design_effect(outcomes, asked)  # few prompts, each answered many times
    won, lost = ((outcomes == kind).sum() / effect for kind in (WIN, LOSS))
    low, high = win_interval(won, lost, len(own) / effect)
    return {
        **means, "win_rate": _win_rate(own, start), "low": low, "high": high,
        "win_rate_first": _win_rate(own, first),
    }  # fmt: skip


def _win_rate(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Share of answers with the higher score, ties counted one half."""
    return fmean((a > b) + 0.5 * (a == b) for a, b in zip(ours, theirs, strict=True))
