"""The questions that decide between methods, answered in a real JupyterLab by the keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    PATIENCE, note_errors, open_notebook, run_all, write_notebook,
)  # fmt: skip
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    cell = "from workbench.view.lessons import choose_method\nchoose_method()"
    write_notebook(tmp_path / "choose.ipynb", cell)
    open_notebook(blank, lab, f"{tmp_path.name}/choose.ipynb")
    run_all(blank)
    return blank


def test_keys_alone_lead_to_a_configuration_and_back(page: Page) -> None:
    errors: list[str] = []
    note_errors(page, errors)
    answers = page.locator(".wb-answer:visible")
    expect(answers).to_have_count(3, timeout=3 * PATIENCE)
    answers.first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # neither
    expect(answers).to_have_text(["no", "yes"], timeout=PATIENCE)
    expect(answers.first).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # yes
    said = page.locator(".wb-decision")
    expect(said).to_contain_text("TrainConfig(method='reward_model', epochs=1)", timeout=PATIENCE)
    expect(answers).to_have_count(0)
    expect(page.locator(".wb-back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(answers).to_have_text(["no", "yes"], timeout=PATIENCE)
    assert errors == []
