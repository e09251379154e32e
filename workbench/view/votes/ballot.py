"""What stands on a ballot, and where the voting stands: no widgets, so that it can be tested alone.

The HTML stands for itself: text keeps its own colour and whatever comes in is escaped. Names are in
it only after the vote.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.feedback.votes import Question, Vote, append_vote, open_votes, read_votes, undo_vote
from workbench.view.html.elements import escape

SAID = {"a": "A is better", "b": "B is better", "tie": "a tie", "bad": "both bad"}
LINE = "1px solid rgba(128, 128, 128, 0.45)"
PANE = f"flex: 1 1 280px; min-width: 0; padding: 8px 12px; border: {LINE}; border-radius: 6px"
CELL = "text-align: left; vertical-align: top; padding: 4px 12px; overflow-wrap: anywhere"


class Ballot:
    """Questions one after the other; every vote is on disk before the next question is shown.

    What stands in the file is not asked again, whichever sides the answers were on.

    Attributes:
        total: questions there are.
        last: what was voted last in this sitting, to be revealed; None after it was taken back.
    """

    def __init__(self, questions: Sequence[Question], path: str | Path) -> None:
        self.path, self.total = open_votes(path), len(questions)
        asked = {question.key: question for question in questions}
        standing = [vote for vote in read_votes(self.path) if vote.key in asked]
        voted = {vote.key for vote in standing}
        self._queue = deque(question for question in questions if question.key not in voted)
        self._past: list[tuple[Question, bool]] = [(asked[vote.key], True) for vote in standing]
        self.last: Vote | None = None

    @property
    def current(self) -> Question | None:
        """What is to be voted on; None when nothing is left."""
        return self._queue[0] if self._queue else None

    @property
    def voted(self) -> int:
        """Votes that stand."""
        return len({question.key for question, has_vote in self._past if has_vote})

    @property
    def skipped(self) -> int:
        """Left out in this sitting; asked again when the file is next opened."""
        return sum(not has_vote for _, has_vote in self._past)

    def cast(self, choice: str) -> Vote:
        """Write a vote on the current question. Raises WorkbenchError where it can't be written."""
        vote = Vote.cast(self._ask(), choice)
        append_vote(self.path, vote)
        self._past.append((self._queue.popleft(), True))
        self.last = vote
        return vote

    def skip(self) -> None:
        """Leave the current question for another time."""
        self._past.append((self._ask(), False))
        self._queue.popleft()

    def undo(self) -> bool:
        """Take back what was done last, and ask that question again; whether there was anything."""
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


def progress(ballot: Ballot, round: int = 0) -> str:
    """How far the voting is, for people and, in `data-` attributes, for programs."""
    shown = min(ballot.voted + ballot.skipped + 1, ballot.total)
    text = f"round {round + 1} · pair {shown} of {ballot.total} · {ballot.voted} voted"
    if ballot.current is None:
        text = f"round {round + 1} · {ballot.voted} of {ballot.total} voted · no pair is left"
    if ballot.skipped:
        text += f" · {ballot.skipped} skipped"
    return (
        f'<div class="wb-progress" data-voted="{ballot.voted}" data-total="{ballot.total}" '
        f'data-skipped="{ballot.skipped}" data-round="{round}">'
        f'<progress value="{ballot.voted}" max="{max(1, ballot.total)}"></progress> {text}</div>'
    )


def question_card(question: Question | None) -> str:
    """A prompt with both answers and nothing that tells who wrote them."""
    if question is None:
        return "<p>Nothing is left to vote on.</p>"
    answer_panes = "".join(
        f'<section class="wb-answer-{side.lower()}" style="{PANE}"><b>{side}</b>'
        f'<p style="margin: 2px 0 0; overflow-wrap: anywhere">{_text(text)}</p></section>'
        for side, text in (("A", question.a), ("B", question.b))
    )
    return (
        f'<p class="wb-asked" style="overflow-wrap: anywhere">{_text(question.prompt)}</p>'
        f'<div style="display: flex; flex-wrap: wrap; gap: 12px">{answer_panes}</div>'
    )


def reveal(vote: Vote | None) -> str:
    """Who wrote what was voted on last."""
    if vote is None:
        return ""
    rows = "".join(
        f'<tr><th style="{CELL}">{side}</th><td style="{CELL}">{_text(name)}</td>'
        f'<td style="{CELL}">{_text(text)}</td></tr>'
        for side, name, text in (("A", vote.name_a, vote.a), ("B", vote.name_b, vote.b))
    )
    return (
        f'<div class="wb-reveal" data-vote="{vote.vote}">The pair before: you said '
        f"<b>{SAID[vote.vote]}</b>. A was <b>{_text(vote.name_a)}</b>, "
        f"B was <b>{_text(vote.name_b)}</b>."
        f"<details><summary>its texts</summary><p>{_text(vote.prompt)}</p>"
        f"<table>{rows}</table></details></div>"
    )


def tally(votes: Sequence[Vote], most: int = 4) -> str:
    """How often each model was preferred, and the newest `most` votes with their names."""
    if not votes:
        return "<p>No votes yet.</p>"
    won: Counter[str] = Counter()
    for vote in votes:
        winner = {"a": vote.name_a, "b": vote.name_b}.get(vote.vote)
        won[f"{winner} is better" if winner else SAID[vote.vote]] += 1
    counts = " · ".join(f"{_text(who)}: {count}" for who, count in won.most_common())
    titles = ("prompt", "A", "by", "B", "by", "vote")
    head = "".join(f'<th style="{CELL}">{title}</th>' for title in titles)
    rows = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{_text(text)}</td>' for text in row) + "</tr>"
        for row in (
            (v.prompt, v.a, v.name_a, v.b, v.name_b, SAID[v.vote])
            for v in list(votes)[: -most - 1 : -1]
        )
    )
    return (
        f'<p class="wb-tally">{len(votes)} votes · {counts}</p>'
        f'<table style="border-collapse: collapse"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def rounds_table(frame: pd.DataFrame) -> str:
    """One line a round, see `Rounds.frame`; a dash where there is no number."""
    shown = frame.drop(columns=["low", "high"], errors="ignore").astype(object)
    for name in shown.columns:
        whole = name in ("round", "pairs", "skipped")
        shown[name] = [_number(value, whole) for value in frame[name]]
    return str(shown.rename(columns=TITLES).to_html(index=False, border=0, justify="left"))


TITLES = {
    "right": "votes for the truth", "reward": "true reward",
    "grammatical": "parses", "win_rate": "wins against the round's start",
    "win_rate_first": "wins against the first",
}  # fmt: skip


def _number(value: float, whole: bool) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.0f}" if whole else f"{value:.2f}".replace("-", "−")


def _text(text: str) -> str:
    return f"<bdi>{escape(text) or '<i>(empty)</i>'}</bdi>"
