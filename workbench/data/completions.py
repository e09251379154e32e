"""Single completions as text, with a label each: read from a person's file, or made of pairs.

A row that cannot be used is never dropped in silence: it is skipped with its number and the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from reprlib import repr

from workbench.core.batch import Completion
from workbench.data.encoding.encode_rows import encode_rows
from workbench.data.layouts.columns import columns_of, describe_columns
from workbench.data.layouts.conversations import Parts, divide
from workbench.data.layouts.known_layouts import find_layout
from workbench.data.layouts.messages import Dialogue, as_messages
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source, name_of, rows_of
from workbench.data.layouts.unusable import (
    Row,
    UnusableError,
    as_object,
    check_texts,
    group_of,
)
from workbench.data.pairs import (
    SHIPPED,
    ReadRows,
    SkippedRow,
    TextPair,
    TruncatedRow,
    as_reading,
    read_pairs,
    require_rows,
)
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

COLUMNS = ("prompt", "completion", "label")
WHOLE = ("messages", "conversations")  # columns of whole conversations


@dataclass(frozen=True)
class TextCompletion:
    """A prompt and a completion, `label` True where it is desirable.

    `row`, `group`, `system` and `dialogue` are those of `TextPair`.
    """

    prompt: str
    completion: str
    label: bool
    row: int = 0
    group: str = ""
    system: str | None = None
    dialogue: Dialogue | None = None

    @classmethod
    def of(cls, pair: TextPair, label: bool) -> TextCompletion:
        """The chosen completion of a pair (`label` True) or the rejected one."""
        text, talk = (pair.chosen if label else pair.rejected), pair.dialogue
        if talk is not None:
            talk = replace(talk, sides=(talk.sides[0 if label else 1],))
        return cls(pair.prompt, text, label, pair.row, pair.group, pair.system, talk)


def read_completions(
    source: Source, labelled: bool = True, reading: Reading | str | None = None
) -> ReadRows:
    """Completions of a source, and the rows that cannot be used.

    Accepted are the columns prompt, completion and label (true or false, 1 or 0), beside them
    `system` and `group`; prompt and completion may be lists of chat messages, or stand in one list
    of `messages`. Every source of preference pairs is accepted too: its chosen completions are
    desirable, its rejected ones not. A column `completion` in it is ignored where the other columns
    that go with it are missing.
    With `labelled` False only desirable completions are wanted: the label may be left out, rows
    that are labelled false are skipped, and of pairs the chosen completions are taken.
    `source` and `reading` are as `read_pairs` takes them.

    Raises WorkbenchError where the file is missing, unreadable or not JSON, where its columns are
    of no known layout, or where no row can be used.
    """
    reading = as_reading(reading)
    shipped = isinstance(source, str) and source in SHIPPED
    rows = [] if shipped else rows_of(source, reading.columns)
    found, of_pairs = columns_of(rows), find_layout(rows)
    whole = next((name for name in WHOLE if name in found and not of_pairs), None)
    needed = ("prompt", "completion") if whole is None or "completion" in found else (whole,)
    needed = (*needed, "label") if labelled else needed
    missing = [name for name in needed if name not in found]
    if needed[0] != whole and ("completion" not in found or (missing and of_pairs)):
        try:
            file = read_pairs(source, reading)
        except WorkbenchError as error:
            if rows and of_pairs is None:
                raise WorkbenchError(f"{error} | {', '.join(COLUMNS)} | messages, label") from None
            raise
        sides = (True, False) if labelled else (True,)
        texts = [TextCompletion.of(p, side) for p in file.pairs for side in sides]
        return ReadRows(texts, file.skipped, file.layout)
    if missing:
        raise WorkbenchError(
            f"{name_of(source)}: no column {missing[0]!r}; found {describe_columns(rows)}, "
            f"accepted are {', '.join(needed)}"
        )
    texts, skipped = [], []
    for number, row in enumerate(rows, start=1):
        try:
            texts.append(_usable(as_object(row), number, labelled, needed[0], reading))
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(texts, skipped, name_of(source))
    return ReadRows(texts, skipped, f"single completions ({', '.join(needed)})")


def _usable(row: Row, number: int, labelled: bool, first: str, reading: Reading) -> TextCompletion:
    label = row.get("label", None if labelled else True)
    if not isinstance(label, bool) and label not in (0, 1):
        raise UnusableError(f"label is {repr(label)}, accepted are true and false")
    if not labelled and not label:
        raise UnusableError("the completion is labelled as not desirable")
    parts = _parts(row, first, reading)
    (completion,) = parts.completions
    check_texts(prompt=parts.prompt, completion=completion, system=parts.system)
    group = group_of(row)
    return TextCompletion(
        parts.prompt, completion, bool(label), number, group, parts.system, parts.dialogue
    )


def _parts(row: Row, first: str, reading: Reading) -> Parts:
    """Of a conversation in the column `first`, or of a prompt with its completion."""
    if first in WHOLE:
        return divide(row, [as_messages(row, first, "user")], reading.turns)
    completion = as_messages(row, "completion", "assistant")
    if completion[0].role != "assistant":
        raise UnusableError("the completion does not begin with a message of the assistant")
    return divide(row, [[*as_messages(row, "prompt", "user"), *completion]], reading.turns)


def encode_completions(
    texts: Iterable[TextCompletion], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Completion], list[TextCompletion], list[SkippedRow], list[TruncatedRow]]:
    """Token ids of at most `max_length` tokens, prompt included.

    A completion that is too long loses its end, and with it its end of sequence. A row is skipped
    where the prompt leaves no room, the completion has no tokens, or the chat template refuses it.

    Returns:
        The items, the texts that they were made of, the skipped rows, and the rows that were cut.

    Raises WorkbenchError where no row is left.
    """
    items: list[Completion] = []
    kept: list[TextCompletion] = []
    skipped: list[SkippedRow] = []
    cut: list[TruncatedRow] = []
    for text, found in encode_rows(texts, ("completion",), tokenizer, max_length):
        if isinstance(found, str):
            skipped.append(SkippedRow(text.row, found))
            continue
        scored = found.scored[0] if found.scored else ()
        items.append(Completion(found.prompt, found.completions[0], text.label, scored=scored))
        kept.append(text)
        if found.truncated:
            cut.append(TruncatedRow(text.row, found.truncated))
    require_rows(items, skipped, f"context of {max_length} tokens")
    return items, kept, skipped, cut
