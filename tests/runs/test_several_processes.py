"""One run in two processes: its losses, evaluations and checkpoints are those of one process."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from filelock import FileLock
from torch import distributed
from torch.multiprocessing import spawn

from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.models.hub import HubPolicy
from workbench.models.load import Model, save_model
from workbench.runs import prepare
from workbench.runs.folder.record import Record
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EndEvent, EvalEvent, Event, SampleEvent, StepEvent
from workbench.train.reference.values import VALUES_FOLDER

CLOSE = 2e-6  # of a step's loss, in float32; PPO's is a small difference of numbers near 1
# 33 pairs in batches of 8: the last batch of an epoch has one row, so one process has none.
COMMON: dict[str, Any] = {
    "pairs_from": "grammar", "batch_size": 8, "epochs": 2, "held_out": 15, "samples": 4,
    "eval_every": 4, "max_new_tokens": 12, "lr": 3e-4, "warmup": 2, "max_length": 64,
    "precision": "float32", "device": "cpu", "world": ReviewsConfig(pairs=48, topics=4),
}  # fmt: skip
ROLLOUTS = {"method": "ppo", "rollout_size": 12, "batch_size": 4, "max_steps": 8, "epochs": None}
KINDS: dict[str, dict[str, Any]] = {
    "dpo-ddp": {"shard": "ddp"},
    "dpo-fsdp": {"shard": "fsdp"},
    # Two rows a pair: 66 of them leave one for the last batch of five.
    "kto-fsdp": {"loss": "kto", "batch_size": 5, "epochs": 1, "shard": "fsdp"},
    "sorted-ddp": {"loss": "aot", "shard": "ddp"},
    "reward-ddp": {"method": "reward_model", "shard": "ddp"},
    "reward-fsdp": {"method": "reward_model", "epochs": 1, "shard": "fsdp"},
    "lora-fsdp": {"lora": 1, "shard": "fsdp"},  # one process has no part of the first factors
    "passes-ddp": {"reference": "live", "accumulate": 3, "batch_size": 3, "max_tokens": 80},
    "passes-fsdp": {
        "reference": "live", "accumulate": 3, "max_tokens": 80, "recompute": True, "shard": "fsdp",
    },
    "ppo-ddp": {**ROLLOUTS, "shard": "ddp"},
    "ppo-fsdp": {**ROLLOUTS, "shard": "fsdp"},
}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "step": ({"batch_size": 1}, r"2 processes are more than the 1 rows of a step \(batch_size=1"),
    "rows": (
        {"world": ReviewsConfig(pairs=1, topics=4), "held_out": 0},
        "2 processes are more than the 1 pairs to train on",
    ),
    "none": ({"shard": "none"}, r"shard='none' is not accepted with 2 processes"),
    "rollout": (
        {**ROLLOUTS, "method": "grpo", "group_size": 12},
        "2 processes are more than the 1 prompts of a rollout",
    ),
}
# Tied embeddings, adapters and buffers.
HUB: dict[str, dict[str, Any]] = {"hub": {}, "hub-lora": {"lora": 2}}
# much the same ways as the others
FULL = ("dpo-ddp", "reward-ddp", "reward-fsdp", "passes-ddp", "ppo-fsdp", "hub-lora")
STOPPED = 5


def marked(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=[pytest.mark.full] if name in FULL else []) for name in names]


def settings(model: str, out: Path | None, **changes: Any) -> TrainConfig:
    where = None if out is None else str(out)
    return TrainConfig(**{**COMMON, "model": model, "out": where, **changes})


def stop_on_the_way(run: Run) -> None:
    for event in run:
        if isinstance(event, StepEvent) and event.step == STOPPED:
            run.control.stop()


def take_part(rank: int, folder: str, model: str, hub: str, kinds: Sequence[str]) -> None:
    """What each of two processes does."""
    torch.set_num_threads(1)
    os.environ[VALUES_FOLDER] = f"{folder}/values"  # or those of one process would be found
    rendezvous, here = f"file://{folder}/rendezvous", Path(folder)
    distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    for name in [one for one in kinds if one in KINDS]:
        list(Run.create(settings(model, here / name, **KINDS[name])))
    with patch.object(prepare, "open_model", wraps=prepare.open_model) as opened:
        for name in [one for one in kinds if one in HUB]:
            list(Run.create(settings(hub, here / name, shard="fsdp", **HUB[name])))
    asked = [call.kwargs["empty"] for call in opened.mock_calls]
    assert set(asked) == {rank == 1}
    stop_on_the_way(Run.create(settings(model, here / "two-then-one", shard="fsdp")))
    list(Run.resume(here / "one-then-fsdp", shard="fsdp"))
    list(Run.resume(here / "one-then-ddp"))
    found = {}
    for name, (changes, _) in REFUSED.items():
        try:
            Run.create(settings(model, None, **changes))
        except WorkbenchError as error:
            found[name] = str(error)
    (here / f"refused-{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def hub_folder(
    tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Any], trained: Model
) -> Path:
    """A model of `transformers` with the tokenizer of the small one."""
    size, end = trained.tokenizer.vocab_size, trained.tokenizer.eos_id
    model = make_model("Qwen2Config", vocab_size=size, eos_token_id=end, tie_word_embeddings=True)
    policy = HubPolicy(model)
    save_model(
        Model("hub", policy, trained.tokenizer, policy.max_length),
        folder := tmp_path_factory.mktemp("hub") / "qwen2",
    )
    return folder


@pytest.fixture(scope="module")
def folder(
    common_folder: Path, model_folder: Path, hub_folder: Path, request: pytest.FixtureRequest
) -> Path:
    """Where two processes left their runs, and one process some that they went on with."""
    here, full = common_folder / "several", bool(request.config.getoption("--full"))
    with FileLock(common_folder / "several.lock"):
        if not (here / "whole").exists():
            leave_runs(here, model_folder, hub_folder, full)
            (here / "whole").touch()
    return here


def leave_runs(here: Path, model_folder: Path, hub_folder: Path, full: bool) -> None:
    here.mkdir()
    for name in ("one-then-fsdp", "one-then-ddp"):
        run = Run.create(settings(str(model_folder), here / name))
        stop_on_the_way(run)
        assert run.record
        run.record.release()
    kinds = [name for name in (*KINDS, *HUB) if full or name not in FULL]
    spawn(take_part, (str(here), str(model_folder), str(hub_folder), kinds), nprocs=2)


def run_alone(model: Path, **changes: Any) -> list[Event]:
    return list(Run.create(settings(str(model), None, **changes)))


def check_equal(found: Sequence[Event], expected: Sequence[Event]) -> None:
    steps = [[e for e in one if isinstance(e, StepEvent)] for one in (found, expected)]
    for here, there in zip(*steps, strict=True):
        assert here.metrics.keys() == there.metrics.keys()
        for name in ("loss", "grad_norm", "lr"):
            wanted = pytest.approx(there.metrics[name], rel=CLOSE, abs=CLOSE / 4)
            assert here.metrics[name] == wanted, name
    evaluations = [[e for e in one if isinstance(e, EvalEvent)] for one in (found, expected)]
    for here, there in zip(*evaluations, strict=True):
        assert here.metrics.keys() == there.metrics.keys()
        for name, value in there.metrics.items():
            assert here.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-5, nan_ok=True), name
    texts = [[e for e in one if isinstance(e, SampleEvent)] for one in (found, expected)]
    assert texts[0] == texts[1]


@pytest.mark.long
@pytest.mark.parametrize("name", marked(KINDS))
def test_a_run_in_two_processes_is_that_of_one(folder: Path, model_folder: Path, name: str) -> None:
    changes = {key: value for key, value in KINDS[name].items() if key != "shard"}
    expected = run_alone(model_folder, **changes)
    check_equal(Record(folder / name).events(), [e for e in expected if type(e) is not EndEvent])
    last = [event for event in expected if isinstance(event, StepEvent)][-1]
    summary = Record(folder / name).summary()
    assert summary is not None
    assert (summary["steps"], summary["reason"]) == (last.step, "finished")


@pytest.mark.parametrize("name", marked(HUB))
def test_a_model_that_the_main_process_alone_read_is_trained_as_in_one(
    folder: Path, hub_folder: Path, name: str
) -> None:
    expected = run_alone(hub_folder, **HUB[name])
    check_equal(Record(folder / name).events(), [e for e in expected if type(e) is not EndEvent])


def test_the_rows_of_both_are_counted(folder: Path) -> None:
    assert Record(folder / "dpo-fsdp").summary()["pairs"] == 2 * 33  # type: ignore[index]


@pytest.mark.parametrize("name", ["two-then-one", "one-then-fsdp", "one-then-ddp"])
def test_a_run_goes_on_in_another_number_of_processes(
    folder: Path, model_folder: Path, name: str
) -> None:
    if name == "two-then-one":
        newest = folder / name / "checkpoints" / f"step-{STOPPED:06d}"
        shards = sorted(path.name for path in (newest / "policy").iterdir())
        assert len(shards) == 2, "each process wrote its own"
        assert not list(newest.rglob("*.distcp")), "no pickle"
        list(Run.resume(folder / name))
    check_equal(Record(folder / name).events(), run_alone(model_folder))


def test_what_two_processes_wrote_in_shards_is_read_by_one(
    folder: Path, model_folder: Path
) -> None:
    run = load_run(folder / "dpo-fsdp")
    alone = Run.create(settings(str(model_folder), None))
    list(alone)
    for name, weight in alone.policy.state_dict().items():
        found = run.policy.state_dict()[name]
        assert torch.allclose(found, weight, rtol=1e-4, atol=1e-6), name
    assert run.evaluate()["held_out/loss"] == pytest.approx(alone.evaluate()["held_out/loss"])


def test_a_damaged_shard_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder / "dpo-fsdp", copy)
    shard = max(copy.glob("checkpoints/*/policy/*"))
    step = int(shard.parents[1].name.removeprefix("step-"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(WorkbenchError, match=rf"policy/{shard.name} has another SHA-256"):
        load_run(copy, step=step)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shared_is_refused_by_all(folder: Path, name: str) -> None:
    for rank in range(2):
        said = json.loads((folder / f"refused-{rank}.json").read_text())
        assert re.match(REFUSED[name][1], said[name])


def test_a_process_that_cannot_see_the_folder_of_shards_says_so(
    make_recorded: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_recorded()
    run._see_folder()
    assert run.folder
    (run.folder / "config.toml").unlink()
    run._see_folder()  # of whole weights the main process alone writes
    monkeypatch.setattr("workbench.train.distributed.is_sharded", lambda policy: True)
    with pytest.raises(WorkbenchError, match=r"config\.toml of the main process is not there: .*"):
        run._see_folder()
