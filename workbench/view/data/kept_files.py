"""The data files in a folder, and files from elsewhere that are kept there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

from workbench.data.cache import atomic_write
from workbench.errors import WorkbenchError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
KEPT = Path("data")  # beside the notebook
LARGEST = 256 * 2**20  # bytes of a file that is taken over from the browser
LONGEST_NAME = 100  # characters


def files_here() -> list[Path]:
    """The data files beside the notebook and in its folder `data`, newest first."""
    found = chain.from_iterable(_data_files(folder) for folder in (Path(), KEPT))
    return [path for _, path in sorted(found, reverse=True)]


def _data_files(folder: Path) -> Iterator[tuple[float, Path]]:
    try:
        for path in folder.iterdir():
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.name[0] != ".":
                yield path.stat().st_mtime, path
    except OSError:
        return  # no such folder, or a file that has just gone


def found_from(path: str) -> Path:
    """The file that the file browser calls so: from a folder above this one, or from this one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (found := folder / path).is_file():
            return found.relative_to(here) if found.is_relative_to(here) else found
    raise WorkbenchError(f"no file {path} beside the notebook or above it: choose or drop the file")


def check_size(name: str, size: int) -> None:
    """Raise WorkbenchError for a file that is empty or too large for the browser's way."""
    if not size:
        raise WorkbenchError(f"{name} is empty: give a file with preference pairs")
    if size > LARGEST:
        raise WorkbenchError(
            f"{name} has {size / 2**20:,.0f} MB, up to {LARGEST / 2**20:,.0f} MB can be dropped "
            "here: put it beside the notebook, then choose it in the list"
        )


def keep(name: str, content: bytes) -> tuple[Path, bool]:
    """Keep a file in `data` beside the notebook, under a name that no other content has.

    Returns its path, and whether it is new there: the same content is not written twice.

    >>> safe_name("../my pairs?.jsonl")
    'my pairs_.jsonl'
    """
    wanted = KEPT / safe_name(name)
    for number in count(1):
        path = wanted if number == 1 else wanted.with_stem(f"{wanted.stem}-{number}")
        if not path.exists():
            try:
                atomic_write(path, lambda part: part.write_bytes(content))
            except OSError as error:
                raise WorkbenchError(f"cannot write {path}: {error.strerror}") from error
            return path, True
        if path.is_file() and path.read_bytes() == content:
            return path, False
    raise AssertionError  # count() has no end


def safe_name(name: str) -> str:
    """A file's name without folders and without what not every system takes in a name."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w .()+-]", "_", last).strip(" .") or "file"
    path = Path(plain)
    return path.stem[:LONGEST_NAME] + path.suffix[:LONGEST_NAME]
