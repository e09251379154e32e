"""Rows of Parquet files and of saved data sets in a stream, by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.data.large.source_digest import content_digest, file_state
from workbench.data.layouts.table_files import arrow_package, data_set_files, filled_fields
from workbench.errors import WorkbenchError

AT_ONCE = 8192  # rows


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
        done, count = 0, max(self._names_and_rows[1], 1)
        with arrow_package(self.path):
            for batch in self._batches():
                for start in range(0, batch.num_rows, AT_ONCE):
                    rows = filled_fields(batch.slice(start, AT_ONCE).to_pylist())
                    done += len(rows)
                    yield rows, min(done / count, 1.0)


@dataclass
class ParquetFile(_ArrowRows):
    """A Parquet file; of a group of rows no more than a buffer is in memory."""

    path: Path

    @cached_property
    def _names_and_rows(self) -> tuple[list[str], int]:
        with arrow_package(self.path), self._open() as file:
            names, rows = list(file.schema_arrow.names), int(file.metadata.num_rows)
        if twice := sorted(name for name in set(names) if names.count(name) > 1):
            raise WorkbenchError(f"{self.path} has two columns {twice[0]!r}, expected one")
        return names, rows

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
