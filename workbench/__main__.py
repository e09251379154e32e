"""The command line: train, sample, evaluate. Flags come from the dataclasses' fields."""

from __future__ import annotations

import os

# Set before torch is loaded: threads that sleep while they wait lose little on a quiet machine, and
# spinning ones make a step ten times as slow as soon as anything else runs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Every new shape of a batch has its products compiled; a thousand of them are half a gigabyte.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")

import sys
from collections.abc import Sequence

from rich.console import Console

from workbench.errors import WorkbenchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit code 2 for what a person can mend."""
    from workbench import commands

    try:
        return commands.run(sys.argv[1:] if arguments is None else list(arguments))
    except WorkbenchError as error:
        line = " ".join(f"error: {error}".splitlines())  # a file's name may hold a line break
        Console(stderr=True).print(line, style="red", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
