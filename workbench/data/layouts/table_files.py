"""Rows of CSV, TSV and Parquet files, as JSON would hold them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.data.json_rows import read_json
from workbench.data.layouts.unusable import UnusableError
from workbench.errors import WorkbenchError

DELIMITERS = ",\t;"
LISTS = ("responses", "answers", "completions", "scores", "ranks", "messages", "conversations")
SWITCHES = {"true": True, "false": False, "1": True, "0": False}  # of a column `label`


def is_table(path: Path) -> bool:
    """Whether a file's name says that it holds a table."""
    return path.suffix.lower() in (".csv", ".tsv", ".parquet")


def read_table(path: Path) -> list[Any]:
    """The rows of a table, an object each; one that is not like its header is an UnusableError.

    The first line of a CSV or TSV file names the columns, and shows whether commas, tabs or
    semicolons divide them. An empty cell of `system`, `group`, `input` or `label` is none; a list,
    such as of `scores`, is written as JSON.

    Raises:
        WorkbenchError: the file is missing, empty, not UTF-8 or broken; or it is Parquet, and
            `pyarrow` is missing.
    """
    if not path.is_file():
        raise WorkbenchError(f"no file {path}: give a CSV, TSV or Parquet file")
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file, _long_fields():
            head = file.readline()
            file.seek(0)
            delimiter = max(DELIMITERS, key=head.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                return list(_rows(reader))
            except csv.Error as error:
                raise WorkbenchError(
                    f"{path} is not CSV: line {reader.line_num}: {error}"
                ) from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from error
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror}") from error


def _rows(reader: Iterator[list[str]]) -> Iterator[Any]:
    names = [name.strip() for name in next(reader, [])]
    for cells in reader:
        if not cells:
            continue  # an empty line
        if len(cells) == len(names):
            yield {name: _value(name, cell) for name, cell in zip(names, cells, strict=True)}
        else:
            yield UnusableError(f"{len(cells)} cells, the header has {len(names)}")


def _value(name: str, cell: str) -> Any:
    if not cell and name in ("system", "group", "input", "label"):
        return None
    if name in LISTS and cell.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            return json.loads(cell)
    return SWITCHES.get(cell.strip().lower(), cell) if name == "label" else cell


@contextmanager
def _long_fields() -> Iterator[None]:
    """The csv module takes fields of up to 131,072 characters unless it is told otherwise."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_data_set(folder: Path) -> list[Any]:
    """The rows of a data set as `datasets` saves it: a folder of Arrow files with their list.

    Raises:
        WorkbenchError: it is no such folder, or holds several parts; those are named.
    """
    parts = folder / "dataset_dict.json"
    if parts.is_file():
        names = ", ".join(str(folder / str(name)) for name in read_json(parts).get("splits", []))
        raise WorkbenchError(f"{folder} holds several parts: name one of {names}")
    if not (folder / "state.json").is_file():
        raise WorkbenchError(
            f"{folder} is a folder: name a JSON, JSONL, CSV, TSV or Parquet file in it, or the "
            "folder of a saved data set"
        )
    listed = read_json(folder / "state.json").get("_data_files")
    found: list[Any] = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            raise WorkbenchError(f"{folder}/state.json names {name!r}, which is no file beside it")
        with _arrow(folder / name) as arrow, arrow.memory_map(str(folder / name)) as file:
            found += import_module("pyarrow.ipc").open_stream(file).read_all().to_pylist()
    return found


def _read_parquet(path: Path) -> list[Any]:
    with _arrow(path):
        return import_module("pyarrow.parquet").read_table(path).to_pylist()


@contextmanager
def _arrow(path: Path) -> Iterator[Any]:
    """The package pyarrow; what it can't read is told in one line."""
    try:
        arrow = import_module("pyarrow")
    except ImportError as error:
        raise WorkbenchError(
            f"{path}: this file needs the package pyarrow: pip install 'dpo-workbench[parquet]'"
        ) from error
    try:
        yield arrow
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "a file of Arrow"
        raise WorkbenchError(f"{path} is not {kind}: {reason}") from error
