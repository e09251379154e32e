"""Rows encoded many at a time are what each is by itself, and texts too long are not read whole."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.encoding import encode_rows as encoding
from workbench.data.encoding.encode_rows import EncodedRow, encode_rows, head, longest_token
from workbench.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Asked:
    prompt: str
    chosen: str
    rejected: str
    system: str | None = None
    dialogue: None = None


TEMPLATE = (
    "<s>robot<|end|>{% for m in messages %}{{ m['role'] }} {{ m['content'] }}</s> {% endfor %}"
    "<s>wait"
)
TEXTS = st.text("robt wais<|end|></s>\n 7.", max_size=60)
ROWS = st.lists(st.builds(Asked, TEXTS, TEXTS, TEXTS, st.none() | TEXTS), max_size=7)


def plain(row: Asked, tokenizer: Tokenizer, max_length: int) -> EncodedRow | str:
    """One row, as it is defined."""
    prompt = tuple(tokenizer.render_prompt(row.prompt, row.system))
    if not prompt:
        return "the prompt has no tokens"
    if len(prompt) >= max_length:
        return f"the prompt has {len(prompt)} tokens, no room for a completion in {max_length}"
    whole = {
        name: tuple(tokenizer.completion(getattr(row, name))) for name in ("chosen", "rejected")
    }
    for name, ids in whole.items():
        if len(ids) == 1:
            return f"{name} has no tokens but its end of sequence"
    room = max_length - len(prompt)
    cut = tuple(name for name, ids in whole.items() if len(ids) > room)
    return EncodedRow(prompt, tuple(ids[:room] for ids in whole.values()), cut)


@given(ROWS, st.integers(1, 40), st.integers(1, 3), st.booleans(), st.booleans())
def test_a_block_of_rows_is_each_row_by_itself(
    byte_tokenizer: Tokenizer,
    rows: list[Asked],
    max_length: int,
    at_once: int,
    templated: bool,
    allowed: bool,
) -> None:
    if templated:
        byte_tokenizer = Tokenizer(byte_tokenizer.backend, 1, chat_template=TEMPLATE)
    if allowed:
        byte_tokenizer = byte_tokenizer.allowing_special()
    before, encoding.AT_ONCE = encoding.AT_ONCE, at_once
    try:
        found = list(encode_rows(rows, ("chosen", "rejected"), byte_tokenizer, max_length))
    finally:
        encoding.AT_ONCE = before
    assert [row for row, _ in found] == rows
    assert [one for _, one in found] == [plain(row, byte_tokenizer, max_length) for row in rows]


@given(st.lists(st.text("robt ais\n", min_size=1, max_size=12)), st.integers(1, 20))
def test_the_head_of_a_text_has_the_same_tokens_at_its_start(
    byte_tokenizer: Tokenizer, words: list[str], count: int
) -> None:
    text = " ".join(words)
    short = head(text, count * longest_token(byte_tokenizer))
    assert text.startswith(short)
    ids = byte_tokenizer.encode(short)
    assert byte_tokenizer.encode(text)[: len(ids)] == ids
    assert short == text or len(ids) > count


def test_a_long_text_is_not_read_whole(byte_tokenizer: Tokenizer) -> None:
    text = "the robot waits " * 1000
    assert len(head(text, 16 * longest_token(byte_tokenizer))) < 16 * 40


def test_rows_beyond_the_context_are_not_tokenised_whole(
    byte_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = Tokenizer.encode_all
    monkeypatch.setattr(
        Tokenizer, "encode_all",
        lambda self, texts: seen.extend(map(len, texts)) or whole(self, texts),
    )  # fmt: skip
    row = Asked("a", "the robot waits " * 1000, "no")
    ((_, found),) = encode_rows([row], ("chosen", "rejected"), byte_tokenizer, 16)
    assert isinstance(found, EncodedRow)
    assert found.truncated == ("chosen",)
    assert max(seen) < 16 * 40


def test_texts_whose_tokens_leave_spaces_out_are_read_whole() -> None:
    words = Tokenizer.from_words(["a"])
    assert longest_token(words) == 0
    text = " " * 100 + "a b c"
    assert head(text, 0) == text
