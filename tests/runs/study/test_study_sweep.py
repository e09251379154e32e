"""A sweep on disk: killed, shared, gone on with; nothing lost, nothing done twice."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.runs.study import trial_run
from workbench.runs.study.axes import Range
from workbench.runs.study.study_sweep import Sweep
from workbench.runs.sweep import start_run
from workbench.train.config import TrainConfig
from workbench.train.loop import NonFiniteLossError

OVER = {"beta": [0.1, 1.0], "loss": ["dpo", "ipo"]}


@pytest.fixture
def config(small: dict[str, Any], tmp_path: Path) -> TrainConfig:
    """Nothing is sampled, to be quick: runs are told apart by their held-out loss."""
    changed = {"max_steps": 4, "samples": 0, "out": str(tmp_path / "sweep")}
    return TrainConfig(**{**small, **changed})


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """The same runs with the same numbers; time and place may differ."""
    apart = ["seconds", "folder"]
    pd.testing.assert_frame_equal(left.drop(columns=apart), right.drop(columns=apart))


@pytest.mark.parametrize(
    ("sampler", "steps"), [("grid", [6]), pytest.param("tpe", [3, 10, 13], marks=pytest.mark.full)]
)
def test_stopped_at_any_step_it_goes_on_and_ends_as_if_it_had_not_been(
    config: TrainConfig, trained: Model, tmp_path: Path, sampler: str, steps: list[int]
) -> None:
    study: dict[str, Any] = {"sampler": sampler, "seeds": 2, "prune": "median", "metric": "loss"}
    study |= {"trials": 2} if sampler != "grid" else {}
    over = {"beta": [0.1, 1.0]}
    whole = Sweep(config, over, trained, **study)
    assert [len(table) for table in whole] == [1, 2, 3, 4]
    table = whole.table()
    assert list(table["seed"]) == ([0, 0, 1, 1] if sampler == "grid" else [0, 1, 0, 1])
    assert sampler != "grid" or list(table["beta"]) == [0.1, 1.0, 0.1, 1.0]
    assert all((Path(folder) / "summary.json").exists() for folder in table["folder"])
    assert list(Sweep.open(whole.folder, trained)) == []
    config = replace(config, out=str(tmp_path / "again"), checkpoint_every=1)
    for step in steps:  # of 16 in all

        def killed(text: str, share: float, limit: float = step / 16) -> None:
            if text.startswith("run ") and share >= limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(Sweep(config, over, trained, killed, **study))
    again = Sweep(config, over, trained, **study)
    list(again)
    same(again.table(), whole.table())


def test_a_run_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    config: TrainConfig, trained: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best run by itself has a combination of which another one failed: it comes last."""

    def start(parts: Any, config: TrainConfig) -> Run:
        if config.beta == 0.1 and config.seed == 1:
            raise NonFiniteLossError("the loss is nan at step 3")
        return start_run(parts, config)

    monkeypatch.setattr(trial_run, "start_run", start)
    config = replace(config, max_steps=1, eval_every=0)
    sweep = Sweep(config, {"beta": [0.1, 1.0]}, trained, seeds=2, metric="loss")
    assert len(list(sweep)) == 4
    table = sweep.table()
    assert list(table["state"]) == ["finished", "finished", "failed", "finished"]
    assert table["reason"][2] == "the loss is nan at step 3"
    assert list(sweep.combinations()["beta"]) == [1.0, 0.1]
    assert sweep.best()["beta"] == 1.0


def test_what_is_drawn_twice_with_one_seed_counts_once(config: TrainConfig, trained: Model) -> None:
    """Its copy says nothing of the spread over seeds: a standard error of 0 would be wrong."""
    config = replace(config, max_steps=1, eval_every=0)
    sweep = Sweep(config, {"beta": [0.1]}, trained, sampler="random", trials=2, metric="loss")
    list(sweep)
    assert list(sweep.table()["state"]) == ["finished", "finished"]
    assert list(sweep.combinations()["runs"]) == [1]
    assert sweep.combinations()["error"].isna().all()


def test_seeds_alone_are_one_combination(config: TrainConfig, trained: Model) -> None:
    config = replace(config, max_steps=1, eval_every=0)
    sweep = Sweep(config, {"seed": [3, 5]}, trained, metric="loss")
    list(sweep)
    assert list(sweep.table()["seed"]) == [3, 5]
    assert list(sweep.combinations()["runs"]) == [2]
    assert sweep.best() is not None


def test_what_falls_behind_is_stopped_as_an_ordinary_run(
    config: TrainConfig, trained: Model
) -> None:
    """Optuna's median pruner looks at the sixth run first, whose held-out loss rises at once."""
    config = replace(config, eval_every=2, warmup=0)
    over = {"lr": [1e-7, 2e-7, 3e-7, 4e-7, 5e-7, 5e-3]}
    sweep = Sweep(config, over, trained, metric="loss", prune="median")
    list(sweep)
    last = sweep.table().iloc[-1]
    assert (last["state"], last["step"]) == ("pruned", 2)
    assert Record(Path(last["folder"])).ended() == "stopped"
    assert Run.resume(last["folder"], base=copy.deepcopy(trained)).step == 2


def test_two_processes_share_the_runs(config: TrainConfig, trained: Model) -> None:
    """The other one is a second `Sweep`, which takes a run while the first is on its way."""
    first, second = (Sweep(config, OVER, trained) for _ in range(2))
    taken = [one.trials.take() for one in (first, second, first, second)]
    assert [one and one.trial.number for one in taken] == [0, 1, 2, 3]
    assert second.trials.take() is None
    assert taken[1] is not None
    taken[1].lock.release()  # as of a process that was killed
    again = first.trials.take()
    assert again is not None
    assert again.trial.number == 1
    assert again.trial.params == taken[1].trial.params


def test_kl_is_a_second_goal_and_a_limit(config: TrainConfig, trained: Model) -> None:
    config = replace(config, max_steps=1, eval_every=0, samples=2, max_new_tokens=4)
    study: dict[str, Any] = {"metric": "rewards/margins", "pareto": True, "sampler": "tpe"}
    sweep = Sweep(config, {"lr": Range(1e-4, 1e-2)}, trained, trials=2, kl_limit=1e3, **study)
    list(sweep)
    table = sweep.table()
    for trial, row in zip(sweep.trials.trials(), table.to_dict("records"), strict=True):
        assert trial.values == [row["rewards/margins"], row["kl/policy_reference"]]
        assert trial.constraints == {"kl": row["kl/policy_reference"] - 1e3}
    assert sorted(sweep.front()) == sorted(one.number for one in sweep.trials.study.best_trials)
