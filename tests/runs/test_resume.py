"""A run that was killed, stopped or branched goes on as if nothing had been, bit for bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash, save_model
from workbench.models.lora import lora_state
from workbench.runs.folder.record import Record
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.events import (
    ChangeEvent,
    CheckpointEvent,
    EndEvent,
    EvalEvent,
    Event,
    StepEvent,
)

MakeRun = Callable[..., Run]
ToStep = Callable[[Run, int], list[Event]]
ROLLOUTS = {
    "rollout_size": 32, "batch_size": 16, "max_steps": 7, "checkpoint_every": 1, "held_out": 5,
    "eval_every": 0,
}  # fmt: skip
OF_TIME = {"pairs_per_second", "seconds", "peak_memory_bytes", "sha256"}  # over the others


def timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in OF_TIME}


def told(folder: Path) -> list[dict[str, Any]]:
    """The events on disk, without what depends on the clock."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [{**e, "metrics": timeless(e["metrics"])} if "metrics" in e else e for e in events]


def weights(folder: Path) -> dict[str, bytes]:
    newest = Record(folder).checkpoints()[-1]
    return {
        name: value.numpy().tobytes()
        for name, value in load_file(newest / "policy.safetensors").items()
    }


def summary(folder: Path) -> dict[str, Any]:
    return timeless(json.loads((folder / "summary.json").read_text()))


def assert_same(one: Path, other: Path) -> None:
    assert weights(one) == weights(other)
    assert told(one) == told(other)
    assert summary(one) == summary(other)


def folder_of(run: Run) -> Path:
    assert run.folder is not None
    return run.folder


def start(make: MakeRun, name: str, **settings: Any) -> Run:
    return make(name, **{"checkpoint_every": 3, "max_steps": 11, **settings})


def change_beta_at_2(run: Run, to_step: ToStep) -> None:
    to_step(run, 2)
    run.control.set(beta=0.7, lr=2e-3)


@pytest.fixture
def whole(make_recorded: MakeRun, to_step: ToStep) -> Path:
    """A run whose beta and rate are changed at step 2, and that nobody interrupts."""
    run = start(make_recorded, "whole")
    change_beta_at_2(run, to_step)
    list(run)
    return folder_of(run)


def killed(make: MakeRun, to_step: ToStep, step: int) -> Path:
    """The same, forgotten after this step; checkpoints come at 3, 6 and 9."""
    run = start(make, "killed")
    change_beta_at_2(run, to_step)
    to_step(run, step)
    return folder_of(run)


@pytest.mark.parametrize("step", [3, 7, 9, 10])
def test_a_killed_run_ends_like_the_whole_one(
    whole: Path, make_recorded: MakeRun, to_step: ToStep, step: int
) -> None:
    folder = killed(make_recorded, to_step, step)
    run = Run.resume(folder)
    assert run.step == {3: 0, 7: 6, 9: 6, 10: 9}[step]  # at 3 and 9 it is about to be kept
    if run.step == 0:  # all begins again, and the change is to be made again
        change_beta_at_2(run, to_step)
    assert run.settings.beta == (0.7 if run.step > 2 else 0.1)
    list(run)
    assert_same(folder, whole)


@pytest.mark.parametrize("cut", [1, 40, 100_000])
def test_a_line_cut_short_is_written_again(
    whole: Path, make_recorded: MakeRun, to_step: ToStep, cut: int
) -> None:
    folder = killed(make_recorded, to_step, 7)
    events = folder / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    events.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) - min(cut, 200)])
    list(Run.resume(folder))
    assert_same(folder, whole)


def test_what_comes_after_the_checkpoint_is_taken_back(
    whole: Path, make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "killed")
    change_beta_at_2(run, to_step)
    to_step(run, 6)
    while not isinstance(next(run), CheckpointEvent):
        pass
    run.control.set(beta=5.0)  # told at step 6 as the checkpoint is, but not in it
    assert next(run) == ChangeEvent(6, "beta", 5.0)
    to_step(run, 8)
    folder = folder_of(run)
    resumed = Run.resume(folder)
    assert resumed.settings.beta == 0.7
    assert resumed.events[-1] == CheckpointEvent(6, "step-000006")
    list(resumed)
    assert_same(folder, whole)


