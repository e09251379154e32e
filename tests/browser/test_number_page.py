"""A number control in a real JupyterLab: typed, moved by keys, refused in words, read aloud."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    PATIENCE, note_errors, open_notebook, run_all, write_notebook,
)  # fmt: skip
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

CELLS = (
    """
import ipywidgets as widgets
from workbench.train.config import TrainConfig
from workbench.view.controls.fields import control
config = TrainConfig(beta=0.37, lora=8).resolved()
heard = widgets.HTML().add_class("heard")
numbers = [control(config, name) for name in ("beta", "lr", "lora", "seed")]
told = []
for number in numbers:
    number.observe(lambda change: told.append(change["new"]), "value")
    number.observe(lambda _: setattr(heard, "value", " ".join(map(repr, told))), "value")
button = widgets.Button(description="Show 0.25")
button.on_click(lambda _: numbers[0].show(0.25))
widgets.VBox([*numbers, button, heard])
""",
)


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    """Four numbers, and the values that Python heard of."""
    write_notebook(tmp_path / "numbers.ipynb", *CELLS)
    open_notebook(blank, lab, f"{tmp_path.name}/numbers.ipynb")
    run_all(blank)
    expect(blank.locator(".wb-number")).to_have_count(4, timeout=3 * PATIENCE)
    return blank


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("textbox", name=name, exact=True)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name, exact=True)


def hears(page: Page, values: str) -> None:
    expect(page.locator(".heard")).to_have_text(values, timeout=PATIENCE)


def test_a_person_sets_exact_numbers(page: Page) -> None:
    errors: list[str] = []
    note_errors(page, errors)
    beta, lr = field(page, "beta"), field(page, "lr")
    expect(beta).to_have_value("0.37")  # as it was given
    expect(lr).to_have_value("5e-4")
    beta.fill("0.1")
    beta.press("Enter")
    hears(page, "0.1")
    keys_land_on_round_numbers(page)
    refuses_in_words(page)
    lr.fill("2.5e-5")
    lr.press("Tab")
    expect(page.locator(".heard")).to_contain_text("2.5e-05", timeout=PATIENCE)
    shows_without_an_echo(page)
    drags(page)
    assert errors == []


def keys_land_on_round_numbers(page: Page) -> None:
    handle = slider(page, "beta")
    handle.focus()
    for shown in ("0.125", "0.15"):
        page.keyboard.press("ArrowRight")
        expect(handle).to_have_attribute("aria-valuetext", shown)
    for shown in ("0.125", "0.1", "0.08"):
        page.keyboard.press("ArrowLeft")
        expect(handle).to_have_attribute("aria-valuetext", shown)
    page.keyboard.press("PageUp")
    expect(handle).to_have_attribute("aria-valuetext", "0.8")
    page.keyboard.press("End")
    expect(handle).to_have_attribute("aria-valuetext", "10")
    field(page, "lora").press("ArrowUp")
    expect(field(page, "lora")).to_have_value("9")
    for heard in ("10.0", " 9"):  # what lies between may be left out, the last never is
        expect(page.locator(".heard")).to_contain_text(heard, timeout=PATIENCE)


def refuses_in_words(page: Page) -> None:
    beta, heard = field(page, "beta"), page.locator(".heard").inner_text()
    for text, why in {"50": "from 0.001 to 10", "ten": "a number from 0.001 to 10"}.items():
        beta.fill(text)
        beta.press("Enter")
        expect(beta).to_have_accessible_description(f"beta must be {why}, not {text}")
        expect(beta).to_have_attribute("aria-invalid", "true")
        expect(beta).to_have_value(text)  # to be corrected
        expect(slider(page, "beta")).to_have_attribute("aria-valuetext", "10")  # still in force
    beta.press("Escape")
    expect(beta).to_have_value("10")
    expect(beta).to_have_attribute("aria-invalid", "false")
    seed = field(page, "seed")
    seed.fill("1.5")
    seed.press("Enter")
    said = "seed must be a whole number from 0 to 2147483647, not 1.5"
    expect(seed).to_have_accessible_description(said)
    hears(page, heard)


def shows_without_an_echo(page: Page) -> None:
    before = page.locator(".heard").inner_text()
    page.get_by_role("button", name="Show 0.25").click()
    expect(field(page, "beta")).to_have_value("0.25", timeout=PATIENCE)
    page.wait_for_timeout(200)
    hears(page, before)


def drags(page: Page) -> None:
    box = slider(page, "beta").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=10)
    dragged = field(page, "beta").input_value()
    assert float(f"{float(dragged):.2g}") == float(dragged)
    last = page.locator(".heard")
    expect(last).to_have_text(re.compile(rf" {re.escape(repr(float(dragged)))}$"), timeout=PATIENCE)
    page.mouse.up()
