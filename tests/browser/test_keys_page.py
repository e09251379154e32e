"""Keys pressed on a focused control stay with it: the notebook's cells are still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    PATIENCE, open_notebook, run_all, write_notebook,
)  # fmt: skip
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

BOARD = "from workbench.view.live.dashboard import dashboard\ndashboard()"
FIGURE = "from workbench.view.lessons.derivation import explore_optimum\nexplore_optimum()"


def test_no_key_on_a_control_reaches_the_notebook(blank: Page, lab: str, tmp_path: Path) -> None:
    write_notebook(tmp_path / "keys.ipynb", BOARD, FIGURE, "1 + 1")
    open_notebook(blank, lab, f"{tmp_path.name}/keys.ipynb")
    run_all(blank)
    cells = blank.locator(".jp-Notebook .jp-CodeCell")
    board, figure = blank.locator(".wb-dashboard"), blank.locator(".wb-explorer")
    expect(figure).to_be_visible(timeout=3 * PATIENCE)
    controls = (
        board.get_by_role("button", name="Start", exact=True),
        board.get_by_role("combobox", name="loss", exact=True),
        figure.get_by_role("slider", name="beta", exact=True),
    )
    for control in controls:
        control.focus()
        blank.keyboard.press("d")
        blank.keyboard.press("d")
        blank.keyboard.press("b")  # a new cell below
        expect(control).to_be_focused()
    controls[0].focus()
    blank.keyboard.press("Tab")
    expect(controls[0]).not_to_be_focused()
    expect(cells).to_have_count(3)
    cells.nth(2).click(position={"x": 4, "y": 4})
    blank.keyboard.press("Escape")
    blank.keyboard.press("b")
    expect(cells).to_have_count(4)  # outside of them the notebook hears its keys
