"""The dashboard in a real JupyterLab, driven by a real browser, from Start to a killed kernel."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from board import NOTEBOOK, PATIENCE, Board, seen_growing  # isort: skip - beside this file, see conftest
from jupyter_page import (
    HOSTILE,
    KERNEL,
    open_notebook,
    run_all,
    write_notebook,
)
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def board(blank: Page, lab: str, tmp_path: Path) -> Board:
    """A dashboard on a page of its own; what the page complains of is noted in `errors`."""
    write_notebook(tmp_path / "live.ipynb", NOTEBOOK)
    board = Board(blank)
    open_notebook(blank, lab, f"{tmp_path.name}/live.ipynb")
    run_all(blank)
    expect(board.root).to_be_visible(timeout=3 * PATIENCE)  # imports come first
    return board


def test_person_trains_looks_and_asks(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board.press("Start")
    board.passes(0)
    moves_beta_while_it_learns(board)
    sees_the_curves_change(board)
    reads_what_it_suffers_from(board)
    pauses_and_steps(board)
    branches(board)
    asks(board)
    stops(board)
    assert board.errors == []
    heard = [at for at, _ in json.loads((tmp_path / "heard.json").read_text())]
    with capsys.disabled():  # said, not judged
        print(f"\nfrom key press to training thread: {median(board.delays(heard)):.0f} ms")
    outlives_the_kernel(board)


def moves_beta_while_it_learns(board: Board) -> None:
    board.shows(state="running", beta="0.1")
    for _ in range(3):
        before = board.read("beta")
        shown = float(board.move_beta())
        board.shows_another("beta", before)  # a step was taken with the new one
        assert float(board.read("beta")) == shown > float(before)
    assert shown == 0.2  # 0.1, 0.125, 0.15, 0.2
    board.shows(state="running")


def sees_the_curves_change(board: Board) -> None:
    board.changes_its_curves()
    assert len(board.lines()) > 1000
    board.changes_its_curves()
    board.shows(state="running")


def reads_what_it_suffers_from(board: Board) -> None:
    """A line below the curves, which stays open and in its place while it is brought up to date."""
    lines = board.root.locator(".wb-doctor .jupyter-widget-Collapse-header")
    expect(lines).to_have_count(1)
    expect(lines).to_contain_text("doctor · run · running, step ")
    lines.click()
    told, place = lines.inner_text(), lines.bounding_box()
    report = board.root.locator(".wb-doctor .wb-report")
    expect(report).to_contain_text("evaluation too small")
    expect(lines).not_to_have_text(told, timeout=PATIENCE)
    expect(report).to_be_visible()
    assert lines.bounding_box() == place
    lines.click()
    expect(report).to_be_hidden()


def pauses_and_steps(board: Board) -> None:
    board.press("Pause")
    board.shows(state="paused")
    held = int(board.read("step"))
    board.page.wait_for_timeout(400)  # many steps of this run
    assert int(board.read("step")) == held
    board.press("Step")
    board.shows(state="paused", step=held + 1)
    board.page.wait_for_timeout(200)
    assert int(board.read("step")) == held + 1


def branches(board: Board) -> None:
    board.press("Branch")
    step, beta = board.read("step"), board.read("beta")
    board.shows("branch 1", state="paused", step=step, beta=beta)
    board.move_beta()
    board.press("Resume")
    board.shows("branch 1", state="running")
    board.shows_another("beta", beta, "branch 1")
    board.passes(int(step) + 5, "branch 1")
    board.shows(state="paused", step=step, beta=beta)  # the menu has chosen the branch alone
    board.changes_its_curves()
    board.root.locator(".wb-runs select").select_option("all")
    board.press("Pause")
    board.press("Resume")
    board.passes(int(step))


def asks(board: Board) -> None:
    answer_panes = board.root.locator(".wb-pane p")
    board.root.locator(".wb-runs select").select_option("run")
    board.prompt.fill("what did you think of the hotel?")
    board.press("Generate")
    expect(answer_panes).to_have_count(2)
    board.writes("writing")
    board.writes("finished")
    both_panes_grew(board)
    hostile = " ".join(HOSTILE)
    board.prompt.fill(hostile)
    board.press("Generate")
    expect(answer_panes.first).to_have_text(f"{hostile} old", timeout=PATIENCE)
    expect(answer_panes.last).to_have_text(f"{hostile} new")
    board.writes("finished")
    expect(answer_panes.first.locator("del")).to_have_text("old")
    expect(answer_panes.last.locator("ins")).to_have_text("new")
    both_panes_grew(board)
    assert board.root.locator("script, .wb-answer img").count() == 0
    sees_finished_answers_whole(board)
    board.press("Generate")
    board.writes("writing")
    step = int(board.read("step"))
    board.prompt.fill("and the film?")
    board.press("Generate")  # takes the place of the one that is being written
    expect(answer_panes.first).not_to_contain_text("script")
    board.writes("finished")
    board.passes(step)


def sees_finished_answers_whole(board: Board) -> None:
    """However long they are: none of a finished text is below the edge of its pane."""
    pane = board.root.locator(".wb-pane").first
    hidden = pane.evaluate(
        """pane => {
            const text = pane.querySelector("p"), said = text.innerHTML;
            text.textContent = "a long answer ".repeat(200);
            const below = text.getBoundingClientRect().bottom - pane.getBoundingClientRect().bottom;
            text.innerHTML = said;
            return below;
        }"""
    )
    assert hidden < 0


def both_panes_grew(board: Board) -> None:
    reference, policy = seen_growing(board.page)
    for states in (reference, policy):
        assert len(states) >= 2, states
        assert all(after.startswith(before) for before, after in pairwise(states)), states


def stops(board: Board) -> None:
    board.root.locator(".wb-runs select").select_option("all")
    board.press("Stop")
    board.shows(state="stopped")
    board.shows("branch 1", state="stopped")
    expect(board.root.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    endless = " ".join(["<script>", *["words"] * 400])
    board.prompt.fill(endless)
    board.press("Generate")  # a run that has ended still answers
    expect(board.root.locator(".wb-pane p").last).to_contain_text("words", timeout=PATIENCE)
    board.press("Stop")
    board.writes("stopped")
    board.press("Generate")
    board.writes("writing")
    expect(board.root.locator(".wb-pane p").last).to_contain_text("words", timeout=PATIENCE)


def outlives_the_kernel(board: Board) -> None:
    code = "import os; os._exit(1)"
    board.page.evaluate(f"{KERNEL}.requestExecute({{code: {code!r}}}) && null")
    expect(board.page.locator(".jp-Dialog")).to_contain_text("died", timeout=PATIENCE)
    board.page.get_by_role("button", name="Ok", exact=True).click()
    assert len(board.lines()) > 1000
    assert board.read("state") == "stopped"
    expect(board.root.locator(".wb-pane p").last).to_contain_text("words")
