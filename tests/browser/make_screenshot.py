"""Make the README's picture: the dashboard alone, after a real run, with a branch.

    python tests/browser/make_screenshot.py [FILE] [light|dark]

Takes a minute or two: the embedded world's base model, a run of it with the default settings, and
a branch with a higher beta from a third of the way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from board import Board
from jupyter_page import (
    browser_page,
    find_chromium,
    jupyter_lab,
    open_notebook,
    run_all,
    write_notebook,
)
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 60_000  # ms
CELL = """
from workbench.train.config import TrainConfig
from workbench.view.live.dashboard import dashboard
dashboard(TrainConfig(eval_every=8), keep=False)
"""


def screenshot(path: Path, theme: str = "light") -> None:
    """Write the picture of a finished run in one of JupyterLab's themes."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium found; WORKBENCH_CHROMIUM can name it")
    with TemporaryDirectory() as folder:
        write_notebook(Path(folder) / "live.ipynb", CELL)
        with jupyter_lab(Path(folder), theme) as address, browser_page(chromium) as page:
            board = Board(page)
            open_notebook(page, address, "live.ipynb")
            run_all(page)
            train(board)
            path.parent.mkdir(parents=True, exist_ok=True)
            board.root.screenshot(path=path)


def train(board: Board) -> None:
    """Start, branch with a higher beta, ask, and wait for the end."""
    expect(board.root).to_be_visible(timeout=MINUTES)
    board.press("Start")
    board.passes(32, patience=10 * MINUTES)
    board.press("Pause")
    board.press("Branch")
    expect(board.status("branch 1")).to_be_visible(timeout=MINUTES)
    for _ in range(7):  # 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5
        shown = board.move_beta()
    expect(board.status("branch 1")).to_contain_text(f"→ {shown}", timeout=MINUTES)
    board.root.locator(".wb-runs select").select_option("all")
    board.press("Resume")
    for run in ("run", "branch 1"):
        expect(board.status(run)).to_have_attribute("data-state", "finished", timeout=10 * MINUTES)
    board.prompt.fill("what did you think of the hotel?")
    board.press("Generate")
    done = board.root.locator(".wb-panes[data-state=finished] .wb-pane")
    expect(done).to_have_count(3, timeout=MINUTES)
    board.page.wait_for_timeout(1000)  # the last frame reaches the screen


if __name__ == "__main__":
    arguments = sys.argv[1:]
    target = Path(arguments[0]) if arguments else ROOT / "docs" / "dashboard.png"
    screenshot(target, *arguments[1:2])
    print(target)
