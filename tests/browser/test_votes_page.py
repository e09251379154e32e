"""Blind votes in a real JupyterLab, by keyboard and by mouse, from a vote to the next policy."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    HOSTILE, PATIENCE, note_errors, open_notebook, run_all,
    write_notebook,
)  # fmt: skip
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

# Names of the models, which occur nowhere else on the page.
NAMES = ("heidelberg-model", "uppsala-model")
NOTEBOOK = f"""
import torch
from workbench.feedback.votes import Question
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.feedback.questions import QuestionSet
from workbench.train.base_model import BaseConfig, new_model
from workbench.train.config import TrainConfig
from workbench.feedback.iterative_dpo import IterativeDPO
from workbench.view.votes.vote_widget import blind_votes

torch.set_num_threads(1)
world = ReviewsConfig(topics=4, pairs=64)
shape = BaseConfig(dim=32, layers=1, heads=2, kv_heads=1, hidden_dim=64)
config = TrainConfig(world=world, epochs=1, max_new_tokens=8)
hostile = {HOSTILE!r}

class Hostile(IterativeDPO):
    def ask(self):
        asked = super().ask()
        if self.number:
            return asked
        return QuestionSet([
            Question(f"prompt {{n}} {{text}}", f"the plot was good. {{n}} {{text}}",
                     f"the plot was bad. {{n}} {{text}}",
                     "heidelberg-" + "model", "uppsala-" + "model", 0, 0)
            for n, text in enumerate([*hostile, *"abcdefg"])
        ], 0)

base = new_model(Reviews(world), shape)
rounds = Hostile(config, base, Reviews(world).prompts[:12], "votes.jsonl")
board = blind_votes(rounds)
board
"""


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    """A notebook with a ballot, run from top to bottom."""
    write_notebook(tmp_path / "votes.ipynb", NOTEBOOK)
    open_notebook(blank, lab, f"{tmp_path.name}/votes.ipynb")
    run_all(blank)
    return blank


def read(folder: Path) -> list[dict[str, object]]:
    """Every line of the file."""
    return [json.loads(line) for line in (folder / "votes.jsonl").read_text("utf-8").splitlines()]


def press(root: Locator, letter: str, voted: int, round: int = 0) -> float:
    """Type a letter into the field for it; milliseconds until so many votes are shown."""
    root.page.wait_for_timeout(800)  # a second key right after the first is taken for the same
    root.locator(".wb-keys input").focus()
    begin = time.perf_counter()
    root.page.keyboard.press(letter)
    shows(root, voted, round)
    return 1000 * (time.perf_counter() - begin)


def shows(root: Locator, voted: int, round: int = 0) -> None:
    """Wait until the ballot says that so many votes stand."""
    place = root.locator(f'.wb-progress[data-round="{round}"]')
    expect(place).to_have_attribute("data-voted", str(voted), timeout=2 * PATIENCE)


def test_person_votes_by_keyboard_and_trains_on_the_votes(
    page: Page, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors: list[str] = []
    note_errors(page, errors)
    root = page.locator(".wb-votes")
    expect(root).to_be_visible(timeout=3 * PATIENCE)
    shows(root, 0)
    assert not any(name in page.content() for name in NAMES)
    delay = votes_takes_back_and_votes_again(root, tmp_path)
    hostile_text_is_text(root)
    holding_a_key_votes_once(root, tmp_path)
    letters_after_a_click_are_votes_too(root, tmp_path)
    trains(root, tmp_path)
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1  # no letter was a command
    assert errors == []
    with capsys.disabled():  # said, not judged
        print(f"\nfrom key press to the next pair on the page: {delay:.0f} ms")


def votes_takes_back_and_votes_again(root: Locator, folder: Path) -> float:
    delay = press(root, "a", 1)
    expect(root.locator(".wb-reveal")).to_contain_text(NAMES[0])
    expect(root.locator(".wb-keys input")).to_have_value("")
    press(root, "u", 0)
    expect(root.locator(".wb-reveal")).to_have_count(0)
    assert not any(name in root.page.content() for name in NAMES)
    press(root, "b", 1)
    first, back, second = read(folder)
    assert (first["vote"], second["vote"]) == ("a", "b")
    asked = {name: first[name] for name in ("prompt", "a", "b")}
    assert back["undo"] == asked == {name: second[name] for name in asked}
    return delay


def hostile_text_is_text(root: Locator) -> None:
    for number, text in enumerate(HOSTILE[1:], start=1):
        expect(root.locator(".wb-asked bdi")).to_have_text(f"prompt {number} {text}")
        expect(root.locator(".wb-answer-a bdi")).to_have_text(f"the plot was good. {number} {text}")
        expect(root.locator(".wb-answer-b bdi")).to_have_text(f"the plot was bad. {number} {text}")
        press(root, "a", number + 1)
    assert root.locator("script, .wb-question img").count() == 0


def holding_a_key_votes_once(root: Locator, folder: Path) -> None:
    before = len(read(folder))
    root.page.wait_for_timeout(800)
    for _ in range(12):
        root.page.keyboard.down("t")  # without an `up` this is a key that repeats itself
        root.page.wait_for_timeout(40)
    root.page.keyboard.up("t")
    shows(root, len(HOSTILE) + 1)
    root.page.wait_for_timeout(500)
    assert [line["vote"] for line in read(folder)[before:]] == ["tie"]
    expect(root.locator(".wb-keys input")).to_have_value("")


def letters_after_a_click_are_votes_too(root: Locator, folder: Path) -> None:
    before = len(read(folder))
    root.page.wait_for_timeout(800)
    root.get_by_role("button", name="Both bad", exact=True).click()
    shows(root, len(HOSTILE) + 2)
    expect(root.locator(".wb-keys input")).to_be_focused()
    press(root, "b", len(HOSTILE) + 3)
    assert [line["vote"] for line in read(folder)[before:]] == ["bad", "b"]


def trains(root: Locator, folder: Path) -> None:
    root.page.wait_for_timeout(800)
    root.get_by_role("button", name="Train on these votes", exact=True).click()
    shows(root, 0, round=1)
    expect(root.locator(".wb-told")).to_contain_text("round 1 is trained")
    lines = (folder / "votes-round-0.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len(HOSTILE) + 1
    press(root, "a", 1, round=1)
    assert read(folder)[-1]["round"] == 1
