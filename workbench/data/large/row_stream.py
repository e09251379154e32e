"""Sources of rows that are read in a stream, and which ones are large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from workbench.data.large.arrow_rows import ArrowFolder, ParquetFile
from workbench.data.large.hub_rows import PREFIX, HubRows
from workbench.data.large.json_lines import JsonLines
from workbench.data.layouts.row_sources import Block
from workbench.data.pairs import SHIPPED
from workbench.paths import given_path

# Bytes of rows above which a source is not held in memory: some 100,000 pairs, which as texts and
# as token ids take some 0.5 GB. A size, because the rows of a file can't be counted unread.
LARGE = 64 * 2**20


class RowStream(Protocol):
    """A source of rows that is read from its begin to its end, again and again.

    Attributes:
        name: of the source, for messages.
        columns: sets of columns that are known before any row is read.
    """

    @property
    def name(self) -> str: ...

    @property
    def columns(self) -> Sequence[frozenset[str]]: ...

    def digest(self) -> str:
        """A hash of what the source holds."""

    def blocks(self) -> Iterator[tuple[list[Any], float]]:
        """Some thousand rows, and the share of the source that is read by then."""


def large_source(name: str, any_size: bool = False) -> RowStream | None:
    """The rows of a file or a saved data set that is large, or of a data set of Hugging Face.

    None where it is small, unless `any_size` is taken; and where it is of a kind that is read as a
    whole: CSV, a JSON list, votes, which later rows take back.
    """
    if name.startswith(PREFIX):
        return HubRows(name)
    path = given_path(name, "data")
    least = 0 if any_size else LARGE
    found: ArrowFolder | ParquetFile | JsonLines
    if path.is_dir():
        if not (path / "state.json").is_file():
            return None
        found = ArrowFolder(path)
    elif not path.is_file() or path.suffix.lower() in (".csv", ".tsv"):
        return None
    elif path.suffix.lower() == ".parquet":
        found = ParquetFile(path)
    else:
        found = JsonLines(path)
    if found.size < least or not found.is_streamable:
        return None
    return found


def first_rows(name: Any, most: int) -> Block | None:
    """The first rows of a source that is too large to look through; None for all others."""
    if not isinstance(name, str | Path) or name in SHIPPED:
        return None
    stream = large_source(str(name))
    return None if stream is None else first_of(stream, most)


def first_of(stream: RowStream, most: int) -> Block:
    """At most so many rows of the first block."""
    rows = next(stream.blocks(), ([], 1.0))[0][:most]
    return Block(rows, f"the first {len(rows):,} rows of {stream.name}")
