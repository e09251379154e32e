"""What a folder, a run in hand and TRL's state hold; whatever is broken is one line or left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import WorkbenchError
from workbench.runs.doctor import diagnose
from workbench.runs.doctor.diagnosis import CANNOT_TELL, NOT_FOUND
from workbench.runs.doctor.logged_metrics import Series, series_of
from workbench.runs.doctor.run_readings import read_folder
from workbench.runs.doctor.trl_readings import find_state, read_state
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import EndEvent, EvalEvent, StepEvent


def entry(step: int, **more: float) -> dict[str, Any]:
    """A line of TRL's log; the rewards are those of beta 0.1 and a reference."""
    logps = -40.0 - step
    return {
        "step": step, "epoch": step / 20, "loss": 0.69 - step / 100, "learning_rate": 1e-5,
        "grad_norm": 1.5, "rewards/chosen": -step / 100, "rewards/rejected": -step / 50,
        "rewards/margins": step / 100, "rewards/accuracies": 0.7, "logps/chosen": logps,
        "logps/rejected": 2 * logps, **more,
    }  # fmt: skip


def state(path: Path, history: Any, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"log_history": history, "max_steps": 20, **more}))
    return path


HISTORY = [entry(step) for step in range(2, 21, 2)]
EVALUATED = [{"step": s, "eval_loss": 0.6, "eval_rewards/accuracies": 0.8} for s in (10, 20)]
ENDED = [{"step": 20, "train_runtime": 3.0, "train_loss": 0.6}]


# -- TRL ------------------------------------------------------------------------------------------


def test_trls_names_become_those_of_the_workbench(tmp_path: Path) -> None:
    seen = read_state(state(tmp_path / "trainer_state.json", HISTORY + EVALUATED + ENDED))
    assert seen.training["lr"].last == 1e-5
    assert seen.held_out["loss"].points == ((10, 0.6), (20, 0.6))
    assert "loss" in seen.training
    assert not set(seen.training) & {"eval_loss", "step", "epoch"}
    assert (seen.state, seen.step, seen.total, seen.epochs, seen.compares) == (
        "finished", 20, 20, 1.0, True
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {"nll_loss": 2.0},
        {"log_odds_ratio": -0.4},
        {"logps/chosen": -20.0, "rewards/chosen": -2.0},  # CPO and SimPO: beta times it
    ],
)
def test_rewards_without_a_reference_are_recognised(
    tmp_path: Path, changes: dict[str, float]
) -> None:
    path = state(tmp_path / "trainer_state.json", [{**one, **changes} for one in HISTORY])
    assert read_state(path).compares is False


def test_the_newest_checkpoint_of_a_folder_is_read(tmp_path: Path) -> None:
    for step in (9, 10):
        state(tmp_path / f"checkpoint-{step}" / "trainer_state.json", HISTORY)
    state(tmp_path / "checkpoint-last" / "trainer_state.json", HISTORY)
    newest = tmp_path / "checkpoint-10" / "trainer_state.json"
    assert find_state(tmp_path) == find_state(newest.parent) == find_state(newest) == newest
    assert diagnose(tmp_path).source == str(newest)


def test_trls_untrained_reference_is_seen_in_its_first_line(tmp_path: Path) -> None:
    far = [{**one, "rewards/rejected": -7.0 - one["step"] / 50} for one in HISTORY]
    report = diagnose(state(tmp_path / "trainer_state.json", far))
    assert "reference is not the start" in [one.name for one in report.found]
    first = report.diagnoses[0]
    assert "rewards/rejected is -7.04 at step 2" in first.evidence


def test_an_evaluation_that_is_not_due_yet_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"

    def evaluation(**more: Any) -> tuple[str, str]:
        one = diagnose(state(path, HISTORY, max_steps=1000, **more)).diagnoses[-1]
        return one.verdict, one.evidence

    assert evaluation(eval_steps=500) == (CANNOT_TELL, "no evaluation yet at step 20")
    assert evaluation(eval_steps=10)[0] == "found"


