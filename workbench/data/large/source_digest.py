"""What a file holds, by SHA-256; it is computed anew where the file may have changed since.

The hash is kept with the file's size, inode and times. The time of the last change of the inode
can't be set by a program, so a file that was written again is noticed, also where its size and its
time of modification are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.data.cache import atomic_write, cache_folder
from workbench.data.seals import file_digest, read_sealed, sealed
from workbench.errors import WorkbenchError

SETTLED = 2.0  # seconds; a file that was changed a moment ago may be changed again unnoticed


def file_state(path: Path) -> list[int]:
    """What changes with a file's content. Raises WorkbenchError where it can't be read."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror}") from error
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def content_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits; the one that is known where it is as then.

    Raises:
        WorkbenchError: it can't be read, or it changes meanwhile.
    """
    state = file_state(path)
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    known = cache_folder() / "tokens" / "digests" / f"{name}.json"
    with suppress(WorkbenchError, KeyError):
        kept = read_sealed(known)
        if kept["state"] == state:
            return str(kept["digest"])
    try:
        digest = file_digest(path)
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror}") from error
    if file_state(path) != state:
        raise changed(path)
    if time.time() - max(state[3:]) / 1e9 > SETTLED:
        keep_digest(known, {"file": str(path), "state": state, "digest": digest})
    return digest


def keep_digest(path: Path, values: Mapping[str, Any]) -> None:
    """Keep a digest and what it is of, where that can be written: without it, it is computed
    again, as by those who share a cache that they may only read."""
    content = json.dumps(sealed(values))
    with suppress(WorkbenchError, OSError):
        atomic_write(path, lambda part: part.write_text(content))


def changed(name: object) -> WorkbenchError:
    """That a file was written while it was read."""
    return WorkbenchError(
        f"{name} changed while it was read: try again when nothing writes it any more"
    )
