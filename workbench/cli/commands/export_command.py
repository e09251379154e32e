"""The command `export`: a run in the form of another tool, with its certificate."""

from __future__ import annotations

from workbench.cli.command_settings import Export
from workbench.cli.printable import PrintableConsole
from workbench.cli.terminal import progress, say, show_json
from workbench.compare.comparator.export_run import export as export_run
from workbench.runs.export.certificate import CertificateError


def export(command: Export) -> int:
    """Write it and print the certificate; 1 where it does not hold."""
    asked = command.source, command.to, command.folder, command.dtype, command.losses
    try:
        with progress(to_stderr=True) as (bar, task):

            def tell(text: str, share: float) -> None:
                bar.update(task, description=text, completed=share, total=1)

            found = export_run(*asked, progress=tell)
    except CertificateError as error:
        line = f"error: {error}"
        PrintableConsole(stderr=True).print(line, style="red", markup=False, soft_wrap=True)
        return 1
    if command.json:
        show_json(found.as_dict())
        return 0
    for line in (f"written: {found.folder}", f"certificate: {found}", *found.notes):
        say(line)
    return 0
