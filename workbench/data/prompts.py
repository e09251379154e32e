"""Prompts without completions: from a file of them, or from any file of pairs or completions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from workbench.core.batch import Completion
from workbench.data.columns import UnusableError, as_object, group_of
from workbench.data.completions import TextCompletion, prompt_of, read_completions
from workbench.data.encoding import encode_rows
from workbench.data.pairs import (
    SHIPPED,
    SkippedRow,
    columns_of,
    is_unicode,
    require_rows,
    rows_of,
)
from workbench.data.tokenizer import Tokenizer


def read_prompts(
    source: str, columns: str | None = None
) -> tuple[list[TextCompletion], list[SkippedRow]]:
    """The prompts of a JSON or JSONL file, each once, and the rows that cannot be used.

    Accepted are rows with a column `prompt`, a text or a list of chat messages, beside it `system`
    and `group`; and every file of pairs or completions, whose completions are left out.

    Raises WorkbenchError as `read_completions` does.
    """
    rows = [] if source in SHIPPED else rows_of(Path(source), columns)
    names = columns_of(rows)
    if "prompt" not in names or {"completion", "chosen"} & set(names):
        found, skipped = read_completions(source, labelled=False, columns=columns)
        return distinct(found), skipped
    texts, skipped = [], []
    for number, row in enumerate(rows, start=1):
        try:
            row = as_object(row)
            prompt, system = prompt_of(row)
            if not prompt.strip():
                raise UnusableError("prompt is empty")
            if not is_unicode(prompt):
                raise UnusableError("prompt holds half of a Unicode character")
            texts.append(TextCompletion(prompt, "", True, number, group_of(row), system))
        except UnusableError as error:
            skipped.append(SkippedRow(number, str(error)))
    require_rows(texts, skipped, source)
    return distinct(texts), skipped


def distinct(texts: Iterable[TextCompletion]) -> list[TextCompletion]:
    """Each prompt once, with its system message, in the order of the first rows."""
    found: dict[tuple[str | None, str], TextCompletion] = {}
    for text in texts:
        found.setdefault((text.system, text.prompt), replace(text, completion=""))
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
