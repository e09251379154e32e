"""What commands show in the terminal: progress and tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console()


@contextmanager
def progress(to_stderr: bool = False) -> Iterator[tuple[Progress, TaskID]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True) if to_stderr else console) as bar:
        yield bar, bar.add_task("loading", note="", total=1)


def show_table(values: dict[str, Any], title: str) -> None:
    table = Table("metric", "value", title=escape(title), title_justify="left")
    table.columns[1].justify = "right"
    for name, value in values.items():
        if isinstance(value, int | float):
            table.add_row(name, f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
        elif isinstance(value, str):
            table.add_row(name, escape(value[:16]))
    console.print(table)
