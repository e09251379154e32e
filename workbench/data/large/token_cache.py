"""A source tokenised: made once for its content, a tokenizer and the settings, then opened.

A cache is a folder that appears in one step when it is complete. One process makes it, others that
want the same wait for it; what a killed one left is removed by the next.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from workbench.data.cache import atomic_folder, cache_folder
from workbench.data.large.cache_files import CacheFiles
from workbench.data.large.cache_writer import CacheWriter, RowReader
from workbench.data.large.row_stream import RowStream
from workbench.data.large.source_digest import changed
from workbench.data.layouts.columns import NAMES, parse_columns
from workbench.data.layouts.known_layouts import LAYOUTS
from workbench.data.layouts.reading import Reading
from workbench.data.seals import DIGESTS, damage
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

Progress = Callable[[str, float], None]
Columns = set[frozenset[str]]
FORMAT = 2  # to be raised with every change that changes a token or a file
VOTES = next(layout.told for layout in LAYOUTS if "vote" in layout.columns)
KEY = 40  # digits of a cache's name that stand in the names of its lock and of an unfinished one


def tokenised(
    source: RowStream,
    reader: RowReader,
    tokenizer: Tokenizer,
    max_length: int,
    reading: Reading,
    tell: Progress,
) -> CacheFiles:
    """The source as this method reads it, from the cache; tokenised now where it is not there.

    Raises:
        WorkbenchError: a row's file is damaged, or changes meanwhile; no row can be used; or the
            cache folder can't be written.
    """
    tell(f"looking for changes in {source.name}", 0.0)
    how = [asdict(reading), reader.noun, max_length, tokenizer.digest, tokenizer.allow_special]
    digest = source.digest()
    parts = json.dumps([FORMAT, digest, *how])
    path = cache_folder() / "tokens" / hashlib.sha256(parts.encode()).hexdigest()

    def write(folder: Path) -> None:
        _write(folder, source, reader, tokenizer, max_length, reading, tell)
        if source.digest() != digest:
            raise changed(source.name)

    if path.exists() and not _damage(path):
        return CacheFiles(path)
    with _only_one(path, source.name, tell):
        if path.exists() and (why := _damage(path)):
            warnings.warn(f"{path} is damaged and made anew: {why}", stacklevel=2)
            shutil.rmtree(path)
        if not path.exists():
            atomic_folder(path, write)
    return CacheFiles(path)


def _damage(path: Path) -> str:
    return damage(path) if (path / DIGESTS).exists() else f"{DIGESTS} is missing"


def _write(
    folder: Path,
    source: RowStream,
    reader: RowReader,
    tokenizer: Tokenizer,
    max_length: int,
    reading: Reading,
    tell: Progress,
) -> None:
    """The same layout holds for all rows, so where later ones have columns by which all are read
    otherwise, they are read again.

    Columns that the first rows lack may stand in later ones, so all are looked for before a source
    is refused.
    """
    known = set(source.columns)
    meant = {*NAMES, *parse_columns(reading.columns), *(n for one in LAYOUTS for n in one.columns)}
    while True:
        layouts, unread = set[str](), list[Columns]()
        with CacheWriter(folder, source.name, reader, tokenizer, max_length) as writer:
            for rows, share in source.blocks():
                known |= _columns(rows, meant)
                heads = [dict.fromkeys(sorted(names)) for names in sorted(known, key=sorted)]
                try:
                    layout = writer.add(rows, heads, reading)
                except WorkbenchError:
                    if late := _late_columns(source, meant, tell) - known:
                        known |= late
                        break
                    raise
                if layout == VOTES:
                    raise WorkbenchError(f"{source.name}: votes are read from files of their own")
                if layout:
                    layouts.add(layout)
                else:
                    unread.append(set(known))
                tell(f"tokenising {source.name}, once: {writer.rows:,} rows", share)
            else:
                if len(layouts) < 2 and all(names == known for names in unread[:1]):
                    writer.finish(*layouts or [""])
                    return


def _columns(rows: list[Any], meant: set[str]) -> Columns:
    """Those of each row that are meant by any layout."""
    return {frozenset(row) & meant for row in rows if isinstance(row, dict)}


def _late_columns(source: RowStream, meant: set[str], tell: Progress) -> Columns:
    """Those of all rows."""
    found: Columns = set()
    for rows, share in source.blocks():
        found |= _columns(rows, meant)
        tell(f"looking for columns in {source.name}", share)
    return found


@contextmanager
def _only_one(path: Path, name: str, tell: Progress) -> Iterator[None]:
    """The right to make this cache; what killed processes left of any is removed first."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _lock(folder, path.name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tell(f"waiting for another process that tokenises {name}", 0.0)
            lock.acquire()
    except OSError as error:
        raise WorkbenchError(
            f"the cache folder {folder} can't be written: {error.strerror}; name another one by "
            "the environment variable WORKBENCH_CACHE"
        ) from error
    try:
        for left in folder.glob(".*.tmp"):
            _remove_if_dead(left, path.name)
        yield
    finally:
        lock.release()


def _lock(folder: Path, name: str) -> FileLock:
    return FileLock(folder / f".{name[:KEY]}.lock")


def _remove_if_dead(left: Path, own: str) -> None:
    """Remove an unfinished cache that no process is making."""
    name = left.name[1 : KEY + 1]
    if name == own[:KEY]:
        shutil.rmtree(left, ignore_errors=True)
        return
    try:
        with _lock(left.parent, name).acquire(timeout=0):
            shutil.rmtree(left, ignore_errors=True)
    except Timeout:
        pass
