"""Keys pressed on a focused control stay with it: the notebook's cells are still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    PATIENCE, browser_page, jupyter_lab, open_notebook, run_all, write_notebook,
)  # fmt: skip
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

BOARD = "from workbench.view.live.dashboard import dashboard\ndashboard()"
FIGURE = "from workbench.view.lessons.derivation import explore_optimum\nexplore_optimum()"


def test_no_key_on_a_control_reaches_the_notebook(chromium: str, tmp_path: Path) -> None:
    write_notebook(tmp_path / "keys.ipynb", BOARD, FIGURE, "1 + 1")
    with jupyter_lab(tmp_path) as address, browser_page(chromium) as page:
        open_notebook(page, address, "keys.ipynb")
        run_all(page)
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        board, figure = page.locator(".wb-dashboard"), page.locator(".wb-explorer")
        expect(figure).to_be_visible(timeout=3 * PATIENCE)
        controls = (
            board.get_by_role("button", name="Start", exact=True),
            board.get_by_role("combobox", name="loss", exact=True),
            figure.get_by_role("slider", name="beta", exact=True),
        )
        for control in controls:
            control.focus()
            page.keyboard.press("d")
            page.keyboard.press("d")
            page.keyboard.press("b")  # a new cell below
            expect(control).to_be_focused()
        controls[0].focus()
        page.keyboard.press("Tab")
        expect(controls[0]).not_to_be_focused()
        expect(cells).to_have_count(3)
        cells.nth(2).click(position={"x": 4, "y": 4})
        page.keyboard.press("Escape")
        page.keyboard.press("b")
        expect(cells).to_have_count(4)  # outside of them the notebook hears its keys
