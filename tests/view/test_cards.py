"""Status, errors and facts as HTML."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from workbench.data.pairs import SetAside
from workbench.errors import WorkbenchError
from workbench.train.events import ChangeEvent, StepEvent
from workbench.view import cards
from workbench.view.lane import Lane


@pytest.fixture
def lane(fake_run: Any) -> Lane:
    lane = Lane.of(fake_run(total=120))
    metrics = {"loss": 0.51234, "beta": 0.1, "lr": 5e-4, "pairs_per_second": 31.4}
    lane.take_in(StepEvent(42, 120, 0, metrics))
    return lane


def test_status_is_for_people_and_programs(lane: Lane) -> None:
    status = cards.status(lane)
    for attribute in (
        'data-state="running"',
        'data-step="42"',
        'data-beta="0.1"',
        'data-loss="0.5123"',
        'data-loss-name="dpo"',
        'data-run="run"',
    ):
        assert attribute in status
    text = "run · running · step 42 of 120 · dpo · beta 0.1 · lr 0.0005 · loss 0.512 · 31.4 pairs/s"
    assert text in status


def test_time_left_is_minutes_and_seconds(lane: Lane) -> None:
    lane._timed_steps, lane._timed_seconds = 10, 12.0  # 1.2 s a step, 78 steps to go: 93.6 s
    assert cards.describe(lane).endswith("1:34 left")
    lane.ended = "finished"
    assert "left" not in cards.describe(lane)


def test_setting_in_force_and_setting_to_come_are_told_apart(lane: Lane) -> None:
    lane.set({"beta": 0.25})
    assert "beta 0.1 → 0.25" in cards.describe(lane)
    assert 'data-beta="0.1"' in cards.status(lane)
    lane.take_in(ChangeEvent(42, "beta", 0.25))
    assert "beta 0.25 ·" in cards.describe(lane)


def test_project_errors_are_one_line_without_a_traceback() -> None:
    card = cards.error_card(WorkbenchError("prompt '<b>' names 0 topics"))
    assert 'class="wb-error"' in card
    assert "&lt;b&gt;" in card
    assert "Traceback" not in card


def test_other_errors_show_where_they_happened_folded_and_escaped() -> None:
    try:
        raise KeyError("<img onerror=x>")
    except KeyError as error:
        card = cards.error_card(error)
    assert "<details>" in card
    assert "test_cards.py" in card
    assert "<img" not in card


def test_facts_name_the_reference_and_the_rows_set_aside(lane: Lane) -> None:
    facts = cards.facts(lane)
    assert "5eed5eed5eed<" in facts
    assert "1 row set aside" in facts
    assert "row 7: <bdi>the &lt;b&gt;chosen&lt;/b&gt; side is empty" in facts


def test_many_rows_set_aside_are_counted_not_listed() -> None:
    rows = [SetAside(number, "too long") for number in range(250)]
    html = cards.set_aside(rows)
    assert html.count("<li>") == 201
    assert "250 rows set aside" in html
    assert "and 50 more" in html
    assert cards.set_aside([]) == ""


def test_figure_becomes_an_image() -> None:
    assert cards.picture(Figure()).startswith('<img alt="figure" src="data:image/png;base64,iVBOR')


def test_half_a_surrogate_pair_can_be_sent() -> None:
    assert cards.escape("\ud800").encode("utf-8") == b"?"
