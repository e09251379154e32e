"""What a live screen tells, and when."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from workbench.train.events import ChangeEvent, StepEvent
from workbench.view.live import screen as module
from workbench.view.live.screen import LiveScreen


@pytest.mark.parametrize(
    ("event", "told"),
    [(ChangeEvent(1, "beta", 2.0), True), (StepEvent(1, 9, 1, {}), False)],
    ids=["change", "step"],
)
def test_a_changed_setting_is_told_before_the_next_status_is_due(
    event: ChangeEvent | StepEvent, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_state, outputs = SimpleNamespace(name="run", beta=1.0), Mock()
    worker = SimpleNamespace(run_states={"run": run_state}, error=None)
    monkeypatch.setattr(module.elements, "status", lambda state: f"beta {state.beta}")
    screen = LiveScreen(outputs, Mock(), Mock(), Mock(), Mock())
    monkeypatch.setattr(screen, "_news", Mock())
    monkeypatch.setattr(screen, "_telling", module.Throttle(1e-6))  # once in twelve days
    screen.refresh(worker)
    assert outputs.status.value == "beta 1.0"
    run_state.beta = 2.0
    screen.event(run_state, event)
    screen.refresh(worker)
    assert outputs.status.value == ("beta 2.0" if told else "beta 1.0")
    run_state.beta = 3.0
    screen.refresh(worker)
    assert outputs.status.value != "beta 3.0"
