"""Rows of a JSONL file in a stream, as `read_json_rows` reads all at once.

They are read by Python's own JSON, line by line: pyarrow's reader wants one type per column, and
refuses rows that small files are allowed to have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from workbench.data.json_rows import parse_json
from workbench.data.large.source_digest import content_digest, file_state
from workbench.errors import WorkbenchError

AT_ONCE = 8192  # rows


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
        rows, done, size = list[Any](), 0, max(self.size, 1)
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
        if rows:
            yield rows, 1.0

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise WorkbenchError(f"cannot read {self.path}: {error.strerror}") from error
