"""The notebooks' exercises: as nbgrader needs them, and without a trace of them in the copies."""

import re

import pytest
from learners import copy_of, has_exercises, mark, with_solutions
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from runner import NOTEBOOKS, execute, read

from workbench.cli.unsolved import MARKER, STUB

REGION = re.compile(r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", re.DOTALL)
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb") if has_exercises(read(path)))


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_has_what_nbgrader_needs(name):
    """Solution, then check; names that occur once; markers only in cells that are marked."""
    cells = read(NOTEBOOKS / f"{name}.ipynb").cells
    graded = [cell for cell in cells if "nbgrader" in cell.metadata]
    names = [mark(cell, "grade_id") for cell in graded]
    assert len(set(names)) == len(names)
    assert len(graded) % 2 == 0
    for solution, test in zip(graded[::2], graded[1::2], strict=True):
        exercise = mark(solution, "grade_id")
        assert mark(solution, "solution")
        assert not mark(solution, "grade")
        assert f"def {exercise}(" in solution.source
        assert REGION.search(solution.source)
        assert mark(test, "grade_id") == f"check_{exercise}"
        assert mark(test, "grade")
        assert mark(test, "points") == 1
        assert f"check({exercise})" in test.source
        assert "### BEGIN HIDDEN TESTS\nassert verdict.passed" in test.source
    for cell in cells:
        assert cell in graded or not MARKER.search(cell.source)


@pytest.mark.parametrize("name", NAMES)
def test_copy_holds_no_solution(name, tmp_path):
    """That it runs from top to bottom is tested with the notebook itself."""
    original = NOTEBOOKS / f"{name}.ipynb"
    copy = copy_of(original, tmp_path)
    text = "\n".join(cell.source for cell in copy.cells)
    assert not MARKER.search(text)
    secrets = [part for cell in read(original).cells for part in REGION.findall(cell.source)]
    assert secrets
    assert not [secret for secret in secrets if secret in text]
    stubs = [cell for cell in copy.cells if mark(cell, "solution")]
    assert all("# YOUR CODE HERE\n    raise NotImplementedError()" in c.source for c in stubs)


def exercise(solution, check):
    """An exercise of two cells, solved or open."""
    marked = [new_code_cell(solution), new_code_cell(check)]
    for cell, kind in zip(marked, ("solution", "grade"), strict=True):
        cell.metadata["nbgrader"] = {kind: True}
    return marked


@pytest.fixture
def solved():
    solution = "import math\nextra = 2\nknown = 5\ndef double(x):\n    return extra * x"
    return new_notebook(
        cells=[
            new_markdown_cell("a lesson"),
            new_code_cell("known = 1\nlisted = []"),
            *exercise(solution, "assert double(4) == 8\nlisted.append(known)\n'right'"),
            new_code_cell(
                "sorted(name for name in ('double', 'extra', 'math') if name in globals())"
            ),
            new_code_cell("known, listed"),
        ]
    )


@pytest.fixture
def copy(solved):
    """The same with a stub, and a check that tells instead of failing."""
    cells = [*solved.cells[:2], *exercise(f"def double(x):\n    {STUB.splitlines()[1]}", "known")]
    return new_notebook(cells=[*cells, *solved.cells[4:]])


def test_what_a_solution_defines_is_forgotten_before_the_copys_cells(copy, solved):
    ran = execute(with_solutions(copy, solved), {})
    shown = [c.outputs[-1].data["text/plain"] for c in ran.cells if c.get("outputs")]
    # The solution is right; then the copy finds the value from before, and the stub alone.
    assert shown == ["'right'", "1", "['double']", "(1, [5])"]


def test_a_wrong_solution_and_a_copy_that_needs_one_both_fail(copy, solved):
    solved.cells[2].source = solved.cells[2].source.replace("extra * x", "x")
    with pytest.raises(CellExecutionError, match="double"):
        execute(with_solutions(copy, solved), {})
    solved.cells[2].source = solved.cells[2].source.replace("return x", "return 2 * x")
    for notebook in (copy, solved):
        notebook.cells[-1] = new_code_cell("extra")
    with pytest.raises(CellExecutionError, match="'extra' is not defined"):
        execute(with_solutions(copy, solved), {})
