"""The rows of a file, some thousand at a time, as the readers of small files have them.

JSONL is read by Python's own JSON, line by line: pyarrow's reader wants one type per column, and
refuses rows that small files are allowed to have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from workbench.data.json_rows import parse_json
from workbench.data.large.hub_rows import AT_ONCE, PREFIX, HubRows
from workbench.data.large.source_digest import content_digest, file_state, require_unchanged
from workbench.data.layouts.table_files import arrow_package, data_set_files, filled_fields
from workbench.errors import WorkbenchError
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
        """Rows, at most `AT_ONCE`, and the share of the source that is read by then."""


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


@dataclass(frozen=True)
class JsonLines:
    """One JSON value per line, in UTF-8; empty lines are no rows."""

    path: Path
    columns: tuple[frozenset[str], ...] = ()

    @property
    def name(self) -> str:
        return str(self.path)

    def digest(self) -> str:
        return content_digest(self.path)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return file_state(self.path)[2]

    @property
    def is_streamable(self) -> bool:
        """Whether the first line is a whole object with others behind it, and no vote."""
        with self._open() as file:
            lines = (line for line in file if line.strip())
            first, second = next(lines, b""), next(lines, b"")
        try:
            row = json.loads(first.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            return False
        return bool(second) and isinstance(row, dict) and "vote" not in row

    def blocks(self) -> Iterator[tuple[list[Any], float]]:
        state, rows, done = file_state(self.path), list[Any](), 0
        size = max(state[2], 1)
        with self._open() as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise WorkbenchError(
                        f"{self.path} is not UTF-8 text: byte {done + error.start} is wrong, in "
                        f"line {number}"
                    ) from error
                done += len(line)
                if text.strip():
                    rows.append(parse_json(text.removesuffix("\n"), self.path, number))
                if len(rows) == AT_ONCE:
                    yield rows, done / size
                    rows = []
        require_unchanged(self.path, state)
        if rows:
            yield rows, 1.0

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise WorkbenchError(f"cannot read {self.path}: {error.strerror}") from error


class _ArrowRows:
    """What Parquet and a saved data set have in common: batches of Arrow, and their number."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def files(self) -> list[Path]:
        """All files that hold rows."""
        return [self.path]

    @property
    def columns(self) -> Sequence[frozenset[str]]:
        return [frozenset(self._names_and_rows[0])]

    @property
    def is_streamable(self) -> bool:
        """Whether the rows are no votes."""
        return "vote" not in self._names_and_rows[0]

    def digest(self) -> str:
        return " ".join(map(content_digest, self.files))

    @cached_property
    def _names_and_rows(self) -> tuple[list[str], int]:
        raise NotImplementedError

    def _batches(self) -> Iterator[Any]:
        raise NotImplementedError

    def blocks(self) -> Iterator[tuple[list[Any], float]]:
        states = [file_state(file) for file in self.files]
        done, count = 0, max(self._names_and_rows[1], 1)
        with arrow_package(self.path):
            for batch in self._batches():
                for start in range(0, batch.num_rows, AT_ONCE):
                    rows = filled_fields(batch.slice(start, AT_ONCE).to_pylist())
                    done += len(rows)
                    yield rows, min(done / count, 1.0)
        for file, state in zip(self.files, states, strict=True):
            require_unchanged(file, state)


@dataclass
class ParquetFile(_ArrowRows):
    """A Parquet file; of a group of rows no more than a buffer is in memory."""

    path: Path

    @cached_property
    def _names_and_rows(self) -> tuple[list[str], int]:
        with arrow_package(self.path), self._open() as file:
            return list(file.schema_arrow.names), int(file.metadata.num_rows)

    @cached_property
    def size(self) -> int:
        """Bytes of all rows, not compressed."""
        with arrow_package(self.path), self._open() as file:
            groups = range(file.metadata.num_row_groups)
            return sum(file.metadata.row_group(number).total_byte_size for number in groups)

    def _batches(self) -> Iterator[Any]:
        with self._open() as file:
            yield from file.iter_batches(AT_ONCE)

    def _open(self) -> Any:
        parquet = import_module("pyarrow.parquet")
        return parquet.ParquetFile(self.path, buffer_size=2**20, pre_buffer=False)


@dataclass
class ArrowFolder(_ArrowRows):
    """A data set as `datasets` saves it."""

    path: Path

    @property
    def files(self) -> list[Path]:
        return data_set_files(self.path)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file_state(file)[2] for file in self.files)

    @cached_property
    def _names_and_rows(self) -> tuple[list[str], int]:
        names: dict[str, None] = {}
        rows = 0
        with arrow_package(self.path):
            for batch in self._batches():
                names |= dict.fromkeys(batch.schema.names)
                rows += batch.num_rows
        return list(names), rows

    def _batches(self) -> Iterator[Any]:
        arrow, streams = import_module("pyarrow"), import_module("pyarrow.ipc")
        for path in self.files:
            with arrow.memory_map(str(path)) as file:
                yield from streams.open_stream(file)