def test_a_kill_between_checkpoint_and_its_event_loses_nothing(
    whole: Path, make_recorded: MakeRun, to_step: ToStep
) -> None:
    folder = killed(make_recorded, to_step, 6)
    run_events = folder / "events.jsonl"
    run = Run.resume(folder)
    to_step(run, 6)
    run._checkpoint(keep_optimizer=True)  # on disk, and nobody heard of it
    assert '"step-000006"' not in run_events.read_text()
    list(Run.resume(folder))
    assert_same(folder, whole)


def test_a_kill_within_the_end_leaves_it_to_be_done_again(
    whole: Path, make_recorded: MakeRun, to_step: ToStep
) -> None:
    folder = killed(make_recorded, to_step, 10)
    run = Run.resume(folder)
    while not (isinstance(event := next(run), CheckpointEvent) and event.step == 11):
        pass
    assert not (folder / "summary.json").exists()
    list(Run.resume(folder))
    assert_same(folder, whole)


def test_half_a_checkpoint_is_none(whole: Path, make_recorded: MakeRun, to_step: ToStep) -> None:
    folder = killed(make_recorded, to_step, 7)
    half = folder / "checkpoints" / ".step-000009.0123.tmp"
    half.mkdir()
    (half / "policy.safetensors").write_bytes(b"half")
    list(Run.resume(folder))
    assert not half.exists()
    assert_same(folder, whole)


@pytest.mark.parametrize("step", [0, 5, 6])
def test_a_stopped_run_goes_on(
    make_recorded: MakeRun, to_step: ToStep, whole: Path, step: int
) -> None:
    run = start(make_recorded, "stopped")
    change_beta_at_2(run, to_step) if step else None
    to_step(run, step)
    run.control.stop()
    *_, end = run
    folder = folder_of(run)
    assert end == EndEvent(step, "stopped")
    assert summary(folder)["reason"] == "stopped"
    assert summary(folder)["steps"] == step
    resumed = Run.resume(folder)
    assert resumed.step == step
    assert not (folder / "summary.json").exists(), "it has not ended any more"
    if not step:
        change_beta_at_2(resumed, to_step)
    list(resumed)
    assert weights(folder) == weights(whole)
    assert sum(event["event"] == "end" for event in told(folder)) == 1
    steps = [event for event in told(folder) if event["event"] == "step"]
    assert steps == [event for event in told(whole) if event["event"] == "step"]


def test_a_finished_run_is_left_alone(whole: Path) -> None:
    with pytest.raises(WorkbenchError, match="has finished"):
        Run.resume(whole)


def test_the_newest_two_checkpoints_can_be_gone_on_from(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "run")
    to_step(run, 10)
    for name in ("optimizer.safetensors", "events.jsonl"):
        kept = sorted(p.parent.name for p in folder_of(run).glob(f"checkpoints/*/{name}"))
        assert kept == ["step-000006", "step-000009"]
    list(run)
    assert not list(folder_of(run).glob("checkpoints/*/optimizer*"))
    names = [path.name for path in Record(folder_of(run)).checkpoints()]
    assert names == ["step-000003", "step-000006", "step-000009", "step-000011"]


