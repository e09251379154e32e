"""What is wrong or suspicious in a file of pairs, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.runs.forecast.before_run import before_run
from workbench.train.config import TrainConfig
from workbench.train.file_checks.check_file import check_file
from workbench.view.html.render import Html, render


def check_pairs(
    source: str | Path,
    model: str = "smollm2",
    max_length: int | None = None,
    columns: str | None = None,
    quick: bool = True,
    **settings: Any,
) -> Html:
    """Every finding of a preflight with its rows and what to do; see `check_file`.

    With `quick` False also the model's pass over some pairs, and what a run would take; `settings`
    are further ones of `TrainConfig` for it, see `before_run`.
    """
    if quick:
        report = check_file(source, model, max_length, columns)
    else:
        given = {"max_length": max_length, "columns": columns, **settings}
        report, _ = before_run(TrainConfig(model=model, data=str(source), **given))
    rows = [(one.check, one.kind, one.where, one.text, one.fix) for one in report.findings]
    titles = ["check", "", "rows", "what was found", "what to do"]
    table = render("table", name="wb-preflight", titles=titles, rows=rows, numbers=False)
    told = [f"{report.source}, {report.verdict}", *report.notes]
    lines = "".join(render("line", text=text) for text in told)
    return Html(lines + (table if rows else ""))
