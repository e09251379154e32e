"""Runs in a folder: found without a model, named, renamed, copied and deleted."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from workbench.data.seals import write_digests
from workbench.errors import WorkbenchError
from workbench.runs.folder.kept_runs import (
    copy_run,
    delete_run,
    kept_runs,
    new_folder,
    read_run,
    rename_run,
)  # fmt: skip
from workbench.runs.folder.record import Record
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent

DAY = date(2026, 3, 31)


def write(folder: Path, reason: str | None = None, **config: Any) -> Path:
    """A run of 3 of 8 steps; without a `reason` it was interrupted."""
    record = Record.create(folder, TrainConfig(**config))
    record.append(EvalEvent(0, {"held_out/rewards/accuracies": 0.5}))
    record.append(StepEvent(3, 8, 0, {"loss": 0.6}))
    record.append(EvalEvent(3, {"held_out/rewards/accuracies": 0.75}))
    checkpoint = folder / "checkpoints" / "step-000003"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text('{"step": 3}')
    save_file({"weight": torch.ones(1)}, checkpoint / "policy.safetensors")
    if reason is not None:
        record.summarise({"reason": reason, "steps": 3, "settings": {"beta": 0.2}})
    return folder


def test_a_folder_tells_steps_figures_and_state(tmp_path: Path) -> None:
    interrupted = read_run(write(tmp_path / "a", beta=0.3))
    assert (interrupted.state, interrupted.step, interrupted.total) == ("interrupted", 3, 8)
    assert interrupted.held_out == {"rewards/accuracies": 0.75}
    assert interrupted.config is not None
    assert interrupted.config.beta == 0.3
    stopped = read_run(write(tmp_path / "b", "stopped"))
    assert (stopped.state, stopped.settings) == ("stopped", {"beta": 0.2})


def test_the_newest_are_found_and_a_broken_one_has_its_reason(tmp_path: Path) -> None:
    for number, name in enumerate("cab"):
        folder = write(tmp_path / name, "finished")
        os.utime(folder / "config.toml", (number, number))
    (tmp_path / "no run").mkdir()
    assert [run.folder.name for run in kept_runs(tmp_path)] == ["c", "a", "b"]
    assert [run.folder.name for run in kept_runs(tmp_path, newest=2)] == ["a", "b"]
    (tmp_path / "a" / "config.toml").write_text("beta = 'much'")
    (tmp_path / "c" / "summary.json").write_text("{")
    states = {run.folder.name: (run.state, bool(run.problem)) for run in kept_runs(tmp_path)}
    assert states == {"a": ("broken", True), "b": ("finished", False), "c": ("broken", True)}
    assert kept_runs(tmp_path / "nowhere") == []


def test_a_long_run_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "a")
    monkeypatch.setattr("workbench.runs.folder.kept_runs.TAIL", 150)  # cuts a line
    assert read_run(folder).held_out == {"rewards/accuracies": 0.75}
    assert read_run(folder).state == "interrupted"


def test_new_folders_are_numbered_by_day_and_method(tmp_path: Path) -> None:
    config = TrainConfig()
    assert new_folder(tmp_path, config, DAY).name == "2026-03-31-dpo-1"
    for taken in ("2026-03-31-dpo-9", "2026-03-31-dpo-10-branch-1", "2026-03-30-dpo-44"):
        (tmp_path / taken).mkdir()
    assert new_folder(tmp_path, config, DAY).name == "2026-03-31-dpo-11"
    assert new_folder(tmp_path, TrainConfig(method="ppo"), DAY).name == "2026-03-31-ppo-1"


def test_renamed(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    renamed = rename_run(folder, " low beta ")
    assert (renamed.name, folder.exists()) == ("low beta", False)
    assert read_run(renamed).step == 3
    write(tmp_path / "b")
    for bad in ("b", "", "../up", "a/b", ".hidden", "x" * 81, "end."):
        with pytest.raises(WorkbenchError, match="name="):
            rename_run(renamed, bad)


def test_deleted_with_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    (folder / "notes.md").write_text("mine")
    delete_run(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.md"]
    with pytest.raises(WorkbenchError, match="holds no run"):
        delete_run(folder)
    gone = write(tmp_path / "b")
    (gone / "events.jsonl.damaged-1").write_text("x")
    (gone / "checkpoints").rename(elsewhere := tmp_path / "large disk")
    (gone / "checkpoints").symlink_to(elsewhere)
    (elsewhere / "of another").write_text("x")
    with pytest.raises(WorkbenchError, match="checkpoints is a link"):
        delete_run(gone)
    assert (gone / "config.toml").exists()
    assert len(list(elsewhere.iterdir())) == 2
    (gone / "checkpoints").unlink()
    delete_run(gone)
    assert not gone.exists()


def test_copied_to_go_on_apart(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "stopped")
    (folder / "data.json").write_text('{"hash": "abc", "held_out": [2]}')
    copy = copy_run(folder, tmp_path / "b")
    assert Record(copy).numbers() == {"step": 3}
    assert Record(copy).known_data() == ("abc", [2])
    assert Record(copy).events() == Record(folder).events()
    assert (read_run(copy).state, read_run(folder).state) == ("interrupted", "stopped")
    with pytest.raises(WorkbenchError, match="already holds a run"):
        copy_run(folder, copy)
    with pytest.raises(WorkbenchError, match="has finished"):
        copy_run(write(tmp_path / "c", "finished"), tmp_path / "d")


def test_copied_from_what_it_can_go_on_from_and_again_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, copy = write(tmp_path / "a"), tmp_path / "b"
    damaged = folder / "checkpoints" / "step-000005"
    damaged.mkdir()
    (damaged / "state.json").write_text('{"step": 5}')
    save_file({"weight": torch.ones(1)}, damaged / "policy.safetensors")
    (damaged / "optimizer.safetensors").write_bytes(b"moments")
    write_digests(damaged)
    (damaged / "optimizer.safetensors").write_bytes(b"x")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("workbench.runs.folder.kept_runs.shutil.copy2", kill)
        with pytest.raises(KeyboardInterrupt):
            copy_run(folder, copy)
    copy_run(folder, copy)
    assert [path.name for path in Record(copy).checkpoints()] == ["step-000003"]
    assert damaged.exists()
