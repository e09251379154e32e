"""Status, errors and facts as HTML."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

from workbench.data.pairs import SkippedRow
from workbench.errors import WorkbenchError
from workbench.train.config import TrainConfig
from workbench.train.events import ChangeEvent, StepEvent
from workbench.view.html import elements
from workbench.view.html.images import picture
from workbench.view.html.render import escape
from workbench.view.live.run_state import RunState


@pytest.fixture
def run_state(fake_run: Any) -> RunState:
    run_state = RunState.of(fake_run(total=120))
    metrics = {"loss": 0.51234, "beta": 0.1, "lr": 5e-4, "pairs_per_second": 31.4}
    run_state.take_in(StepEvent(42, 120, 0, metrics))
    return run_state


def test_status_is_for_people_and_programs(run_state: RunState) -> None:
    status = elements.status(run_state)
    for attribute in (
        'data-state="running"',
        'data-step="42"',
        'data-beta="0.1"',
        'data-loss="0.5123"',
        'data-loss-name="dpo"',
        'data-run="run"',
    ):
        assert attribute in status
    text = "run · running · step 42 of 120 · dpo · beta 0.1 · lr 0.0005 · loss 0.512 · 31.4 rows/s"
    assert text in status


def test_time_left_is_minutes_and_seconds(run_state: RunState) -> None:
    run_state._timed_steps, run_state._timed_seconds = (
        10,
        12.0,
    )  # 1.2 s per step, 78 steps to go: 93.6 s
    assert "· 1:34 left ·" in elements.describe(run_state)
    run_state.ended = "finished"
    assert "left" not in elements.describe(run_state)


def test_setting_in_force_and_setting_to_come_are_told_apart(run_state: RunState) -> None:
    run_state.set({"beta": 0.25})
    assert "beta 0.1 → 0.25" in elements.describe(run_state)
    assert 'data-beta="0.1"' in elements.status(run_state)
    run_state.take_in(ChangeEvent(42, "beta", 0.25))
    assert "beta 0.25 ·" in elements.describe(run_state)


def test_modifiers_are_named_where_they_change_something(run_state: RunState) -> None:
    assert "divergence" not in elements.describe(run_state)
    run_state.set({"divergence": "forward_kl"})
    assert "divergence reverse_kl → forward_kl" in elements.describe(run_state)
    run_state.take_in(ChangeEvent(42, "divergence", "forward_kl"))
    assert 'data-divergence="forward_kl"' in elements.status(run_state)


def test_project_errors_are_one_line_without_a_traceback() -> None:
    card = elements.error_card(WorkbenchError("prompt '<b>' names 0 topics"))
    assert 'class="wb-error"' in card
    assert "&lt;b&gt;" in card
    assert "Traceback" not in card


def test_other_errors_show_where_they_happened_folded_and_escaped() -> None:
    try:
        raise KeyError("<img onerror=x>")
    except KeyError as error:
        card = elements.error_card(error)
    assert "<details>" in card
    assert "test_elements.py" in card
    assert "<img" not in card


def test_facts_name_the_reference_and_the_rows_set_aside(run_state: RunState) -> None:
    facts = elements.facts(run_state)
    assert "5eed5eed5eed<" in facts
    assert "1 row skipped" in facts
    assert "row 7: <bdi>the &lt;b&gt;chosen&lt;/b&gt; side is empty" in facts
    assert "1 row with completions cut" in facts
    assert "self-test: 0 of 1 checks passed; failed: dropout is off: it is on" in facts
    assert "row 9: <bdi>chosen and rejected" in facts
    assert "preflight: wrong: &lt;b&gt;contradictions" in facts


def test_many_rows_set_aside_are_counted_not_listed() -> None:
    rows = [SkippedRow(number, "too long") for number in range(250)]
    html = elements.skipped(rows)
    assert html.count("<li>") == 201
    assert "250 rows skipped" in html
    assert "and 50 more" in html
    assert elements.skipped([]) == ""


def test_figure_becomes_an_image() -> None:
    assert picture(Figure()).startswith('<img alt="figure" src="data:image/png;base64,iVBOR')


def test_half_a_surrogate_pair_can_be_sent() -> None:
    assert escape("\ud800").encode("utf-8") == b"?"


def test_parameters_at_their_default_are_left_out_of_the_line(fake_run: Any) -> None:
    run_state = RunState.of(fake_run(TrainConfig(loss="kto", undesirable_weight=1.3), total=9))
    described = elements.describe(run_state)
    assert "kto · beta 0.1 · undesirable weight 1.3 · lr" in described
    assert 'data-desirable-weight="1"' in elements.status(run_state)
