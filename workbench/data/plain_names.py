"""Names of special tokens inside texts, read as the letters that they are.

A text that holds "<|im_end|>" must not end a turn: only the chat template and the end of a
completion write special tokens. So the names in a text are put aside before a template is rendered,
under marks that no text can know, and come back when the whole is encoded. There the special tokens
of the template bear other names, and those of the text are plain letters.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import tokenizers


class PlainNames:
    """The names of a tokenizer's special tokens, in texts and in rendered templates."""

    def __init__(self, backend: tokenizers.Tokenizer, written: str = "") -> None:
        """`written` is what a template writes: the added tokens in it count as special ones."""
        self._backend = backend
        added = backend.get_added_tokens_decoder()
        self.names = sorted(
            (one.content for one in added.values() if one.special or one.content in written),
            key=len,
            reverse=True,
        )
        known = set(self.names)
        after = dict(pairwise(sorted(known)))  # names that begin alike are neighbours
        self._alone = {  # not taking in blanks, not only between words, not the start of another
            token.content
            for token in added.values()
            if token.content in known
            and not (token.rstrip or token.single_word or token.normalized)
            and not after.get(token.content, "").startswith(token.content)
        }
        found = ((index, one.content) for index, one in added.items())
        self.ids = frozenset(index for index, name in found if name in known)
        self._first = {name[0] for name in self.names}
        self._pattern = re.compile("|".join(map(re.escape, self.names)) or r"(?!)")
        self._secret = f"mark{secrets.token_hex(12)}"

    def inside(self, text: str) -> list[str]:
        """The names in a text, in their order."""
        if not any(letter in text for letter in self._first):  # far faster than the pattern
            return []
        return self._pattern.findall(text)

    def until_last(self, text: str) -> str:
        """The text up to the end of its last name that takes nothing from what follows."""
        ends = [found.end() for found in self._pattern.finditer(text) if found[0] in self._alone]
        return text[: ends[-1]] if ends else ""

    def put_aside(self, text: str) -> str:
        """The text with a mark for each name."""
        if not self.inside(text):
            return text
        return self._pattern.sub(lambda found: self._mark("text", found[0]), text)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts, in which marks are plain names and names are special tokens."""
        found = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        ids = [one.ids for one in found]
        marked = [index for index, text in enumerate(texts) if self._secret in text]
        if marked:
            backend, known = self._renamed
            swapped = [self._swap(texts[index]) for index in marked]
            again = backend.encode_batch_fast(swapped, add_special_tokens=False)
            for index, one in zip(marked, again, strict=True):
                ids[index] = [known.get(number, number) for number in one.ids]
        return ids

    def _mark(self, kind: str, name: str) -> str:
        return f"{self._secret}{kind}{self.names.index(name):05d}"

    def _swap(self, text: str) -> str:
        special = self._pattern.sub(lambda found: self._mark("token", found[0]), text)
        marks = re.compile(f"{self._secret}text(\\d{{5}})")
        return marks.sub(lambda found: self.names[int(found[1])], special)

    @cached_property
    def _renamed(self) -> tuple[tokenizers.Tokenizer, dict[int, int]]:
        """A tokenizer whose special tokens bear marks, and the ids that they have in the other."""
        names = {name: self._mark("token", name) for name in self.names}
        parts = json.loads(self._backend.to_str())
        for token in parts["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        model = parts["model"]
        model["vocab"] = _renamed_entries(model["vocab"], names)
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        renamed = tokenizers.Tokenizer.from_str(json.dumps(parts))
        both = (
            (renamed.token_to_id(new), self._backend.token_to_id(n)) for n, new in names.items()
        )
        return renamed, {new: old for new, old in both if new is not None and old is not None}


def without_end(text: str, end: str) -> str:
    """A completion without the end of sequence that it spells out, and blanks behind it.

    >>> without_end("Yes.<eos>\\n", "<eos>")
    'Yes.'
    """
    return text.rstrip().removesuffix(end) if end in text and text.rstrip().endswith(end) else text


def _renamed_entries(vocab: Any, names: dict[str, str]) -> Any:
    """A vocabulary by name, or a list of names with their scores."""
    if isinstance(vocab, dict):
        return {names.get(name, name): index for name, index in vocab.items()}
    return [[names.get(name, name), score] for name, score in vocab]
