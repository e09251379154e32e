"""A run from end to end: what it says, in which order, what it writes, and what it leaves alone."""

from __future__ import annotations

import errno
import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.compare.handle_sources import handles
from workbench.core.losses import LOSSES
from workbench.data.seals import read_sealed
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model, model_hash
from workbench.runs.folder.record import Record
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.events import (
    CheckpointEvent,
    EndEvent,
    EvalEvent,
    Event,
    SampleEvent,
    StepEvent,
    event_from_dict,
    event_to_dict,
)
from workbench.train.loop import NonFiniteLossError

MakeRun = Callable[..., Run]
ToStep = Callable[[Run, int], list[Event]]

PAIR_METRICS = {
    "loss", "logps/chosen", "logps/rejected", "logratios/chosen", "logratios/rejected",
    "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "rewards/ties",
    "grad_weight", "lengths/chosen", "lengths/rejected",
}  # fmt: skip
HELD_OUT = {f"held_out/{name}" for name in PAIR_METRICS} | {
    "held_out/rewards/accuracies_low", "held_out/rewards/accuracies_high",
    "held_out/kl/policy_reference", "held_out/kl/policy_reference_se",
    "held_out/kl/policy_reference_sampled", "held_out/kl/policy_reference_sampled_se",
    "held_out/samples/length",
    "held_out/samples/reward", "held_out/samples/grammatical",
}  # fmt: skip


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(topic: str, chosen: str = "it was good", rejected: str = "it was bad") -> dict[str, str]:
    return {"prompt": f"review of the {topic}", "chosen": chosen, "rejected": rejected}


# -- what it says -----------------------------------------------------------------------------


def test_events_come_in_order(make_recorded: MakeRun) -> None:
    # 10 steps; evaluated every 4, kept every 5; what is due at the end is done once, there.
    run = make_recorded(checkpoint_every=5)
    said = list(run)
    step, evaluate, sample = StepEvent, EvalEvent, SampleEvent
    assert [(type(event), event.step) for event in said] == [
        (evaluate, 0), (sample, 0),
        (step, 1), (step, 2), (step, 3), (step, 4), (evaluate, 4), (sample, 4),
        (step, 5), (CheckpointEvent, 5),
        (step, 6), (step, 7), (step, 8), (evaluate, 8), (sample, 8),
        (step, 9), (step, 10), (evaluate, 10), (sample, 10), (CheckpointEvent, 10), (EndEvent, 10),
    ]  # fmt: skip
    assert said[-1] == EndEvent(10, "finished")
    assert run.events == said
    assert run.record is not None
    assert run.record.events() == said
    assert run.finished
    assert list(run) == []


@pytest.mark.parametrize(
    ("settings", "steps"),
    [({"eval_every": 0}, [0, 10]), ({"eval_every": 5}, [0, 5, 10]), ({"eval_every": 99}, [0, 10])],
)
def test_it_is_evaluated_first_last_and_as_often_as_asked(
    make_run: MakeRun, settings: dict[str, Any], steps: list[int]
) -> None:
    run = make_run(samples=0, **settings)
    assert [event.step for event in run if isinstance(event, EvalEvent)] == steps


def test_a_run_stopped_where_it_was_just_evaluated_is_not_evaluated_again(
    make_run: MakeRun, to_step: ToStep
) -> None:
    run = make_run()
    to_step(run, 4)
    run.control.stop()
    list(run)
    assert [e.step for e in run.events if isinstance(e, EvalEvent)] == [0, 4]
    assert run.events[-1] == EndEvent(4, "stopped")


@pytest.mark.parametrize(
    "changes",
    [
        [{"loss": "exo_pair", "label_smoothing": 0.0}],
        [{"label_smoothing": 0.0}, {"loss": "exo_pair"}],
        [{"loss": "exo_pair"}, {"label_smoothing": 0.0}],
    ],
)
def test_what_a_loss_cannot_be_given_is_refused_and_not_found_at_the_next_step(
    make_run: MakeRun, changes: list[dict[str, Any]]
) -> None:
    run = make_run(loss="cdpo")
    *before, last = changes
    for change in before:
        run.control.set(**change)
    with pytest.raises(WorkbenchError, match=r"label_smoothing=0.0 .* 0.0001 to 0.49"):
        run.control.set(**last)
    assert list(run)[-1].reason == "finished"


