"""Votes on pairs of answers: one JSON object per line, on disk before the next pair is shown.

The file is append-only, so a killed process can truncate the last line and nothing else; writing
after it starts a new line. A line that is truncated, or changed since it was written, is no vote:
`damaged_votes` names it. Undoing a vote also appends a line. Several processes may write; where a
question has several votes that are not undone, the newest is trained on.
"""

import codecs
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.data.cache import append_line
from workbench.data.layouts.unusable import is_unicode
from workbench.data.pairs import PairFile, SkippedRow, TextPair
from workbench.errors import WorkbenchError
from workbench.feedback.json_log import append_record, read_lines
from workbench.paths import given_path

CHOICES = ("a", "b", "tie", "bad")
COLUMNS = ("prompt", "a", "b", "name_a", "name_b", "vote", "round")
UNDO = "undo"
NAMES = ("prompt", "a", "b")  # the fields that identify a question
# Every line begins with one of these; so does a truncated line, as far as it goes.
HEADS = (b'{"prompt": ', b'{"undo": ')

Key = tuple[str, frozenset[str]]


@dataclass(frozen=True)
class Question:
    """Two answers to one prompt, side `a` and side `b`, and the names of their models.

    `seed` determines the sides; `round` is the number of earlier rounds of training on votes.
    """

    prompt: str
    a: str
    b: str
    name_a: str
    name_b: str
    seed: int = 0
    round: int = 0

    @classmethod
    def shuffled(
        cls, prompt: str, one: str, other: str, names: tuple[str, str], seed: int, round: int = 0
    ) -> "Question":
        """The answers of the models `names`, with sides at random but fixed by the seed."""
        sides = [(one, names[0]), (other, names[1])]
        drawn_by = f"sides {seed} {prompt} {one} {other}".encode("utf-8", "surrogatepass")
        random.Random(drawn_by).shuffle(sides)
        (a, name_a), (b, name_b) = sides
        return cls(prompt, a, b, name_a, name_b, seed, round)

    @property
    def key(self) -> Key:
        """Identity of the question: prompt and both answers, whichever side they are on."""
        return self.prompt, frozenset((self.a, self.b))


@dataclass(frozen=True)
class Vote(Question):
    """A question with its vote: `a` or `b` is better, a `tie`, or both are `bad`.

    `time` is in UTC, ISO 8601.
    """

    vote: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        if self.vote not in CHOICES:
            raise WorkbenchError(f"vote={self.vote!r} is not accepted: one of {', '.join(CHOICES)}")

    @classmethod
    def cast(cls, question: Question, vote: str) -> "Vote":
        """A vote with the current time."""
        values = {part.name: getattr(question, part.name) for part in fields(Question)}
        return cls(**values, vote=vote, time=_now())


OBJECTS = {part.name for part in fields(Vote)}, {UNDO, "time"}  # what lines hold


def open_votes(path: str | Path) -> Path:
    """Create the file if it is missing, and check that it can be written and holds only votes.

    Raises WorkbenchError where it can't be written or holds something else.
    """
    path = given_path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, b"")
    read_votes(path)
    return path


def append_vote(path: str | Path, vote: Vote) -> None:
    """Append a vote, flushed to disk. Raises WorkbenchError where it can't be written."""
    with _writing(path):
        append_record(given_path(path), asdict(vote))


