"""A run's seconds and memory are told from a short run; the arithmetic is shown."""

from __future__ import annotations

import signal
import tempfile
from dataclasses import replace
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.data.pairs import write_jsonl
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.runs.forecast.before_run import before_run
from workbench.runs.forecast.forecast import (
    Forecast,
    _answer,
    _without_interrupts,
    extrapolated,
    forecast,
    steps_take,
)
from workbench.runs.forecast.short_run import STEPS, Sizes, Timed, timed_run
from workbench.train.config import TrainConfig
from workbench.train.reference.values import VALUES_FOLDER


def timed(**changes: Any) -> Timed:
    """6 steps of 60 tokens each; the whole run has ten times as many."""
    given: dict[str, Any] = {
        "short": Sizes(360, 160, 6, 6), "whole": Sizes(3600, 640, 60, 60), "prepared": 5.0,
        "scored": 2.6, "steps": (3.0, *[1.0] * 5), "step_tokens": (60,) * 6, "first": 4.0,
        "later": 3.0, "held_out": 0.5, "checkpoint": 0.25, "peak_memory_bytes": 10**9,
    }  # fmt: skip
    return Timed(**{**given, **changes})


def test_parts_are_extrapolated_by_what_they_depend_on() -> None:
    config = TrainConfig(model="smollm2", data="x", eval_every=25)
    found = extrapolated(timed(), config)
    # 2 s more once, and 60 steps of 1 s
    assert found.seconds == pytest.approx(62)
    # 5; 2.6 s over 520 tokens for 4,240; 4 and three times 3 (at 25, 50 and the end); four times
    # 640/160 * 0.5; one checkpoint
    scored = 2.6 * 4240 / 520
    assert found.wall_seconds == pytest.approx(5 + scored + 4 + 3 * 3 + 4 * 2 + 62 + 0.25)
    assert (found.steps, found.peak_memory_bytes) == (60, 10**9)


def test_epochs_and_checkpoints_on_the_way_count() -> None:
    config = TrainConfig(model="smollm2", data="x", epochs=3, eval_every=0)
    whole = Sizes(3600, 640, 180, 60)
    found = extrapolated(timed(whole=whole), config)
    assert found.seconds == pytest.approx(2 + 180)
    # two evaluations; after steps 60 and 120 a checkpoint of thrice the size, and a last one
    scored = 2.6 * 4240 / 520
    expected = 5 + scored + 4 + 3 + 2 * 2 + 182 + 0.25 * 7
    assert found.wall_seconds == pytest.approx(expected)


def test_checkpoints_by_the_clock_count_where_they_are_more() -> None:
    config = TrainConfig(model="smollm2", data="x", eval_every=0, checkpoint_minutes=0.5)
    found = extrapolated(timed(), config)
    # 99 s without checkpoints: three of four times the size on the way, and a last one
    before = 5 + 2.6 * 4240 / 520 + 4 + 3 + 2 * 2 + 62
    assert 90 < before < 120
    assert found.wall_seconds == pytest.approx(before + 0.25 * (1 + 3 * 3))


def test_fixed_time_and_time_per_token_are_told_apart() -> None:
    # 0.1 s and 0.001 s a token: 10 steps over 2,000 tokens take 1 + 2 s, the first one 1.3 more
    assert steps_take((1.5, 0.2, 0.3, 0.4), (100, 100, 200, 300), 10, 2000) == pytest.approx(4.3)


def test_a_line_that_noise_tilts_is_not_followed() -> None:
    # longer steps that were faster: 0.9 s over 600 tokens, so 2,000 take 3 s
    assert steps_take((0.15, 0.4, 0.3, 0.2), (100, 100, 200, 300), 10, 2000) == pytest.approx(3)


def test_one_step_alone_is_in_proportion() -> None:
    assert steps_take((2.0,), (100,), 3, 250) == pytest.approx(5)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """100 pairs, four of them long."""
    pairs = Reviews(ReviewsConfig(pairs=100, topics=4)).preferences(None)
    long = [replace(one, chosen=" ".join([one.chosen] * 4)) for one in pairs[::25]]
    path = tmp_path / "pairs.jsonl"
    write_jsonl([*pairs, *long][4:], path)
    return path


@pytest.mark.parametrize("loss", ["dpo", "kto"])
def test_short_run_has_the_longest_row_and_the_whole_ones_sizes(
    rows: Path, model_folder: Path, tmp_path: Path, loss: str
) -> None:
    config = TrainConfig(
        model=str(model_folder), data=str(rows), batch_size=4, held_out=20, epochs=2, loss=loss,
        samples=2, max_new_tokens=4, shown_length=4, max_length=64, precision="float32",
    )  # fmt: skip
    found = timed_run(config, tmp_path)
    sides = 2 if loss == "kto" else 1  # a pair makes two labelled rows
    assert found.whole.steps == 2 * found.whole.per_epoch
    # 20 of 100 rows or, as rows of one prompt stay together, some more are held out
    assert 15 * sides <= found.whole.per_epoch <= 20 * sides
    assert len(found.steps) == found.short.steps >= STEPS["real"]
    assert max(found.step_tokens) > 2 * min(found.step_tokens)
    assert sum(found.step_tokens) == found.short.train < found.whole.train
    assert found.peak_memory_bytes > 10**7


def test_what_cannot_be_forecast_is_refused(rows: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="data=reviews"):
        timed_run(TrainConfig(), tmp_path)
    with pytest.raises(WorkbenchError, match="method grpo"):
        timed_run(TrainConfig(loss="grpo", data=str(rows)), tmp_path)


def test_a_method_without_completions_of_the_file_has_no_forecast(model_folder: Path) -> None:
    config = TrainConfig(loss="grpo", model=str(model_folder), data="brief")
    report, expected = before_run(config)
    assert expected is None
    assert report.notes[-1] == "no forecast: method grpo writes its own completions"


def test_a_run_that_cannot_be_started_is_wrong(
    rows: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(config: TrainConfig) -> Forecast:
        raise WorkbenchError("held_out is 128: give a number from 0 to 0")

    monkeypatch.setattr("workbench.runs.forecast.before_run.forecast", refused)
    report, expected = before_run(TrainConfig(model=str(model_folder), data=str(rows)))
    assert expected is None
    last = report.findings[-1]
    assert last.wrong
    assert (last.check, last.text) == (
        "the run cannot be started", "held_out is 128: give a number from 0 to 0"
    )  # fmt: skip


def test_an_interrupt_ends_the_short_run_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(pipe: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Connection, "recv", interrupted)
    with pytest.raises(KeyboardInterrupt):
        forecast(TrainConfig(data="none.jsonl"))
    assert not list(tmp_path.iterdir())
    assert not active_children()
    assert not capfd.readouterr().err


def test_a_process_started_without_interrupts_ignores_them() -> None:
    with _without_interrupts():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_second_forecast_scores_with_the_reference_again(
    rows: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VALUES_FOLDER, "taken back after the test")
    config = TrainConfig(model=str(model_folder), data=str(rows), batch_size=4, held_out=20)
    for number in range(2):
        sent: list[Any] = []
        folder = tmp_path / str(number)
        folder.mkdir()
        _answer(SimpleNamespace(send=sent.append), config, folder)  # type: ignore[arg-type]
        assert sent[0].scored > 0
    assert not (tmp_path / "cache" / "reference").exists()
