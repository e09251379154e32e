"""Rows of texts as token ids, many at a time on all cores."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from workbench.data.encoding.dialogue_ids import Side, dialogue_ids, dialogue_prompt, ends_in_texts
from workbench.data.layouts.messages import Dialogue
from workbench.data.plain_names import PlainNames
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

AT_ONCE = 2048  # rows
BOUNDARY = re.compile(r"\S(?=\s)")  # where a word ends


class Row(Protocol):
    """What a row of any kind has."""

    @property
    def prompt(self) -> str: ...

    @property
    def system(self) -> str | None: ...

    @property
    def dialogue(self) -> Dialogue | None: ...


R = TypeVar("R", bound=Row)
Ids = tuple[int, ...]


class EncodedRow(NamedTuple):
    """Token ids of a prompt and of its completions; `truncated` names those that were cut.

    `scored` marks the tokens of each completion that are scored; empty where all are.
    """

    prompt: Ids
    completions: tuple[Ids, ...]
    truncated: tuple[str, ...]
    scored: tuple[tuple[bool, ...], ...] = ()


def encode_rows(
    rows: Iterable[R], names: Sequence[str], tokenizer: Tokenizer, max_length: int
) -> Iterator[tuple[R, EncodedRow | str]]:
    """Each row with its token ids, or with the reason why it has none.

    Args:
        names: of the attributes that hold completions. One that does not fit behind the prompt into
            `max_length` tokens is cut, and so loses its end of sequence.
    """
    rest, longest = iter(rows), longest_token(tokenizer)
    while block := list(islice(rest, AT_ONCE)):
        found = _encode_block(block, names, tokenizer, max_length, max_length * longest)
        yield from zip(block, found, strict=True)


def _encode_block(
    rows: Sequence[R], names: Sequence[str], tokenizer: Tokenizer, max_length: int, most: int
) -> list[EncodedRow | str]:
    found: list[EncodedRow | str] = [""] * len(rows)
    rendered: dict[int, str] = {}
    for index, row in enumerate(rows):
        try:
            if row.dialogue is not None and ends_in_texts(row.dialogue):
                rendered[index] = dialogue_prompt(row.dialogue, row.system, tokenizer)
            elif row.dialogue is not None:
                prompt, sides = dialogue_ids(row.dialogue, row.system, tokenizer)
                found[index] = _fitted(prompt, dict(zip(names, sides, strict=True)), max_length)
            else:
                rendered[index] = tokenizer.prompt_text(row.prompt, row.system)
        except WorkbenchError as error:
            found[index] = str(error)
    texts = list(rendered.values())
    start = shared_start(texts, tokenizer.plain_names) if most else ""
    first = tokenizer.encode_all([start])[0]
    prompts = tokenizer.encode_all([text[len(start) :] for text in texts])
    fitting: dict[int, Ids] = {}
    for index, ids in zip(rendered, prompts, strict=True):
        fitting[index] = (*tokenizer.leading_ids, *first, *ids)
        if reason := _no_room(fitting[index], max_length):
            found[index] = reason
            del fitting[index]
    texts = [head(getattr(rows[index], name), most) for index in fitting for name in names]
    encoded = iter(tokenizer.completions(texts))
    for index, prompt in fitting.items():
        found[index] = _fitted(prompt, {name: Side(next(encoded)) for name in names}, max_length)
    return found


def _no_room(prompt: Ids, max_length: int) -> str:
    if not prompt:
        return "the prompt has no tokens"
    count = len(prompt)
    room = f"the prompt has {count} tokens, no room for a completion in {max_length}"
    return room if count >= max_length else ""


def _fitted(prompt: Ids, sides: dict[str, Side], max_length: int) -> EncodedRow | str:
    """A row cut to its length, or why it can't be used."""
    if reason := _no_room(prompt, max_length):
        return reason
    for name, side in sides.items():
        if len(side.ids) == 1:
            return f"{name} has no tokens but its end of sequence"
    room = max_length - len(prompt)
    cut = tuple(name for name, side in sides.items() if len(side.ids) > room)
    scored = tuple(side.scored[:room] for side in sides.values())
    completions = tuple(side.ids[:room] for side in sides.values())
    return EncodedRow(prompt, completions, cut, scored if any(scored) else ())


def prompt_ids(row: Row, tokenizer: Tokenizer) -> list[int]:
    """The ids of a row's prompt, up to where the completion starts.

    Raises:
        WorkbenchError: the chat template rejects the messages.
    """
    if row.dialogue is None:
        return tokenizer.render_prompt(row.prompt, row.system)
    text = dialogue_prompt(row.dialogue, row.system, tokenizer)
    return [*tokenizer.leading_ids, *tokenizer.encode_all([text])[0]]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Without Python's search for circular garbage, which goes through all rows again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def longest_token(tokenizer: Tokenizer) -> int:
    """Characters of the longest token of a text; 0 where a text holds more than its tokens do."""
    parts = json.loads(tokenizer.backend.to_str())
    split = parts["pre_tokenizer"] or {}
    kinds = {one.get("type") for one in split.get("pretokenizers", [split])}
    if parts["normalizer"] or "ByteLevel" not in kinds or kinds - {"ByteLevel", "Digits"}:
        return 0
    return max(map(len, tokenizer.backend.get_vocab()))


def shared_start(texts: Sequence[str], names: PlainNames) -> str:
    """What all texts begin with, up to the last special token in it, as templates write it.

    What stands before a special token and what stands behind it have ids of their own.
    """
    if len(texts) < 2:
        return ""
    one, other = min(texts), max(texts)  # what these two share, all share
    pairs = zip(one, other, strict=False)
    size = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return names.until_last(one[:size])


def head(text: str, characters: int) -> str:
    """The text up to the first end of a word behind so many characters; all of it for 0.

    Tokens do not reach beyond the end of a word, so those of the beginning stay the same.
    """
    end = BOUNDARY.search(text, characters) if characters else None
    return text if end is None else text[: end.start() + 1]
