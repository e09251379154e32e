"""SHA-256 of what was written, by which its reader knows that it is as it was: within a small file,
or of each file of a folder in its `files.json`."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError

SEAL = "sha256"
DIGESTS = "files.json"


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values and their SHA-256, over their JSON with sorted keys."""
    return {**values, SEAL: _digest(values)}


def is_sealed(values: Mapping[str, Any]) -> bool:
    """Whether they are those that were sealed; files of older versions were not, and pass."""
    left = {name: value for name, value in values.items() if name != SEAL}
    return SEAL not in values or values[SEAL] == _digest(left)


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a JSON file, as it was written.

    Raises:
        WorkbenchError: there is none, or it has another SHA-256 than it names.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise WorkbenchError(f"{path} is not as it was written: {error}") from error
    if not is_sealed(content):
        raise WorkbenchError(f"{path} is not as it was written: it has another SHA-256")
    content.pop(SEAL, None)
    return content


def write_digests(folder: Path) -> None:
    """Write the SHA-256 of each file of a folder, and of those in it, to its files.json."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
    (folder / DIGESTS).write_text(json.dumps(digests), encoding="utf-8")


def damage(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> str:
    """What is missing or not as it was written, of the files whose names are wanted.

    Empty where all is well, and where no files.json was written.
    """
    if not (folder / DIGESTS).exists():
        return ""
    try:
        digests = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
        for name in filter(wanted, digests):
            if not (folder / name).exists():
                return f"{name} is missing"
            if file_digest(folder / name) != digests.get(name):
                return f"{name} has another SHA-256 than when it was written"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"it can't be read: {error}"
    return ""


def is_whole(folder: Path) -> bool:
    """Whether a folder is there, as it was written; one that is damaged is set aside."""
    if why := damage(folder):
        set_aside(folder, why)
    return folder.exists()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The texts of the warnings within a block; they are given at its end."""
    texts: list[str] = []
    said: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", UserWarning)
            yield texts
    finally:
        texts += [str(one.message) for one in said if one.category is UserWarning]
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def set_aside(path: Path, why: str) -> None:
    """Rename what is damaged, and say so in a warning."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
    except OSError as error:
        raise WorkbenchError(f"{path} is damaged, {why}; and {error.strerror}") from error
    warnings.warn(f"{path} is damaged and kept as {aside.name}: {why}", stacklevel=3)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(values: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(values, default=str))  # TOML has dates
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
