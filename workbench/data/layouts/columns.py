"""The names of columns: those of a file, and those that a person says are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import WorkbenchError

NAMES = (
    "prompt", "chosen", "rejected", "instruction", "input", "system", "group", "tools",
    "chosen_score", "rejected_score", "completion", "label", "messages", "conversations",
    "responses", "scores", "ranks",
)  # fmt: skip


def parse_columns(text: str | None) -> dict[str, str]:
    """The columns of a file by the names that are meant: "prompt=question,chosen=best".

    >>> parse_columns("prompt=question, chosen=best")
    {'question': 'prompt', 'best': 'chosen'}
    """
    found: dict[str, str] = {}
    for part in filter(str.strip, (text or "").split(",")):
        ours, equals, theirs = map(str.strip, part.partition("="))
        if not equals or not theirs or ours not in NAMES or theirs in found:
            raise WorkbenchError(
                f"columns={text!r} is not accepted: NAME=COLUMN,..., each column once, with a name "
                f"of {', '.join(NAMES)}"
            )
        found[theirs] = ours
    return found


def renamed(rows: Sequence[Any], columns: Mapping[str, str]) -> list[Any]:
    """The rows with their columns renamed; what had the new name before gives way."""
    gone = {*columns, *columns.values()}
    return [
        {
            **{name: value for name, value in row.items() if name not in gone},
            **{ours: row[theirs] for theirs, ours in columns.items() if theirs in row},
        }
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def columns_of(rows: Sequence[Any]) -> list[str]:
    """The columns of at least one row, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))


def describe_columns(rows: Sequence[Any]) -> str:
    """What columns there are, in a few words."""
    columns = columns_of(rows)
    if columns:
        return "columns " + ", ".join(map(repr, columns[:12])) + (", ..." if columns[12:] else "")
    return f"{len(rows)} rows that are not objects" if rows else "no rows"
