"""The command `preflight`: what is wrong or suspicious in a file of pairs."""

from __future__ import annotations

import json

from rich.markup import escape

from workbench.cli.command_settings import Preflight
from workbench.cli.terminal import console
from workbench.data.preflight import Report
from workbench.train.check_file import check_file


def preflight(command: Preflight) -> int:
    """Print what was found; 1 where something makes training go wrong."""
    report = check_file(command.source, command.model, command.max_length, command.columns)
    if command.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        _show(report)
    return 1 if report.wrong else 0


def _show(report: Report) -> None:
    for finding in report.findings:
        colour = "red" if finding.wrong else "yellow"
        lines = [f"[{colour}]{finding.kind}[/]  {finding.check}: {escape(finding.text)}"]
        if finding.rows:
            lines.append(f"  rows {finding.where}")
        lines.append(f"  {escape(finding.fix)}")
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    console.print(report.verdict, highlight=False, soft_wrap=True)
