"""Files of votes and journals damaged at random: is every vote used or named, and none another one?

    python -m benchmarks.faults votes [--count N] [--seed N]

Bytes are flipped, cut out, doubled; lines are repeated, exchanged, of other kinds or versions. Each
file is read as votes, as pairs and as a ballot, or as a journal, and written to once more. A
failure is a traceback, an error of more than one line or without the file's name, a line that is
neither used nor named, and a vote, an undo or a reply that nobody gave; its seed is printed.
"""

from __future__ import annotations

import json
import math
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from workbench.errors import WorkbenchError
from workbench.feedback.constitution.journal import Journal
from workbench.feedback.json_log import append_record
from workbench.feedback.votes import (
    Question,
    Vote,
    append_vote,
    open_votes,
    read_votes,
    undo_vote,
    votes_frame,
    votes_to_pairs,
)
from workbench.view.votes.ballot import Ballot

TEXTS = (
    "good.", "bad.", "ü 👋", 'a "quote" \\ {"prompt": ', "two\nlines\u2028", "\0\x1b[2J", "\ud800",
    " ", '"}', "x" * 3000, '", "vote": "b", "crc32": 1}', "a", "b",
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1e308, math.nan, "", "c", "A", [], {}, ["a"], {"a": 1}, "\0",
)  # fmt: skip
# Lines that no version of the workbench wrote into either file.
FOREIGN = (
    b"hello", b"[1, 2]", b"3", b"null", b'{"prompt": "p", "chosen": "a", "rejected": "b"}',
    b'{"undo": 3}', b'{"call": {}, "value": 1}', b"\xff\xfe", b"[" * 5000, b'{"prompt": 1',
    b'{"prompt": ' + b"9" * 5000 + b"}", b"{}", b'{"event": "step"}', b"NaN", b"\x89PNG",
)  # fmt: skip


def question(rng: random.Random) -> Question:
    """One of a few, so that questions come again."""
    one, other = rng.sample(TEXTS, 2)
    names = ("policy", "reference")
    return Question.shuffled(f"prompt {rng.randrange(3)}", one, other, names, 0, rng.randrange(2))


def write_votes(path: Path, rng: random.Random) -> None:
    """Votes and undos, some of them of an older or a newer version."""
    path.touch()
    for _ in range(rng.randint(0, 7)):
        asked = question(rng)
        vote = Vote.cast(asked, rng.choice(("a", "b", "tie", "bad")))
        kind = rng.randrange(8)
        if kind == 0:
            undo_vote(path, asked)
        elif kind == 1:
            append_record(path, asdict(vote) | {"device": "cpu"})
        elif kind == 2:
            with path.open("ab") as file:  # before lines had a checksum
                file.write(json.dumps(asdict(vote)).encode() + b"\n")
        elif kind == 3:
            values = asdict(vote)
            name = rng.choice(sorted(values))
            changed = {name: rng.choice(ODD)} if rng.random() < 0.7 else {}
            append_record(path, {n: v for n, v in values.items() if n != name} | changed)
        else:
            append_vote(path, vote)


def write_journal(path: Path, rng: random.Random) -> None:
    """Calls and their values."""
    for _ in range(rng.randint(0, 7)):
        call = {"kind": "reply", "text": rng.choice(TEXTS), "seed": rng.randrange(3)}
        append_record(path, {"call": call, "value": rng.choice((*TEXTS, 0.25, None))})
    path.touch()


def damage(content: bytes, rng: random.Random) -> tuple[bytes, bool]:
    """Damaged content, and whether bytes within lines may have changed."""
    what = rng.randrange(8)
    lines = content.splitlines(keepends=True)
    if what == 0:
        return content[: rng.randint(0, len(content))], False
    if what == 1 and content:
        changed = bytearray(content)
        for _ in range(rng.randint(1, 5)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed), True
    if what == 2:
        begin, end = sorted(rng.randint(0, len(content)) for _ in range(2))
        return content[:begin] + content[end:], True
    if what == 3:
        at = rng.randint(0, len(content))
        return content[:at] + rng.choice((b"\0\0\0", b'"', b"}", b"\n\n", b"9", b"b")) + content[
            at:
        ], True
    if what == 4:
        rng.shuffle(lines)
        return b"".join(lines + lines[: rng.randint(0, 2)]), False
    if what == 5:
        lines.insert(rng.randint(0, len(lines)), rng.choice(FOREIGN) + b"\n")
        return b"".join(lines), False
    if what == 6:
        return b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\0\0", False
    return content, False