def test_what_to_try_next_has_trls_names(tmp_path: Path) -> None:
    report = diagnose(state(tmp_path / "trainer_state.json", HISTORY))
    assert [one.name for one in report.found] == ["evaluation too small"]
    assert "eval_dataset" in report.found[0].next
    assert "--" not in report.found[0].next


def test_true_is_no_step(tmp_path: Path) -> None:
    entries = [entry(3), {**entry(1), "step": True}]
    seen = read_state(state(tmp_path / "trainer_state.json", entries, max_steps=True))
    assert (seen.step, seen.total, len(seen.training["loss"].points)) == (3, 0, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot read"),
        ("[" * 100_000, "nested too deep"),
        ("[1]", "holds a list"),
        ("{}", "no list log_history"),
        ('{"log_history": {}}', "no list log_history"),
        ('{"log_history": []}', "holds no step"),
        ('{"log_history": [{"loss": 1}, 3, {"step": "4"}]}', "holds no step"),
    ],
)
def test_what_is_no_state_is_told_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "trainer_state.json"
    path.write_text(text)
    with pytest.raises(WorkbenchError, match=told) as error:
        diagnose(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# -- a run's folder -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*is not as it was written")
def test_what_holds_no_run_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="holds no run"):
        diagnose(tmp_path)
    with pytest.raises(WorkbenchError, match="holds no run"):
        diagnose(tmp_path / "nothing")
    Record.create(tmp_path, TrainConfig())
    with pytest.raises(WorkbenchError, match="nothing was trained yet"):
        diagnose(tmp_path)
    (tmp_path / "events.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(WorkbenchError, match="cannot be read"):
        diagnose(tmp_path)
    for name in ("data.json", "events.jsonl"):
        (tmp_path / "events.jsonl").write_text("")
        (tmp_path / name).write_text("[" * 100_000 + "\n\n")
        with pytest.raises(WorkbenchError, match=r"cannot be read|not as it was written"):
            diagnose(tmp_path)
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(WorkbenchError, match="is empty"):
        diagnose(tmp_path)
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(WorkbenchError, match="cannot be read"):
        diagnose(tmp_path)


def test_events_become_series_and_facts(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "run", TrainConfig(loss="simpo", beta=3.0))
    record.append(EvalEvent(0, {"held_out/loss": 0.7}))
    record.append(StepEvent(1, 8, 0, {"loss": 0.6, "grad_norm": math.nan}))
    record.append(StepEvent(2, 8, 1, {"loss": 0.5, "grad_norm": 1.0}))
    (tmp_path / "run" / "data.json").write_text('{"hash": "x", "held_out": [3, 4, 9]}')
    seen = read_folder(tmp_path / "run")
    assert seen.training["loss"].points == ((1, 0.6), (2, 0.5))
    assert seen.held_out["loss"].points == ((0, 0.7),)
    assert seen.not_finite == {"grad_norm": 1}
    assert (seen.state, seen.step, seen.total, seen.epochs) == ("running or interrupted", 2, 8, 2)
    assert (seen.compares, seen.settings["beta"], seen.held_out_items) == (False, 3.0, 3)
    assert seen.parts is None
    record.append(EndEvent(2, "stopped"))
    assert read_folder(tmp_path / "run").state == "stopped"


def test_the_data_are_read_again_where_they_are(tmp_path: Path) -> None:
    rows = [{"prompt": f"p {n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(5)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "prompt": "q"}]))
    record = Record.create(tmp_path / "run", TrainConfig(data=str(path)))
    record.append(StepEvent(1, 8, 0, {"loss": 0.6}))
    known = tmp_path / "run" / "data.json"
    known.write_text('{"hash": "x", "held_out": [1]}')

    def leak() -> tuple[str, str]:
        one = diagnose(tmp_path / "run").diagnoses[1]
        assert one.name == "held-out leakage"
        return one.verdict, one.evidence

    # Row 6 has both sides of row 1.
    assert leak()[0] == "found"
    known.write_text('{"hash": "x", "held_out": [2]}')
    assert leak()[0] == NOT_FOUND
    known.write_text('{"hash": "x", "held_out": [2, 60]}')
    assert leak() == (CANNOT_TELL, f"{path} no longer has the rows that were held out")
    path.unlink()
    assert leak()[0] == CANNOT_TELL


def test_a_run_in_hand_and_its_folder_say_the_same(make_recorded: Callable[..., Run]) -> None:
    run = make_recorded(held_out=10)
    list(run)
    ours, folder = diagnose(run), diagnose(run.folder or "")
    assert ours.diagnoses == folder.diagnoses
    assert (ours.state, ours.step) == (folder.state, folder.step) == ("finished", run.step)
    told = {one.name: one for one in ours.diagnoses}
    assert told["evaluation too small"].found
    assert told["reference is not the start"].verdict == NOT_FOUND


# -- whatever comes -------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=3), st.integers(), st.floats(), st.just(10**400)
)
NAMES = st.sampled_from(
    ["loss", "rewards/margins", "rewards/chosen", "rewards/accuracies", "logps/chosen", "lr",
     "samples/length", "samples/reward", "samples/grammatical", "kl/policy_reference",
     "logratios/chosen", "logratios/rejected", "lengths/chosen", "grad_norm", "x"]
)  # fmt: skip
METRICS = st.dictionaries(NAMES, SCALARS, max_size=8)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), METRICS), max_size=6))
def test_series_hold_finite_numbers_alone(logged: list[tuple[int, dict[str, Any]]]) -> None:
    found, _ = series_of(logged)
    for one in found.values():
        assert one.points
        assert all(math.isfinite(value) for value in one.values)
        assert list(one.points) == sorted(one.points)


