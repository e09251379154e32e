"""Panes, table and figure of feedback by principles, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chats import GrammarWriter
from workbench.feedback.constitution.critics import RuleCritic
from workbench.feedback.constitution.feedback_pairs import FeedbackPair, feedback, read_feedback
from workbench.feedback.constitution.principles import PRINCIPLES
from workbench.feedback.constitution.revising import revise
from workbench.view.constitution.feedback_table import FeedbackTable, explore_feedback
from workbench.view.constitution.intervals_figure import intervals_figure
from workbench.view.constitution.revision_panes import PANES, RevisionPanes, critique_and_revise
from workbench.view.live.model_thread import ModelThread

WORLD = Reviews()
PATIENCE = 10


class Slow:
    """A writer and critic whose texts come word by word."""

    name = "slow"
    tries = 1
    verdict = "Yes, <it> is"

    def stream(self, text: str, seed: int) -> Iterator[str]:
        yield from ("an", "an awful", "an awful <b>answer</b>")

    def stream_critique(self, case: Any, seed: int) -> Iterator[str]:
        yield from (self.verdict[:3], self.verdict)

    def stream_revision(self, case: Any, critique: str, seed: int) -> Iterator[str]:
        assert critique == self.verdict
        yield from ("a", "a nice <b>answer</b>")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("workbench.view.live.writing.RATE", 1e6)
    monkeypatch.setattr("workbench.view.live.writing.SHARE", 1.0)
    yield Slow()
    ModelThread.close_newest()


def seen(panes: RevisionPanes) -> list[tuple[str, ...]]:
    """The texts of all panes at each change, while an answer is written."""
    states: list[tuple[str, ...]] = []
    show = panes._show
    panes._show = lambda draft: (show(draft), states.append(tuple(panes.answers.values())))  # type: ignore[func-returns-value, method-assign, assignment]
    panes.ask("how was it?")
    assert panes.join(PATIENCE)
    return list(dict.fromkeys(states))


def test_the_panes_fill_one_after_the_other(slow: Any) -> None:
    panes = critique_and_revise(slow, slow, PRINCIPLES)
    states = seen(panes)
    answer, critique = "an awful <b>answer</b>", "Yes, <it> is"
    assert states == [
        ("", "", ""), ("an", "", ""), ("an awful", "", ""), (answer, "", ""), (answer, "Yes", ""),
        (answer, critique, ""), (answer, critique, "a"), (answer, critique, "a nice <b>answer</b>"),
    ]  # fmt: skip
    html = panes.html
    assert "nice</ins>" in html
    assert "awful</del>" in html
    assert "<b>answer" not in html
    assert "<it>" not in html
    assert PRINCIPLES[0].text in html
    assert all(f"<bdi>{name}</bdi>" in html for name in PANES)


def test_the_chosen_principle_is_the_one_that_is_applied(slow: Any) -> None:
    panes = critique_and_revise(GrammarWriter(WORLD), RuleCritic(), PRINCIPLES, seed=1)
    panes.principle.value = PRINCIPLES[3]
    panes.ask("how was the film?")
    assert panes.join(PATIENCE)
    original, critique, revision = panes.answers.values()
    assert PRINCIPLES[3].text in unescape(panes.html)
    assert ("overall" in original) == (critique == "No.") == (revision == "")


def test_where_the_principle_is_kept_nothing_is_revised(slow: Any) -> None:
    slow.verdict = "No."
    panes = critique_and_revise(slow, slow, PRINCIPLES)
    assert seen(panes)[-1] == ("an awful <b>answer</b>", "No.", "")


def test_an_empty_prompt_and_no_principles_are_told(slow: Any) -> None:
    panes = critique_and_revise(slow, slow, PRINCIPLES)
    panes.ask(" ")
    assert "the prompt is empty" in panes.html
    with pytest.raises(WorkbenchError, match="principles is empty"):
        critique_and_revise(slow, slow, [])


# -- the table ------------------------------------------------------------------------------------


@pytest.fixture
def pairs() -> list[FeedbackPair]:
    return feedback(
        revise([*WORLD.prompts] * 3, PRINCIPLES, GrammarWriter(WORLD), RuleCritic(), 0)
    ).pairs


@pytest.fixture
def table(pairs: list[FeedbackPair]) -> FeedbackTable:
    return explore_feedback(pairs)


def test_the_opened_pair_shows_all_that_led_to_it(
    table: FeedbackTable, pairs: list[FeedbackPair]
) -> None:
    table.set(row=2)
    assert table.opened() == 2
    shown = str(table.shown)
    for part in (pairs[1].original, pairs[1].critique, pairs[1].principle_text, "grammar", "rules"):
        assert part in shown


def test_filters_go_together(table: FeedbackTable, pairs: list[FeedbackPair]) -> None:
    table.set(principle="verdict", search="HOTEL")
    numbers = [
        number
        for number, pair in enumerate(pairs, start=1)
        if pair.principle == "verdict" and "hotel" in f"{pair.prompt} {pair.chosen}"
    ]
    assert numbers
    assert table.listed()["pair"].tolist() == numbers
    table.set(search="", only="chosen longer")
    assert {pairs[n - 1].principle for n in table.listed()["pair"]} == {"verdict"}
    table.set(search="no such text")
    assert "no pair is listed" in str(table.shown)
    with pytest.raises(WorkbenchError, match="no pair is open"):
        table.drop()


def test_pairs_are_edited_and_written_as_a_new_file(
    table: FeedbackTable, pairs: list[FeedbackPair], tmp_path: Path
) -> None:
    table.set(row=3)
    table.swap()
    table.edit(chosen="<i>better</i>")
    assert table.pairs[2].edited == "swapped, chosen edited"
    assert "<i>better" not in str(table.shown)
    table.set(row=1)
    table.drop()
    assert table.pairs[0] == pairs[1]
    table.write(tmp_path / "mine.jsonl")
    assert read_feedback(tmp_path / "mine.jsonl") == table.pairs
    with pytest.raises(WorkbenchError, match=r"mine\.jsonl exists: name a new file"):
        table.write(tmp_path / "mine.jsonl")
    assert explore_feedback(tmp_path / "mine.jsonl").pairs == table.pairs


def test_buttons_do_the_same_and_tell_what_is_wrong(table: FeedbackTable, tmp_path: Path) -> None:
    *_, row, told = table.box.children
    drop, swap, set_texts, write, path = row.children
    before = table.pairs
    swap.click()
    assert table.pairs[0].chosen == before[0].rejected
    assert table._fields["chosen"].value == before[0].rejected
    table._fields["rejected"].value = "dull."
    set_texts.click()
    assert table.pairs[0].rejected == "dull."
    drop.click()
    assert table.pairs == before[1:]
    assert told.value == f"{len(before) - 1} pairs"
    path.value = str(tmp_path)
    write.click()
    assert "exists: name a new file" in told.value
    path.value = str(tmp_path / "new.jsonl")
    write.click()
    assert read_feedback(tmp_path / "new.jsonl") == table.pairs


def test_the_figure_draws_each_number_with_its_interval() -> None:
    rows = [("one", "a", 0.2, 0.1, 0.4), ("one", "b", 0.9, 0.8, 1.0),
            ("two", "a", 0.5, 0.4, 0.6), ("two", "b", 0.6, 0.3, 0.7)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["panel", "row", "share", "low", "high"])
    first, second = intervals_figure(frame, guide=0.5).axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["a", "b"]
    points = first.lines[-1]
    assert list(points.get_xdata()) == [0.2, 0.9]
    assert list(points.get_ydata()) == [1, 0]  # the first row on top
    (bars,) = first.collections
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.1, 0.4], [0.8, 1.0]]
    assert [text.get_text() for text in second.texts] == ["0.50", "0.60"]
