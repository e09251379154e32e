"""Single completions as text, with a label each: read from a person's file, or made of pairs.

A row that cannot be used is never dropped in silence: it is skipped with its number and the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.batch import Completion
from workbench.data.columns import (
    Row,
    UnusableError,
    as_messages,
    as_object,
    find_layout,
    group_of,
    system_of,
)
from workbench.data.encoding import encode_rows
from workbench.data.pairs import (
    SHIPPED,
    SkippedRow,
    TextPair,
    TruncatedRow,
    columns_of,
    describe_columns,
    is_unicode,
    read_pairs,
    require_rows,
    rows_of,
)
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

COLUMNS = ("prompt", "completion", "label")


@dataclass(frozen=True)
class TextCompletion:
    """A prompt and a completion, `label` True where it is desirable.

    `row`, `group` and `system` are those of `TextPair`.
    """

    prompt: str
    completion: str
    label: bool
    row: int = 0
    group: str = ""
    system: str | None = None

    @classmethod
    def of(cls, pair: TextPair, label: bool) -> TextCompletion:
        """The chosen completion of a pair (`label` True) or the rejected one."""
        text = pair.chosen if label else pair.rejected
        return cls(pair.prompt, text, label, pair.row, pair.group, pair.system)


def read_completions(
    source: str | Path, labelled: bool = True, columns: str | None = None
) -> tuple[list[TextCompletion], list[SkippedRow]]:
    """Completions of a JSON or JSONL file, and the rows that cannot be used.

    Accepted are the columns prompt, completion and label (true or false, 1 or 0), beside them
    `system` and `group`; prompt and completion may be lists of chat messages. Every file of
    preference pairs is accepted too: its chosen completions are desirable, its rejected ones not. A
    column `completion` in it is ignored where the other columns that go with it are missing.
    With `labelled` False only desirable completions are wanted: the label may be left out, rows
    that are labelled false are skipped, and of pairs the chosen completions are taken.

    Raises WorkbenchError where the file is missing, unreadable or not JSON, where its columns are
    of no known layout, or where no row can be used.
    """
    rows = [] if source in SHIPPED else rows_of(Path(source), columns)
    found = columns_of(rows)
    needed = COLUMNS if labelled else COLUMNS[:2]
    missing = [name for name in needed if name not in found]
    if "completion" not in found or (missing and find_layout(rows)):
        try:
            file = read_pairs(source, columns)
        except WorkbenchError as error:
            if rows and "no known layout" in str(error):
                raise WorkbenchError(f"{error} | {', '.join(COLUMNS)}") from None
            raise
        sides = (True, False) if labelled else (True,)
        return [TextCompletion.of(p, side) for p in file.pairs for side in sides], file.skipped
    if missing:
        raise WorkbenchError(
            f"{source}: no column {missing[0]!r}; found {describe_columns(rows)}, accepted are "
            + ", ".join(needed)
        )
    texts, skipped = [], []
    for number, row in enumerate(rows, start=1):
        try:
            texts.append(_usable(row, number, labelled))
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(texts, skipped, str(source))
    return texts, skipped


def _usable(row: Any, number: int, labelled: bool) -> TextCompletion:
    row = as_object(row)
    label = row.get("label", None if labelled else True)
    if not isinstance(label, bool) and label not in (0, 1):
        raise UnusableError(f"label is {label!r}, accepted are true and false")
    if not labelled and not label:
        raise UnusableError("the completion is labelled as not desirable")
    prompt, system = prompt_of(row)
    *before, last = as_messages(row, "completion", "assistant")
    if before or last[0] != "assistant":
        raise UnusableError("the completion is not a single message of the assistant")
    for name, text in (("prompt", prompt), ("completion", last[1]), ("system", system)):
        if name != "system" and not (text or "").strip():
            raise UnusableError(f"{name} is empty")
        if text is not None and not is_unicode(text):
            raise UnusableError(f"{name} holds half of a Unicode character")
    return TextCompletion(prompt, last[1], bool(label), number, group_of(row), system)


def prompt_of(row: Row) -> tuple[str, str | None]:
    """The user's text and the system message, if there is one."""
    messages = as_messages(row, "prompt", "user")
    roles = [role for role, _ in messages]
    if roles not in (["user"], ["system", "user"]):
        raise UnusableError(f"multi-turn: {' + '.join(roles)}, accepted are user or system + user")
    return messages[-1][1], system_of(row, messages)


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
        items.append(Completion(found.prompt, found.completions[0], text.label))
        kept.append(text)
        if found.truncated:
            cut.append(TruncatedRow(text.row, found.truncated))
    require_rows(items, skipped, f"context of {max_length} tokens")
    return items, kept, skipped, cut
