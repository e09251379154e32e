"""Judges of which of two answers is better: the true reward, people's votes, and their outcomes.

Every judge has a name and is called as `judge(prompts, answers_a, answers_b) -> Outcomes`. A reward
model as a judge is in `reward_judge.py`, a language model behind an API in `endpoint.py`. A judge
is not given the models' names. Two identical answers are a tie for every judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError

Values = NDArray[np.float64]

WIN, TIE, LOSS, UNJUDGED = 1.0, 0.5, 0.0, float("nan")
VOTES = {"a": WIN, "b": LOSS, "tie": TIE, "bad": TIE}
SWAPPED = {"a": "b", "b": "a", "tie": "tie", "bad": "bad"}  # the vote with both sides swapped
COLUMNS = ("prompt", "a", "b", "vote")


@dataclass(frozen=True)
class Outcomes:
    """A judge's verdicts on the answers of A and B, one entry per pair of answers.

    Attributes:
        prompts: the prompt of each; prompts may repeat.
        scores: (answer,) 1 where A won, 0 where B won, 1/2 for a tie, NaN without a verdict.
        lengths_a, lengths_b: (answer,) number of words of both answers.
        notes: counts of other facts: "both bad", "orders disagree" and so on.
    """

    prompts: tuple[str, ...]
    scores: Values
    lengths_a: Values
    lengths_b: Values
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        prompts: Sequence[str],
        answers_a: Sequence[str],
        answers_b: Sequence[str],
        scores: Sequence[float],
        notes: dict[str, int] | None = None,
    ) -> Outcomes:
        """Count the words of the answers, and drop notes with a count of 0."""
        sizes = _words(answers_a), _words(answers_b)
        counted = {what: count for what, count in (notes or {}).items() if count}
        return cls(tuple(prompts), np.asarray(scores, float), *sizes, counted)

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, count: int) -> Outcomes:
        """The first `count` entries, without the notes, which count over all entries."""
        if count >= len(self):
            return self
        cut = slice(count)
        parts = (self.prompts[cut], self.scores[cut], self.lengths_a[cut], self.lengths_b[cut])
        return Outcomes(*parts)


class Judge(Protocol):
    """Compares answers of A with answers of B, one pair per prompt."""

    @property
    def name(self) -> str: ...

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes: ...


@dataclass(frozen=True)
class TrueReward:
    """The reviews world's own reward: the higher one wins.

    With `grammar`, a text that the grammar cannot generate is worse than any that it can, and two
    such texts are a tie: so the judge also counts lost grammar.
    """

    world: Reviews
    grammar: bool = False

    @property
    def name(self) -> str:
        return "true reward, broken texts lose" if self.grammar else "true reward"

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes:
        worth = [
            [self._worth(prompt, answer) for prompt, answer in zip(prompts, side, strict=True)]
            for side in (answers_a, answers_b)
        ]
        # Means over different numbers of words round differently.
        scores = compare(np.array(worth[0]), np.array(worth[1]), 1e-9)
        return Outcomes.of(prompts, answers_a, answers_b, scores.tolist())

    def _worth(self, prompt: str, answer: str) -> float:
        if self.grammar and not self.world.is_grammatical(prompt, answer):
            return -2 * self.world.max_reward
        return self.world.reward(answer)


@dataclass(frozen=True)
class People:
    """Votes that people cast on these answers, whichever of them was shown as `a`.

    `frame` holds one vote per row, in the columns prompt, a, b and vote ("a", "b", "tie" or "bad").
    Where several people voted, the side with more votes wins. "bad" (both are bad) is a tie and is
    counted in the notes. Answers without votes have no verdict.
    """

    frame: pd.DataFrame
    name: str = "people"

    def __post_init__(self) -> None:
        check_votes(self.frame)

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes:
        cast: dict[tuple[str, str, str], list[str]] = {}
        for prompt, a, b, vote in self.frame[list(COLUMNS)].itertuples(index=False):
            cast.setdefault((prompt, a, b), []).append(vote)
            if a != b:
                cast.setdefault((prompt, b, a), []).append(SWAPPED[vote])
        scores, bad = [], 0
        for answers in zip(prompts, answers_a, answers_b, strict=True):
            votes = Counter(cast.get(answers, []))
            bad += votes["bad"]
            ahead = votes["a"] - votes["b"]
            if answers[1] == answers[2]:
                scores.append(TIE)
            else:
                scores.append(TIE + np.sign(ahead) / 2 if votes else UNJUDGED)
        return Outcomes.of(prompts, answers_a, answers_b, scores, {"both bad": bad})


def outcomes_of_votes(frame: pd.DataFrame, name: str, against: str) -> Outcomes:
    """Every vote between two models as an outcome of its own, `name` being A.

    Args:
        frame: one vote per row, columns prompt, a, b, name_a, name_b, vote; votes between other
            models are left out. "bad" is a tie, and counted in the notes.
        name, against: the models' names in `name_a` and `name_b`, in either order.

    Raises:
        WorkbenchError: a column is missing, a vote is unknown, or there is none on these models.
    """
    check_votes(frame, "name_a", "name_b")
    rows: list[tuple[str, str, str, str]] = []
    names = ["prompt", "a", "b", "vote", "name_a", "name_b"]
    for prompt, a, b, vote, name_a, name_b in frame[names].itertuples(index=False):
        if (name_a, name_b) == (name, against):
            rows.append((prompt, a, b, vote))
        elif (name_b, name_a) == (name, against):
            rows.append((prompt, b, a, SWAPPED[vote]))
    if not rows:
        raise WorkbenchError(f"there is no vote on {name!r} against {against!r}")
    prompts, answers_a, answers_b, votes = zip(*rows, strict=True)
    scores = [VOTES[vote] for vote in votes]
    return Outcomes.of(prompts, answers_a, answers_b, scores, {"both bad": votes.count("bad")})


def check_votes(frame: pd.DataFrame, *more: str) -> None:
    """Raise WorkbenchError where a column is missing or a vote is not in `VOTES`."""
    for column in (*COLUMNS, *more):
        if column not in frame.columns:
            raise WorkbenchError(f"votes have no column {column!r}; it is needed")
    for row, vote in enumerate(frame["vote"], start=1):
        if vote not in VOTES:
            accepted = ", ".join(VOTES)
            raise WorkbenchError(f"vote {row} is {vote!r}; accepted: {accepted}")


def _words(texts: Sequence[str]) -> Values:
    return np.array([len(text.split()) for text in texts], float)


def compare(one: Values, other: Values, near: float = 0.0) -> Values:
    """1, 1/2 or 0 for each; a difference up to `near` is a tie."""
    difference = one - other
    return np.where(np.abs(difference) <= near, TIE, np.where(difference > 0, WIN, LOSS))
