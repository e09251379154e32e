"""The dashboard as a person meets it on a page: buttons, sliders, what the status says."""

from __future__ import annotations

import time
from typing import Any

from jupyter_page import PATIENCE, note_errors
from playwright.sync_api import Locator, Page, expect

# A real run in seconds: the embedded world with a decoder of some thousand weights, untrained.
NOTEBOOK = """
import json, time
from pathlib import Path
import torch
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.runs.run import Run
from workbench.compare.model_handles import ModelHandle
from workbench.compare.handle_sources import handles
from workbench.view.live.dashboard import dashboard
from workbench.view.live import writing

torch.set_num_threads(1)
PAUSE = 0.06  # seconds per token: so that partial texts can be seen
config = TrainConfig(
    max_steps=100_000, batch_size=8, held_out=16, samples=4, eval_every=40, max_new_tokens=16,
    pairs_from="grammar", world=ReviewsConfig(topics=4, pairs=64),
)
base = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
heard = []

def make_run(config, progress):
    run = Run.create(config, progress, base=new_model(Reviews(config.world), base))
    change = run.control.set

    def note_the_time(**settings):
        change(**settings)
        heard.append((time.time(), settings))
        Path("heard.json").write_text(json.dumps(heard))

    run.control.set = note_the_time
    return run

class Slow(ModelHandle):  # takes its time for each token, and repeats what is no review
    def stream(self, prompts, sampling):
        words = f"{prompts[0]} {'old' if self.name == 'reference' else 'new'}".split(" ")
        repeated = ([" ".join(words[:count + 1])] for count in range(len(words)))
        hostile = "<script" in prompts[0]
        for texts in repeated if hostile else super().stream(prompts, sampling):
            time.sleep(PAUSE)
            yield texts

writing.handles = lambda run: [Slow(**vars(one)) for one in handles(run)]

board = dashboard(config, make_run=make_run, keep=False)
board
"""

NOTE_TEXTS = """
window.seen = [];
new MutationObserver(() => {
    const panes = document.querySelector(".wb-panes");
    if (!panes) return;
    const texts = [...panes.querySelectorAll("p")].map(p => p.textContent);
    const now = [panes.dataset.state, ...texts];
    if (`${now}` !== `${window.seen.at(-1)}`) window.seen.push(now);
}).observe(document, {childList: true, subtree: true});
"""
NOTE_KEYS = """
window.pressed = [];
window.told = [];
addEventListener("keydown", event => {
    if (["ArrowLeft", "ArrowRight"].includes(event.key)) window.pressed.push(Date.now() / 1000);
}, true);
new MutationObserver(() => {
    const now = document.querySelector(".wb-status[data-beta]")?.dataset.beta;
    if (now === window.beta) return;
    window.beta = now;
    window.told.push(Date.now() / 1000);
}).observe(document, {
    attributes: true, attributeFilter: ["data-beta"], childList: true, subtree: true,
});
"""


def seen_growing(page: Page) -> list[list[str]]:
    """What each pane has shown while it was written, in order; forgets it then.

    `NOTE_TEXTS` has to watch the page: what stands there for a tenth of a second is easily missed.
    """
    seen = page.evaluate("window.seen.splice(0)")
    texts = [state[1:] for state in seen if state[0] == "writing"]
    return [list(dict.fromkeys(filter(None, pane))) for pane in zip(*texts, strict=True)]


class Board:
    """The dashboard on `page`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.root = page.locator(".wb-dashboard")
        self.prompt = self.root.locator(".wb-prompt textarea")
        self.curves = self.root.locator(".wb-curves-root")
        self.errors: list[str] = []
        note_errors(page, self.errors)
        page.add_init_script(NOTE_KEYS + NOTE_TEXTS)

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

    def writes(self, state: str) -> None:
        """Wait until the panes are in this state."""
        answer_panes = self.root.locator(".wb-panes")
        expect(answer_panes).to_have_attribute("data-state", state, timeout=PATIENCE)

    def move_beta(self, key: str = "ArrowRight") -> str:
        """Move the slider by one key press; its new value as the person reads it."""
        self.root.get_by_role("slider", name="beta", exact=True).press(key)
        return self.root.get_by_role("textbox", name="beta", exact=True).input_value()

    def lines(self) -> str:
        """The shapes of all curves that are drawn; empty before the first."""
        return self.curves.evaluate(
            "root => [...root.querySelectorAll('.scatterlayer path')]"
            ".map(path => path.getAttribute('d')).join()"
        )

    def changes_its_curves(self) -> None:
        """Wait until others are drawn."""
        deadline, before = time.monotonic() + PATIENCE / 1000, self.lines()
        while self.lines() == before:
            assert time.monotonic() < deadline, "the curves stay the same"
            self.page.wait_for_timeout(50)

    def delays(self, heard: list[float]) -> list[float]:
        """Milliseconds from each key press to the next time that it was heard of.

        `heard` are seconds since 1970: when the kernel's training thread heard of a new value, or
        when the status on the page told it (`window.told`); both clocks are the machine's.
        """
        pressed = self.page.evaluate("window.pressed")
        return [
            1000 * (min(at for at in heard if at >= key) - key)
            for key in pressed
            if key <= heard[-1]
        ]
