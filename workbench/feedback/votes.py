"""Votes on pairs of answers: one JSON object per line, on disk before the next pair is shown.

The file is append-only, so a killed process can truncate the last line and nothing else; reading
ignores a truncated line, and writing after it starts a new line. Undoing a vote also appends a
line. Reading gives the votes that are not undone.
"""

import codecs
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.data.cache import append_line
from workbench.data.layouts.unusable import is_unicode
from workbench.data.pairs import PairFile, SkippedRow, TextPair
from workbench.errors import WorkbenchError

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
        random.Random(f"sides {seed} {prompt} {one} {other}").shuffle(sides)
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
            accepted = ", ".join(CHOICES)
            raise WorkbenchError(f"vote={self.vote!r} is not accepted: one of {accepted}")

    @classmethod
    def cast(cls, question: Question, vote: str) -> "Vote":
        """A vote with the current time."""
        values = {part.name: getattr(question, part.name) for part in fields(Question)}
        return cls(**values, vote=vote, time=_now())


def open_votes(path: str | Path) -> Path:
    """Create the file if it is missing, and check that it can be written and holds only votes.

    Raises WorkbenchError where it can't be written or holds something else.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, b"")
    except OSError as error:
        raise _not_written(path, error) from error
    read_votes(path)
    return path


def append_vote(path: str | Path, vote: Vote) -> None:
    """Append a vote, flushed to disk. Raises WorkbenchError where it can't be written."""
    _write(Path(path), asdict(vote))


def undo_vote(path: str | Path, question: Question) -> None:
    """Undo the newest vote on this question, if there is one."""
    _write(Path(path), {UNDO: {name: getattr(question, name) for name in NAMES}, "time": _now()})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_votes(path: str | Path) -> list[Vote]:
    """The votes that are not undone, oldest first.

    Raises WorkbenchError where the file is missing or unreadable, or a line is not a vote.
    """
    return [vote for _, vote in _standing(Path(path))]


def votes_frame(path: str | Path) -> pd.DataFrame:
    """The votes that are not undone, one per row: prompt, a, b, name_a, name_b, vote, round."""
    rows = [[getattr(vote, name) for name in COLUMNS] for vote in read_votes(path)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def votes_to_pairs(path: str | Path, round: int | None = None) -> PairFile:
    """Preference pairs of the votes for a or b, numbered by line; of one round, or of all.

    Ties, "bad" votes, and pairs that can't be trained on are in `skipped`, with the reason.
    """
    pairs: list[TextPair] = []
    skipped: list[SkippedRow] = []
    for line, vote in _standing(Path(path)):
        if round is not None and vote.round != round:
            continue
        sides = (vote.a, vote.b) if vote.vote == "a" else (vote.b, vote.a)
        if reason := _unusable(vote):
            skipped.append(SkippedRow(line, reason))
        else:
            pairs.append(TextPair(vote.prompt, *sides, line))
    return PairFile(str(path), pairs, skipped)


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
    for number, record in _records(path):
        if UNDO not in record:
            standing.append((number, _vote(record, path, number)))
            continue
        key = _undone(record[UNDO], path, number)
        for index in [i for i, (_, vote) in enumerate(standing) if vote.key == key][-1:]:
            del standing[index]
    return standing


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and content of every line that is not truncated."""
    for number, raw in enumerate(_read(path).split(b"\n"), start=1):
        line = raw.strip(b"\0 \t\r")  # a crash of the machine can leave zeros at the end
        if not line:
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if any(line.startswith(head) or head.startswith(line) for head in HEADS):
                continue
            raise _no_votes(path, number, "it is not JSON") from None
        if not isinstance(record, dict):
            raise _no_votes(path, number, f"it is {type(record).__name__}")
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


def _write(path: Path, record: dict[str, Any]) -> None:
    # An unpaired surrogate has no UTF-8 form; backslashreplace writes it as JSON does.
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
    try:
        append_line(path, line + b"\n")
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> WorkbenchError:
    reason = f"{error.strerror}; choose another file"
    return WorkbenchError(f"votes can't be written to {path}: {reason}")


def _no_votes(path: Path, number: int, why: str) -> WorkbenchError:
    return WorkbenchError(
        f"{path} is not a file of votes: line {number}: {why}; choose another file"
    )
