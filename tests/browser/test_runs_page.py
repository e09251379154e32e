"""Runs that stay, presses that wait and pages that come back, in a real JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest

from board import NOTEBOOK, PATIENCE, Board  # isort: skip - beside this file, see conftest
from jupyter_page import KERNEL, open_notebook, write_notebook
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

SHORT = NOTEBOOK.replace("100_000", "6").replace(", keep=False", "")
BUSY = """
from pathlib import Path
while not Path("free").exists():
    sum(range(10_000))
Path("free").unlink()
"""
RUN_NEXT = "window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
# A press beside a busy cell either acts or says that it waits.
ACTS_OR_SAYS_SO = """document.querySelector(".wb-runs-of-dashboard tbody tr")
    || document.querySelector(".wb-queued").textContent.startsWith("queued")"""
# What the kernel remembers of a page whose shell has gone.
GONE = """
from ipywidgets.widgets.widget import _instances
for widget in list(_instances.values()):
    widget.comm._reply_subshell_id = "gone"
"""
# All presses go to the shell that the busy cell holds, as in a kernel that has one shell alone.
HOLDING = f"""
from ipywidgets.widgets.widget import _instances
for widget in list(_instances.values()):
    widget.comm._reply_subshell_for = lambda data, asked: None
{BUSY}"""


@pytest.fixture
def board(blank: Page, lab: str, tmp_path: Path) -> Board:
    write_notebook(tmp_path / "runs.ipynb", SHORT, BUSY, HOLDING)
    board = Board(blank)
    open_notebook(blank, lab, f"{tmp_path.name}/runs.ipynb")
    blank.evaluate(f"{RUN_NEXT} && null")
    expect(board.root.locator(".wb-queued[role=status]")).to_be_attached(timeout=3 * PATIENCE)
    return board


def test_runs_stay_presses_wait_and_the_page_comes_back(
    board: Board, lab: str, tmp_path: Path
) -> None:
    rows = board.root.locator(".wb-runs-of-dashboard tbody tr")
    starts_while_another_cell_runs(board, rows, tmp_path)
    board.press("Start")
    expect(rows.locator("td.wb-run-state", has_text="finished")).to_have_count(2, timeout=PATIENCE)
    renames_and_deletes(board, tmp_path)
    queued_press_says_so(board, tmp_path)
    assert board.errors == []
    comes_back_without_its_kernel(board, lab, tmp_path)


def test_a_page_that_is_opened_again_shows_and_is_heard(
    blank: Page, lab: str, tmp_path: Path
) -> None:
    """The thread that trains was started by a press on the page before, which has gone."""
    write_notebook(tmp_path / "live.ipynb", NOTEBOOK, GONE)
    board = Board(blank)
    open_notebook(blank, lab, f"{tmp_path.name}/live.ipynb")
    blank.evaluate(f"{RUN_NEXT} && null")
    expect(board.root).to_be_visible(timeout=3 * PATIENCE)
    board.press("Start")
    board.passes(3)
    blank.on("dialog", lambda dialog: dialog.accept())  # what was not saved may be left
    blank.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    blank.locator(".jp-CodeCell").nth(1).locator(".cm-content").click()
    blank.evaluate("window.jupyterapp.commands.execute('notebook:run-cell') && null")
    expect(blank.locator(".jp-InputPrompt").nth(1)).to_have_text("[2]:", timeout=PATIENCE)
    blank.goto("about:blank")
    open_notebook(blank, lab, f"{tmp_path.name}/live.ipynb")
    expect(board.root.locator(".scatterlayer path").first).to_be_visible(timeout=PATIENCE)
    board.press("Pause")
    board.shows(state="paused")
    board.press("Stop")
    board.shows(state="stopped")


def starts_while_another_cell_runs(board: Board, rows: Locator, folder: Path) -> None:
    board.page.evaluate(f"{RUN_NEXT} && null")
    board.page.wait_for_function(f"{KERNEL}.status === 'busy'")
    board.press("Start")
    board.page.wait_for_function(ACTS_OR_SAYS_SO, timeout=PATIENCE)
    expect(rows).to_have_count(1, timeout=PATIENCE)
    other = board.page.locator(".jp-InputPrompt").nth(1)
    assert other.inner_text() == "[*]:", "the other cell ended before it was let go"
    (folder / "free").touch()
    expect(rows.first).to_have_attribute("data-state", "finished", timeout=PATIENCE)


def queued_press_says_so(board: Board, folder: Path) -> None:
    page, queued = board.page, board.root.locator(".wb-queued")
    page.wait_for_function(f"{KERNEL}.status === 'idle'", timeout=PATIENCE)
    expect(queued).to_have_text("")
    page.locator(".jp-CodeCell").nth(2).locator(".cm-content").click()
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell') && null")
    page.wait_for_function(f"{KERNEL}.status === 'busy'")
    board.press("Start")
    expect(queued).to_have_text("queued: the kernel is busy with another cell", timeout=PATIENCE)
    (folder / "free").touch()
    expect(queued).to_have_text("", timeout=PATIENCE)


def renames_and_deletes(board: Board, folder: Path) -> None:
    table, keys = board.root.locator(".wb-run-table"), board.page.keyboard
    first, second = sorted(path.name for path in (folder / "runs").iterdir())
    table.get_by_role("button", name=f"Rename {first}", exact=True).click()
    keys.press("ControlOrMeta+A")
    keys.type("mine")
    keys.press("Enter")
    expect(table.locator("tr[data-name=mine]")).to_be_visible()
    assert sorted(path.name for path in (folder / "runs").iterdir()) == [second, "mine"]
    table.get_by_role("button", name=f"Delete {second}", exact=True).click()
    expect(table.locator(".wb-run-asking")).to_contain_text(f"Delete {second} and its folder")
    table.get_by_role("button", name=f"Keep {second}", exact=True).click()
    table.get_by_role("button", name=f"Delete {second}", exact=True).click()
    keys.press("Enter")  # the button that deletes has the focus
    expect(table.locator("tbody tr")).to_have_count(1)
    assert [path.name for path in (folder / "runs").iterdir()] == ["mine"]


def comes_back_without_its_kernel(board: Board, lab: str, folder: Path) -> None:
    page = board.page
    saved = page.locator(".wb-saved")
    expect(saved).to_be_hidden()
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate(f"{KERNEL}.shutdown()")
    page.on("dialog", lambda dialog: dialog.accept())  # what was changed since is not saved
    page.goto("about:blank")
    open_notebook(page, lab, f"{folder.name}/runs.ipynb")
    expect(saved.locator("img")).to_be_visible(timeout=PATIENCE)
    expect(saved).to_contain_text("Run this cell again")
    expect(page.get_by_text("model not found")).to_be_hidden()
    page.locator(".jp-CodeCell").first.locator(".cm-content").click()
    page.evaluate(f"{RUN_NEXT} && null")
    expect(board.root.locator("tr[data-name=mine]")).to_be_visible(timeout=3 * PATIENCE)
    expect(saved).to_be_hidden()
