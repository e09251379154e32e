"""The curves as a person meets them on a page: 24 lines that are fed while they are looked at."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_page import (  # isort: skip - beside this file, see conftest
    KERNEL, PATIENCE, note_errors, open_notebook, run_all,
    write_notebook,
)  # fmt: skip
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

STEPS = 120
CELL = f"""
import threading, time
from workbench.train.events import EvalEvent, StepEvent
from workbench.view.curves.live_curves import LiveCurves

curves = LiveCurves()
NAMES = ["run", "branch 1", "branch 2", "<b>branch</b>"]

def feed():
    for step in range(1, {STEPS} + 1):
        for number, name in enumerate(NAMES, 1):
            values = {{"loss": number / step, "rewards/margins": number * step / 8,
                "logratios/chosen": -number * step / 4, "logratios/rejected": -number * step / 2}}
            curves.add(name, StepEvent(step, {STEPS}, 0, values))
            if step % 30 == 0:
                held_out = {{"held_out/rewards/accuracies": number / 5,
                    "held_out/kl/policy_reference": step * number / 30}}
                curves.add(name, EvalEvent(step, held_out))
        curves.send()
        time.sleep(0.01)

thread = threading.Thread(target=feed)
thread.start()
curves
"""
NAMES = ["run", "branch 1", "branch 2", "<b>branch</b>"]


class Curves:
    """The widget on `page`."""

    def __init__(self, page: Page) -> None:
        self.page, self.root = page, page.locator(".wb-curves-root").last
        self.loss = self.root.locator("[data-panel=loss]")

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def are_complete(self) -> None:
        """Wait until the last step is drawn."""
        words = re.compile(rf"{re.escape(NAMES[-1])} 0\.0333 at step {STEPS}")
        expect(self.loss).to_have_attribute("aria-label", words, timeout=3 * PATIENCE)
        expect(self.loss.locator(".scatterlayer .trace")).to_have_count(4, timeout=PATIENCE)

    def ticks(self, axis: str) -> set[str]:
        return set(self.loss.locator(f".{axis}tick text").all_text_contents())

    def saves(self, name: str) -> bytes:
        with self.page.expect_download(timeout=PATIENCE) as saved:
            self.button(name).click()
        return Path(saved.value.path()).read_bytes()

    def waits_for_ticks(self, axis: str, wanted: Callable[[set[str]], bool]) -> None:
        deadline = time.monotonic() + PATIENCE / 1000
        while not wanted(shown := self.ticks(axis)):
            assert time.monotonic() < deadline, f"ticks of {axis}: {shown}"
            self.page.wait_for_timeout(50)


@pytest.fixture
def page(blank: Page, lab: str, tmp_path: Path) -> Page:
    write_notebook(tmp_path / "curves.ipynb", CELL)
    open_notebook(blank, lab, f"{tmp_path.name}/curves.ipynb")
    return blank


def test_person_reads_the_curves(page: Page) -> None:
    errors: list[str] = []
    asked: list[str] = []
    note_errors(page, errors)
    page.on("request", lambda request: asked.append(request.url))
    run_all(page)
    curves = Curves(page)
    curves.are_complete()
    expect(curves.root.locator(".wb-panel")).to_have_count(5)
    reads_values(curves)
    zooms_and_goes_back(curves)
    takes_the_logarithm(curves)
    smooths(curves)
    hides_a_run(curves)
    saves_points_and_pictures(curves)
    switches_the_theme(curves)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(
        "!window.jupyterapp.shell.currentWidget.context.model.dirty", timeout=PATIENCE
    )
    page.reload()
    page.wait_for_function(f"{KERNEL}?.status === 'idle'", timeout=3 * PATIENCE)
    Curves(page).are_complete()
    assert [url for url in asked if not re.match(r"(blob:)?http://127\.0\.0\.1|data:", url)] == []
    assert errors == []


LOSE_FIRST = """
const send = WebSocket.prototype.send;
let lost = 0;
WebSocket.prototype.send = function (data) {
  const text = typeof data === "string" ? data : new TextDecoder("latin1").decode(data);
  if (text.includes('"hello"') && !lost++) return;
  send.call(this, data);
};
"""


def test_curves_are_drawn_where_the_first_question_waits_for_cells(
    blank: Page, lab: str, tmp_path: Path
) -> None:
    """JupyterLab sends it to the main shell now and then: one that no cell lets through."""
    write_notebook(tmp_path / "curves.ipynb", CELL)
    blank.add_init_script(LOSE_FIRST)
    open_notebook(blank, lab, f"{tmp_path.name}/curves.ipynb")
    run_all(blank)
    Curves(blank).are_complete()


def reads_values(curves: Curves) -> None:
    box = curves.loss.locator(".wb-plot").bounding_box()
    assert box is not None
    curves.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    rows = curves.root.locator(".wb-curves-tip tr")
    expect(rows).to_have_count(4, timeout=PATIENCE)
    for number, (row, name) in enumerate(zip(rows.all(), NAMES, strict=True), 1):
        _, what, value, step = row.locator("td").all_text_contents()
        assert what.startswith(f"{name} · ")
        assert float(value) == pytest.approx(number / int(step.split()[1]), rel=1e-3)


def zooms_and_goes_back(curves: Curves) -> None:
    box = curves.loss.locator(".wb-plot").bounding_box()
    assert box is not None
    before = curves.ticks("x")
    across, up = box["x"] + 100, box["y"] + 20
    curves.page.mouse.move(across, up)
    curves.page.mouse.down()
    curves.page.mouse.move(across + 60, up + 60, steps=4)
    curves.page.mouse.up()
    curves.waits_for_ticks("x", lambda shown: shown != before)
    curves.page.mouse.dblclick(across, up + 30)
    curves.waits_for_ticks("x", before.__eq__)


def takes_the_logarithm(curves: Curves) -> None:
    before = curves.ticks("y")
    curves.button("log scale").click()
    curves.waits_for_ticks("y", lambda shown: shown != before)
    expect(curves.button("log scale")).to_have_attribute("aria-pressed", "true")
    curves.button("log scale").click()
    curves.waits_for_ticks("y", before.__eq__)


def smooths(curves: Curves) -> None:
    slider = curves.root.get_by_role("slider", name="smoothing")
    slider.focus()
    curves.page.keyboard.press("End")
    traces = curves.loss.locator(".scatterlayer .trace")
    expect(traces).to_have_count(8, timeout=PATIENCE)  # each with its raw line behind
    curves.page.keyboard.press("Home")
    expect(traces).to_have_count(4, timeout=PATIENCE)


def hides_a_run(curves: Curves) -> None:
    curves.button("branch 1").click()
    for panel, left in (("loss", 3), ("log_ratios", 6), ("kl", 3)):
        traces = curves.root.locator(f"[data-panel={panel}] .scatterlayer .trace")
        expect(traces).to_have_count(left, timeout=PATIENCE)
    expect(curves.loss).not_to_have_attribute("aria-label", re.compile("branch 1"))
    expect(curves.button("branch 1")).to_be_focused()
    curves.page.keyboard.press("Enter")
    curves.are_complete()


def saves_points_and_pictures(curves: Curves) -> None:
    rows = list(csv.DictReader(io.StringIO(curves.saves("save points as CSV").decode())))
    found = [row for row in rows if (row["run"], row["metric"]) == (NAMES[-1], "loss")]
    assert [int(row["step"]) for row in found] == list(range(1, STEPS + 1))
    for row in found:
        assert float(row["value"]) == pytest.approx(4 / int(row["step"]), rel=1e-6)
    assert curves.saves("save as PNG")[:4] == b"\x89PNG"
    svg = curves.saves("save as SVG").decode()
    assert svg.count('class="main-svg"') >= 5
    assert "&lt;b&gt;branch&lt;/b&gt;" in svg


def switches_the_theme(curves: Curves) -> None:
    line = curves.loss.locator(".scatterlayer .js-line").first
    light = line.evaluate("path => getComputedStyle(path).stroke")
    theme = {"theme": "JupyterLab Dark"}
    curves.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', theme)", theme
    )
    expect(line).not_to_have_css("stroke", light, timeout=PATIENCE)
    curves.are_complete()