def test_a_checkpoint_comes_each_epoch_where_nothing_is_asked(make_recorded: MakeRun) -> None:
    said = list(make_recorded())
    assert [e.step for e in said if isinstance(e, CheckpointEvent)] == [5, 10]


def test_events_read_back_as_said(make_run: MakeRun) -> None:
    for event in make_run():
        assert event_from_dict(json.loads(json.dumps(event_to_dict(event)))) == event


def test_the_frame_holds_every_number(make_run: MakeRun) -> None:
    run = make_run()
    said = list(run)
    frame = run.frame()
    numbers = sum(len(e.metrics) for e in said if isinstance(e, StepEvent | EvalEvent))
    assert list(frame.columns) == ["run", "step", "metric", "value"]
    assert len(frame) == numbers
    losses = frame[frame["metric"] == "loss"]
    assert list(losses["step"]) == list(range(1, 11))


def test_steps_and_evaluations_have_their_metrics(make_run: MakeRun) -> None:
    said = list(make_run())
    for event in said:
        if isinstance(event, StepEvent):
            further = {"grad_norm", "lr", "beta", "pairs_per_second"}
            assert event.metrics.keys() == PAIR_METRICS | further
        elif isinstance(event, EvalEvent):
            assert event.metrics.keys() == HELD_OUT
            assert all(map(math.isfinite, event.metrics.values()))


def test_at_step_0_policy_and_reference_are_one(make_run: MakeRun) -> None:
    first = next(make_run())
    assert isinstance(first, EvalEvent)
    metrics = {name.removeprefix("held_out/"): value for name, value in first.metrics.items()}
    for name in ("logratios/chosen", "logratios/rejected", "rewards/margins"):
        assert metrics[name] == 0.0
    assert metrics["rewards/ties"] == 1.0
    assert metrics["kl/policy_reference"] == 0.0
    assert metrics["kl/policy_reference_se"] == 0.0
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-7)


@pytest.mark.parametrize("loss", [name for name, one in LOSSES.items() if not one.rollouts])
def test_every_loss_on_given_rows_trains(make_run: MakeRun, loss: str) -> None:
    said = list(make_run(loss=loss, samples=0))
    steps = 20 if loss == "kto" else 10  # a pair makes two rows
    first, *_, last = [e.metrics for e in said if isinstance(e, EvalEvent)]
    assert last["held_out/loss"] != first["held_out/loss"]
    if loss == "sft":  # it has no rejected side
        assert last["held_out/loss"] < first["held_out/loss"]
    else:
        assert last["held_out/rewards/margins"] != 0
    assert said[-1] == EndEvent(steps, "finished")


def test_it_learns_what_is_preferred(make_run: MakeRun) -> None:
    run = make_run(lr=1e-2, max_steps=30, eval_every=0, samples=0)
    losses = [event.metrics["loss"] for event in run if isinstance(event, StepEvent)]
    assert sum(losses[-5:]) / 5 < 0.5 * math.log(2)


