"""How the files of a tokenised source are written: block by block, nothing held but one block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.data.encoding.encode_rows import collection_paused
from workbench.data.large.cache_files import COLUMNS, FACTS, Info
from workbench.data.large.text_json import to_json
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import Block
from workbench.data.pairs import NoRowsError, ReadRows, SkippedRow, TruncatedRow
from workbench.data.seals import sealed, write_digests
from workbench.data.split import plain
from workbench.data.tokenizer import Tokenizer

ARRAYS = ("tokens.bin", "lengths.bin", "facts.bin", "texts.bin", "text_ends.bin")
LISTS = ("skipped.jsonl", "truncated.jsonl")


class Encoded(Protocol):
    """Items with the texts that they were made of, and the rows that were skipped or cut."""

    @property
    def items(self) -> list[Any]: ...

    @property
    def texts(self) -> list[Any]: ...

    @property
    def skipped(self) -> list[SkippedRow]: ...

    @property
    def truncated(self) -> list[TruncatedRow]: ...


class RowReader(Protocol):
    """What is wanted of rows: a training method.

    Attributes:
        noun: what its rows are called; methods with one noun read rows alike.
        rollouts: whether its rows are prompts, each of which counts once.
    """

    noun: str
    rollouts: bool

    def read(self, source: Any, reading: Reading | str | None = None) -> ReadRows: ...

    def encode(self, texts: Sequence[Any], tokenizer: Tokenizer, max_length: int) -> Encoded: ...

    def size(self, item: Any) -> int: ...


class CacheWriter:
    """Writes rows of a source into a folder; used as a context, and ended by `finish`."""

    def __init__(
        self, folder: Path, name: str, reader: RowReader, tokenizer: Tokenizer, max_length: int
    ) -> None:
        self._folder, self._name, self._reader = folder, name, reader
        self._tokenizer, self._max_length = tokenizer, max_length
        wide = tokenizer.vocab_size > 2**16 or max(tokenizer.stop_ids) >= 2**16
        self._ids = np.dtype("<u4" if wide else "<u2")
        self._count, self._text_end = 0, 0
        self._first_skipped: list[SkippedRow] = []
        self._rows = dict.fromkeys(LISTS, 0)
        self._seen: set[int] = set()  # hashes of the prompts so far, where each counts once
        self.rows = 0  # so far
        self.kinds = ("Pair", "TextPair")
        self._files: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> CacheWriter:
        for name in (*ARRAYS, *LISTS):
            self._files[name] = self._stack.enter_context((self._folder / name).open("wb"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, rows: list[Any], heads: Sequence[Any], reading: Reading) -> str:
        """Tokenise some rows; how their columns were read.

        `heads` are rows with the columns of all others; they hold nothing.
        """
        block = Block([*heads, *rows], self._name)
        shift = self.rows - len(heads)
        self.rows += len(rows)
        with collection_paused():
            try:
                found = self._reader.read(block, reading)
            except NoRowsError as error:
                self._list([], error.skipped[len(heads) :], shift)
                return ""
            texts = self._distinct(found.texts)
            skipped = [row for row in found.skipped if row.row > len(heads)]
            self._encode(texts, skipped, shift)
        return found.layout

    def _encode(self, texts: list[Any], skipped: list[SkippedRow], shift: int) -> None:
        if not texts:
            return self._list([], skipped, shift)
        try:
            found = self._reader.encode(texts, self._tokenizer, self._max_length)
        except NoRowsError as error:
            return self._list([], [*skipped, *error.skipped], shift)
        self._list(found.truncated, [*skipped, *found.skipped], shift)
        self._write(found.items, found.texts, shift)

    def _distinct(self, texts: list[Any]) -> list[Any]:
        """Without the prompts that an earlier block had, where each counts once."""
        if not self._reader.rollouts:
            return texts
        keys = [_hash(json.dumps([text.system, text.prompt]).encode()) for text in texts]
        new = [text for text, key in zip(texts, keys, strict=True) if key not in self._seen]
        self._seen.update(keys)
        return new

    def _write(self, items: list[Any], texts: list[Any], shift: int) -> None:
        kind = type(items[0]).__name__
        self.kinds = (kind, type(texts[0]).__name__)
        parts = [getattr(item, name) for item in items for name in COLUMNS[kind]]
        lengths = np.fromiter(map(len, parts), "<u4", len(parts))
        ids = np.fromiter(chain.from_iterable(parts), self._ids, int(lengths.sum()))
        facts = np.zeros(len(items), FACTS)
        facts["row"] = [text.row + shift for text in texts]
        facts["size"] = list(map(self._reader.size, items))
        facts["prompt"] = [_hash(plain(text.prompt).encode()) for text in texts]
        facts["group"] = [
            _hash(text.group.encode("utf-8", "surrogatepass")) if text.group else 0
            for text in texts
        ]
        facts["prompt_ids"] = [_hash(np.array(item.prompt, "<u4").tobytes()) for item in items]
        facts["label"] = [getattr(item, "label", True) for item in items]
        facts["talks"] = [t.dialogue is not None or t.system is not None for t in texts]
        written = list(map(to_json, texts))
        ends = np.cumsum(list(map(len, written)), dtype="<i8") + self._text_end
        self._text_end = int(ends[-1])
        self._count += len(items)
        content = np.frombuffer(b"".join(written), "u1")
        contents: tuple[NDArray[Any], ...] = (ids, lengths, facts, content, ends)
        for name, array in zip(ARRAYS, contents, strict=True):
            # `tofile` of numpy does not say why it fails, as where the disk is full.
            self._files[name].write(array.tobytes())

    def _list(
        self, truncated: Iterable[TruncatedRow], skipped: Iterable[SkippedRow], shift: int
    ) -> None:
        ordered = sorted(skipped, key=lambda row: row.row)
        for name, rows in zip(LISTS, (ordered, truncated), strict=True):
            lines = [json.dumps([row[0] + shift, row[1]]) + "\n" for row in rows]
            self._files[name].write("".join(lines).encode())
            self._rows[name] += len(lines)
        if not self._first_skipped:
            self._first_skipped = [SkippedRow(row[0] + shift, row[1]) for row in ordered[:1]]

    def finish(self, layout: str) -> None:
        """Write what is known of the whole.

        Raises:
            NoRowsError: no row can be used.
        """
        if not self._count:
            raise NoRowsError(self._name, self._first_skipped, self._rows["skipped.jsonl"])
        counts = (self._rows["skipped.jsonl"], self._rows["truncated.jsonl"])
        info = Info(*self.kinds, self._count, self._ids.str, layout, *counts)
        self._stack.close()
        (self._folder / "info.json").write_text(json.dumps(sealed(info._asdict())))
        write_digests(self._folder)


def _hash(content: bytes) -> int:
    """64 bits, never 0: in one of 40 million sources, two of a million contents seem equal."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") or 1
