"""The command `doctor`: what a run suffers from."""

from __future__ import annotations

from workbench.cli.command_settings import Doctor
from workbench.cli.terminal import say, show_json
from workbench.runs.doctor import Report, diagnose


def doctor(command: Doctor) -> int:
    """Print what was found, with the evidence and the next thing to try; 1 where there is some."""
    report = diagnose(command.source)
    if command.json:
        show_json(report.as_dict())
    else:
        _show(report)
    return 1 if report.found else 0


def _show(report: Report) -> None:
    for one in report.found:
        say(f"  {one.name}: {one.evidence}\n  {one.next}", "found", "red")
    for one in report.unknown:
        say(f"  {one.name}: {one.evidence}", "cannot tell", "yellow")
    looked = ", ".join(one.name for one in report.diagnoses if one not in report.unknown)
    say(f"looked for: {looked}")
    say(report.verdict)
