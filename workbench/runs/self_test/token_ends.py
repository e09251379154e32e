"""The checks of all rows: how prompts begin, and how completions end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from workbench.data.large.lazy_items import Lazy
from workbench.data.tokenizer import Tokenizer
from workbench.runs.prepare import Parts
from workbench.runs.self_test.result import Check, named

LOOKED_AT = 10_000  # rows, where they are not held in memory
COMPLETIONS = ("chosen", "rejected", "completion", "mismatched")  # fields of items


def last_tokens(parts: Parts) -> Check:
    """Every completion ends with one end of sequence; one that was cut has none, and is told of."""
    eos, cut = parts.model.tokenizer.eos_id, {row.row for row in parts.data.truncated}
    bad, count = set[int](), 0
    for row, item in _rows(parts):
        for name, ids in _completions(item):
            count += 1
            ended, again = ids[-1] == eos, ids[-2:-1] == (eos,)
            # What KTO compares with is another row's, and may be cut anywhere.
            if again or not (ended or row in cut or name == "mismatched"):
                bad.add(row)
    text = f"{count:,} completions end with {_token(parts.model.tokenizer, eos)}, once"
    if bad:
        text = f"rows {named(sorted(bad))} have no end of sequence, or two: mend their texts"
    return Check("one end of sequence", not bad, text)


def first_tokens(parts: Parts) -> Check:
    """Every prompt begins as the tokenizer begins a text: once with what it puts first, if any."""
    tokenizer = parts.model.tokenizer
    begin = tokenizer.bos_ids
    bad = sorted(
        {
            row
            for row, item in _rows(parts)
            if begin
            and not item.prompt[: len(begin)] == begin != item.prompt[len(begin) :][: len(begin)]
        }
    )
    text = "the tokenizer puts nothing in front of a text"
    if begin:
        text = f"prompts begin with {''.join(tokenizer.tokens(begin))}, once"
    if bad:
        text = (
            f"prompts of rows {named(bad)} do not begin, once, with "
            f"{''.join(tokenizer.tokens(begin))}, as the tokenizer begins a text: see the chat "
            "template and the texts"
        )
    return Check("beginning of sequence", not bad, text)


def _rows(parts: Parts) -> Iterator[tuple[int, Any]]:
    """Rows and token ids of all items, training and held-out; of large data the first."""
    data = parts.data
    most = LOOKED_AT if isinstance(data.train, Lazy) else None
    for texts, items in ((data.train_texts, data.train), (data.held_out_texts, data.held_out)):
        yield from zip((text.row for text in texts[:most]), items[:most], strict=True)


def _completions(item: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The completions of an item by their names, those that are not empty."""
    names = [field.name for field in fields(item) if field.name in COMPLETIONS]
    return [(name, ids) for name in names if (ids := getattr(item, name))]


def _token(tokenizer: Tokenizer, index: int) -> str:
    return tokenizer.tokens([index])[0]
