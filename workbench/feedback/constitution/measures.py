"""What critiques and labels are worth: against a rule, and by position and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.metrics import wilson_interval
from workbench.data.reviews.world import Reviews
from workbench.feedback.constitution.critics import Answered, RuleCritic
from workbench.feedback.constitution.labelling import Label, label_answers
from workbench.feedback.constitution.principles import Principle
from workbench.feedback.constitution.revising import Revision

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
    return _shares({POSITION: wins, DISAGREE: disagree, LONGER: right[decided]})


def labels_against_rules(labels: Sequence[Label]) -> pd.DataFrame:
    """How often labels agree with the rule of their principle, as `label_biases` gives shares.

    Only labels for which the rule prefers one answer count. An undecided label counts one half, in
    one order alone as well as averaged; a label without both replies in form counts as missed.
    """
    pairs = [(Answered(one.prompt, one.a, one.principle), one.b) for one in labels]
    truth = [one.score for one in label_answers(pairs, RuleCritic())]
    known = [(one, t) for one, t in zip(labels, truth, strict=True) if t is not None and t != 0.5]
    scores = {
        "agrees, a shown first": [one.a_first for one, _ in known],
        "agrees, b shown first": [one.a_second for one, _ in known],
        "agrees, averaged": [one.score for one, _ in known],
    }
    return _shares(
        {
            name: [_agrees(score, t) for score, (_, t) in zip(values, known, strict=True)]
            for name, values in scores.items()
        }
    )


def critiques_against_rules(revisions: Sequence[Revision]) -> pd.DataFrame:
    """How often a critic is in form, agrees with the rules, and mends; as `label_biases`.

    * in form: of all answers.
    * says broken, is broken: of the critiques in form, by the critic and by the rule.
    * agrees: of the critiques in form, those with the verdict of the rule.
    * mended: of the answers that do break the rule and were revised, those that keep it then.
    * mended, still a review: and that the grammar of the reviews can generate, capitals aside.
    """
    read = [one for one in revisions if one.broken is not None]
    truth = [_breaks(one.principle, one.original) for one in read]
    revised = [
        one for one, broken in zip(read, truth, strict=True) if broken and one.revision is not None
    ]
    mended = [not _breaks(one.principle, one.revision or "") for one in revised]
    parsed = [Reviews().is_grammatical(one.prompt, (one.revision or "").lower()) for one in revised]
    return _shares(
        {
            "in form": [one.broken is not None for one in revisions],
            "says broken": [one.broken for one in read],
            "is broken": truth,
            "agrees": [one.broken == broken for one, broken in zip(read, truth, strict=True)],
            "mended": mended,
            "mended, still a review": [a and b for a, b in zip(mended, parsed, strict=True)],
        }
    )


def _breaks(principle: Principle, text: str) -> bool:
    return bool(RuleCritic().critiques([Answered("", text, principle)])[0].broken)


def _agrees(score: float | None, truth: float) -> float:
    if score is None:
        return 0.0
    return 0.5 if score == 0.5 else float((score > 0.5) == (truth > 0.5))


def _shares(shares: Mapping[str, Sequence[Any] | np.ndarray]) -> pd.DataFrame:
    rows = [[name, *_share(np.asarray(values, float))] for name, values in shares.items()]
    return pd.DataFrame(rows, columns=["what", "share", "low", "high", "count"])


def _share(values: np.ndarray) -> tuple[float, float, float, int]:
    if not len(values):
        return float("nan"), 0.0, 1.0, 0
    share = float(values.mean())
    return share, *wilson_interval(share, len(values)), len(values)
