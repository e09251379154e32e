"""Paths as people give them: `~` is the home folder; what can't be written is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.errors import WorkbenchError

LONGEST_NAME = 255  # bytes, on nearly all file systems
LONGEST_PATH = 4000  # bytes


def given(text: str, what: str) -> str:
    """A path, or the name of a model or of data, with the home folder in place of `~`.

    Raises:
        WorkbenchError: it is empty, or no file can be called so; `what` names it.
    """
    path = os.path.expanduser(text)
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b"\0"
    longest = max(map(len, encoded.replace(os.fsencode(os.sep), b"/").split(b"/")))
    if not path or b"\0" in encoded:
        raise WorkbenchError(f"{what}={text!r} is not accepted: name a file or folder")
    if longest > LONGEST_NAME or len(encoded) > LONGEST_PATH:
        raise WorkbenchError(
            f"{what}={text[:40] + '…'!r} is too long: {longest} bytes in one name, "
            f"{len(encoded)} in all; at most {LONGEST_NAME} and {LONGEST_PATH}"
        )
    return path


def given_path(path: str | Path, what: str = "path") -> Path:
    """As `given`."""
    return Path(given(os.fspath(path), what))


def place_for(path: Path, what: str) -> Path:
    """Where a file or folder of this name is to be made: at the end of symbolic links.

    Raises:
        WorkbenchError: no folder there takes a new file.
    """
    path = Path(os.path.realpath(given_path(path, what)))
    there = next(folder for folder in (*path.parents, path) if os.path.lexists(folder))
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise WorkbenchError(f"{what}={str(path)!r} can't be written: {there} takes no new file")
    return path


def file_to_write(path: Path, what: str) -> Path:
    """As `place_for`; what is there already must be a file, which is replaced.

    A symbolic link stays, and the file that it leads to is replaced.
    """
    path = place_for(path, what)
    if os.path.lexists(path) and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise WorkbenchError(f"{what}={str(path)!r} is {kind}; name a file")
    return path


def folder_to_write(path: Path, what: str) -> Path:
    """As `place_for`; what is there already must be a folder."""
    path = place_for(path, what)
    if os.path.lexists(path) and not path.is_dir():
        raise WorkbenchError(f"{what}={str(path)!r} is no folder; name another one")
    return path
