"""Run folders as they were written before methods had names still open, evaluate and resume."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file

from workbench.runs.reopen import load_run
from workbench.runs.run import Run

SETTINGS = ("loss", "beta", "lr", "label_smoothing", "normalize")


def age(folder: Path) -> None:
    """Rewrite a run folder as the first versions wrote it.

    Their config has no method and holds every parameter of every loss; their checkpoints hold five
    settings and no state of the batches; their skipped rows stood in set_aside.jsonl.
    """
    path = folder / "config.toml"
    config = tomllib.loads(path.read_text(encoding="utf-8"))
    world = config.pop("world")
    del config["method"]
    config |= {"label_smoothing": 0.1, "normalize": False}
    path.write_text(tomli_w.dumps({**config, "world": world}), encoding="utf-8")
    for state in folder.glob("checkpoints/*/state.json"):
        numbers = json.loads(state.read_text(encoding="utf-8"))
        del numbers["batches"]
        settings = {"label_smoothing": 0.1, "normalize": False, **numbers["settings"]}
        numbers["settings"] = {name: settings[name] for name in SETTINGS}
        state.write_text(json.dumps(numbers), encoding="utf-8")
    (folder / "skipped.jsonl").rename(folder / "set_aside.jsonl")


@pytest.fixture
def stopped(make_recorded: Callable[..., Run]) -> Run:
    """A run that was left after step 7 of 10, its last checkpoint after step 6."""
    run = make_recorded(checkpoint_every=3, loss="cdpo", label_smoothing=0.2)
    while run.step < 7:
        next(run)
    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(max(folder.glob("checkpoints/step-*")) / "policy.safetensors")


def test_it_opens_with_the_same_numbers(stopped: Run) -> None:
    assert stopped.folder is not None
    before = load_run(stopped.folder)
    age(stopped.folder)
    after = load_run(stopped.folder)
    assert after.evaluate() == before.evaluate()
    assert after.settings == before.settings
    assert after.settings.label_smoothing == 0.2
    assert after.method.name == "preference"


def test_it_resumes_bit_for_bit(stopped: Run, tmp_path: Path) -> None:
    assert stopped.folder is not None
    old = tmp_path / "old"
    shutil.copytree(stopped.folder, old)
    age(old)
    ends = []
    for folder in (stopped.folder, old):
        run = Run.resume(folder)
        assert run.step == 6
        list(run)
        ends.append(weights(folder))
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
