"""The questions of a vote and how far the voting is, without widgets.

The HTML needs no style sheet, and holds the models' names only after the vote.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.feedback.votes import Question, Vote, append_vote, open_votes, read_votes, undo_vote
from workbench.view.html.render import Html, render

VOTES = {"a": "A is better", "b": "B is better", "tie": "a tie", "bad": "both bad"}
NEWEST = 4  # votes that are listed
TITLES = {
    "skipped": "skipped", "right": "votes for the truth", "reward": "true reward",
    "grammatical": "parses", "win_rate": "wins against the round's start",
    "win_rate_first": "wins against the first",
}  # fmt: skip


class Ballot:
    """Questions one after the other; every vote is on disk before the next question is shown.

    A question whose vote is in the file is not asked again, whichever sides the answers were on.

    Attributes:
        total: number of questions.
        last: the last vote of this session, whose models are revealed; None after an undo.
    """

    def __init__(self, questions: Sequence[Question], path: str | Path) -> None:
        self.path, self.total = open_votes(path), len(questions)
        asked = {question.key: question for question in questions}
        counted = [vote for vote in read_votes(self.path) if vote.key in asked]
        voted = {vote.key for vote in counted}
        self._queue = deque(question for question in questions if question.key not in voted)
        self._past: list[tuple[Question, bool]] = [(asked[vote.key], True) for vote in counted]
        self.last: Vote | None = None

    @property
    def current(self) -> Question | None:
        """The question to be voted on; None when none is left."""
        return self._queue[0] if self._queue else None

    @property
    def voted(self) -> int:
        """Number of questions with a vote."""
        return len({question.key for question, has_vote in self._past if has_vote})

    @property
    def skipped(self) -> int:
        """Questions skipped in this session; asked again when the file is next opened."""
        return sum(not has_vote for _, has_vote in self._past)

    def cast(self, choice: str) -> Vote:
        """Write a vote on the current question. Raises WorkbenchError where it can't be written."""
        vote = Vote.cast(self._ask(), choice)
        append_vote(self.path, vote)
        self._past.append((self._queue.popleft(), True))
        self.last = vote
        return vote

    def skip(self) -> None:
        """Skip the current question."""
        self._past.append((self._ask(), False))
        self._queue.popleft()

    def undo(self) -> bool:
        """Undo the last vote or skip and ask that question again; False if there was none."""
        if not self._past:
            return False
        question, has_vote = self._past[-1]
        if has_vote:
            undo_vote(self.path, question)
            self.last = None
        self._past.pop()
        self._queue.appendleft(question)
        return True

    def _ask(self) -> Question:
        if self.current is None:
            raise WorkbenchError("no pair is left to vote on")
        return self.current


def progress(ballot: Ballot, round: int = 0) -> Html:
    """How far the voting is, for people and, in `data-` attributes, for programs."""
    return render("voting", ballot=ballot, round=round)


def question_card(question: Question | None) -> Html:
    """A prompt with both answers and nothing that tells which model wrote which."""
    return render("question", question=question)


def reveal(vote: Vote | None) -> str:
    """Which model wrote which answer of the last vote."""
    return "" if vote is None else render("reveal", vote=vote, choice=VOTES[vote.vote])


def tally(votes: Sequence[Vote], most: int = NEWEST) -> Html:
    """How often each model was preferred, and the newest `most` votes with their names."""
    won: Counter[str] = Counter()
    for vote in votes:
        winner = {"a": vote.name_a, "b": vote.name_b}.get(vote.vote)
        won[f"{winner} is better" if winner else VOTES[vote.vote]] += 1
    rows = [
        (v.prompt, v.a, v.name_a, v.b, v.name_b, VOTES[v.vote])
        for v in list(votes)[: -most - 1 : -1]
    ]
    return render("tally", count=len(votes), results=won.most_common(), rows=rows)


def rounds_table(frame: pd.DataFrame) -> str:
    """One line per round, see `IterativeDPO.frame`; a dash where there is no number."""
    shown = frame.drop(columns=["low", "high"], errors="ignore").astype(object)
    for name in shown.columns:
        form = "{:.0f}" if name in ("round", "pairs", "skipped") else "{:.2f}"
        shown[name] = [
            "–" if pd.isna(value) else form.format(value).replace("-", "−") for value in frame[name]
        ]
    return str(shown.rename(columns=TITLES).to_html(index=False, border=0, justify="left"))
