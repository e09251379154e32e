"""Preference pairs as text: read from a file, written, and turned into token ids.

A row that cannot be used is never dropped silently: it is listed with its number and the reason.
The column layouts are in `layouts/`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.batch import Pair
from workbench.data.cache import atomic_write
from workbench.data.encoding.encode_rows import EncodedRow, encode_rows
from workbench.data.layouts.columns import describe_columns
from workbench.data.layouts.known_layouts import LAYOUTS, Layout, find_layout
from workbench.data.layouts.messages import Dialogue
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source, name_of, rows_of
from workbench.data.layouts.unusable import UnusableError, as_object, check_texts, group_of
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.paths import given_path

# The sets of pairs that ship with the package, by name; each is NAME.jsonl beside this file.
ASSISTANT = "assistant"
SHIPPED = (ASSISTANT, "brief")


@dataclass(frozen=True)
class TextPair:
    """One preference: of two completions of a prompt, the chosen one is better.

    `row` is its number in the source, from 1. Pairs of one `group` are held out together; without a
    group, pairs of one prompt are. `gap` is by how much the score of the chosen one is higher,
    where the source has scores. In a `dialogue` of several turns, the texts are transcripts of it.
    """

    prompt: str
    chosen: str
    rejected: str
    row: int = 0
    group: str = ""
    system: str | None = None
    dialogue: Dialogue | None = None
    gap: float | None = None


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
    """The content of a source: usable pairs, skipped rows, and how the columns were read."""

    source: str
    pairs: list[TextPair]
    skipped: list[SkippedRow]
    layout: str = ""


class ReadRows(NamedTuple):
    """The content of a source: usable rows, skipped rows, and how the columns were read."""

    texts: list[Any]
    skipped: list[SkippedRow]
    layout: str


@dataclass(frozen=True)
class EncodedPairs:
    """Token pairs with their texts, in the same order."""

    pairs: list[Pair]
    texts: list[TextPair]
    skipped: list[SkippedRow]
    truncated: list[TruncatedRow]


def read_pairs(source: Source, reading: Reading | str | None = None) -> PairFile:
    """Read preference pairs from a source, or shipped ones by a name of `SHIPPED`.

    JSON is a list of objects, or an object with one list of them; JSONL is one object per line. The
    content decides which of them a file is; a suffix .csv, .tsv or .parquet says a table. Rows are
    numbered from 1; those that cannot be used are in `skipped`, with the reason.

    Args:
        source: a file, the folder of a saved data set, a list of objects, a DataFrame, a dataset.
        reading: see `Reading`; a text names columns, such as "prompt=question,chosen=best".

    Raises WorkbenchError where the file is missing, unreadable or not JSON, where its columns
    have no known layout, or where no row can be used.
    """
    reading = as_reading(reading)
    is_shipped = isinstance(source, str) and source in SHIPPED
    rows = rows_of(
        Path(__file__).with_name(f"{source}.jsonl") if is_shipped else source, reading.columns
    )
    named = name_of(source)
    layout = find_layout(rows)
    if layout is None:
        raise WorkbenchError(
            f"{named}: no known layout; found {describe_columns(rows)}, accepted are "
            + " | ".join(", ".join(layout.columns) for layout in LAYOUTS)
        )
    pairs: list[TextPair] = []
    skipped: list[SkippedRow] = []
    for number, row in enumerate(rows, start=1):
        try:
            pairs += _usable_pairs(layout, row, number, reading)
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(pairs, skipped, named)
    return PairFile(named, pairs, skipped, layout.told)


def as_reading(reading: Reading | str | None) -> Reading:
    """What is said of a file, where it is only its columns."""
    return reading if isinstance(reading, Reading) else Reading(reading)


def write_jsonl(pairs: Iterable[TextPair], path: str | Path) -> None:
    """Write pairs so that `read_pairs` gives them back; only row numbers start again at 1."""
    lines = []
    for pair in pairs:
        row: dict[str, Any] = {
            "prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected,
        }  # fmt: skip
        if talk := pair.dialogue:
            parts = zip(row, (talk.before, *talk.sides), strict=True)
            row = {name: [one.for_template() for one in messages] for name, messages in parts}
            row |= {"tools": json.loads(talk.tools)} if talk.tools else {}
        row |= {"chosen_score": pair.gap, "rejected_score": 0} if pair.gap is not None else {}
        row |= {"group": pair.group} if pair.group else {}
        row |= {"system": pair.system} if pair.system is not None else {}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    content = "".join(lines).encode()
    atomic_write(given_path(path), lambda part: part.write_bytes(content))


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
        chosen, rejected = found.completions
        marks = found.scored or ((), ())
        encoded.pairs.append(Pair(found.prompt, chosen, rejected, *marks))
        encoded.texts.append(text)
        if found.truncated:
            encoded.truncated.append(TruncatedRow(text.row, found.truncated))
    require_rows(encoded.pairs, encoded.skipped, f"context of {max_length} tokens")
    return encoded


def _usable_pairs(layout: Layout, row: Any, number: int, reading: Reading) -> list[TextPair]:
    found = []
    for parts in layout.read(as_object(row), reading):
        chosen, rejected = parts.completions
        check_texts(prompt=parts.prompt, chosen=chosen, rejected=rejected, system=parts.system)
        if chosen == rejected:
            raise UnusableError("chosen and rejected are identical")
        group = group_of(row)
        found.append(
            TextPair(
                parts.prompt,
                chosen,
                rejected,
                number,
                group,
                parts.system,
                parts.dialogue,
                parts.gap,
            )
        )
    return found


class NoRowsError(WorkbenchError):
    """None of some rows can be used: `skipped` are those, or the first of `count` rows."""

    def __init__(self, where: str, skipped: Sequence[SkippedRow], count: int | None = None) -> None:
        first = f"; row {skipped[0].row}: {skipped[0].reason}" if skipped else ""
        count = len(skipped) if count is None else count
        super().__init__(f"{where}: none of {count} rows can be used{first}")
        self.skipped = skipped


def require_rows(pairs: Sequence[object], skipped: Sequence[SkippedRow], where: str) -> None:
    if not pairs:
        raise NoRowsError(where, skipped)
