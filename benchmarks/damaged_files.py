"""Data files damaged at random: is every row used or named, and every error one line?

    python -m benchmarks.faults files [--count N] [--seed N]

Each file is one of the layouts in one of the formats, with rows changed by hand or bytes changed on
disk. It is read as pairs, as completions and as prompts, and looked through by the preflight. A
failure is a traceback, a row that is neither used nor named, or an error of more than one line or
without the file's name; its seed is printed.
"""

from __future__ import annotations

import csv
import json
import math
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow
from pyarrow import ipc, parquet

from workbench.data.completions import encode_completions, read_completions
from workbench.data.layouts.reading import RANKED, TURNS, Reading
from workbench.data.layouts.row_sources import rows_of
from workbench.data.pairs import encode_pairs, read_pairs
from workbench.data.preflight import preflight
from workbench.data.prompts import encode_prompts, read_prompts
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

LONGEST = 24
FORMATS = ("jsonl", "json", "listed.json", "csv", "tsv", "semicolons.csv", "parquet", "arrow")
COLUMNS = (None, None, None, "prompt=question", "chosen=best,rejected=worst", "prompt=", "x=y")


def said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


TALK = [said("user", "the plot"), said("assistant", "was good ."), said("user", "and the room ?")]
ROWS: tuple[dict[str, Any], ...] = (
    {"prompt": "the plot", "chosen": "was good .", "rejected": "was bad .", "group": "a"},
    {"prompt": "the plot", "chosen": "good", "rejected": "bad", "chosen_score": 2,
     "rejected_score": 1, "system": "be kind"},
    {"instruction": "write", "input": "the plot", "chosen": "good", "rejected": "bad"},
    {"chosen": "Human: the plot\n\nAssistant: good",
     "rejected": "Human: the plot\n\nAssistant: bad"},
    {"chosen": [*TALK, said("assistant", "good")], "rejected": [*TALK, said("assistant", "bad")]},
    {"prompt": TALK, "chosen": [said("assistant", "good")], "rejected": [said("assistant", "bad")],
     "tools": [{"name": "add"}]},
    {"conversations": [{"from": "human", "value": "the plot"}],
     "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}},
    {"prompt": "the plot", "responses": ["good", "bad", "fair"], "scores": [3, 1, 2]},
    {"prompt": "the plot",
     "answers": [{"answer": "good", "rank": 1}, {"answer": "bad", "rank": 2}]},
    {"input": {"messages": TALK}, "preferred_output": [said("assistant", "good")],
     "non_preferred_output": [said("assistant", "bad")]},
    {"prompt": "the plot", "a": "good", "b": "bad", "vote": "a"},
    {"prompt": "the plot", "completion": "was good .", "label": True},
    {"messages": [*TALK, said("assistant", "good")], "label": False},
    {"prompt": "the plot"},
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, math.nan, math.inf, 10**400, "", " ", "\n", "\0", "\ud800", "\u2028",
    "é" * 3, "<eos>", "good <eos>", "<eos>" * 9, "good " * 99, "x" * 5000, [], {}, [[]], ["good"],
    [None], {"role": "user"}, [said("user", "the plot")], [said("robot", "x")], said("user", 3),
    [said("assistant", None)], [{"from": "gpt", "value": ["x"]}], [{"type": "image"}],
    [said("user", [{"type": "image"}])], [said("system", "a"), said("system", "b")],
    [1, 2, 3], ["a", "b"], "[1", "Human: x", "\n\nHuman: a\n\nAssistant: b\n\nHuman: c",
)  # fmt: skip


def damaged_file(folder: Path, rng: random.Random) -> Path:
    """A file, or the folder of a data set, with damage of several kinds or none."""
    start = rng.choice(ROWS)
    rows: list[Any] = [deepcopy(start) for _ in range(rng.randint(0, 5))]
    for number, row in enumerate(rows):
        for name in row:  # so that rows are not all the same
            if (
                isinstance(row[name], str)
                and name in ("prompt", "instruction")
                and rng.random() < 0.8
            ):
                row[name] += f" {number}"
    for _ in range(rng.choice((0, 0, 1, 2, 4))):
        _change(rows, rng)
    kind = rng.choice(FORMATS)
    path = folder / f"rows.{kind}"
    _write(path, rows, kind, rng)
    if path.is_file() and rng.random() < 0.3:
        _break(path, rng)
    return path


def _change(rows: list[Any], rng: random.Random) -> None:
    """Change one row: a field, a nested value, its columns, or the whole of it."""
    if not rows:
        return
    index = rng.randrange(len(rows))
    row, what = rows[index], rng.randrange(6)
    if what == 0 or not isinstance(row, dict) or not row:
        rows[index] = deepcopy(rng.choice(ODD))
        return
    name = rng.choice(sorted(row))
    if what == 1:
        del row[name]
    elif what == 2:
        row[
            rng.choice(("question", "system", "group", "label", "tools", "scores", name.upper()))
        ] = row[name]
    elif what == 3 and isinstance(row[name], list | dict) and row[name]:
        _change_inside(row[name], rng)
    else:
        row[name] = deepcopy(rng.choice(ODD))


def _change_inside(value: Any, rng: random.Random) -> None:
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    if isinstance(value[key], dict | list) and value[key] and rng.random() < 0.7:
        _change_inside(value[key], rng)
    elif rng.random() < 0.3:
        del value[key]
    else:
        value[key] = deepcopy(rng.choice(ODD))


def _write(path: Path, rows: list[Any], kind: str, rng: random.Random) -> None:
    if kind in ("csv", "tsv", "semicolons.csv"):
        names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
        mark = {"csv": ",", "tsv": "\t", "semicolons.csv": ";"}[kind]
        with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
            writer = csv.writer(file, delimiter=mark)
            with suppress(csv.Error):
                writer.writerow(names)
                for row in rows:
                    cells = [row.get(n) for n in names] if isinstance(row, dict) else [row]
                    writer.writerow(cells if rng.random() < 0.95 else cells[:-1])
    elif kind in ("parquet", "arrow"):
        _write_arrow(path, [row for row in rows if isinstance(row, dict)], kind)
    else:
        lines = [json.dumps(row) for row in rows]
        texts = {
            "jsonl": "\n".join(lines),
            "json": f"[{', '.join(lines)}]",
            "listed.json": f'{{"version": 1, "data": [{", ".join(lines)}]}}',
        }
        path.write_text(texts[kind], encoding="utf-8")


def _write_arrow(path: Path, rows: list[dict[str, Any]], kind: str) -> None:
    try:
        table = pyarrow.Table.from_pylist(rows)
    except (pyarrow.ArrowException, UnicodeError, OverflowError, TypeError):  # of mixed kinds
        plain = [{n: json.dumps(v) for n, v in row.items()} for row in rows]
        table = pyarrow.Table.from_pylist(plain)
    if kind == "parquet":
        with suppress(pyarrow.ArrowException):  # what Parquet has no form for: an empty file then
            parquet.write_table(table, path)
        path.touch()
        return
    path.mkdir()
    with ipc.new_stream(path / "data.arrow", table.schema) as stream:
        stream.write_table(table)
    named = {"_data_files": [{"filename": "data.arrow"}]}
    (path / "state.json").write_text(json.dumps(named), encoding="utf-8")


def _break(path: Path, rng: random.Random) -> None:
    """Change the bytes of a file: cut, flipped, doubled, of another encoding."""
    content = bytearray(path.read_bytes())
    what = rng.randrange(7)
    if what == 0:
        content = content[: rng.randint(0, len(content))]
    elif what == 1 and content:
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif what == 2:
        content = bytearray(b"\xef\xbb\xbf") + content.replace(b"\n", b"\r\n")
    elif what == 3:
        content = bytearray(content.decode("utf-8", "ignore").encode("utf-16"))
    elif what == 4:
        place = rng.randint(0, len(content))
        content[place:place] = rng.choice((b"\0" * 4, b'"', b"[" * 3000, b"}", b"\n\n", b"NaN"))
    elif what == 5:
        content = content + content
    else:
        content = bytearray()
    path.write_bytes(bytes(content))


def problems(path: Path, rng: random.Random, tokenizer: Tokenizer) -> list[str]:
    """What goes wrong with a file; nothing, as a rule."""
    reading = Reading(
        rng.choice(COLUMNS), rng.choice(TURNS), rng.choice(RANKED), rng.choice((0, 0, 1, 5))
    )
    found = []
    for read in (_pairs, _completions, _prompts, _preflight):
        try:
            read(path, reading, tokenizer)
        except WorkbenchError as error:
            text = str(error)
            if "\n" in text or not (
                str(path) in text or "columns=" in text or "context of" in text
            ):
                found.append(
                    f"{read.__name__}: an error without its file, or of several lines: {text!r}"
                )
        except AssertionError as error:
            found.append(f"{read.__name__}: {error}")
        except Exception:
            found.append(f"{read.__name__}: {traceback.format_exc()}")
    return found


def _pairs(path: Path, reading: Reading, tokenizer: Tokenizer) -> None:
    file = read_pairs(path, reading)
    _account(path, reading, [pair.row for pair in file.pairs], file.skipped)
    encoded = encode_pairs(file.pairs, tokenizer, LONGEST)
    assert len(encoded.pairs) + len(encoded.skipped) == len(file.pairs), "a pair was lost"


def _completions(path: Path, reading: Reading, tokenizer: Tokenizer) -> None:
    file = read_completions(path, reading=reading)
    _account(path, reading, [text.row for text in file.texts], file.skipped)
    items, _, skipped, _ = encode_completions(file.texts, tokenizer, LONGEST)
    assert len(items) + len(skipped) == len(file.texts), "a completion was lost"


def _prompts(path: Path, reading: Reading, tokenizer: Tokenizer) -> None:
    file = read_prompts(path, reading)
    items, _, skipped = encode_prompts(file.texts, tokenizer, LONGEST)
    assert len(items) + len(skipped) == len(file.texts), "a prompt was lost"


def _preflight(path: Path, reading: Reading, tokenizer: Tokenizer) -> None:
    for finding in preflight(path, tokenizer, LONGEST, reading).findings:
        assert "\n" not in finding.text + finding.fix + finding.where, "a finding of several lines"


def _account(path: Path, reading: Reading, used: list[int], skipped: list[Any]) -> None:
    """Every row is used or named, none is both, and every reason is one line."""
    every = set(range(1, len(rows_of(path, reading.columns)) + 1))
    named = {row.row for row in skipped}
    assert set(used) | named == every, f"rows {every - set(used) - named} are lost"
    assert not set(used) & named, f"rows {set(used) & named} are used and skipped"
    for row in skipped:
        assert row.reason.strip(), "a row is skipped without a reason"
        assert "\n" not in row.reason, f"a reason of several lines: {row.reason!r}"


def run(files: int, seed: int, tell: Callable[[str], None]) -> int:
    """The number of files with a problem; each is told with its seed."""
    tokenizer = word_tokenizer()
    bad, kinds, slowest = 0, Counter[str](), 0.0
    for number in range(seed, seed + files):
        rng = random.Random(number)
        with TemporaryDirectory() as folder:
            path = damaged_file(Path(folder), rng)
            begin = time.perf_counter()
            found = problems(path, rng, tokenizer)
            slowest = max(slowest, time.perf_counter() - begin)
        kinds[path.name] += 1
        bad += bool(found)
        for problem in found:
            tell(f"seed {number}, {path.name}: {problem}")
    tell(
        f"{files:,} files, {bad} with a problem; the slowest took {slowest:.2f} s; "
        + ", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items()))
    )
    return bad


def word_tokenizer() -> Tokenizer:
    """Of a few words; the rest is unknown."""
    words = ["the", "plot", "was", "good", "bad", "fair", "write", "and", "room", "?", "."]
    return Tokenizer.from_words(words)
