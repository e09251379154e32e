"""Everybody can use what is on the page: axe-core finds no barrier, and all text can be read.

Pictures of both themes at three widths go into the folder that WORKBENCH_PICTURES names, or into
the test's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from board import NOTEBOOK, Board  # isort: skip - beside this file, see conftest
from jupyter_page import (
    KERNEL,
    PATIENCE,
    THEMES,
    TOKEN,
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
from workbench.view import ask_models, compare_answers, explore_pairs
trained = make_run(replace(config, max_steps=2), lambda text, share: None)
list(trained)
display(ask_models(trained), explore_pairs(trained), compare_answers(trained))
"""
VOTES = """
from workbench.feedback import IterativeDPO
from workbench.view import blind_votes
blind_votes(IterativeDPO(config, new_model(Reviews(config.world), base),
                         Reviews(config.world).prompts[:4], "votes.jsonl"))
"""
ROOTS = {
    "dashboard": ".wb-dashboard:not(.wb-asking, .wb-votes)",
    "runs": ".wb-run-table",
    "explorer": ".wb-explorer",
    "asking": ".wb-asking",
    "several": ".wb-explorer .wb-comparison",
    "votes": ".wb-votes",
}
KEEPING = NOTEBOOK.replace(", keep=False", "")  # so that the table of runs has rows


@pytest.fixture
def page(chromium: str, tmp_path: Path) -> Iterator[Page]:
    """A notebook with a dashboard, explorers, comparisons and votes, run from top to bottom."""
    write_notebook(tmp_path / "all.ipynb", KEEPING, EXPLORERS, COMPARISON, VOTES)
    with (
        jupyter_lab(tmp_path) as address,
        browser_page(chromium, width=1280, height=HEIGHT) as page,
    ):
        open_notebook(page, address, "all.ipynb")
        run_all(page)
        yield page


def test_no_barriers_and_nothing_unreadable(page: Page, pictures: Path) -> None:
    expect(page.locator(ROOTS["votes"]).first).to_be_visible(timeout=4 * PATIENCE)
    board = Board(page)
    board.press("Start")
    run = board.root.locator("tr[data-name]").first.get_attribute("data-name") or ""
    board.passes(40, run)
    board.press("Pause")
    board.shows(run, state="paused")
    expect(page.locator(".wb-announced [aria-live=polite]")).to_have_text(f"{run} paused")
    page.locator(".wbc-open").first.click()
    found = []
    for theme in THEMES:
        change_theme(page, theme)
        for name, root in ROOTS.items():
            expect(page.locator(root).first).to_be_visible(timeout=PATIENCE)
            seen = barriers(page, root) + at_each_width(page, root, pictures, f"{name}-{theme}")
            found += [f"{theme} {root}: {what}" for what in seen]
    assert not found, "\n".join(found)


def test_controls_curves_and_answers_are_seen_at_once(
    chromium: str, tmp_path: Path, pictures: Path
) -> None:
    """At 1280 x 800, with the file browser open, once the dashboard is scrolled to."""
    write_notebook(tmp_path / "board.ipynb", NOTEBOOK)
    with jupyter_lab(tmp_path) as address, browser_page(chromium, 1280, HEIGHT) as page:
        page.goto(f"{address}/lab/tree/board.ipynb?token={TOKEN}")
        page.wait_for_function(f"{KERNEL}?.status === 'idle'", timeout=3 * PATIENCE)
        expect(page.locator(".jp-DirListing")).to_be_visible()
        run_all(page)
        board = Board(page)
        expect(board.root).to_be_visible(timeout=3 * PATIENCE)
        board.press("Start")
        board.passes(40)
        board.press("Pause")
        board.root.evaluate("element => element.scrollIntoView({block: 'start'})")
        expect(board.root.locator(".scatterlayer .trace")).not_to_have_count(0, timeout=PATIENCE)
        page.screenshot(path=pictures / "dashboard-with-files-1280.png")
        for seen in (".wb-settings", ".wb-drive", ".wb-curves-root", ".wb-ask", ".wb-panes"):
            expect(board.root.locator(seen)).to_be_in_viewport(ratio=1)
