"""What is wrong or suspicious in a file of pairs, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.data.preflight import Report
from workbench.runs.forecast.before_run import before_run
from workbench.train.config import TrainConfig
from workbench.view.html.render import Html, render


def check_pairs(
    source: str | Path,
    model: str = "smollm2",
    quick: bool = True,
    **settings: Any,
) -> Html:
    """Every finding of a preflight with its rows and what to do; see `before_run`.

    Args:
        source: a file, or the name of a shipped set.
        model: that is to be trained.
        quick: leave out the model's pass over some pairs, and what a run would take.
        settings: further ones of `TrainConfig`, such as columns, turns or max_length.

    Raises:
        WorkbenchError: the file cannot be used, or there is no such model.
    """
    config = TrainConfig(model=model, data=str(source), **settings)
    return preflight_html(before_run(config, quick)[0])


def preflight_html(report: Report) -> Html:
    """What a preflight found, as a table."""
    rows = [(one.check, one.kind, one.where, one.text, one.fix) for one in report.findings]
    titles = ["check", "", "rows", "what was found", "what to do"]
    table = render("table", name="wb-preflight", titles=titles, rows=rows, numbers=False)
    told = [f"{report.source}, {report.verdict}", *report.notes]
    lines = "".join(render("line", text=text) for text in told)
    return Html(lines + (table if rows else ""))
