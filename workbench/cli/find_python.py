"""Find a Python on this machine that the workbench runs on; standard library only, as in run.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator

WINDOWS = os.name == "nt"


def find_python(versions: Collection[tuple[int, int]], first: str) -> list[str]:
    """The command of a Python of one of these versions; empty where there is none.

    The file `first` is tried first, then what the PATH holds. Each is asked for its version,
    because pyenv and Windows list commands that start nothing.
    """
    accepted = {f"{major} {minor}" for major, minor in versions}
    question = "import sys; print(*sys.version_info[:2])"
    for command in ([first], *_candidates(versions)):
        try:
            asked = subprocess.run(
                [*command, "-c", question], capture_output=True, text=True, timeout=60
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            continue
        if asked.returncode == 0 and asked.stdout.strip() in accepted:
            return command
    return []


def _candidates(versions: Collection[tuple[int, int]]) -> Iterator[list[str]]:
    """Commands that may start a Python, newest first; of one name all that are on the PATH."""
    for major, minor in sorted(versions, reverse=True):
        if WINDOWS:
            yield ["py", f"-{major}.{minor}"]
        for folder in os.get_exec_path():
            if path := shutil.which(f"python{major}.{minor}", path=folder):
                yield [path]
