"""The dashboard as a person meets it on a page: buttons, sliders, what the status says."""

from __future__ import annotations

from typing import Any

from jupyter_page import PATIENCE, note_errors, picture_bytes, wait_for_change
from playwright.sync_api import Locator, Page, expect

# A real run in seconds: the embedded world with a decoder of some thousand weights, untrained.
NOTEBOOK = """
import json, time
from pathlib import Path
import torch
from workbench.data.worlds import Reviews, ReviewsConfig
from workbench.train.base import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.train.events import Sample
from workbench.train.run import Run
from workbench.view import dashboard

torch.set_num_threads(1)
config = TrainConfig(
    max_steps=100_000, batch_size=8, held_out=16, samples=4, eval_every=40, max_new_tokens=12,
    pairs_from="grammar", world=ReviewsConfig(topics=4, pairs=64),
)
base = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
heard = []

def make_run(config, progress):
    run = Run.create(config, progress, base=new_model(Reviews(config.world), base))
    change, answer = run.control.set, run.sample

    def note_the_time(**settings):
        change(**settings)
        heard.append((time.time(), settings))
        Path("heard.json").write_text(json.dumps(heard))

    def say_after(prompts, sampling):
        if "<script" not in prompts[0]:
            return answer(prompts, sampling)
        return tuple(Sample(p, p + " old", p + " new", sampling.seed) for p in prompts)

    run.control.set, run.sample = note_the_time, say_after
    return run

board = dashboard(config, make_run=make_run)
board
"""

NOTE_KEYS = """
window.pressed = [];
addEventListener("keydown", event => {
    if (event.key == "ArrowRight") window.pressed.push(Date.now() / 1000);
}, true);
"""


class Board:
    """The dashboard on `page`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator(".wb-dashboard")
        self.prompt = self.root.locator(".wb-prompt textarea")
        self.picture = self.root.locator("img.wb-picture")
        self.errors: list[str] = []
        note_errors(page, self.errors)
        page.add_init_script(NOTE_KEYS)

    def press(self, name: str) -> None:
        """Press a button."""
        self.root.get_by_role("button", name=name, exact=True).click()

    def status(self, run: str = "run") -> Locator:
        """The status line of one run."""
        return self.root.locator(f'.wb-status[data-run="{run}"]')

    def read(self, name: str, run: str = "run") -> str:
        """What the status says about a run."""
        return self.status(run).get_attribute(f"data-{name}", timeout=PATIENCE) or ""

    def shows(self, run: str = "run", **facts: Any) -> None:
        """Wait until the status of a run says this."""
        for name, value in facts.items():
            status = self.status(run)
            expect(status).to_have_attribute(f"data-{name}", str(value), timeout=PATIENCE)

    def shows_another(self, name: str, before: str, run: str = "run") -> None:
        """Wait until the status of a run no longer says this."""
        status = self.status(run)
        expect(status).not_to_have_attribute(f"data-{name}", before, timeout=PATIENCE)

    def passes(self, step: int, run: str = "run", patience: int = PATIENCE) -> None:
        """Wait until a run has gone beyond this step."""
        self.page.wait_for_function(
            "([run, step]) => +document.querySelector(`.wb-status[data-run='${run}']`)"
            "?.dataset.step > step",
            arg=[run, step],
            timeout=patience,
        )

    def move_beta(self) -> str:
        """Move the slider by one key press; its new value as the person reads it."""
        handle = self.root.locator(".wb-beta [role=slider]")
        handle.focus()
        self.page.keyboard.press("ArrowRight")
        return self.root.locator(".wb-beta .widget-readout").inner_text()

    def picture_bytes(self) -> tuple[int, str]:
        """Size and hash of the picture that is shown."""
        return picture_bytes(self.picture)

    def changes_its_picture(self) -> None:
        """Wait until the picture is another one."""
        wait_for_change(self.picture, self.picture_bytes())

    def delays(self, heard: list[float]) -> list[float]:
        """Milliseconds from each key press to the next time that the training thread heard of it.

        `heard` are seconds since 1970, as the kernel writes them; both clocks are the machine's.
        """
        pressed = self.page.evaluate("window.pressed")
        return [
            1000 * (min(at for at in heard if at >= key) - key)
            for key in pressed
            if key <= heard[-1]
        ]
