"""The command `doctor`: what it prints, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.__main__ import main
from workbench.runs.folder.record import Record
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of a run whose log-ratios are 0 at the start."""
    record = Record.create(tmp_path / "[b]run", TrainConfig())
    for step in range(4):
        metrics = {"held_out/logratios/chosen": -0.5 * step, "held_out/logratios/rejected": 0.0}
        record.append(EvalEvent(step, metrics))
        record.append(StepEvent(step + 1, 4, 0, {"loss": 0.7 - step / 10}))
    return record.folder


def test_a_run_in_which_nothing_is_found_ends_with_0(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", str(run)]) == 0
    told = capsys.readouterr().out
    assert "cannot tell  repetition: no texts of two evaluations are kept" in told
    assert "looked for: reference is not the start, " in told
    assert "running or interrupted, step 4 of 4: nothing found; " in told


def test_what_is_found_ends_with_1_and_says_what_to_try(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = run / "events.jsonl"
    events.write_text(events.read_text().replace('rejected": 0.0', 'rejected": 0.9'))
    assert main(["doctor", str(run)]) == 1
    told = capsys.readouterr().out
    assert "found  reference is not the start: logratios/rejected is +0.9 at step 0" in told
    assert "\n  make the reference of the same weights as the policy" in told
    assert main(["doctor", str(run), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    first = report["diagnoses"][0]
    assert (report["source"], report["step"]) == (str(run), 4)
    assert (first["name"], first["verdict"]) == ("reference is not the start", "found")
    assert set(first) == {"name", "verdict", "evidence", "next"}


def test_what_cannot_be_read_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trainer_state.json").write_text("{")
    for source in (tmp_path / "nothing", tmp_path, tmp_path / "trainer_state.json"):
        assert main(["doctor", str(source)]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert told.count("\n") == 1