def parsed(line: bytes) -> Any:
    """What a line holds, read without regard to its checksum; None where it is no object."""
    try:
        found = json.loads(line.strip(b"\0 \t\r"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def question_of(record: dict[str, Any]) -> Any:
    """The question of a line, whichever kinds of values it holds."""
    return repr(record["prompt"]), frozenset((repr(record["a"]), repr(record["b"])))


def verdict(record: dict[str, Any]) -> str:
    return json.dumps([record.get(name) for name in ("prompt", "a", "b", "vote", "round")])


def check_votes(path: Path, before: bytes) -> None:
    """Read a file of votes in every way; raises AssertionError for what is wrong."""
    votes, found = read_votes(open_votes(path)), votes_to_pairs(path)
    given = {verdict(row) for row in map(parsed, before.split(b"\n")) if row}
    for vote in votes:
        assert verdict(asdict(vote)) in given, f"nobody voted {vote}"
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    numbered = {n: line for n, line in enumerate(content, 1) if line.strip(b"\0 \t\r")}
    used, named = {pair.row for pair in found.pairs}, {row.row for row in found.skipped}
    assert not used & named, f"lines {used & named} are used and skipped"
    assert used | named <= numbered.keys(), "lines that are not there"
    standing: list[tuple[Any, int]] = []  # as a simple replay has it
    for number, line in numbered.items():
        row = parsed(line)
        if row and "undo" in row and number not in named:
            asked = question_of(row["undo"])
            for at in [i for i, (other, _) in enumerate(standing) if other == asked][-1:]:
                del standing[at]
        elif row and row.keys() >= {"prompt", "a", "b"}:
            standing.append((question_of(row), number))
        else:
            assert number in named, f"line {number} is neither used nor named"
    for _, number in standing:
        assert number in used | named, f"line {number} is lost"
    for pair in found.pairs:
        row = parsed(numbered[pair.row])
        sides = (row["a"], row["b"]) if row["vote"] == "a" else (row["b"], row["a"])
        assert (pair.chosen, pair.rejected) == sides, f"line {pair.row} is turned round"
    assert all(row.reason and "\n" not in row.reason for row in found.skipped)
    assert len(votes_frame(path)) == len(votes)
    new = Question("asked now", "one", "two", "policy", "reference")
    ballot = Ballot([new, *votes], path)
    assert ballot.voted == len({vote.key for vote in votes})
    ballot.cast("a")
    assert [vote.vote for vote in read_votes(path)[len(votes) :]] == ["a"], "a new vote is lost"


def check_journal(path: Path, before: bytes) -> None:
    """Read a journal; no value may be another one than a call had."""
    values = {
        (json.dumps(row["call"], sort_keys=True), json.dumps(row["value"]))
        for row in map(parsed, before.split(b"\n"))
        if row and "call" in row
    }
    journal = Journal(path)
    for key, value in journal._values.items():
        if not isinstance(value, str | float | type(None)):
            continue  # refused where it is used
        assert (key, json.dumps(value)) in values, f"nobody replied {value!r:.60} to {key:.60}"
    journal[{"kind": "new"}] = "said"
    del journal
    again = Journal(path)
    assert again[{"kind": "new"}] == "said", "a new reply is lost"


def problem(path: Path, rng: random.Random) -> str:
    """What goes wrong with a damaged file; nothing, as a rule."""
    votes = path.name.startswith("votes")
    (write_votes if votes else write_journal)(path, rng)
    before = path.read_bytes()
    content, inside = damage(before, rng)
    if inside and any(b'"crc32"' not in line for line in before.splitlines()):
        content = before  # nothing tells a changed line of an older version
    path.write_bytes(content)
    try:
        (check_votes if votes else check_journal)(path, before)
    except WorkbenchError as error:
        if "\n" in str(error) or str(path) not in str(error):
            return f"an error without its file, or of several lines: {error}"
    except AssertionError as error:
        return str(error) or traceback.format_exc()
    except Exception:
        return traceback.format_exc()
    return ""


def run(files: int, seed: int, tell: Callable[[str], None]) -> int:
    """The number of files with a problem; each is told with its seed."""
    bad, kinds, slowest = 0, Counter[str](), 0.0
    for number in range(seed, seed + files):
        rng = random.Random(number)
        with TemporaryDirectory() as folder, patch("os.fsync"):  # nobody pulls the plug here
            path = Path(folder) / rng.choice(("votes.jsonl", "votes.jsonl", "journal.jsonl"))
            begin = time.perf_counter()
            found = problem(path, rng)
            slowest = max(slowest, time.perf_counter() - begin)
        kinds[path.name] += 1
        bad += bool(found)
        if found:
            tell(f"seed {number}, {path.name}: {found}")
    tell(
        f"{files:,} files, {bad} with a problem; the slowest took {slowest:.2f} s; "
        + ", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items()))
    )
    return bad
