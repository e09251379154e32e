"""What screen readers are told: coarse changes, once each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from workbench.view.live.dashboard import Dashboard, dashboard
from workbench.view.live.outputs.announcer import News

PATIENCE = 10


def state(step: int, state: str = "running", name: str = "run") -> Any:
    return SimpleNamespace(name=name, step=step, total=100, state=state)


def test_quarters_are_told_once_each() -> None:
    news = News()
    told = [news.of_runs([state(step)]) for step in range(100)]
    assert list(filter(None, told)) == [
        "run started", "run 25% done", "run 50% done", "run 75% done",
    ]  # fmt: skip
    assert [told.index(f"run {share}% done") for share in (25, 50, 75)] == [25, 50, 75]
    assert news.of_runs([state(100, "finished")]) == "run finished"
    assert news.of_runs([state(100, "finished")]) == ""


def test_loading_begins_and_ends_once() -> None:
    news = News()
    assert [news.of_loading() for _ in range(3)] == ["loading", "", ""]
    assert news.of_runs([]) == ""
    assert news.of_runs([state(0)]) == "loaded, run started"
    assert news.of_runs([state(1)]) == ""


@pytest.mark.parametrize("end", ["stopped", "failed"])
def test_each_run_pauses_goes_on_and_ends(end: str) -> None:
    news, steps = News(), ["running", "paused", "paused", "running", end]
    told = [news.of_runs([state(9, now), state(9, name="branch 1")]) for now in steps]
    assert told == ["run started, branch 1 started", "run paused", "", "run goes on", f"run {end}"]


def test_a_dashboard_says_little(fake_run: Any) -> None:
    board = dashboard(make_run=lambda config, progress: fake_run(config, total=400), keep=False)
    assert isinstance(board, Dashboard)
    said: list[str] = []
    board._outputs.announcer.observe(lambda change: said.append(change["new"]), "text")
    board._inputs.buttons["Start"].click()
    assert board.join(PATIENCE)
    assert said[-1] == f"{board.run.name if board.run else ''} finished"
    assert len(said) <= 6, said


def test_a_run_that_can_not_be_made_is_told(fake_run: Any) -> None:
    def make(config: Any, progress: Any) -> Any:
        progress("reading", 0.0)
        raise ValueError("no such file")

    board = dashboard(make_run=make, keep=False)
    assert isinstance(board, Dashboard)
    said: list[str] = []
    board._outputs.announcer.observe(lambda change: said.append(change["new"]), "text")
    board._inputs.buttons["Start"].click()
    with pytest.raises(ValueError, match="no such file"):
        board.join(PATIENCE)
    assert said == ["loading", "failed before the first step"]
    assert 'role="alert"' in board._outputs.problem.value
