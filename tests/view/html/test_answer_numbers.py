"""Answers by prompts and models: what is marked, what is sorted how, and that text stays text."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from workbench.view.html.answer_numbers import (
    Grid,
    answers_table,
    legend,
    mean,
    means_table,
    written,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "</script>",
    "&amp; &lt;b&gt;",
    "<|endoftext|>",
    "\u202eright to left\u202c \u200bzero\u200dwidth",
    "'quotes\" and `ticks`",
)
OURS = {"bdi", "br", "del", "details", "i", "ins", "p", "small", "summary"}
OURS |= {"table", "tbody", "td", "th", "thead", "tr"}


class Reader(HTMLParser):
    """The text and the tags of HTML; tags have to be closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self._open = "", set(), []
        self.feed(markup)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attributes} <= {"class", "style", "rowspan"}
        self.tags.add(tag)
        if tag != "br":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def frame_of(*prompts: dict[str, tuple[Any, ...]], names: tuple[str, ...] = ("a", "b")) -> Any:
    """A frame of answers; each prompt gives its columns, one value a model."""
    rows = []
    for index, columns in enumerate(prompts):
        for number, who in enumerate(names):
            row = {"place": index, "prompt": f"prompt {index}", "who": who, "ended": True}
            row |= {"kl": 0.0, "words": 2}
            rows.append(row | {name: values[number] for name, values in columns.items()})
    return pd.DataFrame(rows)


@pytest.fixture
def grid() -> Grid:
    return Grid.of(
        frame_of(
            {"text": ("same", "Same as ever"), "kl": (0, 2.0), "reward": (1.0, 0.5)},
            {"text": ("equal", "equal"), "kl": (0, 0.5), "reward": (0.0, -1.0)},
            {"text": ("bad", "good"), "kl": (0, 1.0), "reward": (math.nan, math.nan)},
        )
    )


def test_means_leave_out_what_is_not_known(grid: Grid) -> None:
    assert mean(grid, "reward", 1) == (0.5 - 1.0) / 2
    assert mean(grid, "kl", 1) == pytest.approx(3.5 / 3)
    assert math.isnan(mean(grid, "kl", 0)), "against itself there is nothing to say"
    assert "mean of 3 prompts" in Reader(means_table(grid)).text


def test_numbers_stand_below_their_answer() -> None:
    frame = frame_of(
        {
            "text": ("the room was small", "the room was lovely"), "words": (4, 4),
            "tokens": (5, 1), "ended": (True, False), "repetition": (0.0, 0.25),
            "changed": (0.0, 0.25), "logp/a": (-3.0, -4.5), "logp/b": (-6.0, -2.0),
            "kl": (0.0, 1.25), "reward": (-1.0, 1.0), "grammatical": (1.0, 0.0),
        }
    )  # fmt: skip
    grid = Grid.of(frame)
    markup = re.sub(' style="[^"]*"', "", answers_table(grid, grid.rows))
    assert (
        "the room was <del>small</del></bdi><br><small>4 words · 5 tokens · 0% repeated<br>"
        "log p: a −3.00, b −6.00<br>true reward −1.00 · grammatical</small>"
    ) in markup
    assert (
        "the room was <ins>lovely</ins></bdi><br><small>4 words · 1 token · 25% changed · "
        "25% repeated · cut at 1 token<br>log p: a −4.50, b −2.00 · KL 1.25<br>"
        "true reward +1.00 · not grammatical</small>"
    ) in markup


def test_three_models_are_marked_against_the_first() -> None:
    frame = frame_of({"text": ("one two", "one three", "four two")}, names=("a", "b", "c"))
    markup = answers_table(grid := Grid.of(frame), grid.rows, look="page")
    assert "<bdi>one two</bdi>" in markup
    assert "one <ins>three</ins>" in markup
    assert "<ins>four</ins> two" in markup
    assert "style" not in markup


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    frame = frame_of(
        {"text": (f"{text} old", f"{text} new"), "prompt": (text, text), text: (0.0, 1.0)},
        names=(text, f"{text} 2"),
    )
    grid = Grid.of(frame)
    for markup in (answers_table(grid, grid.rows), means_table(grid), legend(grid)):
        reader = Reader(markup)
        assert reader.tags <= OURS
        assert text in reader.text
    assert Reader(answers_table(grid, grid.rows)).text.count(text) >= 5


def test_numbers_as_they_are_read() -> None:
    assert [written("words", 3.0), written("words", 3.25)] == ["3", "3.2"]
    assert written("kl", math.nan) == "–"
    assert written("reward", 0.0) == "0.00"
