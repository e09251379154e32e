"""The page of a sweep in a real browser: runs are chosen in the drawing, the command follows."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from jupyter_page import note_errors  # isort: skip - beside this file, see conftest
from page_checks import at_each_width, barriers
from playwright.sync_api import Page, expect

from workbench.runs.study.config import KL
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.study.trial_run import OUTCOME, REASON
from workbench.train.config import TrainConfig
from workbench.view.sweep.sweep_page import sweep_page

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror='window.foreign = 1'>"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Runs told by hand: the first one failed, the more beta the more of both."""
    sweep = Sweep(
        TrainConfig(out=str(tmp_path / "a sweep")), {"beta": [0.1, 0.2, 0.5]}, seeds=2, kl_limit=3.0
    )
    for taken in sweep.trials.take_all():
        trial, number = taken.trial, taken.trial.number
        if number == 0:
            trial.set_user_attr(REASON, HOSTILE)
            trial.study.tell(trial, state=TrialState.FAIL)
            continue
        metrics = {sweep.metric: 0.1 * number, KL: 0.7 * number}
        trial.set_user_attr(OUTCOME, {"metrics": metrics, "step": 4, "seconds": 1.0})
        trial.study.tell(trial, 0.1 * number)
    path = tmp_path / "sweep.html"
    path.write_text(sweep_page(sweep), encoding="utf-8")
    return path


def test_runs_are_chosen_and_the_command_follows(blank: Page, file: Path, pictures: Path) -> None:
    errors: list[str] = []
    note_errors(blank, errors)
    blank.goto(file.as_uri())
    expect(blank.locator("tbody tr").first).to_contain_text("beyond the limit")
    code = blank.locator(".ws-bar code")
    # The mean KL of beta 0.5 is 2.45, within the limit; of its two runs one is beyond.
    taken = f"'{file.parent}/a sweep/002-beta=0.5,seed=0'"
    told = "python -m workbench compare {} --html comparison.html"
    expect(code).to_have_text(told.format(taken))
    blank.locator("circle.ws-hollow").first.click()
    expect(code).to_have_text(told.format(f"{taken} {taken.replace('2-', '5-')[:-2]}1'"))
    blank.get_by_role("button", name="KL").click()
    expect(blank.locator("tbody tr").first).to_contain_text("0.2")
    for scheme in ("light", "dark"):
        blank.emulate_media(color_scheme=scheme)
        assert barriers(blank, "body") == []
        assert at_each_width(blank, "body", pictures, f"sweep-{scheme}") == []
    assert blank.evaluate("window.foreign") is None
    assert errors == []
