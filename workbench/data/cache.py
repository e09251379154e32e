"""The user's cache folder, and the one way in which the workbench writes a file.

A file either keeps its old content or has all of the new one: the new content goes to a temporary
file in the same folder, reaches the disk, and takes the name in one step.
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

    The environment variable `WORKBENCH_CACHE` overrides the system's place for caches; nothing else
    in the package reads the environment. Raises WorkbenchError when the folder cannot be made.
    """
    override = os.environ.get("WORKBENCH_CACHE")
    folder = Path(override).expanduser() if override else user_cache_path("dpo-workbench")
    _make_folder(folder)
    return folder


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    The folder is made where it is missing. When anything fails, the temporary file is removed and
    an older `path` stays as it was. A full disk becomes a WorkbenchError that names file and
    folder, whichever library noticed it; any other error of `write` passes through.
    """
    with _temporary_beside(path) as temporary:
        try:
            write(temporary)
            _flush_to_disk(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary folder beside `path`, then give it that name in one step.

    `path` must not exist yet. Errors are those of `atomic_write`; nothing half-written stays.
    """
    with _temporary_beside(path) as temporary:
        try:
            temporary.mkdir()
            write(temporary)
            for file in temporary.iterdir():
                _flush_to_disk(file)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A free name in the folder of `path`; a full disk is told in terms of `path`."""
    _make_folder(path.parent)
    try:
        yield path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    except Exception as error:
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
    """Rust libraries (safetensors, tokenizers) report a full disk in words, not as an OSError."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "no space left" in str(error).lower()
