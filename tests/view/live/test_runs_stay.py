"""Runs that stay: every Start is a folder, a curve and a row, until a person deletes it."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import read_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.view.compare.several.comparison import ComparisonTable
from workbench.view.live.dashboard import Dashboard, dashboard

PATIENCE = 20
STEPS: dict[str, Any] = {"epochs": 1, "samples": 2, "eval_every": 0}


class Board:
    """A dashboard over real runs of a very small model, all kept in `runs`."""

    def __init__(self, small: dict[str, Any], base: Path, **arguments: Any) -> None:
        def make_run(config: TrainConfig, progress: Any) -> Run:
            run = Run.create(config, progress)
            self.policies.append(weakref.ref(run.policy))
            return run

        self.policies: list[Any] = []
        if "run" not in arguments:
            arguments["config"] = TrainConfig(**small | STEPS | {"model": str(base)})
        made = dashboard(make_run=make_run, **arguments)
        assert isinstance(made, Dashboard)
        self.board, self.inputs, self.out = made, made._inputs, made._outputs
        self.table = made._actions.table

    def start(self) -> None:
        """Train a run to its end."""
        self.inputs.buttons["Start"].click()
        assert self.board.join(PATIENCE)
        self.until(lambda: not self.inputs.buttons["Start"].disabled)

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, (self.out.status.value, self.table.rows)
            time.sleep(0.005)

    def does(self, action: str, **values: Any) -> None:
        """What the browser sends when a button of the table is pressed."""
        self.table._hear(self.table, {"action": action, **values}, [])

    def column(self, key: str) -> list[Any]:
        return [row[key] for row in self.table.rows]

    @property
    def drawn(self) -> list[str]:
        return list(self.board._outputs.curves._shown().runs)


@pytest.fixture
def make(small: dict[str, Any], model_folder: Path) -> Callable[..., Board]:
    return lambda **arguments: Board(small, model_folder, **arguments)


def folders() -> list[str]:
    return sorted(path.name for path in Path("runs").iterdir())


def test_a_second_start_keeps_the_first(make: Callable[..., Board]) -> None:
    board = make()
    board.start()
    board.inputs.lr.value = 2e-3
    board.start()
    first, second = folders()
    assert board.drawn == [first, second]
    assert board.column("name") == [second, first]  # newest first
    assert board.column("state") == ["finished", "finished"]
    assert board.column("settings") == ["lr 0.002", "lr 0.001"]
    assert len(set(board.column("colour")) - {""}) == 2
    assert all(row["accuracy"] and row["kl"] and row["reward"] for row in board.table.rows)
    assert [read_run(Path("runs") / name).state for name in (first, second)] == ["finished"] * 2


def test_models_of_earlier_runs_are_released(make: Callable[..., Board]) -> None:
    board = make()
    for _ in range(3):
        board.start()
    gc.collect()
    assert [policy() is not None for policy in board.policies] == [False, False, True]
    assert len(board.drawn) == 3


def test_keep_false_leaves_nothing(make: Callable[..., Board]) -> None:
    board = make(keep=False)
    board.start()
    board.start()
    assert board.column("name") == ["run 2", "run"]
    assert not Path("runs").exists()


def test_hidden_shown_renamed_and_deleted(make: Callable[..., Board]) -> None:
    board = make()
    board.start()
    board.start()
    first, second = folders()
    board.does("show", name=first, shown=False)
    assert board.drawn == [second]
    board.does("show", name=first, shown=True)
    assert board.drawn == [first, second]
    board.does("rename", name=first, to=second)
    assert "is taken" in board.table.refusals[first]
    board.does("rename", name=first, to="mine")
    assert (board.table.refusals, folders()) == ({}, [second, "mine"])
    assert sorted(board.drawn) == [second, "mine"]
    board.does("rename", name=second, to="newest")  # of which the worker holds the model
    board.does("delete", name="newest")
    assert folders() == board.column("name") == board.drawn == ["mine"]
    gc.collect()
    assert [policy() for policy in board.policies] == [None, None]


def test_runs_of_earlier_days_are_found_and_laid_beside(make: Callable[..., Board]) -> None:
    make().start()
    (name,) = folders()
    broken = Path("runs") / "broken"
    broken.mkdir()
    (broken / "config.toml").write_text("beta = [")
    board = make()
    assert board.drawn == []
    problems = {row["name"]: row["problem"] for row in board.table.rows}
    assert problems[name] == ""
    assert "is not a run's config" in problems["broken"]
    board.does("show", name=name, shown=True)
    assert board.drawn == [name]
    board.start()
    assert board.drawn == [name, *(one for one in folders() if one not in (name, "broken"))]


def test_opened_again_goes_on_and_branches(make: Callable[..., Board]) -> None:
    board = make()
    for _ in range(2):
        board.inputs.buttons["Step"].click()
    board.until(lambda: 'data-step="2"' in board.out.status.value)
    board.does("delete", name=folders()[0])
    assert "still being trained" in board.table.refusals[folders()[0]]
    board.inputs.buttons["Stop"].click()
    assert board.board.join(PATIENCE)
    (name,) = folders()
    again = make(run=Path("runs") / name)
    assert again.drawn == [name]
    assert "stopped · step 2 of 5 · opened again" in again.out.status.value
    again.inputs.prompt.value = "what did you think of the hotel?"
    again.inputs.buttons["Generate"].click()
    again.until(lambda: "policy · step 2" in again.out.answer.value)
    again.does("branch", name=name)
    assert again.board.join(PATIENCE)
    assert read_run(Path("runs") / f"{name}-branch-1").step == 5
    assert read_run(Path("runs") / name).state == "stopped"
    again.does("go_on", name=name)
    assert again.board.join(PATIENCE)
    assert read_run(Path("runs") / name).state == "finished"
    assert again.drawn == [name, f"{name}-branch-1"]


def test_a_folder_without_a_run_is_refused(make: Callable[..., Board]) -> None:
    with pytest.raises(WorkbenchError, match="holds no run"):
        make(run="runs/nothing")


def test_answers_of_two_runs_open_below_the_table(make: Callable[..., Board]) -> None:
    board = make()
    board.start()
    board.start()
    board.does("compare", names=folders())
    place = board.board._actions.comparison
    board.until(lambda: len(getattr(place.children[0], "children", ())) == 2)
    table, asking = place.children[0].children
    assert "wb-asking" in asking._dom_classes
    answered = next(part for part in table.children if isinstance(part, ComparisonTable))
    assert set(folders()) < set(answered.data["names"])


def test_the_fields_show_the_values_of_the_run_that_is_chosen(make: Callable[..., Board]) -> None:
    board = make()
    board.inputs.buttons["Step"].click()
    board.until(lambda: 'data-step="1"' in board.out.status.value)
    board.inputs.buttons["Branch"].click()
    board.until(lambda: len(board.inputs.runs.options) == 3)
    first, branch, _ = board.inputs.runs.options
    before = board.inputs.lr.value
    board.inputs.lr.value = 2 * before  # of the branch, which is chosen
    worker = board.board.worker
    assert worker is not None
    board.until(lambda: worker.run_states[branch].wanted)
    board.inputs.runs.value = first
    assert board.inputs.lr.value == before
    board.inputs.runs.value = branch
    assert board.inputs.lr.value == 2 * before
    board.inputs.buttons["Stop"].click()


def test_accuracy_is_left_out_where_all_pairs_are_ties(make: Callable[..., Board]) -> None:
    board = make()
    board.inputs.buttons["Step"].click()
    board.until(lambda: [row["kl"] for row in board.table.rows] == ["0.00"])
    assert board.column("accuracy") == [""]
    board.until(lambda: 'data-step="1"' in board.out.status.value)
    board.inputs.buttons["Stop"].click()
    assert board.board.join(PATIENCE)


def test_outputs_that_are_still_empty_are_of_no_run(make: Callable[..., Board]) -> None:
    board = make()
    seen = []

    def name(run: Any) -> str:
        seen.append(later.value)
        return run.folder.name

    output = board.board.when_done(name)
    later = board.board.when_done(lambda run: "made")
    board.inputs.buttons["Step"].click()
    outputs = (output, later, board.out.answer, board.out.samples)
    assert not any("wb-earlier" in each._dom_classes for each in outputs)
    assert "when the run ends" in output.value
    board.until(lambda: 'data-step="1"' in board.out.status.value)
    board.inputs.buttons["Stop"].click()
    assert board.board.join(PATIENCE)
    board.until(lambda: later.value == "made")
    assert seen == ["<i>The run has ended; this is being computed.</i>"]


def test_outputs_say_that_they_are_of_an_earlier_run(make: Callable[..., Board]) -> None:
    board = make()
    output = board.board.when_done(lambda run: run.folder.name)
    board.start()
    assert "wb-earlier" not in output._dom_classes
    board.inputs.buttons["Step"].click()
    assert "wb-earlier" in output._dom_classes
    assert output.value == folders()[0]
    board.until(lambda: 'data-step="1"' in board.out.status.value)
    board.inputs.buttons["Stop"].click()
    assert board.board.join(PATIENCE)
    board.until(lambda: output.value == folders()[1])
    assert "wb-earlier" not in output._dom_classes
