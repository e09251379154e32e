"""What is wrong or suspicious in a file of pairs, as a table."""

from __future__ import annotations

from pathlib import Path

from workbench.data.preflight import preflight
from workbench.train.base_model import model_to_check
from workbench.view.html.render import Html, render


def check_pairs(
    source: str | Path,
    model: str = "smollm2",
    max_length: int | None = None,
    columns: str | None = None,
) -> Html:
    """Every finding of a preflight with its rows and what to do; see `preflight`.

    Args:
        source: a file of pairs, or the name of a shipped set.
        model: that is to be trained: "tiny", "smollm2", a folder, an id.
        max_length: of a row, in tokens; left out, what the model takes.
        columns: as `read_pairs` takes it.

    Raises:
        WorkbenchError: the file cannot be used, or there is no such model.
    """
    found = model_to_check(model)
    report = preflight(source, found.tokenizer, max_length or found.max_length, columns)
    rows = [(one.check, one.kind, one.where, one.text, one.fix) for one in report.findings]
    titles = ["check", "", "rows", "what was found", "what to do"]
    table = render("table", name="wb-preflight", titles=titles, rows=rows, numbers=False)
    told = render("line", text=f"{report.source}, {report.verdict}")
    return Html(told + (table if rows else ""))