def test_checkpoints_are_in_order_beyond_a_million_steps(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000, 12):
        (tmp_path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    names = [path.name for path in Record(tmp_path).checkpoints()]
    assert names == ["step-000012", "step-999999", "step-1000000"]


def test_other_weights_are_refused(
    make_recorded: MakeRun, to_step: ToStep, base: Model, tmp_path: Path
) -> None:
    save_model(base, tmp_path / "model")
    run = start(make_recorded, "run", model=str(tmp_path / "model"))
    to_step(run, 4)
    base.policy.norm.weight.data[0] += 1e-3  # type: ignore[union-attr,operator]
    save_model(base, tmp_path / "model")
    with pytest.raises(WorkbenchError, match="reference_hash"):
        Run.resume(folder_of(run))
    with pytest.raises(WorkbenchError, match="reference_hash"):
        load_run(folder_of(run))


def test_other_pairs_are_refused(make_recorded: MakeRun, to_step: ToStep, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    rows = [
        {"prompt": f"review of the {topic}", "chosen": "it was good", "rejected": "it was bad"}
        for topic in ("film", "book", "hotel", "game")
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    run = start(make_recorded, "run", data=str(data), held_out=1)
    to_step(run, 4)
    rows[2]["chosen"] = "it was not bad"
    data.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(WorkbenchError, match="data_hash"):
        Run.resume(folder_of(run))


def test_a_run_may_be_moved(whole: Path, make_recorded: MakeRun, to_step: ToStep) -> None:
    folder = killed(make_recorded, to_step, 7)
    moved = folder.rename(folder.with_name("moved"))
    run = Run.resume(moved)
    assert run.config.out == str(moved)
    list(run)
    assert_same(moved, whole)
    assert not folder.exists()


# -- a real kill ------------------------------------------------------------------------------


def flags(settings: dict[str, Any]) -> list[str]:
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def test_sigkill_and_resume(model_folder: Path, tmp_path: Path, small: dict[str, Any]) -> None:
    settings = {
        "model": model_folder, "pairs": 48, "topics": 4, "batch-size": 8, "held-out": 12,
        "samples": 2, "eval-every": 10, "max-new-tokens": 8, "lr": 1e-3, "checkpoint-every": 2,
        "max-steps": 60, "pairs-from": "grammar",
    }  # fmt: skip
    command = [sys.executable, "-m", "workbench", "train"]
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [*command, *flags({**settings, "out": folder})], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not (folder / "checkpoints" / "step-000004").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "summary.json").exists()
    from workbench.__main__ import main

    assert main(["train", "--resume", str(folder)]) == 0
    assert main(["train", *flags({**settings, "out": whole})]) == 0
    assert_same(folder, whole)


# -- branches ---------------------------------------------------------------------------------


def test_a_branch_goes_its_own_way_and_leaves_the_run_as_it_was(
    whole: Path, make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "run")
    change_beta_at_2(run, to_step)
    to_step(run, 5)
    before = list(run.events)
    branch = run.branch("higher beta")
    assert branch.name == "higher beta"
    assert folder_of(branch) == folder_of(run).with_name("run-higher-beta")
    branch.control.set(beta=3.0)
    turn = [run, branch]
    while not (run.finished and branch.finished):  # a step of one, a step of the other
        for one in turn:
            next(one, None)
    assert_same(folder_of(run), whole)
    assert weights(folder_of(branch)) != weights(whole)
    assert branch.events[: len(before)] == before
    assert ChangeEvent(5, "beta", 3.0) in branch.events
    assert ChangeEvent(5, "beta", 3.0) not in run.events


def test_a_branch_left_alone_does_what_the_run_does(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "run")
    change_beta_at_2(run, to_step)
    to_step(run, 5)
    branch = run.branch("twin")
    list(branch)
    list(run)
    assert weights(folder_of(run)) == weights(folder_of(branch))
    assert model_hash(run.policy) == model_hash(branch.policy)
    assert summary(folder_of(run)) == summary(folder_of(branch))


def test_a_killed_branch_goes_on_from_where_it_set_out(
    whole: Path, make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "run")
    change_beta_at_2(run, to_step)
    to_step(run, 5)
    folder = folder_of(run.branch("a/b"))
    assert folder.name == "run-a-b"
    resumed = Run.resume(folder)
    assert resumed.step == 5
    assert resumed.settings.beta == 0.7
    assert [e.step for e in resumed.events if isinstance(e, StepEvent)] == [1, 2, 3, 4, 5]
    list(resumed)
    assert weights(folder) == weights(whole)


def test_a_branch_with_a_name_that_is_taken_is_refused(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = start(make_recorded, "run")
    to_step(run, 1)
    run.branch("one")
    with pytest.raises(WorkbenchError, match="already holds a run"):
        run.branch("one")


def test_a_branch_of_a_run_in_memory_is_in_memory(make_run: MakeRun, to_step: ToStep) -> None:
    run = make_run()
    to_step(run, 2)
    branch = run.branch("other")
    assert branch.folder is None
    list(branch)
    assert run.step == 2


# -- adapters ---------------------------------------------------------------------------------


def test_adapters_alone_are_trained_kept_and_resumed(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    pytest.importorskip("peft")
    run = start(make_recorded, "whole", lora=2)
    frozen = {n: p.detach().clone() for n, p in run.policy.named_parameters() if "lora" not in n}
    list(run)
    whole = folder_of(run)
    for name, value in run.policy.named_parameters():
        assert "lora" in name or value.equal(frozen[name])
    assert weights(whole).keys() == lora_state(run.policy).keys()
    evaluations = [e.metrics for e in run.events if isinstance(e, EvalEvent)]
    assert evaluations[0]["held_out/rewards/ties"] == 1.0
    assert evaluations[-1]["held_out/logratios/chosen"] != 0.0

    other = start(make_recorded, "killed", lora=2)
    to_step(other, 7)
    list(Run.resume(folder_of(other)))
    assert_same(folder_of(other), whole)
    loaded = load_run(whole)
    assert loaded.evaluate() == evaluations[-1]

    branched = start(make_recorded, "branched", lora=2)
    to_step(branched, 4)
    branch = branched.branch("twin")
    list(branch)
    assert weights(folder_of(branch)) == weights(whole)


# -- every method -----------------------------------------------------------------------------

BY_METHOD: dict[str, dict[str, Any]] = {
    "dpo": {"loss": "dpo"},
    "simpo": {"loss": "simpo"},
    "kto": {"method": "kto"},
    "sft": {"method": "sft"},
    "reward_model": {"method": "reward_model"},
}
CHANGES: dict[str, dict[str, Any]] = {
    "dpo": {"loss": "ipo", "beta": 0.7},
    "simpo": {"gamma": 0.3},
    "kto": {"undesirable_weight": 3.0},
    "sft": {"lr": 3e-3},
    "reward_model": {"lr": 3e-3},
}


@pytest.mark.parametrize("name", BY_METHOD)
def test_a_run_of_every_method_goes_on_bit_for_bit(
    make_recorded: MakeRun, to_step: ToStep, name: str
) -> None:
    """Changed at step 2, forgotten after step 7, branched at step 5."""
    settings = {**BY_METHOD[name], "max_tokens": 160, "accumulate": 2, "lr": 1e-2}
    whole = start(make_recorded, "whole", **settings)
    to_step(whole, 2)
    whole.control.set(**CHANGES[name])
    list(whole)
    expected = folder_of(whole)
    assert CHANGES[name].items() <= summary(expected)["settings"].items()

    run = start(make_recorded, "killed", **settings)
    to_step(run, 2)
    run.control.set(**CHANGES[name])
    to_step(run, 5)
    branch = run.branch("twin")
    to_step(run, 7)
    resumed = Run.resume(folder_of(run))
    assert resumed.step == 6
    list(resumed)
    assert_same(folder_of(run), expected)

    to_step(branch, 7)
    list(Run.resume(folder_of(branch)))
    assert weights(folder_of(branch)) == weights(expected)
    assert summary(folder_of(branch)) == summary(expected)
    changed = start(make_recorded, "unchanged", **settings)
    list(changed)
    assert weights(folder_of(changed)) != weights(expected), "the change has an effect"


# -- a source with a state --------------------------------------------------------------------

# Used by this test's own process and by the one that is killed.
STREAM = '''
from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch

import workbench.runs.run as module
from workbench.train.method import Method


@dataclass
class Stream:
    """Rows drawn at random, without end: what comes next depends on a state, not on a counter."""

    method: Method[Any]
    items: list[Any]
    pad_id: int
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(11))

    def __len__(self) -> int:
        return 4

    def next(self, policy: Any) -> list[Any]:
        passes = int(torch.randint(1, 3, (), generator=self.generator))
        drawn = torch.randint(len(self.items), (passes, 5), generator=self.generator).tolist()
        return [
            self.method.collate([self.items[i] for i in rows], self.pad_id, "packed", rows)
            for rows in drawn
        ]

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state().tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(torch.tensor(state["generator"], dtype=torch.uint8))

    def fork(self) -> Stream:
        other = replace(self, generator=torch.Generator())
        other.load_state_dict(self.state_dict())
        return other


unchanged = module.prepare


def prepare(*args: Any, **more: Any) -> Any:
    parts = unchanged(*args, **more)
    source = Stream(parts.method, parts.data.train, parts.model.tokenizer.pad_id)
    return replace(parts, batches=source)
'''
KILLED = (
    STREAM
    + '''
import json
import os
import signal
import sys

from workbench.data.reviews.config import ReviewsConfig
from workbench.runs.run import Run
from workbench.train.config import TrainConfig


class Killed(Stream):
    """Killed when it is asked for the ninth batch, two steps after the checkpoint at 6."""

    drawn = 0

    def next(self, policy):
        self.drawn += 1
        if self.drawn == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().next(policy)

    def fork(self):
        return self


Stream = Killed
module.prepare = prepare
settings = json.loads(sys.argv[1])
settings["world"] = ReviewsConfig(**settings["world"])
list(Run.create(TrainConfig(**settings)))
'''
)


@pytest.fixture
def from_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"__name__": "stream"}
    sys.modules["stream"] = types.ModuleType("stream")  # where a dataclass looks its names up
    exec(compile(STREAM, "stream", "exec"), names)
    monkeypatch.setattr("workbench.runs.run.prepare", names["prepare"])


@pytest.mark.usefixtures("from_a_stream")
@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_sigkill_between_two_batches_of_a_stream(
    make_recorded: MakeRun, to_step: ToStep, tmp_path: Path, small: dict[str, Any],
    model_folder: Path, name: str,
) -> None:  # fmt: skip
    whole = start(make_recorded, "whole", **BY_METHOD[name])
    list(whole)
    settings = {
        **small, "checkpoint_every": 3, "max_steps": 11, "model": str(model_folder),
        "out": str(tmp_path / "killed"), "world": asdict(small["world"]), **BY_METHOD[name],
    }  # fmt: skip
    process = subprocess.run([sys.executable, "-c", KILLED, json.dumps(settings)], check=False)
    assert process.returncode == -signal.SIGKILL
    folder = tmp_path / "killed"
    assert [e["step"] for e in told(folder) if e["event"] == "step"][-1] == 8
    resumed = Run.resume(folder)
    assert resumed.step == 6
    list(resumed)
    assert_same(folder, folder_of(whole))


@pytest.mark.usefixtures("from_a_stream")
def test_a_branch_has_a_stream_of_its_own_from_where_it_set_out(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    whole = start(make_recorded, "whole")
    list(whole)
    run = start(make_recorded, "run")
    to_step(run, 5)
    branch = run.branch("twin")
    while not (run.finished and branch.finished):  # one step of each in turn
        next(run, None)
        next(branch, None)
    list(run)
    list(branch)
    assert_same(folder_of(run), folder_of(whole))
    assert weights(folder_of(branch)) == weights(folder_of(whole))

    other = start(make_recorded, "other")
    to_step(other, 5)
    killed = other.branch("killed")
    to_step(killed, 8)
    list(Run.resume(folder_of(killed)))
    assert weights(folder_of(killed)) == weights(folder_of(whole))


@pytest.mark.parametrize("method", ["ppo", "grpo", "best_of_n"])
def test_a_run_goes_on_bit_for_bit_from_ten_instants(
    method: str, make_recorded: MakeRun, tmp_path: Path
) -> None:
    """A folder as a kill would leave it, at random events: within rollouts and between them."""
    rng = random.Random(method)
    steered = {} if method == "best_of_n" else {"kl_target": 1.0}  # which has no KL penalty
    whole = make_recorded("whole", method=method, loss=None, **steered, **ROLLOUTS)
    instants = sorted(rng.sample(range(2, 15), 10))
    for number, _ in enumerate(whole):
        if number in instants:
            shutil.copytree(folder_of(whole), tmp_path / f"killed {number}")
    for number in instants:
        folder = tmp_path / f"killed {number}"
        for _ in Run.resume(folder):
            pass
        assert_same(folder_of(whole), folder)
