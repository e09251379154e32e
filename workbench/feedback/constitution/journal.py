"""Every reply of a model on disk as soon as it is there, and never asked for twice.

One JSON object per line, {"call": ..., "value": ...}: what was asked of which model, and what came
of it. A call that is in the journal is answered from there. So work that was interrupted goes on
where it stopped, and a principle or model that has changed asks anew only what depends on it, for
that alone is another call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.data.cache import append_line
from workbench.errors import WorkbenchError

HEAD = b'{"call": '  # every line begins with it; a truncated line as far as it goes


class Journal:
    """Calls and their values, in a file or, without a path, in memory.

    Raises:
        WorkbenchError: the file can't be read or written, or is not a journal.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._values: dict[str, Any] = {}
        if self.path is not None:
            self._append(b"")  # before anything is paid for
            self._read(self.path)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, call: Mapping[str, Any]) -> bool:
        return _key(call) in self._values

    def __getitem__(self, call: Mapping[str, Any]) -> Any:
        return self._values[_key(call)]

    def __setitem__(self, call: Mapping[str, Any], value: Any) -> None:
        """Keep the value of a call; it is on disk when this returns."""
        line = json.dumps({"call": dict(call), "value": value}, ensure_ascii=False)
        # An unpaired surrogate has no UTF-8 form; backslashreplace writes it as JSON does.
        self._append(line.encode("utf-8", "backslashreplace") + b"\n")
        self._values[_key(call)] = value

    def _append(self, line: bytes) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, line)
        except OSError as error:
            raise WorkbenchError(
                f"{self.path} can't be written: {error.strerror}; choose another folder"
            ) from error

    def _read(self, path: Path) -> None:
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            line = line.strip(b"\0 \t\r")  # a crash of the machine can leave zeros at the end
            if not line:
                continue
            try:
                row = json.loads(line)
                self._values[_key(row["call"])] = row["value"]
            except (ValueError, KeyError, TypeError, RecursionError):
                if line.startswith(HEAD) or HEAD.startswith(line):  # truncated by a kill
                    continue
                raise WorkbenchError(
                    f"{path} is not a journal: line {number}; choose another folder"
                ) from None


def _key(call: Mapping[str, Any]) -> str:
    return json.dumps(call, sort_keys=True)
