"""A sweep drawn: on a page, in a notebook, as a figure; the runs are told by hand."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as widgets
import pytest
from optuna.trial import TrialState

from workbench.errors import WorkbenchError
from workbench.runs.study.axes import Range
from workbench.runs.study.config import KL
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.study.trial_run import OUTCOME, REASON
from workbench.train.config import TrainConfig
from workbench.view.live.runs_table import recorded_answers as module
from workbench.view.sweep.sweep_data import combinations, sweep_data
from workbench.view.sweep.sweep_figure import draw_sweep
from workbench.view.sweep.sweep_page import sweep_page
from workbench.view.sweep.sweep_view import SweepView, explore_sweep

# Metric and KL of run 0, 1, ...; None where it fails. By hand: within the limit of 4, run 3 has
# more of the metric than 0, and 0 less KL; 1 has less metric and more KL than 3.
TOLD = [(0.5, 1.0), (0.6, 3.0), None, (0.7, 2.0), (0.9, 5.0), (0.4, 1.5)]
EVIL = "</script><b>no number</b>"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    found = Sweep(
        TrainConfig(out=str(tmp_path / "sweep")),
        {"beta": [0.1, 0.5], "loss": ["dpo", "ipo", "kto"]},
        metric="samples/reward",
        kl_limit=4.0,
    )
    tell(found)
    return found


def tell(sweep: Sweep) -> None:
    for taken in sweep.trials.take_all():
        trial, told = taken.trial, TOLD[taken.trial.number % len(TOLD)]
        if told is None:
            trial.set_user_attr(REASON, EVIL)
            trial.study.tell(trial, state=TrialState.FAIL)
            continue
        trial.set_user_attr(OUTCOME, {"metrics": {sweep.metric: told[0], KL: told[1]}})
        trial.study.tell(trial, told[0])


def test_the_front_and_the_run_to_take_are_within_the_limit(sweep: Sweep) -> None:
    data = sweep_data(sweep)
    assert data["front"] == [0, 3]
    assert data["take"] == 3
    assert [run["within"] for run in data["runs"]] == [True] * 4 + [False, True]
    # The best by itself is beyond the limit, so its combination comes after those within.
    order = sweep.combinations()
    assert list(order["mean"].round(1))[:4] == [0.7, 0.6, 0.5, 0.4]
    assert not order["within_limit"][4]
    titles, rows = combinations(sweep)
    assert len(titles) == len(rows[0]) == 5


def test_the_page_holds_its_data_and_nothing_foreign_gets_out_of_it(sweep: Sweep) -> None:
    page = sweep_page(sweep)
    assert EVIL not in page
    assert "\\u003c/script>" in page
    assert "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_the_widget_has_a_still_picture_and_opens_chosen_runs(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = explore_sweep(sweep.folder)
    assert isinstance(view, SweepView)
    assert "data:image/png" in view.html
    opened: list[list[str]] = []

    def answers(folders: list[Path], tell: object) -> widgets.HTML:
        opened.append([folder.name[:3] for folder in folders])
        return widgets.HTML("answers")

    class AtOnce:
        call = staticmethod(lambda command: command())

    monkeypatch.setattr(module, "answers_of", answers)
    monkeypatch.setattr(module.ModelThread, "at_work", lambda: AtOnce)
    view._hear({"compare": [3, 0]})
    assert opened == [["003", "000"]]
    assert view.comparison.children[0].value == "answers"
    with pytest.raises(WorkbenchError, match=r"runs=\[99\] are not in the sweep; accepted: \[0, 1"):
        view.compare([0, 99])


def test_many_values_lie_on_a_scale_and_nothing_begun_draws_as_well(tmp_path: Path) -> None:
    over = {"lr": Range(1e-6, 1e-2), "beta": Range(0.1, 1.0)}
    sweep = Sweep(TrainConfig(out=str(tmp_path / "s")), over, sampler="random", trials=24)
    assert sweep_data(sweep)["take"] is None
    draw_sweep(sweep_data(sweep))
    assert "buildSweep" in sweep_page(sweep)
    tell(sweep)
    data = sweep_data(sweep)
    assert [axis["log"] for axis in data["axes"]] == [True, True, False]
    left, right = draw_sweep(data).axes
    assert len(left.lines) == 20 + 1
    names = [text.get_text() for text in right.get_xticklabels()]
    assert names == ["lr", "beta", "KL", "samples/parsed_reward"]
