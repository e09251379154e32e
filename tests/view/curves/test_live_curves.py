"""What is sent to the page: new points alone, and all of them to a page that asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench.train.events import ChangeEvent, EvalEvent, StepEvent
from workbench.view.curves.live_curves import LiveCurves
from workbench.view.plot.history import MOST_POINTS, History
from workbench.view.plot.run_style import run_style


class Page:
    """Keeps what it is sent as the page does."""

    def __init__(self, curves: LiveCurves, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layout: dict[str, Any] = {}
        self.points: dict[tuple[int, str], np.ndarray] = {}
        self.sent: list[tuple[dict[str, Any], list[bytes]]] = []
        self._curves = curves
        monkeypatch.setattr("ipywidgets.Widget.send", self._take)

    def _take(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append((content, buffers))
        if content["kind"] == "layout":
            self.layout = content
        if content["kind"] != "points":
            return
        if content["anew"]:
            self.points.clear()
        numbers = np.frombuffer(buffers[0], np.float32).reshape(-1, 2)
        for run, metric, start, count in content["segments"]:
            before = self.points.get((run, metric), np.empty((0, 2)))
            assert start <= len(before)
            self.points[run, metric] = np.concatenate([before[:start], numbers[:count]])
            numbers = numbers[count:]
        assert len(numbers) == 0

    def asks(self, plotly: bool = False, **more: str) -> None:
        self._curves._handle_custom_msg({"kind": "hello", "plotly": plotly, **more}, [])

    def shows(self, history: History, run: str, metric: str) -> None:
        """The points of this curve as the history has them."""
        found = self.points[history.numbers[run], metric]
        np.testing.assert_allclose(found.T, history.runs[run][metric].points(), rtol=1e-6)

    @property
    def names(self) -> list[str]:
        return [run["name"] for run in self.layout["runs"]]


@pytest.fixture
def curves() -> LiveCurves:
    return LiveCurves()


@pytest.fixture
def page(curves: LiveCurves, monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(curves, monkeypatch)


def step(number: int, total: int = 9, **metrics: float) -> StepEvent:
    return StepEvent(number, total, 0, metrics or {"loss": 1 / number})


def test_messages_hold_new_points_only(curves: LiveCurves, page: Page) -> None:
    for number in range(1, 8):
        curves.add("run", step(number))
        curves.send()
        content, buffers = page.sent[-1]
        assert content["segments"] == [(0, "loss", number - 1, 1)]
        np.testing.assert_allclose(np.frombuffer(buffers[0], np.float32), [number, 1 / number])
    count = len(page.sent)
    curves.send()
    assert len(page.sent) == count, "nothing is new"


@pytest.mark.parametrize("every", [1, 7, 400])
def test_page_agrees_with_the_history_after_halvings(
    every: int, curves: LiveCurves, page: Page
) -> None:
    history = History()
    for number in range(1, 5 * MOST_POINTS):
        for one in (curves, history):
            one.add("run", step(number, loss=np.sin(number)))
        if number % every == 0:
            curves.send()
            page.shows(history, "run", "loss")


def test_a_page_that_is_opened_gets_all_and_plotly_once(curves: LiveCurves, page: Page) -> None:
    history = History()
    for one in (curves, history):
        for number in range(1, 6):
            one.add("run", step(number))
    curves.send()
    page.points.clear()
    page.layout = {}
    page.asks(plotly=True)
    page.shows(history, "run", "loss")
    assert page.names == ["run"]
    kinds = [content["kind"] for content, _ in page.sent]
    assert kinds == ["layout", "points", "layout", "points", "plotly"], "plotly comes last"
    assert b"plotly.js v" in page.sent[-1][1][0][:60]
    page.asks()
    assert page.sent[-1][0]["kind"] == "points"


def test_a_question_that_is_asked_again_is_answered_once(curves: LiveCurves, page: Page) -> None:
    curves.add("run", step(1))
    page.asks(plotly=True, id="first")
    kinds = [content["kind"] for content, _ in page.sent]
    assert kinds == ["heard", "layout", "points", "plotly"], "heard before the megabytes of plotly"
    assert page.sent[0][0]["id"] == "first"
    page.asks(plotly=True, id="first")  # it had waited for a cell
    assert len(page.sent) == 4
    page.asks(id="of another page")
    assert len(page.sent) == 7


def test_hidden_runs_are_not_forgotten(curves: LiveCurves, page: Page) -> None:
    history = History()
    for number in range(1, 6):
        for one in (curves, history):
            one.add("a", step(number))
            one.add("b", step(number))
        curves.send()
        if number == 2:
            curves.show(["a"])
    assert page.names == ["a"]
    assert len(page.points[1, "loss"]) == 2, "what is hidden is not sent"
    curves.show(["b", "a"])
    curves.send()
    assert page.names == ["b", "a"]
    page.shows(history, "b", "loss")


def test_a_run_keeps_its_style_whatever_is_shown(curves: LiveCurves, page: Page) -> None:
    for run in "abc":
        curves.add(run, step(1))
    curves.show(["c", "b"])
    curves.rename("c", "<b>d</b>")
    curves.send()
    assert page.names == ["<b>d</b>", "b"]
    colours = [run["colour"] for run in page.layout["runs"]]
    assert colours == [run_style(2).colour, run_style(1).colour]
    assert curves.style("<b>d</b>") == run_style(2)


def test_a_removed_run_leaves_no_points(curves: LiveCurves, page: Page) -> None:
    curves.add("a", step(1))
    curves.add("b", step(1))
    curves.send()
    curves.remove("b")
    curves.send()
    assert (page.names, list(page.points)) == (["a"], [(0, "loss")])
    curves.add("b", step(1, grad_norm=1.0))
    curves.send()
    assert (1, "loss") not in page.points, "a new run has nothing of the one before"


def test_branch_starts_at_its_parent(curves: LiveCurves, page: Page) -> None:
    curves.add("run", step(3))
    curves.fork("run", "branch")
    curves.send()
    np.testing.assert_allclose(page.points[1, "loss"], [[3, 1 / 3]], rtol=1e-6)


def test_a_recorded_run_is_the_same_as_event_by_event(curves: LiveCurves, page: Page) -> None:
    events = [step(number) for number in range(1, 6)]
    for event in events:
        curves.add("live", event)
    curves.load("recorded", events)
    curves.send()
    assert len(page.points[0, "loss"]) == len(events)
    np.testing.assert_array_equal(page.points[0, "loss"], page.points[1, "loss"])


def test_intervals_and_changes_are_told(curves: LiveCurves, page: Page) -> None:
    name = "held_out/rewards/accuracies"
    curves.add("run", EvalEvent(2, {name: 0.6, f"{name}_low": 0.5, f"{name}_high": 0.7}))
    curves.add("run", ChangeEvent(2, "beta", 0.2))
    curves.send()
    (panel,) = page.layout["panels"]
    assert (panel["name"], panel["limits"]) == ("accuracy", (0.0, 1.0))
    assert {metric for _, metric in page.points} == {name, f"{name}_low", f"{name}_high"}
    assert page.layout["runs"][0]["changes"] == [2]


def test_styles_of_runs_differ() -> None:
    styles = [run_style(index) for index in range(140)]
    assert len({(s.colour, s.dash, s.marker) for s in styles}) == 140
    assert len({s.colour for s in styles[:7]}) == 7


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_lines_have_a_contrast_of_three(ground: str) -> None:
    """As WCAG 2.2 asks of graphics (1.4.11)."""

    def luminance(colour: str) -> float:
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for index in range(7):
        style = run_style(index)
        ink = style.colour if ground == "#ffffff" else style.dark
        low, high = sorted(map(luminance, (ink, ground)))
        assert (high + 0.05) / (low + 0.05) >= 3, ink
