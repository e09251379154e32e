"""Figures and texts in a real JupyterLab: a key press changes the picture, no text is a formula."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    HOSTILE, PATIENCE, note_errors, open_notebook, picture_bytes,
    run_all, wait_for_change, write_notebook,
)  # fmt: skip
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

CELLS = (
    "from workbench.view.lessons.derivation import explore_optimum\nexplore_optimum()",
    "from workbench.view.lessons.descent import explore_loss\nexplore_loss()",
)
# All ways in which HTML gets below a cell, and last a formula of a lesson.
TEXTS = r"""
import pandas as pd
from IPython.display import Markdown, display
from workbench.exercises.verdict import Verdict
from workbench.view.cell_output import CellOutput, beside, show
from workbench.view.html.elements import error_card
from workbench.view.html.side_by_side import answers_beside

text = r"TEXT"
frame = pd.DataFrame({"prompt": [text], "before": [text], "after": [text]})
show(answers_beside(frame))
show(frame)
show(frame.style.hide(axis="index"))
display(beside(None, error_card(ValueError(text))), raw=True)
display(Verdict("loss", "not right", text, (("yours", text),), text))
line = CellOutput()
line.show("soon")
line.show(f"<p>{text}</p>")
display(Markdown(r"the loss $\log 2$"))
"""


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    """A notebook with two figures, run from top to bottom."""
    write_notebook(tmp_path / "figures.ipynb", *CELLS, TEXTS.replace("TEXT", HOSTILE[-1]))
    open_notebook(blank, lab, f"{tmp_path.name}/figures.ipynb")
    run_all(blank)
    return blank


def press(explorer: Locator, place: int) -> None:
    """One step of a slider, by the keyboard."""
    explorer.get_by_role("slider").nth(place).press("ArrowRight")


def test_a_key_press_changes_the_picture(page: Page) -> None:
    errors: list[str] = []
    note_errors(page, errors)
    no_text_is_a_formula(page)
    explorers = page.locator(".wb-explorer")
    expect(explorers).to_have_count(len(CELLS), timeout=3 * PATIENCE)
    for place in range(len(CELLS)):
        explorer = explorers.nth(place)
        picture = explorer.locator("img.wb-figure")
        sliders = explorer.get_by_role("slider").count()
        assert sliders >= 5
        other = explorers.nth(1 - place).locator("img.wb-figure")
        untouched = picture_bytes(other)
        for which in range(sliders):
            before = picture_bytes(picture)
            assert before[0] > 1000
            press(explorer, which)
            wait_for_change(picture, before)
        assert picture_bytes(other) == untouched
    assert errors == []


def no_text_is_a_formula(page: Page) -> None:
    outputs = page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output")
    expect(outputs.last.locator("mjx-container")).to_have_count(1, timeout=3 * PATIENCE)
    *texts, _ = outputs.all()
    assert [text.inner_text().count(HOSTILE[-1]) for text in texts] == [3, 3, 3, 1, 3, 1]
    assert page.locator("mjx-container").count() == 1