def test_a_live_reference_gives_what_the_cached_one_gives(make_run: MakeRun) -> None:
    runs = [make_run(reference=kind, samples=0) for kind in ("cached", "live")]
    cached, live = ([e.metrics for e in run if isinstance(e, StepEvent)] for run in runs)
    for one, other in zip(cached, live, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert one["rewards/margins"] == pytest.approx(other["rewards/margins"], abs=1e-4)


# -- what it takes ----------------------------------------------------------------------------


def test_training_and_held_out_share_no_topic(make_run: MakeRun) -> None:
    run = make_run(held_out=12)
    train, held_out = ({t.group for t in texts} for texts in (
        run.data.train_texts, run.data.held_out_texts
    ))  # fmt: skip
    assert held_out
    assert not train & held_out
    assert 0 < len(run.data.held_out) <= 12
    assert len(run.data.train) + len(run.data.held_out) == 48
    assert set(run.prompts) <= {text.prompt for text in run.data.held_out_texts}


def test_the_seed_decides_which_prompts_are_held_out(make_run: MakeRun, tmp_path: Path) -> None:
    rows = [row(topic) for topic in ("film", "book", "hotel", "game", "phone")]
    data = str(write_jsonl(tmp_path / "pairs.jsonl", rows))
    runs = [make_run(data=data, held_out=2, samples=1, seed=seed) for seed in range(6)]
    held_out = [tuple(text.prompt for text in run.data.held_out_texts) for run in runs]
    assert all(len(prompts) == 2 for prompts in held_out)
    assert len(set(held_out)) > 1


def test_pairs_of_a_file_are_split_by_prompt_and_bad_rows_are_listed(
    make_recorded: MakeRun, tmp_path: Path
) -> None:
    topics = ("film", "book", "hotel", "game", "phone")
    rows = [row(topic, chosen) for topic in topics for chosen in ("it was good", "it was superb")]
    rows[3]["rejected"] = "  "
    rows[6]["rejected"] = rows[6]["chosen"]
    rows.append(row("film", rejected="it was bad " * 20))
    rows.append({"prompt": "word " * 70, "chosen": "good", "rejected": "bad"})
    run = make_recorded(data=str(write_jsonl(tmp_path / "pairs.jsonl", rows)), held_out=2)
    prompts = [{t.prompt for t in part} for part in (run.data.train_texts, run.data.held_out_texts)]
    assert not prompts[0] & prompts[1]
    assert len(run.data.train) + len(run.data.held_out) == 9
    assert [one.row for one in run.skipped] == [4, 7, 12]
    assert run.folder is not None
    lines = (run.folder / "skipped.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert written == [{"row": one.row, "reason": one.reason} for one in run.skipped]
    assert [("empty", "identical", "no room")[i] in w["reason"] for i, w in enumerate(written)] == [
        True, True, True,
    ]  # fmt: skip
    assert run.truncated == [(11, ("rejected",))]
    kept = read_sealed(run.folder / "data.json")
    assert kept == {
        "hash": run.data_hash,
        "held_out": sorted(text.row for text in run.data.held_out_texts),
        "truncated": [{"row": 11, "completions": ["rejected"]}],
    }
    counts = run.summary("stopped")
    assert (counts["skipped_rows"], counts["truncated_rows"]) == (3, 1)
    assert counts["truncated_completions"] == 1


def test_prompts_and_groups_are_on_one_side_however_they_are_written(
    make_run: MakeRun, tmp_path: Path
) -> None:
    rows = [row("film"), row("FILM"), row(" film "), row("book"), row("hotel"), row("game")]
    for number, one in enumerate(rows[2:], start=1):
        one["group"] = number % 2  # type: ignore[assignment]
    data = str(write_jsonl(tmp_path / "pairs.jsonl", [*rows, row("phone"), row("radio")]))
    for seed in range(5):
        run = make_run(data=data, held_out=2, samples=1, seed=seed)
        held_out = {text.row for text in run.data.held_out_texts}
        assert held_out
        for joined in ({1, 2, 3, 5}, {4, 6}):
            assert held_out & joined in (set(), joined)


def test_a_run_of_which_most_rows_would_be_cut_asks_first(
    make_recorded: MakeRun, make_run: MakeRun, tmp_path: Path
) -> None:
    rows = [row(topic, rejected="it was bad " * 20) for topic in ("film", "book", "hotel", "game")]
    data = str(write_jsonl(tmp_path / "pairs.jsonl", [*rows, row("phone")]))
    with pytest.raises(WorkbenchError, match=r"4 of 5 rows are longer than 64 tokens.*max-length"):
        make_recorded(data=data, held_out=1, max_length=None)
    assert not (tmp_path / "run").exists()
    run = make_run(data=data, held_out=1, max_length=64)
    assert len(run.truncated) == 4


def test_no_held_out_pairs_and_no_samples_are_fine(make_recorded: MakeRun) -> None:
    run = make_recorded(held_out=0, samples=0)
    said = list(run)
    assert len(run.data.train) == 48
    assert [e.metrics for e in said if isinstance(e, EvalEvent)] == [{}] * 4  # at 0, 4, 8 and 12
    assert run.folder is not None
    assert json.loads((run.folder / "summary.json").read_text())["steps"] == 12


def test_a_length_beyond_the_model_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(WorkbenchError, match=r"max_length=65 is not accepted: .* up to 64"):
        make_run(max_length=65)


def test_held_out_pairs_leave_some_to_train_on(make_run: MakeRun) -> None:
    with pytest.raises(WorkbenchError, match="held_out is 48"):
        make_run(held_out=48)


# -- what it writes ---------------------------------------------------------------------------


def test_the_summary_has_what_the_held_out_set_says_and_what_it_took(
    make_recorded: MakeRun,
) -> None:
    run = make_recorded()
    said = list(run)
    assert run.folder is not None
    summary = json.loads((run.folder / "summary.json").read_text())
    last = [event.metrics for event in said if isinstance(event, EvalEvent)][-1]
    assert {name: summary[name] for name in HELD_OUT} == last
    assert summary["reason"] == "finished"
    assert summary["steps"] == 10
    assert summary["pairs"] == 2 * len(run.data.train)
    assert summary["pairs_per_second"] == pytest.approx(summary["pairs"] / summary["seconds"])
    assert summary["peak_memory_bytes"] > 10_000_000
    assert summary["reference_hash"] == run.reference_hash
    assert summary["settings"]["beta"] == 0.1
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "config.toml", "events.jsonl", "skipped.jsonl", "data.json", "self_test.json",
        "checkpoints", "summary.json", ".lock",
    }  # fmt: skip


def test_one_sample_has_no_standard_error(make_recorded: MakeRun) -> None:
    run = make_recorded(samples=1)
    list(run)
    assert run.folder is not None
    text = (run.folder / "summary.json").read_text()
    assert "NaN" not in text + (run.folder / "events.jsonl").read_text()
    assert "held_out/kl/policy_reference" in json.loads(text)


def test_the_config_on_disk_is_filled_in(make_recorded: MakeRun) -> None:
    run = make_recorded(layout=None)
    assert run.record is not None
    config = run.record.config()
    assert config == run.config
    assert (config.layout, config.device, config.precision) == ("packed", "cpu", "float32")


def test_the_reference_is_the_model_in_hand(make_run: MakeRun, base: Model) -> None:
    run = make_run()
    assert run.reference_hash == model_hash(base.policy)
    list(run)
    assert run.reference_hash == model_hash(base.policy) != model_hash(run.policy)
    assert model_hash(run._evaluator.start.model) == run.reference_hash


def test_a_folder_that_holds_a_run_is_refused(make_recorded: MakeRun) -> None:
    run = make_recorded("run")
    list(run)
    assert run.folder is not None
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    with pytest.raises(WorkbenchError, match="already holds a run"):
        make_recorded("run")
    with pytest.raises(WorkbenchError, match="already holds a run"):
        make_recorded("run", model="not even looked for")
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_a_recorded_policy_is_read_back(make_recorded: MakeRun) -> None:
    run = make_recorded()
    said = list(run)
    assert run.folder is not None
    loaded = load_run(run.folder)
    assert model_hash(loaded.policy) == model_hash(run.policy)
    last = [event.metrics for event in said if isinstance(event, EvalEvent)][-1]
    assert loaded.evaluate() == last
    sampling = SamplingConfig(max_new_tokens=6, seed=5)
    assert loaded.sample(run.prompts, sampling) == run.sample(run.prompts, sampling)
    assert Record(run.folder).events() == said


def test_a_run_without_a_checkpoint_has_no_policy(make_recorded: MakeRun) -> None:
    run = make_recorded()
    assert run.folder is not None
    with pytest.raises(WorkbenchError, match="no checkpoint yet"):
        load_run(run.folder)


# -- when things go wrong ---------------------------------------------------------------------


def test_a_bad_number_leaves_the_last_good_checkpoint(
    make_recorded: MakeRun, to_step: ToStep
) -> None:
    run = make_recorded(checkpoint_every=3)
    to_step(run, 4)
    kept = Record(run.folder).checkpoints()  # type: ignore[arg-type]
    with torch.no_grad():
        next(run.policy.parameters())[:] = math.nan
    with pytest.raises(NonFiniteLossError) as caught:
        list(run)
    message = str(caught.value)
    assert "step 5" in message
    assert f"kept: {kept[0]}" in message
    assert "\n" not in message
    assert Record(run.folder).checkpoints() == kept  # type: ignore[arg-type]
    resumed = Run.resume(run.folder)  # type: ignore[arg-type]
    list(resumed)
    assert resumed.finished


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on no file whose path holds this can be written to its end."""

    def fill(part: str) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace, opened = os.replace, Path.open

        def no_replace(source: Any, target: Any, **rest: Any) -> None:
            if part in str(target):
                raise full
            replace(source, target, **rest)

        def no_open(self: Path, mode: str = "r", *args: Any, **rest: Any) -> Any:
            if part in str(self) and mode == "ab":
                raise full
            return opened(self, mode, *args, **rest)

        monkeypatch.setattr(os, "replace", no_replace)
        monkeypatch.setattr(Path, "open", no_open)

    return fill


@pytest.mark.parametrize(
    "part", ["config.toml", "skipped.jsonl", "events.jsonl", "step-000010", "summary.json"]
)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    make_recorded: MakeRun, full_disk: Callable[[str], None], tmp_path: Path, part: str
) -> None:
    full_disk(part)
    with pytest.raises(WorkbenchError) as caught:
        list(make_recorded("run"))
    message = str(caught.value)
    assert part in message
    assert "space left" in message
    assert "\n" not in message
    names = [path.name for path in tmp_path.rglob("*")]
    assert part not in names
    assert not any(name.endswith(".tmp") for name in names)
    for line in [l for p in tmp_path.rglob("events.jsonl") for l in p.read_text().splitlines()]:  # noqa: E741
        json.loads(line)


def test_a_run_goes_on_once_there_is_space(
    make_recorded: MakeRun, full_disk: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_recorded("whole")
    list(whole)
    run = make_recorded("run")
    full_disk("step-000010")
    with pytest.raises(WorkbenchError, match="space left"):
        list(run)
    monkeypatch.undo()
    resumed = Run.resume(run.folder)  # type: ignore[arg-type]
    list(resumed)
    assert model_hash(resumed.policy) == model_hash(whole.policy)


# -- what it leaves alone ---------------------------------------------------------------------


def test_sampling_does_not_touch_the_trajectory(make_run: MakeRun, to_step: ToStep) -> None:
    silent, talkative = make_run(samples=0, eval_every=0), make_run(samples=4, eval_every=1)
    list(silent)
    while not talkative.finished:
        next(talkative)
        talkative.sample(["review of the film"], SamplingConfig(max_new_tokens=3, seed=1))
    assert model_hash(silent.policy) == model_hash(talkative.policy)


def test_the_global_random_states_stay(make_recorded: MakeRun, to_step: ToStep) -> None:
    states = (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))
    run = make_recorded(pairs_from="reference", samples=2, lora=0, max_steps=3)
    to_step(run, 2)
    run.branch("other")
    list(run)
    assert states == (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))


def test_the_same_seed_gives_the_same_run(make_run: MakeRun) -> None:
    one, two, other = make_run(seed=1), make_run(seed=1), make_run(seed=2)
    for run in (one, two, other):
        list(run)
    assert model_hash(one.policy) == model_hash(two.policy) != model_hash(other.policy)
    samples = [[e.samples for e in run.events if isinstance(e, SampleEvent)] for run in (one, two)]
    assert samples[0] == samples[1]


def test_bf16_can_be_asked_for(make_run: MakeRun) -> None:
    said = list(make_run(precision="bf16"))
    first = said[0]
    assert isinstance(first, EvalEvent)
    assert first.metrics["held_out/logratios/chosen"] == 0.0
    assert first.metrics["held_out/kl/policy_reference"] == 0.0
    assert said[-1] == EndEvent(10, "finished")


def test_progress_is_told_as_a_share(base: Model, small: dict[str, Any], tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    config = TrainConfig(**{**small, "out": str(tmp_path / "run")})
    Run.create(config, progress=lambda text, share: told.append((text, share)), base=base)
    assert told[0] == ("reading the data", 0.0)
    assert all(0 <= share <= 1 for _, share in told)


@pytest.mark.parametrize("turns", ["last", "every"])
def test_a_run_on_conversations_asks_and_scores_them_as_they_are(
    make_run: MakeRun, tmp_path: Path, turns: str
) -> None:
    """With a model that has no template: a transcript; the same scores as turn by turn."""
    good, bad = ({"role": "assistant", "content": f"was {word} ."} for word in ("good", "bad"))
    asked = [{"role": "user", "content": f"the plot {number}"} for number in range(8)]
    rows = [
        {"chosen": [one, good, asked[0], good], "rejected": [one, good, asked[0], bad]}
        for one in asked
    ]
    path = tmp_path / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = make_run(data=str(path), turns=turns, held_out=2, samples=1)
    assert run.data.layout == "two whole conversations (chosen, rejected)"
    metrics = run.evaluate()
    assert metrics["held_out/logratios/chosen"] == pytest.approx(0, abs=1e-5)
    assert metrics["held_out/lengths/chosen"] == {"last": 4, "every": 7}[turns]
    (text, *_), (item, *_) = run.data.held_out_texts, run.data.held_out
    assert run.tokenizer.render_prompt(text.prompt) == list(item.prompt)
    reference, _ = handles(run)
    assert reference.tokenizer.render_prompt(text.prompt) == list(item.prompt)
