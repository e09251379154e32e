"""Who says which of two answers is better: the truth and people, and what every judge gives.

Every judge has a name and one form, `judge(prompts, answers_a, answers_b) -> Outcomes`. A reward
model as a judge stands in `reward.py`, one that is asked over the network in `endpoint.py`. None of
them knows who wrote which answer. The same text twice is a tie, whoever is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError

Values = NDArray[np.float64]

WIN, TIE, LOSS, UNJUDGED = 1.0, 0.5, 0.0, float("nan")
VOTES = {"a": WIN, "b": LOSS, "tie": TIE, "bad": TIE}
COLUMNS = ("prompt", "a", "b", "vote")


@dataclass(frozen=True)
class Outcomes:
    """What a judge said of the answers of A and B, one entry a pair of answers.

    Attributes:
        prompts: the prompt of each; the same one may come more than once.
        scores: (answer,) 1 where A won, 0 where B did, 1/2 for a tie, NaN where no verdict came.
        lengths_a, lengths_b: (answer,) words of both answers.
        notes: what else there is to know, counted: "both bad", "orders disagree" and so on.
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
        """With the words of the answers counted, and the notes that count something."""
        sizes = _words(answers_a), _words(answers_b)
        counted = {what: count for what, count in (notes or {}).items() if count}
        return cls(tuple(prompts), np.asarray(scores, float), *sizes, counted)

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, count: int) -> Outcomes:
        """The first `count` of them; of the notes, which are of all, none are left then."""
        if count >= len(self):
            return self
        cut = slice(count)
        parts = (self.prompts[cut], self.scores[cut], self.lengths_a[cut], self.lengths_b[cut])
        return Outcomes(*parts)

    def swapped(self) -> Outcomes:
        """The same seen from B."""
        return replace(
            self, scores=1 - self.scores, lengths_a=self.lengths_b, lengths_b=self.lengths_a
        )


class Judge(Protocol):
    """Compares answers of A with answers of B, prompt by prompt."""

    @property
    def name(self) -> str: ...

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes: ...


@dataclass(frozen=True)
class TrueReward:
    """The reviews world's own reward: the higher one wins.

    With `grammar`, a text that the grammar could not have written is worse than any that it could,
    and two such are a tie: what over-optimisation breaks counts then.
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
        # The mean of valences is rounded differently with the number of words.
        scores = compare(np.array(worth[0]), np.array(worth[1]), 1e-9)
        return Outcomes.of(prompts, answers_a, answers_b, scores.tolist())

    def _worth(self, prompt: str, answer: str) -> float:
        if self.grammar and not self.world.is_grammatical(prompt, answer):
            return -2 * self.world.max_reward
        return self.world.reward(answer)


@dataclass(frozen=True)
class People:
    """Votes that were cast on these very answers, whichever of them was shown as `a`.

    `frame` holds one vote a row, in the columns prompt, a, b and vote ("a", "b", "tie" or "bad").
    Where several people voted, the side with more votes wins. "bad", both bad, is a tie and is
    counted in the notes. Answers that nobody voted on are without a verdict.
    """

    frame: pd.DataFrame
    name: str = "people"

    def __post_init__(self) -> None:
        check_votes(self.frame)

    def __call__(
        self, prompts: Sequence[str], answers_a: Sequence[str], answers_b: Sequence[str]
    ) -> Outcomes:
        cast: dict[tuple[str, str, str], list[str]] = {}
        turned = {"a": "b", "b": "a"}
        for prompt, a, b, vote in self.frame[list(COLUMNS)].itertuples(index=False):
            cast.setdefault((prompt, a, b), []).append(vote)
            if a != b:
                cast.setdefault((prompt, b, a), []).append(turned.get(vote, vote))
        scores, bad = [], 0
        for asked in zip(prompts, answers_a, answers_b, strict=True):
            votes = Counter(cast.get(asked, []))
            bad += votes["bad"]
            ahead = votes["a"] - votes["b"]
            if asked[1] == asked[2]:
                scores.append(TIE)
            else:
                scores.append(TIE + np.sign(ahead) / 2 if votes else UNJUDGED)
        return Outcomes.of(prompts, answers_a, answers_b, scores, {"both bad": bad})


def outcomes_of_votes(frame: pd.DataFrame, name: str, against: str) -> Outcomes:
    """Every vote between two models as an outcome of its own, `name` being A.

    Args:
        frame: one vote a row, columns prompt, a, b, name_a, name_b, vote; votes between others are
            left out. "bad" is a tie, and counted in the notes.
        name, against: as they stand in `name_a` and `name_b`, on either side.

    Raises:
        WorkbenchError: a column is missing, a vote is unknown, or nobody voted on these two.
    """
    check_votes(frame, "name_a", "name_b")
    asked: list[tuple[str, str, str, str]] = []
    names = ["prompt", "a", "b", "vote", "name_a", "name_b"]
    turned = {"a": "b", "b": "a"}
    for prompt, a, b, vote, name_a, name_b in frame[names].itertuples(index=False):
        if (name_a, name_b) == (name, against):
            asked.append((prompt, a, b, vote))
        elif (name_b, name_a) == (name, against):
            asked.append((prompt, b, a, turned.get(vote, vote)))
    if not asked:
        raise WorkbenchError(f"there is no vote on {name!r} against {against!r}")
    prompts, answers_a, answers_b, votes = zip(*asked, strict=True)
    scores = [VOTES[vote] for vote in votes]
    return Outcomes.of(prompts, answers_a, answers_b, scores, {"both bad": votes.count("bad")})


def check_votes(frame: pd.DataFrame, *more: str) -> None:
    """Raise WorkbenchError where a column is missing or a vote is none of `VOTES`."""
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
