"""What is wrong or suspicious in a file of pairs, as a table."""

from __future__ import annotations

from pathlib import Path

from workbench.train.check_file import check_file
from workbench.view.html.render import Html, render


def check_pairs(
    source: str | Path,
    model: str = "smollm2",
    max_length: int | None = None,
    columns: str | None = None,
) -> Html:
    """Every finding of a preflight with its rows and what to do; see `check_file`."""
    report = check_file(source, model, max_length, columns)
    rows = [(one.check, one.kind, one.where, one.text, one.fix) for one in report.findings]
    titles = ["check", "", "rows", "what was found", "what to do"]
    table = render("table", name="wb-preflight", titles=titles, rows=rows, numbers=False)
    told = render("line", text=f"{report.source}, {report.verdict}")
    return Html(told + (table if rows else ""))
