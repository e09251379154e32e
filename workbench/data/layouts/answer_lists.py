"""Pairs out of lists of answers to one prompt, which are ranked or scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from workbench.data.layouts.messages import Message, as_messages
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.unusable import Row, UnusableError, is_given, number_of

TEXTS = ("text", "response", "answer", "completion", "content")  # of an answer that is an object
SCORES = ("score", "overall_score", "rating")
RANK = "rank"


class Scored(NamedTuple):
    """An answer with its score: the higher, the better."""

    messages: list[Message]
    score: float


def answer_pairs(row: Row, name: str, reading: Reading) -> Iterator[tuple[Scored, Scored]]:
    """The better and the worse answer of each pair that the list in a field gives.

    Scores, the higher the better, or ranks, 1 the best, stand in columns of their own or with the
    answers. Answers of equal scores make no pair.

    Raises:
        UnusableError: no list of at least two answers with a score each, or no pair of it differs.
    """
    answers = _scored(row, name)
    answers.sort(key=lambda one: -one.score)  # equal ones stay in the order of the file
    pairs = list(combinations(answers, 2))
    if reading.ranked == "best_worst":
        pairs = [(answers[0], answers[-1])]
    gaps = [better.score - worse.score for better, worse in pairs]
    if not any(gap > 0 for gap in gaps):
        raise UnusableError(f"all {len(answers)} answers in {name} have the same score")
    kept = [
        pair for pair, gap in zip(pairs, gaps, strict=True) if gap > 0 and gap >= reading.min_gap
    ]
    if not kept:
        raise UnusableError(
            f"no two answers in {name} are {reading.min_gap:g} apart; the most is {max(gaps):g}"
        )
    yield from kept


def _scored(row: Row, name: str) -> list[Scored]:
    answers = row.get(name)
    if not isinstance(answers, list) or len(answers) < 2:
        raise UnusableError(f"field {name!r} is no list of at least two answers")
    scores = _column(row, "scores", len(answers))
    ranks = _column(row, "ranks", len(answers))
    found = []
    for number, answer in enumerate(answers, start=1):
        score, rank = scores[number - 1], ranks[number - 1]
        if isinstance(answer, dict) and "role" not in answer and "from" not in answer:
            score = next((answer[key] for key in SCORES if is_given(answer.get(key))), score)
            rank = answer.get(RANK) if is_given(answer.get(RANK)) else rank
            answer = next((answer[key] for key in TEXTS if key in answer), None)
            if answer is None:
                raise UnusableError(
                    f"answer {number} in {name} has no text; accepted are {', '.join(TEXTS)}"
                )
        named = f"{name}, answer {number}"
        messages = as_messages({named: answer}, named, "assistant")
        if is_given(score):
            value = number_of(score, f"the score of answer {number}")
        elif is_given(rank):
            value = -number_of(rank, f"the rank of answer {number}")
        else:
            raise UnusableError(
                f"answer {number} in {name} has no score: give scores or ranks, in a column, or "
                f"with each answer as {', '.join((*SCORES, RANK))}"
            )
        found.append(Scored(messages, value))
    return found


def _column(row: Row, name: str, count: int) -> Sequence[Any]:
    values = row.get(name)
    if not is_given(values):
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        kind = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise UnusableError(f"{name} holds {kind}, expected a list of {count}, one for each answer")
    return values
