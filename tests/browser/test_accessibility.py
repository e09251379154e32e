"""Everybody can use what is on the page: axe-core finds no barrier, and all text can be read.

Pictures of both themes at three widths go into the folder that WORKBENCH_PICTURES names, or into
the test's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from board import NOTEBOOK, Board  # isort: skip - beside this file, see conftest
from jupyter_page import (
    PATIENCE,
    THEMES,
    browser_page,
    jupyter_lab,
    open_notebook,
    run_all,
    write_notebook,
)
from page_checks import HEIGHT, at_each_width, barriers, change_theme
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

EXPLORERS = """
from workbench.view.lessons import explore_loss, explore_optimum
display(explore_optimum(), explore_loss())
"""
COMPARISON = """
from dataclasses import replace
from workbench.view import ask_models, explore_pairs
trained = make_run(replace(config, max_steps=2), lambda text, share: None)
list(trained)
display(ask_models(trained), explore_pairs(trained))
"""
VOTES = """
from workbench.feedback import IterativeDPO
from workbench.view import blind_votes
blind_votes(IterativeDPO(config, new_model(Reviews(config.world), base),
                         Reviews(config.world).prompts[:4], "votes.jsonl"))
"""
ROOTS = (".wb-dashboard", ".wb-explorer", ".wb-asking", ".wb-votes")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The folder of the pictures."""
    folder = Path(os.environ.get("WORKBENCH_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A notebook with a dashboard, explorers, comparisons and votes, run from top to bottom."""
    write_notebook(tmp_path / "all.ipynb", NOTEBOOK, EXPLORERS, COMPARISON, VOTES)
    with (
        jupyter_lab(tmp_path) as address,
        browser_page(chromium, width=1280, height=HEIGHT) as page,
    ):
        open_notebook(page, address, "all.ipynb")
        run_all(page)
        yield page


def test_no_barriers_and_nothing_unreadable(page: Page, pictures: Path) -> None:
    expect(page.locator(ROOTS[-1]).first).to_be_visible(timeout=4 * PATIENCE)
    board = Board(page)
    board.press("Start")
    board.passes(40)
    board.press("Pause")
    board.shows(state="paused")
    found = []
    for theme in THEMES:
        change_theme(page, theme)
        for root in ROOTS:
            expect(page.locator(root).first).to_be_visible(timeout=PATIENCE)
            found += [f"{theme} {root}: {what}" for what in barriers(page, root)]
            name = f"{root.removeprefix('.wb-')}-{theme}"
            found += [
                f"{theme} {root}: {what}" for what in at_each_width(page, root, pictures, name)
            ]
    assert not found, "\n".join(found)
