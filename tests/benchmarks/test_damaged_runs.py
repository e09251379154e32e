"""Damaged run folders are named or come to the same result, and the fuzzing sees what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import damaged_runs
from benchmarks.damaged_runs import Damaged, run_on
from workbench.runs.folder import checkpoint_files


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(tmp_path_factory.mktemp("runs"))


def test_damaged_folders_differ_in_nothing_that_is_not_named(damaged: Damaged) -> None:
    told: list[str] = []
    assert run_on(damaged, 30, 5_000, told.append) == 0, "\n".join(told)


def flip_the_newest(folder: Path, rng: object) -> str:
    path = max(folder.glob("checkpoints/step-*")) / "policy.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)
    return "an exponent's bit"


def test_what_goes_wrong_is_seen(damaged: Damaged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damaged_runs, "damage", flip_the_newest)
    assert run_on(damaged, 1, 0, lambda text: None) == 0
    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "damage", lambda *_: "")
        assert run_on(damaged, 1, 0, told.append) == 1
    assert "another result in silence" in told[0]

    def fail(folder: Path) -> None:
        raise KeyError("step")

    monkeypatch.setattr(damaged_runs, "read_run", fail)
    assert run_on(damaged, 1, 0, lambda text: None) == 1
