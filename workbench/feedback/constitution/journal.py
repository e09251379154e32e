"""Every reply of a model on disk as soon as it is there, and never asked for twice.

One JSON object per line, {"call": ..., "value": ...}: what was asked of which model, and what came
of it. A call that is in the journal is answered from there. So work that was interrupted goes on
where it stopped, and a principle or model that has changed asks anew only what depends on it, for
that alone is another call. What a damaged line held is asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.data.cache import append_line
from workbench.errors import WorkbenchError
from workbench.feedback.json_log import append_record, read_lines
from workbench.paths import given_path
from workbench.runs.folder.lock import RunLock

HEAD = b'{"call": '  # every line begins with it; a truncated line as far as it goes


class Journal:
    """Calls and their values, in a file or, without a path, in memory.

    One process has the file, so that two of them don't ask for the same.

    Raises:
        WorkbenchError: the file can't be read or written, is not a journal, or another process has
            it.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else given_path(path)
        self._values: dict[str, Any] = {}
        if self.path is not None:
            with self._writing(self.path):  # before anything is paid for
                self.path.parent.mkdir(parents=True, exist_ok=True)
                append_line(self.path, b"")
            self._lock = RunLock(self.path.with_name(f"{self.path.name}.lock"))
            self._read(self.path)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, call: Mapping[str, Any]) -> bool:
        return _key(call) in self._values

    def __getitem__(self, call: Mapping[str, Any]) -> Any:
        return self._values[_key(call)]

    def __setitem__(self, call: Mapping[str, Any], value: Any) -> None:
        """Keep the value of a call; it is on disk when this returns."""
        if self.path is not None:
            with self._writing(self.path):
                append_record(self.path, {"call": dict(call), "value": value})
        self._values[_key(call)] = value

    @staticmethod
    @contextmanager
    def _writing(path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkbenchError(
                f"{path} can't be written: {error.strerror}; choose another folder"
            ) from error

    def _read(self, path: Path) -> None:
        for number, raw, row, problem in read_lines(path.read_bytes(), {"call", "value"}):
            if problem and (raw.startswith(HEAD) or HEAD.startswith(raw)):
                continue
            try:
                self._values[_key(row["call"])] = row["value"]
            except (KeyError, TypeError, RecursionError):
                raise WorkbenchError(
                    f"{path} is not a journal: line {number}; choose another folder"
                ) from None


def _key(call: Mapping[str, Any]) -> str:
    return json.dumps(call, sort_keys=True)
