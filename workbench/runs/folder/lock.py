"""One process writes a run's folder, and within it one `Run`: a lock that dies with its holder."""

from __future__ import annotations

import json
import os
import socket
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from workbench.errors import WorkbenchError
from workbench.runs.folder.config_file import naming, write_text
from workbench.runs.folder.control_file import forget_requests

LOCK, HOLDER = ".lock", ".holder.json"
PATIENCE = 0.2  # seconds: others may be looking whether somebody has the lock
Key = tuple[int, int]


class RunLock:
    """The right to write a folder, until it is released or nobody has it any more.

    Another process that asks for it is refused. Within one process, where a notebook's cell is run
    again and again, the last to ask has it: who had it before is refused at the next write.

    Raises:
        WorkbenchError: another process has it; its number, its machine and since when are told.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with naming(folder / LOCK):
            folder.mkdir(parents=True, exist_ok=True)
            key = _key(folder)
            if key not in _LOCKS:
                lock = _acquire(folder)
                _LOCKS[key := _key(folder) or (0, 0)] = lock
        assert key is not None
        self._key = key
        _OWNERS[key] = self
        forget_requests(folder)
        write_text(folder / HOLDER, json.dumps(_this_process()))
        weakref.finalize(self, _let_go, key, folder)

    def require(self) -> None:
        """Raise where the folder was opened again in this process."""
        if _OWNERS.get(self._key) is not self:
            raise WorkbenchError(
                f"the run in {self.folder} was opened again in this process and goes on there"
            )

    def release(self) -> None:
        """Let others write the folder, unless it was opened again in this process."""
        if _OWNERS.get(self._key) is self:
            del _OWNERS[self._key]
            _let_go(self._key, self.folder)


# Of this process, by device and inode of the lock's file: a folder may be renamed.
_LOCKS: dict[Key | None, FileLock] = {}
_OWNERS: weakref.WeakValueDictionary[Key, RunLock] = weakref.WeakValueDictionary()


def refuse_held(folder: Path) -> None:
    """Raise where another process writes this run."""
    key = _key(folder)
    if key is not None and key not in _LOCKS:
        with naming(folder / LOCK):
            _acquire(folder).release()


def writer_of(folder: Path) -> str:
    """The process that writes this run, its machine and since when; empty where none does.

    Where the lock can't be tried, as on a disk that is only read, it is the last one known.
    """
    key = _key(folder)
    if key is None or key in _LOCKS:  # some disks lend a lock twice within a process
        return "" if key is None else _holder(folder)
    try:
        FileLock(folder / LOCK, thread_local=False).acquire(timeout=0).lock.release()
    except Timeout:
        return _holder(folder)
    except OSError:
        return _holder(folder) if (folder / HOLDER).exists() else ""
    return ""


def written_elsewhere(folder: Path) -> bool:
    """Whether another process writes this run."""
    return _key(folder) not in _LOCKS and writer_of(folder) != ""


def _key(folder: Path) -> Key | None:
    with suppress(FileNotFoundError):
        status = (folder / LOCK).stat()
        return status.st_dev, status.st_ino
    return None


def _acquire(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise WorkbenchError(
            f"the run in {folder} is being written by {_holder(folder)}; wait until it ends, "
            "or stop it"
        ) from None
    return lock


def _let_go(key: Key, folder: Path) -> None:
    if key in _LOCKS and key not in _OWNERS:
        if _key(folder) == key:
            (folder / HOLDER).unlink(missing_ok=True)
        _LOCKS.pop(key).release()


def _holder(folder: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['machine']} since {found['since']}"
    return "another process"


def _this_process() -> dict[str, str | int]:
    now = datetime.now().isoformat(sep=" ", timespec="seconds")
    return {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
