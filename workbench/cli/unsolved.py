"""The notebooks without their solutions: copies for a learner to work in.

The exercises stand in the notebooks in nbgrader's source form, with the solutions. Their cells look
in a copy as `nbgrader generate_assignment` would leave them; all other cells keep their outputs,
and links lead out of the copies' folder. Standard library only, as in run.py.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
MARKER = re.compile("(BEGIN|END) (SOLUTION|HIDDEN TESTS)")
LINK = re.compile(r"(?<=\]\()[^)#\s]+")  # in Markdown, up to the anchor


def write_copies(notebooks: Path) -> Iterator[str]:
    """Copy what has exercises to `mine/`, but for what is there already: that is somebody's work.

    Yields a line for each copy that was made, or could not be made.
    """
    folder = notebooks / "mine"
    copies: dict[str, dict[str, Any]] = {}
    for path in sorted(notebooks.glob("*.ipynb")):
        try:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            if any(map(_belongs_to_exercise, notebook["cells"])):
                copies[path.name] = unsolved(notebook)
        except (ValueError, KeyError, TypeError, OSError) as error:
            yield f"{path.name}: no copy to work in was made: {error}"
    for name, notebook in copies.items():
        if os.path.lexists(folder / name):
            continue
        try:
            _lead_links_out(notebook, notebooks, stay=copies)
            _write(folder / name, notebook)
        except (OSError, ValueError) as error:
            yield f"{name}: no copy to work in was made: {error}"
        else:
            yield f"{folder / name}: yours to work in"


def unsolved(notebook: dict[str, Any]) -> dict[str, Any]:
    """Take solutions, hidden tests and their outputs out of a notebook, in place.

    Raises:
        ValueError: the markers of a cell don't pair up; names the cell, counted from 1.
    """
    for number, cell in enumerate(notebook["cells"], 1):
        if not _belongs_to_exercise(cell):
            continue
        source = "".join(cell["source"])
        if _marks(cell).get("solution") and not MARKER.search(source):
            source = STUB  # all of it is the solution
        try:
            source = _replace_regions(source, "SOLUTION", STUB)
            source = _replace_regions(source, "HIDDEN TESTS", "")
        except ValueError as error:
            raise ValueError(f"cell {number}: {error}") from None
        cell |= {"source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}
    return notebook


def _marks(cell: dict[str, Any]) -> dict[str, Any]:
    return cell["metadata"].get("nbgrader", {})


def _belongs_to_exercise(cell: dict[str, Any]) -> bool:
    """Whether a learner fills this cell in, or has an exercise checked by it."""
    if cell["cell_type"] != "code":
        return False
    marked = _marks(cell).get("solution") or _marks(cell).get("grade")
    return bool(marked or MARKER.search("".join(cell["source"])))


def _replace_regions(source: str, name: str, stub: str) -> str:
    """Put `stub`, indented as the marker is, in place of all from each BEGIN to its END."""
    unpaired = ValueError(f"### BEGIN {name} and ### END {name} do not pair up")
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        begins, ends = f"BEGIN {name}" in line, f"END {name}" in line
        if begins or ends:
            if begins == inside:
                raise unpaired
            indent = line[: len(line) - len(line.lstrip())]
            kept += [indent + text for text in stub.splitlines() if begins]
            inside = begins
        elif not inside:
            kept.append(line)
    if inside:
        raise unpaired
    return "\n".join(kept)


def _lead_links_out(notebook: dict[str, Any], home: Path, stay: Container[str]) -> None:
    """Lead links to files in the notebooks' folder one level up, but for those that `stay`."""

    def lead(link: re.Match[str]) -> str:
        external = ":" in link[0]  # an address, or a picture that is its own
        out = not external and link[0] not in stay and (home / link[0]).is_file()
        return f"../{link[0]}" if out else link[0]

    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = LINK.sub(lead, "".join(cell["source"]))
            cell["source"] = source.splitlines(keepends=True)


def _write(path: Path, notebook: dict[str, Any]) -> None:
    """Write in one step, so that no half of a notebook is ever there."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
