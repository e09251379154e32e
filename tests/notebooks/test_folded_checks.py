"""Checks of the prose are folded and say what they are; exercises ask for more than copying."""

import ast
import re

import pytest
from learners import mark
from runner import NOTEBOOKS, read

HEADING = "# Checks of the claims above; folded, not part of the lesson\n"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
KINDS = re.compile(r"^#+ Exercises?\b.*\((derive|predict|find the fault)\)$", re.MULTILINE)
EXERCISES = re.compile(r"^#+ Exercises?\b", re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_checks_are_folded_under_a_heading_and_show_nothing(name):
    for cell in read(NOTEBOOKS / f"{name}.ipynb").cells:
        if cell.cell_type != "code" or mark(cell, "grade"):
            continue
        folded = cell.source.startswith(HEADING)
        assert folded == cell.metadata.get("jupyter", {}).get("source_hidden", False), cell.id
        assert folded or not any(isinstance(s, ast.Assert) for s in ast.parse(cell.source).body)
        if folded:
            assert "assert" in cell.source
            assert "YOUR CODE" not in cell.source


def test_half_of_the_exercises_ask_to_derive_to_predict_or_to_find_a_fault():
    cells = [cell for name in NAMES for cell in read(NOTEBOOKS / f"{name}.ipynb").cells]
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(KINDS.findall(text)) >= len(EXERCISES.findall(text)) / 2


def test_formulas_of_derived_exercises_come_after_them():
    """In 01 the gradient's weight, the reward and the preference are not printed ahead."""
    cells = read(NOTEBOOKS / "01_derivation.ipynb").cells
    places = {mark(cell, "grade_id"): index for index, cell in enumerate(cells)}
    for exercise, formula in (
        ("reward_from_policy", r"+ \beta\log Z(x)."),
        ("preference_from_policies", r"\sigma\Big(\beta\log\frac{\pi^*(y_1"),
        ("gradient_weight", r"\beta\,\sigma(-\beta\,\delta)"),
        ("gradient_weight", "torch.sigmoid(-beta * margins)"),
    ):
        found = [index for index, cell in enumerate(cells) if formula in cell.source]
        assert found
        assert min(found) > places[exercise]
