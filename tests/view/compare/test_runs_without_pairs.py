"""Views of pairs against a reference refuse runs that have none, in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.run import Run
from workbench.view.compare.pair_table import explore_pairs
from workbench.view.compare.sources import state_of
from workbench.view.plot.outcome import margins_before_and_after


@pytest.mark.parametrize("settings", [{"method": "kto"}, {"method": "sft"}, {"loss": "simpo"}])
def test_explore_pairs_refuses(make_run: Callable[..., Run], settings: dict[str, str]) -> None:
    with pytest.raises(WorkbenchError, match="pairs that are compared with a reference"):
        explore_pairs(make_run(**settings))


def test_margins_need_pairs(make_run: Callable[..., Run]) -> None:
    with pytest.raises(WorkbenchError, match="margins are those of held-out pairs"):
        margins_before_and_after(make_run(method="sft"))


def test_the_key_of_caches_follows_every_live_setting(make_run: Callable[..., Run]) -> None:
    run = make_run(method="sft")
    before = state_of(run)
    run._state.settings["lr"] = 1.0
    assert state_of(run) != before
