"""Run folders that earlier versions wrote, kept beside this file, open, evaluate and go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workbench.runs.folder.kept_runs import kept_runs
from workbench.runs.folder.record import Record
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.events import EvalEvent, StepEvent

KEPT = Path(__file__).parent / "old_runs"
NAMES = sorted(path.name for path in KEPT.glob("version-*"))
# Digits may differ on another machine, and a sample with them.
HELD_OUT = ("held_out/loss", "held_out/rewards/margins", "held_out/logps/chosen")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them, in the current folder, as their settings name files beside them."""
    monkeypatch.chdir(shutil.copytree(KEPT, tmp_path / "old"))
    return Path()


def test_all_are_listed(old: Path) -> None:
    states = {run.folder.name: (run.state, run.problem) for run in kept_runs(old)}
    assert states == dict.fromkeys(NAMES, ("interrupted", "")) | {"version-1-kto": ("finished", "")}


@pytest.mark.parametrize("name", NAMES)
def test_it_evaluates_as_it_did(old: Path, name: str) -> None:
    pytest.importorskip("peft")
    run = load_run(old / name)
    last = [e for e in run.events if isinstance(e, EvalEvent) and e.step <= run.step][-1]
    again = load_run(old / name, step=last.step) if last.step in _steps(name) else None
    if again:
        found = again.evaluate()
        for metric in HELD_OUT:
            if metric in last.metrics:
                assert found[metric] == pytest.approx(last.metrics[metric], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "version-1-kto"])
def test_it_goes_on_as_it_would_have(old: Path, name: str) -> None:
    pytest.importorskip("peft")
    before = {
        e.step: e.metrics["loss"] for e in Record(old / name).events() if type(e) is StepEvent
    }
    run = Run.resume(old / name)
    at = run.step
    assert 0 < at < max(before)
    list(run)
    after = {e.step: e.metrics["loss"] for e in run.events if isinstance(e, StepEvent)}
    assert after[at + 1] == pytest.approx(before[at + 1], rel=1e-3)
    assert {step: after[step] for step in range(1, at + 1)} == {
        step: before[step] for step in range(1, at + 1)
    }
    assert len(after) == run.total
    assert load_run(old / name).step == run.total
    assert (old / name / "config.toml").read_text().startswith("format = 2")


def _steps(name: str) -> list[int]:
    return [int(path.name[5:]) for path in (KEPT / name / "checkpoints").iterdir()]
