"""Every notebook runs from top to bottom, and what is saved reads well where no kernel is.

The same cells as a reader's, with smaller numbers behind the cell that is tagged `parameters`; with
--full they run as they stand, the real model included.
"""

import os
import re

import nbformat
import pytest
from learners import copy_of, mark, with_solutions
from runner import HEADLESS, NOTEBOOKS, execute, pretrained_once, read

NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.long
@pytest.mark.usefixtures("one_cache")
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name, shortened, tmp_path):
    """With its solutions, and as the copy without them that a learner gets."""
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = read(path)
    exercises = sum(bool(mark(cell, "solution")) for cell in notebook.cells)
    if exercises:
        notebook = with_solutions(copy_of(path, tmp_path), notebook)
    with pretrained_once(notebook):
        ran = execute(notebook, HEADLESS | shortened[name])
    checks = [cell for cell in ran.cells if mark(cell, "grade")]
    verdicts = [cell.outputs[-1].data["text/plain"] for cell in checks]
    assert [": not yet\n" in verdict for verdict in verdicts] == [False, True] * exercises
    assert "1 rows skipped" in written(ran) or name != "10_real_model"


@pytest.mark.full
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_runs_as_it_stands(name, real_cache, monkeypatch):
    if name == "10_real_model" and real_cache.exists():
        monkeypatch.setenv("WORKBENCH_CACHE", str(real_cache))
    execute(read(NOTEBOOKS / f"{name}.ipynb"), HEADLESS)


def written(notebook) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_saved_notebooks_read_well_without_a_kernel(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert notebook.cells[0].cell_type == "markdown"
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            assert output.output_type != "error"
            kinds = output.get("data", {})
            assert "application/vnd.jupyter.widget-view+json" not in kinds
            assert "Figure" not in kinds.get("text/plain", "") or "image/png" in kinds
    assert any(cell.get("outputs") for cell in notebook.cells)
    without_pictures = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert os.sep + "tmp" not in without_pictures
    assert path.stat().st_size < 400_000
