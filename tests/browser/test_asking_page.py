"""Asking in a real JupyterLab: a prompt is typed, both panes grow, differences are marked."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from board import NOTE_TEXTS, seen_growing  # isort: skip - beside this file, see conftest
from jupyter_page import (
    HOSTILE,
    KERNEL,
    PATIENCE,
    note_errors,
    open_notebook,
    run_all,
    write_notebook,
)
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

# Two small untrained models that take their time, and repeat what is no review.
NOTEBOOK = """
import time
import torch
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.train.base_model import BaseConfig, new_model
from workbench.compare.model_handles import ModelHandle
from workbench.view.compare.ask import ask_models

torch.set_num_threads(1)
world = Reviews(ReviewsConfig(topics=4, pairs=64))

class Slow(ModelHandle):
    def stream(self, prompts, sampling):
        words = f"{prompts[0]} {'old' if self.name == 'base <b>' else 'new'}".split(" ")
        repeated = ([" ".join(words[:count + 1])] for count in range(len(words)))
        hostile = "<script" in prompts[0]
        for texts in repeated if hostile else super().stream(prompts, sampling):
            time.sleep(0.06)
            yield texts

def model(name, dim):
    model = new_model(world, BaseConfig(dim=dim, layers=1, heads=2, kv_heads=1, hidden_dim=64))
    return Slow(name, model.policy, model.tokenizer, own_model=True)

asked = [model("base <b>", 32), model("mine", 48)]
ask_models(asked, prompt=PROMPT, sampling=SamplingConfig(max_new_tokens=16))
"""
EMPTY, ASKED = (NOTEBOOK.replace("PROMPT", repr(text)) for text in ("", "a film"))


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    """A notebook in which nothing is asked yet."""
    write_notebook(tmp_path / "ask.ipynb", EMPTY)
    blank.add_init_script(NOTE_TEXTS)
    open_notebook(blank, lab, f"{tmp_path.name}/ask.ipynb")
    run_all(blank)
    return blank


def press(root: Locator, name: str) -> None:
    root.get_by_role("button", name=name, exact=True).click()


def writes(root: Locator, state: str) -> None:
    """Wait until the panes are in this state."""
    answer_panes = root.locator(".wb-panes")
    expect(answer_panes).to_have_attribute("data-state", state, timeout=PATIENCE)


def ask(root: Locator, prompt: str) -> None:
    """Ask and wait for the end."""
    root.locator(".wb-prompt textarea").fill(prompt)
    press(root, "Generate")
    writes(root, "writing")
    writes(root, "finished")


def both_panes_grew(page: Page) -> None:
    first, second = seen_growing(page)
    for states in (first, second):
        assert len(states) >= 2, states
        assert all(after.startswith(before) for before, after in pairwise(states)), states


def test_person_asks_and_watches_both_write(page: Page) -> None:
    errors: list[str] = []
    note_errors(page, errors)
    root = page.locator(".wb-asking")
    expect(root).to_be_visible(timeout=3 * PATIENCE)
    expect(root.locator(".wb-pane h4 bdi")).to_have_text(["base <b>", "mine"])
    texts = root.locator(".wb-pane p")
    ask(root, "what did you think of the hotel?")
    both_panes_grew(page)
    assert root.locator(".wb-pane del, .wb-pane ins").count() >= 1
    assert texts.first.inner_text() != texts.last.inner_text()
    hostile_text_is_text(root)
    settings_that_do_not_go_together_are_one_line(root)
    stops_and_asks_again(root)
    assert errors == []
    outlives_the_kernel(root)


def hostile_text_is_text(root: Locator) -> None:
    hostile = " ".join(HOSTILE)
    texts = root.locator(".wb-pane p")
    ask(root, hostile)
    expect(root.locator(".wb-asked bdi")).to_have_text(hostile)
    expect(texts.first).to_have_text(f"{hostile} old")
    expect(texts.last).to_have_text(f"{hostile} new")
    expect(texts.first.locator("del")).to_have_text("old")
    expect(texts.last.locator("ins")).to_have_text("new")
    both_panes_grew(root.page)
    assert root.locator("script, .wb-answer img, .wb-answer h4 b").count() == 0


def settings_that_do_not_go_together_are_one_line(root: Locator) -> None:
    root.get_by_text("More settings of sampling").click()
    beams = root.locator(".wb-beams input[type=text]")
    beams.fill("4")
    beams.press("Enter")
    press(root, "Generate")
    expect(root.locator(".wb-error")).to_contain_text("with beams=4 is not accepted")
    expect(root.locator(".wb-error")).to_have_count(1)
    expect(root.locator(".wb-pane ins")).to_have_text("new")  # what was there stays
    beams.fill("1")
    beams.press("Enter")


def stops_and_asks_again(root: Locator) -> None:
    texts = root.locator(".wb-pane p")
    root.locator(".wb-prompt textarea").fill(" ".join(["<script>", *["words"] * 400]))
    press(root, "Generate")
    expect(root.locator(".wb-error")).to_have_count(0)
    expect(texts.last).to_contain_text("words", timeout=PATIENCE)
    press(root, "Stop")
    writes(root, "stopped")
    stopped = texts.last.inner_text()
    root.page.wait_for_timeout(300)
    assert texts.last.inner_text() == stopped
    press(root, "Generate")
    writes(root, "writing")
    ask(root, "what did you think of the film?")  # in place of the one before
    expect(texts.first).not_to_contain_text("words")


def outlives_the_kernel(root: Locator) -> None:
    page, texts = root.page, root.locator(".wb-pane p")
    root.locator(".wb-prompt textarea").fill(" ".join(["<script>", *["words"] * 400]))
    press(root, "Generate")
    expect(texts.last).to_contain_text("words", timeout=PATIENCE)
    code = "import os; os._exit(1)"
    page.evaluate(f"{KERNEL}.requestExecute({{code: {code!r}}}) && null")
    expect(page.locator(".jp-Dialog")).to_contain_text("died", timeout=PATIENCE)
    page.get_by_role("button", name="Ok", exact=True).click()
    expect(texts.last).to_contain_text("words")


def test_first_prompt_is_answered_while_the_cell_runs(
    blank: Page, lab: str, tmp_path: Path
) -> None:
    write_notebook(tmp_path / "ask.ipynb", ASKED)
    blank.add_init_script(NOTE_TEXTS)
    errors: list[str] = []
    note_errors(blank, errors)
    open_notebook(blank, lab, f"{tmp_path.name}/ask.ipynb")
    run_all(blank)
    root = blank.locator(".wb-asking")
    expect(root).to_have_count(1, timeout=3 * PATIENCE)
    writes(root, "finished")
    both_panes_grew(blank)
    expect(blank.locator(".jp-InputPrompt").first).to_have_text("[1]:", timeout=PATIENCE)
    ask(root, "a hotel")
    assert errors == []
