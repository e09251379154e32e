"""The command `doctor`: what a run suffers from."""

from __future__ import annotations

import json

from rich.markup import escape

from workbench.cli.command_settings import Doctor
from workbench.cli.terminal import console
from workbench.runs.doctor import Report, diagnose


def doctor(command: Doctor) -> int:
    """Print what was found, with the evidence and the next thing to try; 1 where there is some."""
    report = diagnose(command.source)
    if command.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        _show(report)
    return 1 if report.found else 0


def _show(report: Report) -> None:
    for one in report.found:
        lines = [f"[red]found[/]  {one.name}: {escape(one.evidence)}", f"  {escape(one.next)}"]
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    for one in report.unknown:
        line = f"[yellow]cannot tell[/]  {one.name}: {escape(one.evidence)}"
        console.print(line, highlight=False, soft_wrap=True)
    looked = ", ".join(one.name for one in report.diagnoses if one not in report.unknown)
    console.print(f"looked for: {looked}", highlight=False, soft_wrap=True)
    console.print(escape(report.verdict), highlight=False, soft_wrap=True)
