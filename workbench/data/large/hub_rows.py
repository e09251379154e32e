"""Data sets of Hugging Face by name, streamed: `hub:ORG/NAME`, `hub:ORG/NAME:SPLIT` or
`hub:ORG/NAME:SPLIT:CONFIG`; a folder on disk in place of ORG/NAME is read in the same way.

The library `datasets` reads files of data only; it runs no code that comes with a data set.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.data.cache import cache_folder
from workbench.data.large.source_digest import content_digest, keep_digest
from workbench.data.layouts.table_files import filled_fields
from workbench.data.seals import read_sealed
from workbench.errors import WorkbenchError

PREFIX = "hub:"
AT_ONCE = 8192  # rows


@dataclass
class HubRows:
    """One split of a data set; `name` is as it was given, with the prefix."""

    name: str
    columns: tuple[frozenset[str], ...] = ()

    def digest(self) -> str:
        """Of the files that make up the split, by the commit that they are of.

        Without a network it is that of the last time, with a warning.
        """
        name = hashlib.sha256(self.name.encode()).hexdigest()
        known = cache_folder() / "tokens" / "digests" / f"{name}.json"
        try:
            files = self._files
        except WorkbenchError as error:
            try:
                kept = read_sealed(known)["digest"]
            except (WorkbenchError, KeyError):
                raise error from None
            warnings.warn(f"{error}; taken are the rows of the last time", stacklevel=2)
            return str(kept)
        # Files on this machine are known by what they hold.
        parts = [one if "://" in one[0] else content_digest(Path(one[0])) for one in files]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        keep_digest(known, {"source": self.name, "digest": digest})
        return digest

    def blocks(self) -> Iterator[tuple[list[Any], float]]:
        """See `RowStream`; the share is 0 where the number of rows is not known."""
        done = 0
        with self._told():
            split, info = self._split, self._builder.info.splits or {}
            count = info[split].num_examples if split in info else 0
            stream = self._builder.as_streaming_dataset(split=split).with_format("arrow")
            for table in stream.iter(AT_ONCE):
                rows = filled_fields(table.to_pylist())
                done += len(rows)
                yield rows, min(done / count, 1.0) if count else 0.0

    @cached_property
    def _builder(self) -> Any:
        try:
            datasets = import_module("datasets")
        except ImportError as error:
            raise WorkbenchError(
                f"{self.name}: this needs the package datasets: pip install 'dpo-workbench[hub]'"
            ) from error
        name, _, config = self._parts
        with self._told():
            return datasets.load_dataset_builder(name, config or None)

    @property
    def _parts(self) -> tuple[str, str, str]:
        """Name, split and config; the last two may be empty."""
        name, _, rest = self.name.removeprefix(PREFIX).partition(":")
        split, _, config = rest.partition(":")
        if not name or ":" in config:
            raise WorkbenchError(
                f"data={self.name!r} is not accepted: hub:ORG/NAME, and behind it :SPLIT or "
                ":SPLIT:CONFIG"
            )
        return name, split, config

    @cached_property
    def _split(self) -> str:
        """The one that is named; else train, or the only one."""
        found = list(map(str, self._builder.config.data_files or {}))
        named = self._parts[1] or ("train" if len(found) > 1 else "".join(found))
        if named not in found:
            raise WorkbenchError(
                f"{self.name}: no split {named!r}; accepted: {', '.join(found) or 'none'}"
            )
        return named

    @property
    def _files(self) -> list[tuple[str, list[str]]]:
        """Each file, and what is known of its version: a commit, a time."""
        files = self._builder.config.data_files[self._split]
        versions = map(list, files.origin_metadata)
        return list(zip(map(str, files), versions, strict=True))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the library can't read is told in one line."""
        try:
            yield
        except WorkbenchError:
            raise
        except Exception as error:  # of many libraries: files, compression, the network
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise WorkbenchError(f"{self.name} can't be read: {reason}") from error
