"""The command `export`: a run in the form of another tool, with its certificate."""

from __future__ import annotations

import json

from workbench.cli.command_settings import Export
from workbench.cli.terminal import console, progress
from workbench.compare.comparator.export_run import export as export_run
from workbench.runs.export.certificate import CertificateError


def export(command: Export) -> int:
    """Write it and print the certificate; 1 where it does not hold."""
    try:
        with progress(to_stderr=True) as (bar, task):

            def tell(text: str, share: float) -> None:
                bar.update(task, description=text, completed=share, total=1)

            found = export_run(
                command.source, command.to, command.folder, command.dtype, progress=tell
            )
    except CertificateError as error:
        console.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    if command.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
        return 0
    lines = [f"written: {found.folder}", f"certificate: {found}", *found.notes]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0
