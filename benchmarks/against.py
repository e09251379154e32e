"""The workbench at another commit as one more contender, driven by that commit's own `benchmarks`.

What the two sides say to each other (see `contender.py`) and what a contender is told at the start
is the same in every version; all else may differ, module paths included. Both take their batches
from the same pairs, each in the order that it draws itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.side_by_side import ROOT, Contender, ContenderError

OURS = ("-m", "benchmarks.ours")  # what our contenders run, in whatever checkout

Choose = Callable[[list[Contender]], list[Contender]]


def everyone(contenders: list[Contender]) -> list[Contender]:
    """All contenders of a workload, and no others."""
    return contenders


@contextmanager
def choosing(against: str | None, peers: bool) -> Iterator[Choose]:
    """How to choose who takes part in a workload, given its contenders.

    Args:
        against: a commit or the folder of a checkout, whose workbench takes part too: once for each
            of our contenders, with the same settings, and with a ratio to that one.
        peers: whether other libraries take part.

    Raises:
        ContenderError: `against` names neither, or nothing that can be measured.
    """
    with checkout(against) if against else nullcontext() as root:

        def choose(contenders: list[Contender]) -> list[Contender]:
            ours = [one for one in contenders if one.program[:2] == OURS]
            chosen = list(contenders if peers else ours)
            if against and root:
                at = f" at {Path(against).name}"
                chosen += [replace(o, name=o.name + at, root=root, beside=o.name) for o in ours]
            return chosen

        yield choose


@contextmanager
def checkout(given: str) -> Iterator[Path]:
    """The folder of a checkout: the given one, or a temporary one of the given commit."""
    if (folder := Path(given)).is_dir():
        yield _with_contender(folder.resolve())
        return
    with TemporaryDirectory() as place:
        folder = Path(place).resolve() / "checkout"
        said = _git("worktree", "add", "--detach", str(folder), given)
        if said.returncode:
            raise ContenderError(f"{given!r} is neither a folder nor a commit: {said.stderr}")
        try:
            yield _with_contender(folder)
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _with_contender(folder: Path) -> Path:
    if not (folder / "benchmarks" / "ours.py").is_file():
        raise ContenderError(f"{folder} has no benchmarks/ours.py, so it can't be measured")
    return folder


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