@pytest.mark.filterwarnings("ignore:.*is not as it was written")
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_events_give_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    config = TrainConfig(loss=data.draw(st.sampled_from(["dpo", "simpo", "sft", "kto", "grpo"])))
    lines = []
    for _ in range(data.draw(st.integers(1, 8))):
        kind = data.draw(st.sampled_from(["step", "eval", "sample", "end", "change"]))
        metrics = {
            f"held_out/{n}" if kind == "eval" else n: v for n, v in data.draw(METRICS).items()
        }
        line = {"event": kind, "step": data.draw(st.integers(0, 5)), "total": 5, "epoch": 1,
                "metrics": metrics, "samples": [], "reason": "finished", "name": "beta",
                "value": 0.3}  # fmt: skip
        fields = {"step": ["total", "epoch", "metrics"], "eval": ["metrics"], "sample": ["samples"],
                  "end": ["reason"], "change": ["name", "value"]}[kind]  # fmt: skip
        line = {name: line[name] for name in ["event", "step", *fields]}
        line |= data.draw(st.dictionaries(st.sampled_from(fields), JSON, max_size=1))
        lines.append(json.dumps(line)[: data.draw(st.sampled_from([None, None, 20]))])
    for name in ("config.toml", "events.jsonl"):
        (tmp_path / name).unlink(missing_ok=True)
    record = Record.create(tmp_path, config)
    (tmp_path / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    try:
        report = diagnose(record.folder)
    except WorkbenchError:
        return
    assert len({one.name for one in report.diagnoses}) == len(report.diagnoses)
    json.dumps(report.as_dict(), allow_nan=False)


@given(JSON)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_state_gives_a_traceback(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "trainer_state.json"
    for history in (content, [content, {"step": 1, "loss": content, "epoch": content}]):
        path.write_text(json.dumps({"log_history": history, "max_steps": content}))
        with suppress(WorkbenchError):
            assert diagnose(path).diagnoses


def test_a_slope_is_told_from_noise() -> None:
    steady = Series(tuple((step, 0.01 * step + 0.02 * (-1) ** step) for step in range(20)))
    level = Series(tuple((step, 0.5 * (-1) ** step) for step in range(20)))
    assert steady.rises()
    assert not level.rises()
    assert not Series(steady.points[:3]).rises()
    assert not Series(((1, 0.0),)).rises()
