"""Rows of CSV, TSV and Parquet files, as JSON would hold them."""

from __future__ import annotations

import csv
import json
import re
import sys
from ast import literal_eval
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
MESSAGES = re.compile(r"""\s*\[?\s*\{\s*["'](?:role|from|messages)["']\s*:""")  # as text
MAY_BE_EMPTY = (
    "system", "group", "input", "label", "tools", "chosen_score", "rejected_score", "score_chosen",
    "score_rejected", "chosen_rating", "rejected_rating",
)  # fmt: skip
SWITCHES = {"true": True, "false": False, "1": True, "0": False}  # of a column `label`


def is_table(path: Path) -> bool:
    """Whether a file's name says that it holds a table."""
    return path.suffix.lower() in (".csv", ".tsv", ".parquet")


def read_table(path: Path) -> list[Any]:
    """The rows of a table, an object each; one that is not like its header is an UnusableError.

    The first line of a CSV or TSV file names the columns, and shows whether commas, tabs or
    semicolons divide them. An empty cell of a column that may be missing is none; lists, such as of
    `scores` or of messages, are written as JSON or as Python writes them.

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
    if not cell and name in MAY_BE_EMPTY:
        return None
    if name in LISTS or MESSAGES.match(cell):
        return _parsed(cell)
    return SWITCHES.get(cell.strip().lower(), cell) if name == "label" else cell


def _parsed(cell: str) -> Any:
    """A list or an object, as JSON or as Python writes it; the text where it is neither."""
    if cell.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            return json.loads(cell)
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return literal_eval(cell.strip())
    return cell


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
        WorkbenchError: as `data_set_files` does, or a file is broken.
    """
    found: list[Any] = []
    for path in data_set_files(folder):
        with arrow_package(path) as arrow, arrow.memory_map(str(path)) as file:
            found += import_module("pyarrow.ipc").open_stream(file).read_all().to_pylist()
    return filled_fields(found)


def data_set_files(folder: Path) -> list[Path]:
    """The files of such a folder that hold rows, in their order.

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
    found = []
    for entry in listed if isinstance(listed, list) else []:
        name = entry.get("filename") if isinstance(entry, dict) else None
        if not isinstance(name, str) or Path(name).name != name:
            raise WorkbenchError(f"{folder}/state.json names {name!r}, which is no file beside it")
        found.append(folder / name)
    return found


def filled_fields(rows: list[Any]) -> list[Any]:
    """Rows of Arrow without the fields within their values that are empty.

    Arrow gives every object in a column the fields of all others.
    """

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items() if one is not None}
        return [filled(one) for one in value] if isinstance(value, list) else value

    return [
        {name: filled(value) for name, value in row.items()} if isinstance(row, dict) else row
        for row in rows
    ]


def _read_parquet(path: Path) -> list[Any]:
    with arrow_package(path):
        return filled_fields(import_module("pyarrow.parquet").read_table(path).to_pylist())


@contextmanager
def arrow_package(path: Path) -> Iterator[Any]:
    """The package pyarrow; what it can't read is told in one line."""
    try:
        arrow = import_module("pyarrow")
    except ImportError as error:
        raise WorkbenchError(
            f"{path}: this file needs the package pyarrow: pip install 'dpo-workbench[parquet]'"
        ) from error
    try:
        yield arrow
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        kind = "Parquet" if path.suffix.lower() == ".parquet" else "a file of Arrow"
        raise WorkbenchError(f"{path} is not {kind}: {reason}") from error
