"""Explorers: what is shown follows the controls, and a notebook keeps a still form of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import pytest
from matplotlib.figure import Figure

from workbench.view.controls.explorer import Explorer, beta_slider, slider
from workbench.view.html.render import verbatim
from workbench.view.lessons.derivation import explore_objective
from workbench.view.plot.layers import Layers
from workbench.view.plot.primitives import move_line, new_figure

VIEW = "application/vnd.jupyter.widget-view+json"


def line_explorer() -> Explorer:
    figure, (axes,) = new_figure()
    axes.set_ylim(0, 2)

    def draw(height: float) -> Figure:
        move_line(axes, "level", [0.0, 1.0], [height, height])
        return figure

    return Explorer(draw, height=slider(1.0, 0.0, 2.0, 0.1, "height"))


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Explorer], dict[str, Any]]:
    """What an explorer displays as the last line of a cell."""
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "workbench.view.controls.explorer.display",
        lambda data, raw, metadata=None: shown.append(data),
    )

    def show(explorer: Explorer) -> dict[str, Any]:
        explorer._ipython_display_()
        return shown.pop()

    return show


def test_a_moved_slider_changes_the_picture() -> None:
    explorer = line_explorer()
    before = explorer.png
    assert before.startswith(b"\x89PNG")
    explorer.set(height=1.5)
    assert explorer.values == {"height": 1.5}
    assert explorer.png != before
    explorer.set(height=1.0)
    assert explorer.png == before  # a pure function of the controls


def test_html_follows_as_well(displayed: Callable[..., dict[str, Any]]) -> None:
    explorer = Explorer(lambda word: f"<b>{word}</b>", word=widgets.Text("one"))
    explorer.set(word="two")
    assert explorer.shown == "<b>two</b>"
    assert explorer.png == b""
    assert displayed(explorer)["text/html"] == verbatim("<b>two</b>")


def test_a_picture_stands_beside_the_widget(displayed: Callable[..., dict[str, Any]]) -> None:
    data = displayed(line_explorer())
    assert VIEW in data
    assert data["image/png"].startswith(b"\x89PNG")


def test_the_description_has_the_present_numbers() -> None:
    explorer = explore_objective(reference=0.5, reward=1.0, beta=1.0)
    said = explorer._picture.alt
    assert said.startswith("Two responses: A, and B with reward 0. The objective and its two parts")
    assert "optimum π* 0.731 (point), KL" in said
    explorer.set(reward=0.0)
    assert "optimum π* 0.500 (point), KL" in explorer._picture.alt


def test_an_unknown_control_is_an_error() -> None:
    with pytest.raises(KeyError, match="width"):
        line_explorer().set(width=1.0)


def test_beta_moves_in_equal_ratios() -> None:
    beta = beta_slider(0.3)
    assert beta.value == 0.3
    assert beta.log
    assert "wb-beta" in beta._dom_classes


def test_what_lies_behind_is_drawn_anew_when_it_changes() -> None:
    figure, (axes,) = new_figure()

    def draw(top: float) -> Figure:
        axes.set_ylim(0, top)
        move_line(axes, "level", [0.0, 1.0], [1.0, 1.0])
        return figure

    explorer = Explorer(draw, top=slider(2.0, 1.0, 9.0, 1.0, "top"))
    explorer.set(top=5.0)
    assert explorer.png == Layers(figure).png()  # ticks and grid of the new range
