"""What a file of pairs holds: its columns, its layout, its pairs, and how to train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.data.layouts.columns import columns_of
from workbench.data.layouts.known_layouts import find_layout
from workbench.data.layouts.reading import Reading
from workbench.data.layouts.row_sources import rows_of
from workbench.data.layouts.unusable import Row
from workbench.data.pairs import SHIPPED, PairFile, read_pairs
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig
from workbench.train.file_checks.other_kinds import other_kind

FIRST_ROWS = 3  # shown as they are in the file
LARGEST_SHARE = 4  # at most one row in four is held out where nobody says how many


@dataclass(frozen=True)
class OpenedFile:
    """A file as it was read.

    Attributes:
        source: its path, or the name of a shipped set.
        columns: the names that were given, as `read_pairs` takes them.
        names: the columns of its rows as they are in the file.
        rows: the first rows as they are in the file.
        pairs: None where the columns are none of those known.
    """

    source: str
    columns: str | None
    names: Sequence[str]
    rows: Sequence[Row]
    pairs: PairFile | None

    @property
    def kind(self) -> str:
        """What it holds where it has no pairs, and how to train on that; else empty."""
        return other_kind(self.names) if self.pairs is None else ""

    def settings(self, config: TrainConfig) -> TrainConfig:
        """`config` for this file; with few pairs, fewer of them are held out than by default."""
        assert self.pairs is not None
        prompts = len({pair.prompt for pair in self.pairs.pairs})
        most = min(len(self.pairs.pairs) // LARGEST_SHARE, prompts // 2)
        held_out = config.held_out
        if held_out is None and (config.resolved().held_out or 0) > most:
            held_out = most
        data = self.source if self.source in SHIPPED else str(Path(self.source).absolute())
        return replace(config, data=data, columns=self.columns, held_out=held_out)


def open_file(source: str, reading: Reading, new: bool = False) -> OpenedFile:
    """Read a file, as far as its columns are known.

    A `new` one, kept here a moment ago, is removed again where it cannot be read.

    Raises:
        WorkbenchError: it cannot be read, holds no objects, or none of its rows can be used.
    """
    columns = reading.columns
    if source in SHIPPED:
        return OpenedFile(source, columns, (), (), read_pairs(source, reading))
    try:
        rows = rows_of(source)
        names = columns_of(rows)
        unknown = names and columns is None and find_layout(rows) is None
        pairs = None if unknown else read_pairs(source, reading)
    except WorkbenchError:
        if new:
            Path(source).unlink(missing_ok=True)
        raise
    first = [row for row in rows if isinstance(row, dict)][:FIRST_ROWS]
    return OpenedFile(source, columns, names, first, pairs)
