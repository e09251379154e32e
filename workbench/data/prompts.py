"""Prompts without completions: from a file of them, or from any file of pairs or completions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from workbench.core.batch import Completion
from workbench.data.completions import TextCompletion, read_completions
from workbench.data.encoding.encode_rows import encode_rows
from workbench.data.layouts.columns import columns_of
from workbench.data.layouts.conversations import asked
from workbench.data.layouts.messages import as_messages
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Source, name_of, rows_of
from workbench.data.layouts.unusable import UnusableError, as_object, check_texts, group_of
from workbench.data.pairs import SHIPPED, ReadRows, SkippedRow, as_reading, require_rows
from workbench.data.tokenizer import Tokenizer


def read_prompts(source: Source, reading: Reading | str | None = None) -> ReadRows:
    """The prompts of a source, each once, and the rows that cannot be used.

    Accepted are rows with a column `prompt`, a text or a list of chat messages, beside it `system`
    and `group`; and every source of pairs or completions, whose completions are left out.

    Raises WorkbenchError as `read_completions` does.
    """
    reading = as_reading(reading)
    shipped = isinstance(source, str) and source in SHIPPED
    rows = [] if shipped else rows_of(source, reading.columns)
    names = columns_of(rows)
    if "prompt" not in names or {"completion", "chosen"} & set(names):
        file = read_completions(source, labelled=False, reading=reading)
        return file._replace(texts=distinct(file.texts))
    texts, skipped = [], []
    for number, row in enumerate(rows, start=1):
        try:
            row = as_object(row)
            parts = asked(row, as_messages(row, "prompt", "user"), ())
            check_texts(prompt=parts.prompt, system=parts.system)
            group = group_of(row)
            texts.append(
                TextCompletion(parts.prompt, "", True, number, group, parts.system, parts.dialogue)
            )
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(texts, skipped, name_of(source))
    return ReadRows(distinct(texts), skipped, "prompts (prompt)")


def distinct(texts: Iterable[TextCompletion]) -> list[TextCompletion]:
    """Each prompt once, with its system message, in the order of the first rows."""
    found: dict[tuple[str | None, str], TextCompletion] = {}
    for text in texts:
        talk = text.dialogue and replace(text.dialogue, sides=())
        found.setdefault((text.system, text.prompt), replace(text, completion="", dialogue=talk))
    return list(found.values())


def encode_prompts(
    texts: Iterable[TextCompletion], tokenizer: Tokenizer, max_length: int
) -> tuple[list[Completion], list[TextCompletion], list[SkippedRow]]:
    """Token ids of prompts that leave room for a completion within `max_length` tokens.

    Returns:
        The items, whose completions are empty, the texts that they were made of, the skipped rows.

    Raises WorkbenchError where no row is left.
    """
    items: list[Completion] = []
    kept: list[TextCompletion] = []
    skipped: list[SkippedRow] = []
    for text, found in encode_rows(texts, (), tokenizer, max_length):
        if isinstance(found, str):
            skipped.append(SkippedRow(text.row, found))
            continue
        items.append(Completion(found.prompt, ()))
        kept.append(text)
    require_rows(items, skipped, f"context of {max_length} tokens")
    return items, kept, skipped
