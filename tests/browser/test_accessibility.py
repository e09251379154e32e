"""Everybody can use what is on the page: axe-core finds no barrier, and all text can be read.

Pictures of both themes at three widths go into the folder that WORKBENCH_PICTURES names, or into
the test's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from board import NOTEBOOK, Board  # isort: skip - beside this file, see conftest
from jupyter_page import (
    KERNEL,
    PATIENCE,
    THEMES,
    TOKEN,
    open_notebook,
    run_all,
    write_notebook,
)
from page_checks import HEIGHT, at_each_width, barriers, change_theme
from playwright.sync_api import Locator, Page, expect

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
DATA = """
from workbench import choose_data, save_model
save_model(new_model(Reviews(config.world), base), "small")
choose_data(replace(config, model="small", max_steps=4, held_out=None))
"""
DROP = """zone => {
    const files = new DataTransfer();
    files.items.add(new File(["no JSON"], "../broken.json"));
    const traits = {dataTransfer: files, bubbles: true, cancelable: true};
    zone.dispatchEvent(new DragEvent("drop", traits));
}"""
CHOSEN = """prompt,chosen,rejected
review of the film,it was superb .,it was awful .
review of the hotel,the room was superb .,the room was awful .
"""
ROOTS = {
    "dashboard": ".wb-dashboard:not(.wb-asking, .wb-votes, .wb-data)",
    "runs": ".wb-run-table",
    "explorer": ".wb-explorer",
    "asking": ".wb-asking",
    "several": ".wb-explorer .wb-comparison",
    "votes": ".wb-votes",
    "data": ".wb-data",
}
KEEPING = NOTEBOOK.replace(", keep=False", "")  # so that the table of runs has rows


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    """A notebook with a dashboard, explorers, comparisons, votes and a file, run through."""
    write_notebook(tmp_path / "all.ipynb", KEEPING, EXPLORERS, COMPARISON, VOTES, DATA)
    blank.set_viewport_size({"width": 1280, "height": HEIGHT})
    open_notebook(blank, lab, f"{tmp_path.name}/all.ipynb")
    run_all(blank)
    return blank


def test_no_barriers_and_nothing_unreadable(page: Page, pictures: Path) -> None:
    chooser = page.locator(ROOTS["data"])
    expect(chooser).to_be_visible(timeout=4 * PATIENCE)
    board = Board(page)
    board.press("Start")
    run = board.root.locator("tr[data-name]").first.get_attribute("data-name") or ""
    board.passes(40, run)
    board.press("Pause")
    board.shows(run, state="paused")
    expect(page.locator(".wb-announced [aria-live=polite]")).to_have_text(f"{run} paused")
    page.locator(".wbc-open").first.click()
    train = chooses_a_file(chooser)
    found = []
    for theme in THEMES:
        change_theme(page, theme)
        for name, root in ROOTS.items():
            expect(page.locator(root).first).to_be_visible(timeout=PATIENCE)
            seen = barriers(page, root) + at_each_width(page, root, pictures, f"{name}-{theme}")
            found += [f"{theme} {root}: {what}" for what in seen]
    assert not found, "\n".join(found)
    trains_on_the_file(page, train)


def chooses_a_file(chooser: Locator) -> Locator:
    """Drops a broken file, picks another one; the button that trains on it."""
    chooser.locator(".wb-drop").evaluate(DROP)
    expect(chooser.locator(".wb-error")).to_contain_text("broken.json is not JSON: line 1")
    table = {"name": "my pairs.csv", "mimeType": "text/csv", "buffer": CHOSEN.encode()}
    chooser.locator("input[type=file]").set_input_files(table)
    train = chooser.get_by_role("button", name="Train on this", exact=True)
    expect(train).to_be_visible(timeout=2 * PATIENCE)
    expect(chooser.locator(".wb-error")).to_have_count(0)
    return train


def trains_on_the_file(page: Page, train: Locator) -> None:
    """One press, and the dashboard of the new run is in sight."""
    train.click()
    board = page.locator(".wb-training .wb-dashboard")
    status = board.locator(".wb-status[data-run]")
    expect(status).to_have_attribute("data-state", "finished", timeout=2 * PATIENCE)
    expect(board.locator(".wb-drive")).to_be_in_viewport(ratio=1)
    expect(board.locator(".wb-curves-root")).to_be_in_viewport(ratio=1)


def test_controls_curves_and_answers_are_seen_at_once(
    blank: Page, lab: str, tmp_path: Path, pictures: Path
) -> None:
    """At 1280 x 800, with the file browser open, once the dashboard is scrolled to."""
    write_notebook(tmp_path / "board.ipynb", NOTEBOOK)
    blank.set_viewport_size({"width": 1280, "height": HEIGHT})
    blank.goto(f"{lab}/lab/tree/{tmp_path.name}/board.ipynb?token={TOKEN}")
    blank.wait_for_function(f"{KERNEL}?.status === 'idle'", timeout=3 * PATIENCE)
    expect(blank.locator(".jp-DirListing")).to_be_visible()
    run_all(blank)
    board = Board(blank)
    expect(board.root).to_be_visible(timeout=3 * PATIENCE)
    board.press("Start")
    board.passes(40)
    board.press("Pause")
    board.root.evaluate("element => element.scrollIntoView({block: 'start'})")
    expect(board.root.locator(".scatterlayer .trace")).not_to_have_count(0, timeout=PATIENCE)
    blank.screenshot(path=pictures / "dashboard-with-files-1280.png")
    for seen in (".wb-settings", ".wb-drive", ".wb-curves-root", ".wb-ask", ".wb-panes"):
        expect(board.root.locator(seen)).to_be_in_viewport(ratio=1)
