"""The command `preflight`: what is wrong or suspicious in a file of pairs."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

from rich.markup import escape

from workbench.cli.command_settings import Preflight
from workbench.cli.terminal import console, progress
from workbench.data.preflight import Report
from workbench.runs.forecast.before_run import before_run
from workbench.train.config import TrainConfig


def preflight(command: Preflight) -> int:
    """Print what was found and what a run would take; 1 where something makes training go wrong."""
    settings = {f.name: getattr(command, f.name) for f in fields(TrainConfig)}
    config = TrainConfig(**{**settings, "data": command.source})
    with progress(to_stderr=command.json) as (bar, task):

        def tell(text: str, share: float) -> None:
            bar.update(task, description=text, completed=share, total=1)

        report, expected = before_run(config, command.quick, tell)
    if command.json:
        known = report.as_dict() | {"forecast": expected and asdict(expected)}
        print(json.dumps(known, indent=2, ensure_ascii=False))
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
    told = "\n".join([*report.notes, report.verdict])
    console.print(told, highlight=False, markup=False, soft_wrap=True)
