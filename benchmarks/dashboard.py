"""What the live dashboard costs, and how soon it obeys: figures, no judgement.

    python benchmarks/dashboard.py

Both are measured with the embedded world at its default size, in JupyterLab and Chromium. How much
the dashboard slows training down: one run goes on in a kernel while, in turn, its page is open, the
page is closed but the kernel still sends to it, and nothing is sent. The order is drawn anew in
each round, and ratios are taken within a round, so that a machine that grows slower meanwhile does
not matter. How long a slider takes: key presses, to the training thread.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from board import Board  # noqa: E402
from jupyter_page import (  # noqa: E402
    browser_page,
    find_chromium,
    jupyter_lab,
    open_notebook,
    run_all,
    write_notebook,
)

ROUNDS, SECONDS, SETTLE = 8, 6.0, 4.0  # the last two: measured, and before that for the page
PRESSES = 24
OPEN, SENDING, QUIET = "page open", "page closed, kernel sends", "nothing is sent"
COUNTING = """
import threading, time
from pathlib import Path
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.view.live.dashboard import dashboard
from workbench.view.live.screen import LiveScreen

steps, quiet = 0, False
event, refresh = LiveScreen.event, LiveScreen.refresh

def counted(screen, run_state, one):
    global steps
    steps += isinstance(one, StepEvent)
    if not quiet:
        event(screen, run_state, one)

def note():
    global quiet
    while True:
        quiet = Path("quiet").exists()
        with open("steps.txt", "a") as file:
            print(time.time(), steps, file=file)
        time.sleep(0.2)

LiveScreen.event = counted
LiveScreen.refresh = lambda screen, worker: None if quiet else refresh(screen, worker)
threading.Thread(target=note, daemon=True).start()
dashboard(TrainConfig(max_steps=1_000_000, eval_every=0), keep=False)
"""
CELL = """
import json, time
from pathlib import Path
from workbench.train.config import TrainConfig
from workbench.runs.run import Run
from workbench.view.live.dashboard import dashboard

heard = []

def make_run(config, progress):
    run = Run.create(config, progress)
    change = run.control.set

    def note_the_time(**settings):
        change(**settings)
        heard.append(time.time())
        Path("heard.json").write_text(json.dumps(heard))

    run.control.set = note_the_time
    return run

dashboard(TrainConfig(max_steps=100_000), make_run=make_run, keep=False)
"""


@contextmanager
def trains(chromium: str, cell: str) -> Iterator[tuple[Any, str, Board, Path]]:
    """A page, its server's address, the dashboard that trains on it, the notebook's folder."""
    with TemporaryDirectory() as folder:
        write_notebook(Path(folder) / "live.ipynb", cell)
        with jupyter_lab(Path(folder)) as address, browser_page(chromium) as page:
            board = Board(page)
            open_notebook(page, address, "live.ipynb")
            run_all(page)
            board.press("Start")
            board.passes(3, patience=600_000)
            yield page, address, board, Path(folder)


def drawing(chromium: str) -> None:
    """Training speed with the dashboard on a page over that without."""
    order, found = random.Random(0), []
    with trains(chromium, COUNTING) as (page, address, _, folder):
        page.on("dialog", lambda dialog: dialog.accept())  # what was not saved may be left
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_timeout(3000)
        for _ in range(ROUNDS):
            states = [OPEN, SENDING, QUIET]
            order.shuffle(states)
            found.append({state: speed(page, address, folder, state) for state in states})
    for state in (OPEN, SENDING):
        ratios = [speeds[state] / speeds[QUIET] for speeds in found]
        low, middle, high = quantiles(ratios, n=4)
        print(f"training speed, {state} / {QUIET}: {middle:.3f}", end=" ")
        print(f"(median of {ROUNDS} rounds of {SECONDS} s; half in {low:.3f} to {high:.3f})")
    print(f"steps a second when {QUIET}: {median(speeds[QUIET] for speeds in found):.0f}")


def speed(page: Any, address: str, folder: Path, state: str) -> float:
    """Steps a second over some seconds in one of the states."""
    (folder / "quiet").touch() if state == QUIET else (folder / "quiet").unlink(missing_ok=True)
    if state == OPEN:
        open_notebook(page, address, "live.ipynb")
        page.locator(".wb-dashboard .scatterlayer path").first.wait_for(timeout=60_000)
    else:
        page.goto("about:blank")
    page.wait_for_timeout(1000 * SETTLE)
    begin = time.time()
    page.wait_for_timeout(1000 * SECONDS)
    lines = (folder / "steps.txt").read_text().splitlines()
    noted = [(float(at), int(steps)) for at, steps in map(str.split, lines)]
    (first, before), *_, (last, after) = [entry for entry in noted if entry[0] >= begin]
    return (after - before) / (last - first)


def slider(chromium: str) -> None:
    """Milliseconds from a key press to the training thread, and to the status on the page."""
    with trains(chromium, CELL) as (page, _, board, folder):
        for press in range(PRESSES):
            before = board.read("beta")
            board.move_beta(("ArrowRight", "ArrowLeft")[press % 2])
            board.shows_another("beta", before)
            page.wait_for_timeout(150 + 200 * random.Random(before).random())
        heard = {
            "training thread": json.loads((folder / "heard.json").read_text()),
            "status": page.evaluate("window.told"),
        }
        for where, times in heard.items():
            delays = board.delays(times)
            print(f"slider: {median(delays):.0f} ms from key press to {where}", end=" ")
            print(f"(median of {len(delays)}; slowest {max(delays):.0f} ms)")
        board.press("Stop")


if __name__ == "__main__":
    if (chromium := find_chromium()) is None:
        sys.exit("no Chromium found; WORKBENCH_CHROMIUM can name it")
    drawing(chromium)
    slider(chromium)
