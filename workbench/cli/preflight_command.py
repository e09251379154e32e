"""The command `preflight`: what is wrong or suspicious in a file of pairs."""

from __future__ import annotations

import json

from rich.markup import escape

from workbench.cli.command_settings import Preflight
from workbench.cli.terminal import console
from workbench.data.preflight import Report
from workbench.data.preflight import preflight as examine
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.models.load import Model, load_model
from workbench.train.base_model import BaseConfig, new_model

LISTED = 12  # rows of a finding that are named


def preflight(command: Preflight) -> int:
    """Print what was found; 1 where something makes training go wrong."""
    model = _model(command.model)
    longest = command.max_length or model.max_length
    if longest > model.max_length:
        raise WorkbenchError(
            f"max_length={longest} is not accepted: {model.name} takes up to {model.max_length}"
        )
    report = examine(command.source, model.tokenizer, longest)
    if command.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        _show(report, command.model)
    return 1 if report.wrong else 0


def _model(name: str) -> Model:
    if name == "tiny":  # its words and its context are known without any weights
        return new_model(Reviews(ReviewsConfig()), BaseConfig())
    return load_model(name)


def _show(report: Report, model: str) -> None:
    for finding in report.findings:
        kind = "[red]wrong[/]" if finding.wrong else "[yellow]suspicious[/]"
        lines = [f"{kind}  {finding.check}: {escape(finding.text)}"]
        if finding.rows:
            more = len(finding.rows) - LISTED
            named = ", ".join(map(str, finding.rows[:LISTED]))
            lines.append(f"  rows {named}{f' and {more} more' if more > 0 else ''}")
        lines.append(f"  {escape(finding.fix)}")
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    wrong, all_of_them = report.wrong, len(report.findings)
    told = f"{wrong} wrong, {all_of_them - wrong} suspicious" if all_of_them else "nothing found"
    console.print(
        f"{report.pairs} pairs for {escape(model)}: {told}", highlight=False, soft_wrap=True
    )
