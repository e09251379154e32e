"""JSON on disk: rows of a JSON or JSONL file, recognised by content, and single objects."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.data.cache import atomic_write
from workbench.errors import WorkbenchError


def read_json_rows(path: Path) -> list[Any]:
    """The items of a JSON list, one JSON value, or one value per line without blank lines.

    Raises WorkbenchError where the file is missing, unreadable, not UTF-8 (a byte order mark is
    fine), empty, or neither JSON nor JSONL; the last error names the line.
    """
    text = _read_text(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise WorkbenchError(f"{path} is empty: give a JSON or JSONL file with preference pairs")
    try:
        content = parse_json(text, path)
    except WorkbenchError:
        # With a whole JSON value in its first line, the file is meant as JSONL.
        first, *rest = lines
        if not _is_json(first[1]) or not rest:
            raise
        return [parse_json(line, path, number) for number, line in lines]
    return content if isinstance(content, list) else [content]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises WorkbenchError where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise WorkbenchError(f"cannot read {path}: its brackets are nested too deep") from None
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise WorkbenchError(f"{path} holds a {type(content).__name__}, expected an object")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as a JSON file, atomically."""
    data = (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()
    atomic_write(path, lambda part: part.write_bytes(data))


def _read_text(path: Path) -> str:
    if path.is_dir():
        raise WorkbenchError(f"{path} is a folder: name a JSON or JSONL file in it")
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise WorkbenchError(f"no file {path}: give a JSON or JSONL file") from None
    except OSError as error:
        raise WorkbenchError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise WorkbenchError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from error


def parse_json(text: str, path: Path, first_line: int = 1) -> Any:
    """The value of a JSON text, which begins in this line of a file; errors name the line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise WorkbenchError(f"{path} is not JSON: line {line}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise WorkbenchError(f"{path} is not JSON: line {first_line}: {error}") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
