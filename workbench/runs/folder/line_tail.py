"""A file of lines that another process writes: what was added since the last look."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from workbench.errors import WorkbenchError

CHUNK = 1 << 20  # bytes that are read in one look
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Added(NamedTuple):
    """Whole lines without their ends; `anew`: what was read before is no longer in the file."""

    lines: list[bytes]
    anew: bool = False


class LineTail:
    """Reads a growing file; a look at one that did not change costs a `stat`.

    A line is given once it is whole. A file that was replaced by another, or shortened, is read
    from its start. What has no line end within `chunk` bytes is skipped.
    """

    def __init__(self, path: Path, chunk: int = CHUNK) -> None:
        self.path, self._chunk = path, chunk
        self._at, self._last = 0, b""  # bytes read; the line before, to know the file again
        self._seen: tuple[int, ...] | None = None

    def added(self) -> Added:
        """The lines since the last call, within `chunk` bytes; none left once it gives none.

        Raises:
            WorkbenchError: it can't be read, is no file, or bytes were skipped.
        """
        try:
            found = os.stat(self.path)
            now = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if now == self._seen:
                return Added([])
            self._seen = now
            if not stat.S_ISREG(found.st_mode):
                raise WorkbenchError(f"{self.path} is no file")
            return self._read(found.st_size)
        except FileNotFoundError:
            gone, self._at, self._last, self._seen = self._at > 0, 0, b"", None
            return Added([], gone)
        except OSError as error:
            raise WorkbenchError(f"{self.path} can't be read: {error.strerror}") from error

    def _read(self, size: int) -> Added:
        with open(os.open(self.path, _FLAGS), "rb") as file:
            file.seek(self._at - len(self._last))
            anew = file.read(len(self._last)) != self._last or size < self._at
            if anew:
                self._at, self._last = file.seek(0), b""
            content = file.read(self._chunk)
        full = len(content) == self._chunk
        if full:
            self._seen = None  # there may be more
        *lines, rest = content.split(b"\n")
        if full and not lines:
            self._at, self._last = size, b""
            raise WorkbenchError(f"{self.path} has a line of {len(content):,} bytes or more")
        self._at += len(content) - len(rest)
        self._last = lines[-1] + b"\n" if lines else self._last
        return Added(lines, anew)
