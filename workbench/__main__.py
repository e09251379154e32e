"""The command line. Flags come from the fields of dataclasses."""

from __future__ import annotations

import errno
import os

# Set before torch is loaded. Threads that spin while they wait make a step ten times as slow as
# soon as anything else runs; waking those that sleep at once costs a sixth of a step. So they spin
# for some microseconds, then sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Every new shape of a batch has its products compiled; a thousand of them are half a gigabyte.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")

import io
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

from workbench.cli.command_settings import Command, Train
from workbench.cli.flags import parse
from workbench.cli.printable import printable, show_error
from workbench.errors import WorkbenchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 2 for what a person can mend, 1 where nobody reads on.

    `preflight` and `doctor` end with 1 where they find what makes a run go wrong.
    """
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            print(end="", flush=True)  # here, not at Python's end, where nobody could catch it
    except BrokenPipeError:  # the reader has gone, as in `python -m workbench --help | head -1`
        _give_up_output()
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _give_up_output()
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1


def _give_up_output() -> None:
    """What is left would be written once more at the end, so it needs a place to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str]) -> int:
    try:
        command = _parse(arguments)
        if isinstance(command, Train) and command.processes > 1 and "RANK" not in os.environ:
            from workbench.cli.launch import launch

            return launch(arguments, command.processes)
        # Not before: it takes a second to load torch.
        from workbench.cli.commands.carry_out import carry_out

        return carry_out(command)
    except WorkbenchError as error:
        show_error(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str]) -> Command:
    """The command; what is wrong with the flags is said of printable ones, for it quotes them."""
    try:
        with redirect_stderr(io.StringIO()):
            return parse(arguments)
    except SystemExit as end:
        if end.code:
            parse([*map(printable, arguments)])
        raise


def _show_unexpected(*error: Any) -> None:
    print(printable("".join(traceback.format_exception(*error))), end="", file=sys.stderr)


def _terminate(*_: Any) -> None:
    """End in good order, so that temporary files are deleted."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.excepthook = _show_unexpected
    warnings.formatwarning = lambda message, *_, **__: printable(f"warning: {message}\n")
    sys.exit(main())
