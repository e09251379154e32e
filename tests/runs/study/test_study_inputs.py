"""What a sweep refuses: at once, in one line, with nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.study.axes import Range, read_axes
from workbench.runs.study.study_sweep import FILE, Sweep
from workbench.train.config import TrainConfig

BETAS = {"beta": [0.1, 1.0]}


@pytest.fixture
def config(small: dict[str, Any], tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        **{**small, "max_steps": 1, "samples": 2, "eval_every": 0, "out": str(tmp_path / "sweep")}
    )


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ([], "nothing is swept"),
        (["beta"], "SETTING=VALUE"),
        (["bta=0.1"], "'bta' can't be swept; near it: beta"),
        (["x=0.1"], "'x' can't be swept; accepted: model, data"),
        (["out=a,b"], "'out' can't be swept"),
        (["beta="], "over beta='' is not accepted: a number"),
        (["beta=0.1,,1"], "over beta='' is not accepted: a number"),
        (["beta=0.1,much"], "over beta='much' is not accepted: a number"),
        (["epochs=1.5"], "over epochs='1.5' is not accepted: a whole number"),
        (["bucket=maybe"], "over bucket='maybe' is not accepted: true or false"),
        (["beta=0.1,0.1"], "holds a value twice"),
        (["beta=0.1", "beta=0.2"], "over names beta twice"),
        (["beta=1..0.1"], "the smaller number first"),
        (["lr=1e-6.."], "over lr='' is not accepted: a number"),
    ],
)
def test_what_the_command_line_says_is_read_or_refused(texts: list[str], named: str) -> None:
    with pytest.raises(WorkbenchError) as refused:
        read_axes(texts)
    assert named in str(refused.value)


def test_values_are_read_by_the_type_of_their_setting() -> None:
    found = read_axes(["beta=0.1,1", "loss=dpo,0.8*dpo+0.2*nll", "lr=1e-6..1e-4", "bucket=true"])
    assert found == {
        "beta": (0.1, 1.0),
        "loss": ("dpo", "0.8*dpo+0.2*nll"),
        "lr": Range(1e-6, 1e-4),
        "bucket": (True,),
    }
    assert read_axes(["beta = 0.1 , 1"]) == {"beta": (0.1, 1.0)}
    assert read_axes(["world-seed=1,2"]) == {"world_seed": (1, 2)}
    assert [type(value) for value in read_axes(["epochs=1,2"])["epochs"]] == [int, int]


@pytest.mark.parametrize(
    ("over", "study", "named"),
    [
        (BETAS, {"seds": 2}, "'seds' is unknown; accepted: sampler, trials, seeds"),
        ({"beta": 0.1}, {}, "a list of values"),
        ({"kl_target": [None]}, {}, "over kl_target=None is not accepted"),
        ({"beta": [0.1, -1.0]}, {}, "beta=-1.0 is not accepted"),
        ({"loss": ["dpo", "dop"]}, {}, "loss='dop' is unknown"),
        ({"lr": Range(1e-9, 1e-4)}, {"sampler": "random"}, "lr=1e-09 is not accepted"),
        ({"lr": Range(1e-6, 1e-4)}, {}, "sampler=random or tpe draws from one"),
        ({"loss": Range(0, 1)}, {"sampler": "tpe"}, "loss is no number"),
        (BETAS, {"trials": 3}, "trials is for sampler=random or tpe"),
        (BETAS, {"seeds": 0}, "seeds=0 is not accepted"),
        ({"seed": [1, 2]}, {"seeds": 2}, "seed is swept by"),
        (BETAS, {"metric": "held_out/samples/length"}, "has no direction of its own"),
        (BETAS, {"direction": "up"}, "direction='up' is unknown"),
        (BETAS, {"kl_limit": -1.0}, "kl_limit=-1.0 is not accepted"),
        (BETAS, {"pareto": True, "prune": "median"}, "accepted: one of the two"),
        ({"seed": list(range(10_001))}, {}, "up to 10,000"),
        ({"seed": [-1]}, {}, "seed=-1 is not accepted"),
        ({"beta": [1, 1.0]}, {}, "over beta=[1, 1.0] holds a value twice"),
        (["beta"], {}, "over=['beta'] is not accepted: settings with their values"),
    ],
)
def test_a_mistake_stops_before_anything_is_written(
    config: TrainConfig, over: dict[str, Any], study: dict[str, Any], named: str
) -> None:
    with pytest.raises(WorkbenchError) as refused:
        Sweep(config, over, **study)
    assert named in str(refused.value)
    assert not Path(str(config.out)).exists()


def test_a_folder_with_another_sweep_or_a_run_is_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    Sweep(config, BETAS)
    before = (tmp_path / "sweep" / FILE).read_bytes()
    for over, study, named in (
        ({"beta": [0.1, 2.0]}, {}, r"beta is \[0.1, 1.0\] there and \[0.1, 2.0\] here"),
        (BETAS, {"seeds": 2}, r"seed is \[0\] there and \[0, 1\] here"),
        (BETAS, {"metric": "loss"}, "metric is None there and 'loss' here"),
    ):
        with pytest.raises(WorkbenchError, match=named):
            Sweep(config, over, **study)
    with pytest.raises(WorkbenchError, match=r"lr is 0\.001 there and 0\.01 here"):
        Sweep(TrainConfig(**{**vars(config), "lr": 0.01}), BETAS)
    assert (tmp_path / "sweep" / FILE).read_bytes() == before
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").touch()
    with pytest.raises(WorkbenchError, match="already holds a run"):
        Sweep(TrainConfig(out=str(tmp_path / "run")), BETAS)
    with pytest.raises(WorkbenchError, match="holds no sweep"):
        Sweep.open(tmp_path / "run")


def test_a_random_sweep_may_be_given_more_trials(config: TrainConfig) -> None:
    Sweep(config, BETAS, sampler="random", trials=2)
    assert Sweep(config, BETAS, sampler="random", trials=5).plan.total == 5
    assert Sweep.open(str(config.out)).plan.total == 5
    with pytest.raises(WorkbenchError, match="trials is 5 there and 2 here"):
        Sweep(config, BETAS, sampler="random", trials=2)


def test_a_damaged_journal_is_named_and_a_half_line_is_dropped(
    config: TrainConfig, trained: Model
) -> None:
    sweep = Sweep(config, BETAS, trained)
    list(sweep)
    before, journal = sweep.table(), sweep.folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":6,"wor')  # of a process killed while it wrote
    assert len(Sweep(config, BETAS, trained).table()) == 2
    assert journal.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    for bad in (b"\0\0\0\n", b"[]\n", b'{"op_code": 99}\n'):
        journal.write_bytes(b"".join([*lines[:3], bad, *lines[3:]]))
        with pytest.raises(WorkbenchError, match=r"journal\.jsonl is damaged.*remove it"):
            Sweep(config, BETAS, trained)
    journal.unlink()  # as the message says; what has finished is not trained again
    steps: list[str] = []
    again = Sweep(config, BETAS, trained, lambda text, share: steps.append(text))
    list(again)
    assert steps == []
    pd.testing.assert_frame_equal(again.table(), before)
    (sweep.folder / FILE).write_text("beta = 1\n")
    with pytest.raises(WorkbenchError, match="not as it was written"):
        Sweep(config, BETAS, trained)


def test_a_metric_that_no_run_has_ends_it_before_the_first_step_and_leaves_nothing(
    config: TrainConfig, trained: Model
) -> None:
    study = {"metric": "held_out/samples/rewrd", "direction": "maximize"}
    with pytest.raises(WorkbenchError, match=r"samples/rewrd is not measured.*samples/reward"):
        list(Sweep(config, BETAS, trained, **study))
    assert not Path(str(config.out)).exists()
    list(Sweep(config, BETAS, trained))


def test_what_some_runs_lack_is_their_reason(config: TrainConfig, trained: Model) -> None:
    study = {"metric": "rewards/accuracies"}
    sweep = Sweep(config, {"loss": ["sft", "dpo"]}, trained, **study)
    list(sweep)
    table = sweep.table().set_index("loss")
    assert table["state"].to_dict() == {"sft": "failed", "dpo": "finished"}
    assert "rewards/accuracies is not measured" in table.loc["sft", "reason"]
    assert table.loc["sft", "step"] == 0
    assert json.dumps(sweep.best()["folder"]).endswith('loss=dpo,seed=0"')


def test_data_that_no_run_can_have_ends_it_and_leaves_nothing(
    config: TrainConfig, trained: Model
) -> None:
    missing = TrainConfig(**{**vars(config), "data": "missing.jsonl"})
    with pytest.raises(WorkbenchError, match=r"missing\.jsonl"):
        list(Sweep(missing, BETAS, trained))
    assert not Path(str(config.out)).exists()


def test_pruning_needs_evaluations_on_the_way(config: TrainConfig) -> None:
    blind = TrainConfig(**{**vars(config), "eval_every": 0})
    with pytest.raises(WorkbenchError, match="prune='median' needs eval_every"):
        Sweep(blind, BETAS, prune="median")
