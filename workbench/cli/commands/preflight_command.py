"""The command `preflight`: what is wrong or suspicious in a file of pairs."""

from __future__ import annotations

from dataclasses import asdict, fields

from workbench.cli.command_settings import Preflight
from workbench.cli.terminal import progress, say, show_json
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
        show_json(known)
    else:
        _show(report)
    return 1 if report.wrong else 0


def _show(report: Report) -> None:
    for finding in report.findings:
        colour = "red" if finding.wrong else "yellow"
        say(f"  {finding.check}: {finding.text}", finding.kind, colour)
        if finding.rows:
            say(f"  rows {finding.where}")
        say(f"  {finding.fix}")
    for line in [*report.notes, report.verdict]:
        say(line)
