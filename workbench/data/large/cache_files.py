"""How a tokenised source lies on disk: flat arrays without a header, which are memory-mapped.

    tokens.bin       token ids of all items, one behind the other; uint16 or uint32
    lengths.bin      uint32 (item, column): how many belong to each of an item's `COLUMNS`
    facts.bin        `FACTS` (item,): what is known of an item without looking at its tokens
    texts.bin        the texts that the items were made of, as JSON
    text_ends.bin    int64 (item,): where each text ends
    skipped.jsonl    rows that can't be used, with the reason
    truncated.jsonl  rows with completions that were cut
    info.json        kinds, counts, and how the columns were read
    files.json       SHA-256 of the others

Marks of what is scored are columns too, of numbers 0 and 1; they are empty where all is scored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar, overload
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from workbench.core.batch import Completion, Pair
from workbench.data.large.text_json import Text, from_json
from workbench.data.pairs import SkippedRow, TruncatedRow
from workbench.data.seals import DIGESTS, read_sealed

Item: TypeAlias = Pair | Completion
ITEMS: dict[str, type[Item]] = {kind.__name__: kind for kind in (Pair, Completion)}
COLUMNS = {
    "Pair": ("prompt", "chosen", "rejected", "chosen_scored", "rejected_scored"),
    "Completion": ("prompt", "completion", "scored"),
}
FACTS = np.dtype(
    [
        ("row", "<i8"),  # in the source, from 1
        ("size", "<u4"),  # tokens, by which similar items are put together
        ("prompt", "<u8"),  # hash of the prompt's text but for case and spaces
        ("group", "<u8"),  # hash of the group; 0: none
        ("prompt_ids", "<u8"),  # hash of the prompt's token ids
        ("label", "?"),
        ("talks", "?"),  # several turns, or a system message
    ]
)
LOOKS = 128
Row = TypeVar("Row", SkippedRow, TruncatedRow)


class Info(NamedTuple):
    """What info.json holds."""

    items: str
    texts: str
    size: int  # items
    token_type: str
    layout: str
    skipped: int
    truncated: int


class FlatFile:
    """Parts of a flat file, by a memory map that is made anew after every `LOOKS` parts.

    With each part the system maps up to some megabytes around it, which count as memory of the
    process until the map ends; in an epoch that would become the whole file.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._file, self._kind, self._looks = path.open("rb"), kind, 0
        finalize(self, self._file.close)

    def __getitem__(self, part: slice) -> NDArray[Any]:
        if self._looks % LOOKS == 0:
            self._map = mapped(self._file, self._kind)
        self._looks += 1
        return self._map[part]


def mapped(file: Path | BinaryIO, kind: Any) -> NDArray[Any]:
    """A flat file as an array; slices of `memmap` itself cost some microseconds each."""
    return np.asarray(np.memmap(file, kind, mode="r"))


class RowList(Sequence[Row]):
    """Rows of a JSONL file, read from a memory map each time."""

    def __init__(self, path: Path, kind: Callable[..., Row], count: int) -> None:
        self.path, self._count = path, count
        self._kind: Callable[..., Row] = kind
        self._lines: Any = b""
        if count:  # an empty file has no map
            with path.open("rb") as file:
                self._lines = mmap(file.fileno(), 0, access=ACCESS_READ)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        start = 0
        while start < len(self._lines):
            end = self._lines.find(b"\n", start) + 1
            yield self._made(json.loads(self._lines[start:end]))
            start = end

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return list(islice(self, *index.indices(self._count)))
        return next(islice(self, range(self._count)[index], None))

    def _made(self, values: list[Any]) -> Row:
        row, found = values
        return self._kind(row, tuple(found) if isinstance(found, list) else found)


class CacheFiles:
    """A tokenised source, opened; everything is read when it is looked at.

    All files stay open, so that a run that has begun goes on where someone removes the cache.

    Attributes:
        facts: `FACTS` (item,).
        skipped: rows that can't be used.
        truncated: rows that were cut.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info = Info(**read_sealed(folder / "info.json"))
        self._columns = COLUMNS[self.info.items]
        self.facts = mapped(folder / "facts.bin", FACTS)
        self.skipped = RowList(folder / "skipped.jsonl", SkippedRow, self.info.skipped)
        self.truncated = RowList(folder / "truncated.jsonl", TruncatedRow, self.info.truncated)
        self._tokens = FlatFile(folder / "tokens.bin", self.info.token_type)
        self._texts = FlatFile(folder / "texts.bin", "u1")
        self._text_ends = mapped(folder / "text_ends.bin", "<i8")
        self._lengths = mapped(folder / "lengths.bin", "<u4").reshape(-1, len(self._columns))

    def __len__(self) -> int:
        return self.info.size

    @cached_property
    def token_digest(self) -> str:
        """SHA-256 of the files that decide what is trained on."""
        digests = json.loads((self.folder / DIGESTS).read_text(encoding="utf-8"))
        return " ".join(digests[name] for name in ("tokens.bin", "lengths.bin", "facts.bin"))

    def item(self, number: int) -> Any:
        """The item with this number, made of tuples."""
        end = int(self._ends[number])
        lengths = self._lengths[number].tolist()
        ids = self._tokens[end - sum(lengths) : end].tolist()
        values: dict[str, Any] = {}
        start = 0
        for name, length in zip(self._columns, lengths, strict=True):
            part = ids[start : start + length]
            values[name] = tuple(map(bool, part)) if name.endswith("scored") else tuple(part)
            start += length
        if self.info.items == "Completion":
            values["label"] = bool(self.facts["label"][number])
        return ITEMS[self.info.items](**values)

    def text(self, number: int) -> Text:
        """The text that an item was made of."""
        start = int(self._text_ends[number - 1]) if number else 0
        content = self._texts[start : self._text_ends[number]].tobytes()
        return from_json(self.info.texts, content, int(self.facts["row"][number]))

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return self._lengths.sum(1, dtype=np.int64).cumsum()
