"""What a run's folder knows of its rows: `data.json`, or what a checkpoint holds of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.data.seals import read_sealed
from workbench.errors import WorkbenchError


class KnownData(NamedTuple):
    """What is kept of the data of a run: its hash, and the rows that were held out.

    `held_out` is None in a folder that was written before the rows were kept.
    """

    hash: str
    held_out: list[int] | None


def known_rows(path: Path, state: Mapping[str, Any] | None) -> KnownData | None:
    """Hash of the rows, and those held out; None before a run's first checkpoint.

    Args:
        path: of data.json; where it is damaged a warning says so, and the checkpoint's rows count.
        state: of a checkpoint.

    Raises:
        WorkbenchError: data.json is not as it was written, and no checkpoint knows the rows.
    """
    if not path.exists():  # as before the rows were kept, unless it was lost
        return KnownData(state["data_hash"], state.get("held_out")) if state else None
    try:
        known = read_sealed(path)
        return KnownData(str(known["hash"]), [int(row) for row in known["held_out"]])
    except (WorkbenchError, KeyError, TypeError, ValueError) as error:
        if not state or "held_out" not in state:
            raise WorkbenchError(f"{path} is not as it was written: {error!r}") from error
        why = "the rows are those of the checkpoint"
        warnings.warn(f"{path} is not as it was written: {why}", stacklevel=2)
        return KnownData(state["data_hash"], state["held_out"])
