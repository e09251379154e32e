"""What the live dashboard costs, and how soon it obeys: figures, no judgement.

    python benchmarks/dashboard.py

Two things are measured with the embedded world at its default size. How much drawing slows training
down: the same run goes on in segments with and without a screen, in turn, and the median of the
ratios of neighbours is taken, so that a machine that grows slower meanwhile does not matter. How
long a slider takes: key presses in a real browser, to the training thread and to the status line.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from statistics import mean, median, quantiles
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.view.live.run_state import RunState
from workbench.view.live.screen import LiveScreen, Outputs
from workbench.view.plot.live_figure import LiveFigure

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, SECONDS = 40, 1.0  # pairs of segments, length of one
PRESSES = 24
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

dashboard(TrainConfig(max_steps=100_000), make_run=make_run)
"""


def drawing() -> None:
    """Training speed with a screen over that without, and the time of a frame."""
    config = TrainConfig(max_steps=100_000, eval_every=0)
    run = Run.create(config)
    run_state = RunState.of(run)
    worker = SimpleNamespace(run_states={"run": run_state}, error=None)
    screen = LiveScreen(Outputs(), lambda run_state: None, lambda worker: None, lambda: None)
    screen.opened(run_state, None)
    frames = time_frames()
    order, ratios, shares = random.Random(0), [], []
    for number in range(ROUNDS + 1):
        segments = [True, False]
        order.shuffle(segments)
        found = {shown: segment(run_state, screen if shown else None, worker) for shown in segments}
        if number:  # the first one warms up
            ratios.append(found[True][0] / found[False][0])
            shares.append(found[True][1])
    drawn = [seconds * 1000 for seconds in frames]
    print(f"training speed with drawing / without: {median(ratios):.3f}", end=" ")
    low, _, high = quantiles(ratios, n=4)
    print(f"(median of {ROUNDS} pairs of {SECONDS} s; half of them in {low:.3f} to {high:.3f})")
    print(f"share of the time spent in the screen: {mean(shares):.3f}")
    print(f"frames: {len(drawn)}, {mean(drawn):.1f} ms on average, median {median(drawn):.1f} ms")


def time_frames() -> list[float]:
    """Seconds of every frame from here on."""
    frames, draw = [], LiveFigure.png

    def timed(figure: LiveFigure, final: bool = False) -> bytes:
        begin = time.perf_counter()
        png = draw(figure, final)
        frames.append(time.perf_counter() - begin)
        return png

    LiveFigure.png = timed  # type: ignore[method-assign]
    return frames


def segment(
    run_state: RunState, screen: LiveScreen | None, worker: SimpleNamespace
) -> tuple[float, float]:
    """Steps a second over some seconds of training, and the share of the time that showing took."""
    begin, steps, showing = time.perf_counter(), 0, 0.0
    while (now := time.perf_counter()) - begin < SECONDS:
        event = next(run_state.run)
        run_state.take_in(event)
        steps += isinstance(event, StepEvent)
        shown = time.perf_counter()
        if screen is not None:
            screen.event(run_state, event)
            screen.refresh(worker)  # type: ignore[arg-type]
        showing += time.perf_counter() - shown
    return steps / (now - begin), showing / (now - begin)


def slider() -> None:
    """Milliseconds from a key press to the training thread, and to the status on the page."""
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    from board import Board
    from jupyter_page import (
        browser_page,
        find_chromium,
        jupyter_lab,
        open_notebook,
        run_all,
        write_notebook,
    )

    chromium = find_chromium()
    if chromium is None:
        return print("slider: no Chromium found; WORKBENCH_CHROMIUM can name it")
    with TemporaryDirectory() as folder:
        write_notebook(Path(folder) / "live.ipynb", CELL)
        with jupyter_lab(Path(folder)) as address, browser_page(chromium) as page:
            board = Board(page)
            open_notebook(page, address, "live.ipynb")
            run_all(page)
            board.press("Start")
            board.passes(3, patience=600_000)
            for _ in range(PRESSES):
                before = board.read("beta")
                board.move_beta()
                board.shows_another("beta", before)
                page.wait_for_timeout(150 + 200 * random.Random(before).random())
            heard = json.loads((Path(folder) / "heard.json").read_text())
            delays = board.delays(heard)
            board.press("Stop")
    print(f"slider: {median(delays):.0f} ms from key press to training thread", end=" ")
    print(f"(median of {len(delays)}; slowest {max(delays):.0f} ms)")


if __name__ == "__main__":
    drawing()
    slider()
