"""The learners' copies of the notebooks, and what marks an exercise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from workbench.cli.unsolved import MARKER, write_copies

REMEMBER = "_before = dict(globals())"
FORGET = """\
for _name in [name for name in globals() if name not in _before and not name.startswith("_")]:
    del globals()[_name]
globals().update(_before)"""


def mark(cell: NotebookNode, kind: str) -> Any:
    """What nbgrader is told of a cell under this name."""
    return cell["metadata"].get("nbgrader", {}).get(kind, False)


def has_exercises(notebook: NotebookNode) -> bool:
    return any(MARKER.search(cell.source) or mark(cell, "solution") for cell in notebook.cells)


def copy_of(original: Path, folder: Path) -> NotebookNode:
    """The copy that `python run.py` makes of a notebook with exercises."""
    (folder / original.name).write_bytes(original.read_bytes())
    (_line,) = write_copies(folder)
    return nbformat.read(folder / "mine" / original.name, as_version=4)


def with_solutions(copy: NotebookNode, solved: NotebookNode) -> NotebookNode:
    """A learner's copy in which each exercise is solved first, then left open as the copy has it.

    What a solution defines is forgotten before the copy's own cells run: these, and all that
    follow, find what they would find without it. So one run of the cells that both notebooks share
    shows of either that it runs.
    """
    cells: list[NotebookNode] = []
    pairs = zip(copy.cells, solved.cells, strict=True)
    for stub, solution in pairs:
        if not mark(solution, "solution"):
            assert stub.source == solution.source or stub.cell_type == "markdown"
            cells.append(stub)
            continue
        open_check, check = next(pairs)
        assert mark(check, "grade")
        cells += [new_code_cell(REMEMBER), solution, check, new_code_cell(FORGET)]
        cells += [stub, open_check]
    return NotebookNode(copy | {"cells": cells})
