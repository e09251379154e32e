"""What commands show in the terminal: lines, progress, tables, JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from workbench.cli.printable import PrintableConsole, printable

console = PrintableConsole()


def say(text: str = "", head: str = "", style: str = "") -> None:
    """Print a text as it stands, a `head` in this style before it."""
    console.print(Text.assemble((printable(head), style), printable(text)), soft_wrap=True)


def show_json(value: Any) -> None:
    """Print it as JSON that a person can read."""
    print(printable(json.dumps(value, indent=2, ensure_ascii=False)))


@contextmanager
def progress(to_stderr: bool = False) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=PrintableConsole(stderr=True) if to_stderr else console) as bar:
        yield bar, bar.add_task("loading", note="", total=1)


def show_table(values: dict[str, Any], title: str) -> None:
    table = Table("metric", "value", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for name, value in values.items():
        if isinstance(value, int | float):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
        elif isinstance(value, str):
            table.add_row(name, value[:16])
    console.print(table)
