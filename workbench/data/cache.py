"""The user's cache folder, and atomic writes: the one way in which the workbench writes a file.

A file has either its old content or all of the new one: the new content is written to a temporary
file in the same folder, flushed to disk, and renamed.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from platformdirs import user_cache_path

from workbench.errors import WorkbenchError


def cache_folder() -> Path:
    """The folder for downloaded weights and stored reference log-probabilities, made on demand.

    The environment variable `WORKBENCH_CACHE` overrides the system's cache folder. Raises
    WorkbenchError when the folder cannot be made.
    """
    override = os.environ.get("WORKBENCH_CACHE")
    folder = Path(override).expanduser() if override else user_cache_path("dpo-workbench")
    _make_folder(folder)
    return folder


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file next to `path`, then rename it to `path`.

    A missing folder is made. When anything fails, the temporary file is removed and an older `path`
    stays as it was. A full disk, one that is read only and a file above its limit of size become a
    WorkbenchError that names file and folder, whichever library reported it; any other error of
    `write` passes through.
    """
    with _temporary_for(path) as temporary:
        try:
            write(temporary)
            _flush_to_disk(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a file that only grows: one write, on a line of its own, flushed to disk.

    `line` ends with its line break; an empty one only makes the file. A killed process can truncate
    the last line and nothing else, and the next call starts a new line after it. Raises OSError
    where it can't be written.
    """
    with path.open("ab+", buffering=0) as file:
        if line and file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())


def atomic_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder next to `path`, then rename it to `path`.

    `path` must not exist yet. Errors are those of `atomic_write`; no partial folder stays.
    """
    with _temporary_for(path) as temporary:
        try:
            temporary.mkdir()
            write(temporary)
            for file in filter(Path.is_file, temporary.rglob("*")):
                _flush_to_disk(file)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _temporary_for(path: Path) -> Iterator[Path]:
    """An unused name in the folder of `path`; the error for a full disk names `path`."""
    _make_folder(path.parent)
    try:
        yield path.with_name(f".{path.name[:40]}.{uuid4().hex}.tmp")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EFBIG):
            raise WorkbenchError(
                f"{path.name} in {path.parent} can't be written: {error.strerror}"
            ) from error
        if not _disk_is_full(error):
            raise
        raise WorkbenchError(
            f"no space left to write {path.name} in {path.parent}: free some space, "
            "or choose another folder"
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkbenchError(
            f"cannot make the folder {folder}: {error.strerror}; choose another one"
        ) from error


def _flush_to_disk(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _disk_is_full(error: Exception) -> bool:
    """Rust libraries (safetensors, tokenizers) report it in their message, not as an OSError."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "no space left" in str(error).lower()
