"""Where rows come from: a file, a folder of a data set, or a table in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any, TypeAlias

from workbench.data.cache import atomic_write
from workbench.data.json_rows import read_json_rows
from workbench.data.layouts.columns import (
    NAMES,
    columns_of,
    describe_columns,
    parse_columns,
    renamed,
)
from workbench.data.layouts.known_layouts import find_layout, mark_undone
from workbench.data.layouts.table_files import filled_fields, is_table, read_data_set, read_table
from workbench.data.layouts.unusable import is_unicode
from workbench.errors import WorkbenchError
from workbench.paths import given_path

# A path, or what holds rows in memory: a list of objects, a DataFrame, a Hugging Face dataset.
Source: TypeAlias = Any


class Block(list[Any]):
    """Some of the rows of a source that is read in parts; `name` is the source's."""

    def __init__(self, rows: Iterable[Any], name: str) -> None:
        super().__init__(rows)
        self.name = name


def name_of(source: Source) -> str:
    """A path, or what holds the rows."""
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, Block):
        return source.name
    count = f" of {len(source)} rows" if isinstance(source, Sized) else ""
    return f"{type(source).__name__}{count}"


def rows_of(source: Source, columns: str | None = None) -> list[Any]:
    """The rows of a source, columns renamed as `columns` says.

    A file is JSON, JSONL, CSV, TSV or Parquet; of a JSON object with a single list, the rows are
    those of the list. A folder is a data set as `datasets` saves it.

    Raises:
        WorkbenchError: there is no such file, or it can't be read; or a column that is named is
            missing.
    """
    names = parse_columns(columns)
    rows = _read(source)
    meant = {*NAMES, *names} & set(columns_of(rows))
    if len(rows) == 1 and not (_is_table(source) or meant or find_layout(rows)):
        rows = _only_list(rows[0]) or rows
    if missing := set(names) - {*columns_of(rows)}:
        raise WorkbenchError(
            f"{name_of(source)}: no column {min(missing)!r}, which columns={columns!r} names; "
            f"found {describe_columns(rows)}"
        )
    rows = renamed(rows, names) if names else rows
    undone = any("undo" in row for row in rows if isinstance(row, dict))
    return mark_undone(rows) if undone else rows


def write_rows(rows: Source, path: str | Path) -> Path:
    """Write rows that are in memory as JSONL, for `--data` and for runs that can be resumed.

    Args:
        rows: a list of objects, a DataFrame or a Hugging Face dataset.

    Raises:
        WorkbenchError: a value has no form in JSON; the row is named.
    """
    lines = []
    for number, row in enumerate(_in_memory(rows), start=1):
        try:
            line = json.dumps(row, ensure_ascii=False, default=str)
            lines.append((line if is_unicode(line) else json.dumps(row, default=str)) + "\n")
        except (TypeError, ValueError) as error:
            raise WorkbenchError(f"row {number} can't be written as JSON: {error}") from error
    content = "".join(lines).encode()
    path = given_path(path)
    atomic_write(path, lambda part: part.write_bytes(content))
    return path


def _read(source: Source) -> list[Any]:
    if not isinstance(source, str | Path):
        return _in_memory(source)
    path = given_path(source, "data")
    if path.is_dir():
        return read_data_set(path)
    return read_table(path) if is_table(path) else read_json_rows(path)


def _is_table(source: Source) -> bool:
    if not isinstance(source, str | Path):
        return True
    path = given_path(source, "data")
    return is_table(path) or path.is_dir()


def _in_memory(source: Source) -> list[Any]:
    """The rows of a list, a DataFrame, an Arrow table or a Hugging Face dataset."""
    if hasattr(source, "to_pylist"):  # Arrow
        return filled_fields(source.to_pylist())
    if hasattr(source, "to_dict") and hasattr(source, "iloc"):
        rows = source.to_dict("records")
        return [{str(name): _plain(value) for name, value in row.items()} for row in rows]
    if isinstance(source, Iterable) and not isinstance(source, dict):
        rows = [dict(row) if hasattr(row, "keys") else row for row in source]
        return filled_fields(rows) if hasattr(source, "features") else rows  # of `datasets`
    raise WorkbenchError(
        f"{type(source).__name__} holds no rows; accepted are a path, a list of objects, a "
        "DataFrame and a dataset"
    )


def _plain(value: Any) -> Any:
    """Lists for arrays, and numbers of Python for those of others."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _only_list(content: Any) -> list[Any]:
    """The one list in an object such as {"data": [...]}, else an empty list."""
    values = content.values() if isinstance(content, dict) else []
    lists = [value for value in values if isinstance(value, list)]
    return lists[0] if len(lists) == 1 else []
