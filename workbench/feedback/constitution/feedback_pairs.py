"""Pairs of a constitution, each with its provenance: made, written and read.

The file is JSONL with `prompt`, `chosen` and `rejected`, as every reader of pairs takes it, and
with all that led to the pair in further columns.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.data.cache import atomic_write
from workbench.data.json_rows import read_json_rows
from workbench.data.layouts.unusable import is_unicode
from workbench.data.pairs import SkippedRow
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.labelling import Label
from workbench.feedback.constitution.revising import Revision
from workbench.paths import given_path

REVISION, LABEL = "revision", "label"


@dataclass(frozen=True)
class FeedbackPair:
    """A preference pair, and where it comes from.

    Attributes:
        kind: "revision", the revision over the original, or "label", chosen out of two answers.
        principle, principle_text: its name, and its words at that time.
        original, critique, revision: of a revision; of a label they are empty.
        writer, critic: names of the models, or "rules".
        seed: of answers and replies.
        score_first, score_second: the probability of the chosen, 0 to 1, where it was shown first
            and where it was shown second; None for a revision.
        edited: what was changed afterwards, such as "swapped"; empty where nothing was.
    """

    prompt: str
    chosen: str
    rejected: str
    kind: str
    principle: str
    principle_text: str
    original: str = ""
    critique: str = ""
    revision: str = ""
    writer: str = ""
    critic: str = ""
    seed: int = 0
    score_first: float | None = None
    score_second: float | None = None
    edited: str = ""

    @property
    def score(self) -> float | None:
        """The probability of the chosen, averaged over both orders; None for a revision."""
        if self.score_first is None or self.score_second is None:
            return None
        return (self.score_first + self.score_second) / 2


@dataclass(frozen=True)
class Feedback:
    """The pairs, and every answer that gave none, with its number from 1 and the reason."""

    pairs: list[FeedbackPair]
    skipped: list[SkippedRow]

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs there are, and how many answers gave none for each reason."""
        return {"pairs": len(self.pairs), **Counter(row.reason for row in self.skipped)}


def feedback(records: Iterable[Revision | Label]) -> Feedback:
    """The pairs that revisions and labels give; nothing is dropped without its reason.

    Raises:
        WorkbenchError: none of them gives a pair.
    """
    found = Feedback([], [])
    for number, record in enumerate(records, start=1):
        reason, pair = _of_revision(record) if isinstance(record, Revision) else _of_label(record)
        reason = reason or _unusable(pair)
        if reason:
            found.skipped.append(SkippedRow(number, reason))
        else:
            found.pairs.append(pair)
    if not found.pairs:
        reasons = ", ".join(f"{count} {reason}" for reason, count in [*found.counts.items()][1:])
        raise WorkbenchError(f"no pair came of {len(found.skipped)} answers: {reasons or 'none'}")
    return found


def _of_revision(record: Revision) -> tuple[str, FeedbackPair]:
    reason = ""
    if record.broken is None:
        reason = f"critique not in form after {record.tries} tries"
    elif not record.broken:
        reason = "the critic finds the principle kept"
    elif record.revision is None:
        reason = f"no revision after {record.tries} tries"
    elif record.revision == record.original:
        reason = "the revision is the original"
    revision, principle = record.revision or "", record.principle
    return reason, FeedbackPair(
        record.prompt, revision, record.original, REVISION, principle.name, principle.text,
        record.original, record.critique, revision, record.writer, record.critic, record.seed,
    )  # fmt: skip


def _of_label(record: Label) -> tuple[str, FeedbackPair]:
    score, principle = record.score, record.principle
    reason = ""
    if score is None:
        reason = "choice not in form"
    elif record.a == record.b:
        reason = "both answers are the same"
    elif score == 0.5:
        reason = "a tie"
    first, second, sides = record.a_first, record.a_second, (record.a, record.b)
    if first is not None and second is not None and first + second < 1:
        first, second, sides = 1 - second, 1 - first, sides[::-1]
    return reason, FeedbackPair(
        record.prompt, *sides, LABEL, principle.name, principle.text, writer=record.writer,
        critic=record.critic, seed=record.seed, score_first=first, score_second=second,
    )  # fmt: skip


def _unusable(pair: FeedbackPair) -> str:
    for name in ("prompt", "chosen", "rejected"):
        text = getattr(pair, name)
        if not text.strip():
            return f"{name} is empty"
        if not is_unicode(text):
            return f"{name} holds half of a Unicode character"
    return "chosen and rejected are the same" if pair.chosen == pair.rejected else ""


# -- on disk --------------------------------------------------------------------------------------


def write_feedback(pairs: Iterable[FeedbackPair], path: str | Path) -> None:
    """Write pairs as JSONL, atomically. Raises WorkbenchError where a pair can't be trained on."""
    lines = []
    for number, pair in enumerate(pairs, start=1):
        if reason := _unusable(pair):
            raise WorkbenchError(f"pair {number}: {reason}; edit or drop it")
        lines.append(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
    if not lines:
        raise WorkbenchError("no pair is left to write")
    atomic_write(given_path(path), lambda part: part.write_bytes("".join(lines).encode()))


def read_feedback(path: str | Path) -> list[FeedbackPair]:
    """The pairs of a file that `write_feedback` made, possibly edited by hand.

    Raises:
        WorkbenchError: a row lacks a column or holds something else in it.
    """
    pairs = []
    for number, row in enumerate(read_json_rows(given_path(path)), start=1):
        if problem := _problem(row):
            raise WorkbenchError(f"{path}: row {number}: {problem}")
        names = [part.name for part in fields(FeedbackPair) if part.name in row]
        pairs.append(FeedbackPair(**{name: row[name] for name in names}))
    return pairs


def _problem(row: Any) -> str:
    if not isinstance(row, dict):
        return f"it is {type(row).__name__}, expected an object"
    for part in fields(FeedbackPair):
        name, required = part.name, part.name in ("prompt", "chosen", "rejected")
        if name.startswith("score"):
            kinds: tuple[type, ...] = (int, float, type(None))
        else:
            kinds = (int,) if name == "seed" else (str,)
        if name in row and not (isinstance(row[name], kinds) and not isinstance(row[name], bool)):
            return f"{name} is {row[name]!r}"
        if name not in row and (required or name in ("kind", "principle", "principle_text")):
            return f"no column {name!r}"
    return ""


def feedback_frame(pairs: Sequence[FeedbackPair]) -> pd.DataFrame:
    """One row per pair, all columns, with `pair` from 1, `score`, and the words of both sides."""
    rows = [
        {
            "pair": number, **asdict(pair), "score": pair.score,
            "words_chosen": len(pair.chosen.split()), "words_rejected": len(pair.rejected.split()),
        }
        for number, pair in enumerate(pairs, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)