def undo_vote(path: str | Path, question: Question) -> None:
    """Undo the newest vote on this question, if there is one."""
    undone = {name: getattr(question, name) for name in NAMES}
    with _writing(path):
        append_record(given_path(path), {UNDO: undone, "time": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_votes(path: str | Path) -> list[Vote]:
    """The votes that are not undone, oldest first.

    Raises WorkbenchError where the file is missing or unreadable, or a line is not a vote.
    """
    return [vote for _, vote in _standing(given_path(path))]


def votes_frame(path: str | Path) -> pd.DataFrame:
    """The votes that are not undone, one per row: prompt, a, b, name_a, name_b, vote, round."""
    votes = read_votes(path)
    columns = {name: [getattr(vote, name) for vote in votes] for name in COLUMNS}
    # Texts as objects, because a column of strings takes no half of a Unicode character.
    return pd.DataFrame(columns, dtype=object).astype({"round": "int64"})


def damaged_votes(path: str | Path) -> list[SkippedRow]:
    """The lines that can't be read any more, with the reason; see `read_lines`."""
    return [row for row in _records(given_path(path)) if isinstance(row, SkippedRow)]


def votes_to_pairs(path: str | Path, round: int | None = None) -> PairFile:
    """Preference pairs of the votes for a or b, numbered by line; of one round, or of all.

    Ties, "bad" votes, pairs that can't be trained on and all but the newest vote on a question are
    in `skipped`, with the reason, and so are damaged lines.
    """
    votes = [(n, vote) for n, vote in _standing(given_path(path)) if round in (None, vote.round)]
    newest = {vote.key: line for line, vote in votes}
    pairs: list[TextPair] = []
    skipped = damaged_votes(path)
    for line, vote in votes:
        sides = (vote.a, vote.b) if vote.vote == "a" else (vote.b, vote.a)
        if newest[vote.key] != line:
            skipped.append(SkippedRow(line, f"voted on again in line {newest[vote.key]}"))
        elif reason := _unusable(vote):
            skipped.append(SkippedRow(line, reason))
        else:
            pairs.append(TextPair(vote.prompt, *sides, line))
    return PairFile(str(path), pairs, sorted(skipped))


def _unusable(vote: Vote) -> str:
    """Why a vote gives no pair; empty where it gives one."""
    if vote.vote in ("tie", "bad"):
        return {"tie": "a tie: neither is better", "bad": "both bad: neither is chosen"}[vote.vote]
    if vote.a == vote.b:
        return "the answers are identical"
    for name in NAMES:
        text = getattr(vote, name)
        if not text.strip():
            return f"{name} is empty"
        if not is_unicode(text):
            return f"{name} holds half of a Unicode character"
    return ""


def _standing(path: Path) -> list[tuple[int, Vote]]:
    """Line number and vote, without the votes that were undone."""
    standing: list[tuple[int, Vote]] = []
    for number, record in [row for row in _records(path) if not isinstance(row, SkippedRow)]:
        if UNDO not in record:
            standing.append((number, _vote(record, path, number)))
            continue
        key = _undone(record[UNDO], path, number)
        for index in [i for i, (_, vote) in enumerate(standing) if vote.key == key][-1:]:
            del standing[index]
    return standing


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]] | SkippedRow]:
    """Line number and content of every line, or why it can't be read."""
    for number, raw, record, problem in read_lines(_read(path), *OBJECTS):
        if problem and any(raw.startswith(head) or head.startswith(raw) for head in HEADS):
            yield SkippedRow(number, problem)
        elif problem:
            raise _no_votes(path, number, "it is not JSON")
        elif not isinstance(record, dict):
            raise _no_votes(path, number, f"it is {type(record).__name__}")
        else:
            yield number, record


def _vote(record: dict[str, Any], path: Path, number: int) -> Vote:
    values = {}
    for part in fields(Vote):
        kind = int if part.type in (int, "int") else str
        if part.name not in record:
            raise _no_votes(path, number, f"{part.name} is missing")
        values[part.name] = value = record[part.name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _no_votes(path, number, f"{part.name} is {type(value).__name__}")
        if isinstance(value, int) and abs(value) >= 2**63:
            raise _no_votes(path, number, f"{part.name} is out of range")
    try:
        return Vote(**values)
    except WorkbenchError as error:
        raise _no_votes(path, number, str(error)) from None


def _undone(undo: Any, path: Path, number: int) -> Key:
    if not (isinstance(undo, dict) and all(isinstance(undo.get(name), str) for name in NAMES)):
        raise _no_votes(path, number, "it undoes something that is not a question")
    return undo["prompt"], frozenset((undo["a"], undo["b"]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        raise WorkbenchError(f"no file {path}: give a file of votes") from None
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}; choose another file"
        raise WorkbenchError(f"votes can't be written to {path}: {reason}") from error


def _no_votes(path: Path, number: int, why: str) -> WorkbenchError:
    why = f"line {number}: {why}; choose another file"
    return WorkbenchError(f"{path} is not a file of votes: {why}")
