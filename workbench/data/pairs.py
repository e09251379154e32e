"""Preference pairs as text: read from a file, written, and turned into token ids.

A row that cannot be used is never dropped silently: it is listed with its number and the reason.
The column layouts are in `columns.py`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.batch import Pair
from workbench.data.cache import atomic_write
from workbench.data.columns import (
    LAYOUTS,
    Layout,
    UnusableError,
    as_object,
    find_layout,
    group_of,
    parse_columns,
    renamed,
)
from workbench.data.encoding import EncodedRow, encode_rows
from workbench.data.json_rows import read_json_rows
from workbench.data.table_files import is_table, read_table
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

# The sets of pairs that ship with the package, by name; each is NAME.jsonl beside this file.
ASSISTANT = "assistant"
SHIPPED = (ASSISTANT, "brief")


@dataclass(frozen=True)
class TextPair:
    """One preference: of two completions of a prompt, the chosen one is better.

    `row` is its number in the source, from 1. Pairs of one `group` are held out together; without a
    group, pairs of one prompt are.
    """

    prompt: str
    chosen: str
    rejected: str
    row: int = 0
    group: str = ""
    system: str | None = None


class SkippedRow(NamedTuple):
    """A row that cannot be used, and the reason."""

    row: int
    reason: str


class TruncatedRow(NamedTuple):
    """A row with completions that were cut at their end, and so lost their end of sequence."""

    row: int
    completions: tuple[str, ...]


@dataclass(frozen=True)
class PairFile:
    """The content of a source: the usable pairs, and the skipped rows."""

    source: str
    pairs: list[TextPair]
    skipped: list[SkippedRow]


@dataclass(frozen=True)
class EncodedPairs:
    """Token pairs with their texts, in the same order."""

    pairs: list[Pair]
    texts: list[TextPair]
    skipped: list[SkippedRow]
    truncated: list[TruncatedRow]


def read_pairs(source: str | Path, columns: str | None = None) -> PairFile:
    """Read preference pairs from a file, or shipped ones by a name of `SHIPPED`.

    `columns` names those that are called otherwise, such as "prompt=question,chosen=best".

    JSON is a list of objects, or an object with one list of them; JSONL is one object per line. The
    content decides which of them a file is; a suffix .csv, .tsv or .parquet says a table. Rows are
    numbered from 1; those that cannot be used are in `skipped`, with the reason.

    Raises WorkbenchError where the file is missing, unreadable or not JSON, where its columns
    have no known layout, or where no row can be used.
    """
    is_shipped = source in SHIPPED
    path = Path(__file__).with_name(f"{source}.jsonl") if is_shipped else Path(source)
    rows = rows_of(path, columns)
    layout = find_layout(rows)
    if layout is None:
        raise WorkbenchError(
            f"{source}: no known layout; found {describe_columns(rows)}, accepted are "
            + " | ".join(", ".join(layout.columns) for layout in LAYOUTS)
        )
    pairs: list[TextPair] = []
    skipped: list[SkippedRow] = []
    for number, row in enumerate(rows, start=1):
        try:
            pairs.append(_usable_pair(layout, row, number))
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(pairs, skipped, str(source))
    return PairFile(str(source), pairs, skipped)


def write_jsonl(pairs: Iterable[TextPair], path: str | Path) -> None:
    """Write pairs so that `read_pairs` gives them back; only row numbers start again at 1."""
    lines = []
    for pair in pairs:
        row = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
        row |= {"group": pair.group} if pair.group else {}
        row |= {"system": pair.system} if pair.system is not None else {}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    content = "".join(lines).encode()
    atomic_write(Path(path), lambda part: part.write_bytes(content))


def encode_pairs(pairs: Iterable[TextPair], tokenizer: Tokenizer, max_length: int) -> EncodedPairs:
    """Token pairs, each side at most `max_length` tokens long, prompt included.

    A completion that is too long is truncated, and so loses its end of sequence. A row is skipped
    where the prompt alone is too long, a completion has no tokens, both sides have the same tokens,
    or the chat template rejects it.

    Raises WorkbenchError where no pair is left.
    """
    encoded = EncodedPairs([], [], [], [])
    for text, found in encode_rows(pairs, ("chosen", "rejected"), tokenizer, max_length):
        if isinstance(found, EncodedRow) and found.completions[0] == found.completions[1]:
            room = max_length - len(found.prompt)
            cut = f" after truncation to {room}" if found.truncated else ""
            found = f"chosen and rejected have the same tokens{cut}"
        if isinstance(found, str):
            encoded.skipped.append(SkippedRow(text.row, found))
            continue
        encoded.pairs.append(Pair(found.prompt, *found.completions))
        encoded.texts.append(text)
        if found.truncated:
            encoded.truncated.append(TruncatedRow(text.row, found.truncated))
    require_rows(encoded.pairs, encoded.skipped, f"context of {max_length} tokens")
    return encoded


def rows_of(path: Path, columns: str | None = None) -> list[Any]:
    """The rows of a JSON, JSONL, CSV, TSV or Parquet file, columns renamed as `columns` says.

    Of a JSON object with a single list, those of the list.
    """
    names = parse_columns(columns)
    rows = read_table(path) if is_table(path) else read_json_rows(path)
    meant = {"completion", *names} & set(columns_of(rows))
    if len(rows) == 1 and not (is_table(path) or meant or find_layout(rows)):
        rows = _only_list(rows[0]) or rows
    if missing := set(names) - {*columns_of(rows)}:
        raise WorkbenchError(
            f"{path}: no column {min(missing)!r}, which columns={columns!r} names; found "
            f"{describe_columns(rows)}"
        )
    return renamed(rows, names) if names else rows


def _only_list(content: Any) -> list[Any]:
    """The one list in an object such as {"data": [...]}, else an empty list."""
    values = content.values() if isinstance(content, dict) else []
    lists = [value for value in values if isinstance(value, list)]
    return lists[0] if len(lists) == 1 else []


def columns_of(rows: Sequence[Any]) -> list[str]:
    """The columns of at least one row, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def describe_columns(rows: Sequence[Any]) -> str:
    columns = columns_of(rows)
    if columns:
        return "columns " + ", ".join(map(repr, columns[:12])) + (", ..." if columns[12:] else "")
    return f"{len(rows)} rows that are not objects" if rows else "no rows"


def _usable_pair(layout: Layout, row: Any, number: int) -> TextPair:
    parts = layout.read(as_object(row))
    for name, text in parts._asdict().items():
        if name != "system" and not text.strip():
            raise UnusableError(f"{name} is empty")
        if text is not None and not is_unicode(text):
            raise UnusableError(f"{name} holds half of a Unicode character")
    if parts.chosen == parts.rejected:
        raise UnusableError("chosen and rejected are identical")
    return TextPair(*parts[:3], number, group_of(row), parts.system)


def is_unicode(text: str) -> bool:
    """Whether a text can be encoded: JSON can contain unpaired surrogates, which can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_rows(pairs: Sequence[object], skipped: Sequence[SkippedRow], where: str) -> None:
    if not pairs:
        first = f"; row {skipped[0].row}: {skipped[0].reason}" if skipped else ""
        raise WorkbenchError(f"{where}: none of {len(skipped)} rows can be used{first}")
