"""Taking solutions out of notebooks: nothing else is lost, and nobody's work is overwritten."""

import copy
import json
import os

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.cli.unsolved import STUB, unsolved, write_copies


def exercise_cell(source, **kind):
    given = {"grade": False, "solution": False, "locked": False, "task": False, **kind}
    cell = new_code_cell(source, execution_count=3)
    cell.metadata["nbgrader"] = {"grade_id": f"id-{cell.id}", "schema_version": 3, **given}
    cell.outputs = [new_output("stream", text="seen")]
    return cell


SOLVED = """\
def dpo_loss(*inputs):
    \"\"\"The mean.\"\"\"
    ### BEGIN SOLUTION
    return secret

    ### END SOLUTION

### BEGIN SOLUTION
more = secret
### END SOLUTION"""
UNSOLVED = """\
def dpo_loss(*inputs):
    \"\"\"The mean.\"\"\"
    # YOUR CODE HERE
    raise NotImplementedError()

# YOUR CODE HERE
raise NotImplementedError()"""
CHECK = """\
verdict = check(dpo_loss)
### BEGIN HIDDEN TESTS
assert verdict.passed, verdict
### END HIDDEN TESTS
verdict"""


@pytest.fixture
def lesson():
    """A notebook as it stands on disk, solved and with the outputs of a run."""
    plain = new_code_cell("1 + 1", execution_count=2, outputs=[new_output("stream", text="2")])
    link = new_markdown_cell(
        "[one](00_start.ipynb), [two](01_lesson.ipynb#there), [other](02_other.ipynb), "
        "![picture](picture.png) [gone](gone.ipynb) [web](https://example.org) (00_start.ipynb)"
        f"![own](data:image/png;base64,{'A' * 5000})"  # longer than the name of any file
    )
    cells = [
        *(link, plain),
        exercise_cell(SOLVED, solution=True),
        exercise_cell(CHECK, grade=True, locked=True, points=1),
        exercise_cell("all = secret", solution=True),
    ]
    return json.loads(nbformat.writes(new_notebook(cells=cells)))


@pytest.fixture
def folder(tmp_path, lesson):
    """A folder with a lesson, and a notebook without exercises."""
    write(tmp_path / "01_lesson.ipynb", lesson)
    write(tmp_path / "00_start.ipynb", new_notebook(cells=[new_markdown_cell("none here")]))
    (tmp_path / "picture.png").touch()
    return tmp_path


def write(path, notebook):
    path.write_text(json.dumps(notebook), encoding="utf-8")


def read(path):
    return nbformat.read(path, as_version=4)


def test_solutions_give_way_to_stubs_at_their_own_depth(lesson):
    sources = ["".join(cell["source"]) for cell in unsolved(lesson)["cells"]]
    assert sources[2:] == [UNSOLVED, "verdict = check(dpo_loss)\nverdict", STUB]
    assert "secret" not in json.dumps(lesson)


def test_outputs_stay_where_no_exercise_is(lesson):
    before = copy.deepcopy(lesson["cells"])
    after = unsolved(lesson)["cells"]
    assert after[:2] == before[:2]
    for cell in after[2:]:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert [cell["metadata"] for cell in after] == [cell["metadata"] for cell in before]
    nbformat.validate(nbformat.from_dict(lesson))


def test_source_may_be_one_string_or_lines(lesson):
    joined = copy.deepcopy(lesson)
    for cell in joined["cells"]:
        cell["source"] = "".join(cell["source"])
    assert unsolved(joined)["cells"][2:] == unsolved(lesson)["cells"][2:]


def test_only_notebooks_with_exercises_are_copied(folder):
    lines = list(write_copies(folder))
    assert lines == [f"{folder / 'mine' / '01_lesson.ipynb'}: yours to work in"]
    assert os.listdir(folder / "mine") == ["01_lesson.ipynb"]
    nbformat.validate(read(folder / "mine" / "01_lesson.ipynb"))


def test_no_folder_is_made_for_nothing(tmp_path):
    assert list(write_copies(tmp_path)) == []
    assert not (tmp_path / "mine").exists()


def test_links_lead_out_of_the_folder_but_for_those_between_copies(folder, lesson):
    write(folder / "02_other.ipynb", lesson)
    list(write_copies(folder))
    assert read(folder / "mine" / "01_lesson.ipynb").cells[0].source == (
        "[one](../00_start.ipynb), [two](01_lesson.ipynb#there), [other](02_other.ipynb), "
        "![picture](../picture.png) [gone](gone.ipynb) [web](https://example.org) (00_start.ipynb)"
        f"![own](data:image/png;base64,{'A' * 5000})"
    )


def test_learners_work_is_never_overwritten(folder):
    list(write_copies(folder))
    path = folder / "mine" / "01_lesson.ipynb"
    path.write_text("my work", encoding="utf-8")
    assert list(write_copies(folder)) == []
    assert path.read_text(encoding="utf-8") == "my work"


def test_notebook_itself_is_left_alone(folder):
    before = (folder / "01_lesson.ipynb").read_bytes()
    list(write_copies(folder))
    assert (folder / "01_lesson.ipynb").read_bytes() == before


def test_half_a_copy_is_never_there(folder, monkeypatch):
    def interrupted(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(write_copies(folder))
    assert not (folder / "mine" / "01_lesson.ipynb").exists()
    monkeypatch.undo()
    assert len(list(write_copies(folder))) == 1


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("### BEGIN SOLUTION\nsecret", "SOLUTION"),
        ("secret\n### END SOLUTION", "SOLUTION"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "SOLUTION"),
        ("### BEGIN SOLUTION\n### END SOLUTION\n### END SOLUTION", "SOLUTION"),
        ("### BEGIN HIDDEN TESTS\nassert secret", "HIDDEN TESTS"),
        ("### END HIDDEN TESTS", "HIDDEN TESTS"),
    ],
)
@pytest.mark.parametrize("marked", [True, False])
def test_markers_that_do_not_pair_up_are_named_in_one_line(folder, lesson, source, kind, marked):
    """Without the metadata, too; and the other notebooks are copied all the same."""
    cell = exercise_cell(source, solution=True) if marked else new_code_cell(source)
    lesson["cells"].insert(1, cell)
    write(folder / "00_broken.ipynb", lesson)
    first, second = write_copies(folder)
    assert first == (
        "00_broken.ipynb: no copy to work in was made: "
        f"cell 2: ### BEGIN {kind} and ### END {kind} do not pair up"
    )
    assert "01_lesson.ipynb: yours" in second
    assert os.listdir(folder / "mine") == ["01_lesson.ipynb"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": [{}]}', "\udcff"])
def test_what_is_no_notebook_does_not_keep_the_workbench_from_opening(folder, text):
    (folder / "00_broken.ipynb").write_text(text, encoding="utf-8", errors="surrogateescape")
    first, _ = write_copies(folder)
    assert first.startswith("00_broken.ipynb: no copy to work in was made: ")
    assert "\n" not in first


def test_folder_that_cannot_be_written_to_is_said_in_one_line(folder):
    (folder / "mine").write_text("a file")
    (line,) = write_copies(folder)
    assert line.startswith("01_lesson.ipynb: no copy to work in was made: ")
