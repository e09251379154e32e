"""Answers as numbers: each against its definition, worked by hand or by another way round."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import log_softmax

from workbench.compare import answers as module
from workbench.compare.answers import (
    answers_frame,
    changed,
    sample_answers,
)
from workbench.compare.checkpoint_answers import checkpoint_answers
from workbench.compare.handle_sources import handles, open_handles
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.reopen import load_run
from workbench.runs.run import Run

MakeRun = Callable[..., Run]
SAMPLING = SamplingConfig(max_new_tokens=8, seed=5)


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    """At its end."""
    run = make_run(lr=1e-2)
    list(run)
    return run


def test_changed_by_hand() -> None:
    # Three words stay out of 4 + 6.
    assert changed("the room was small", "the room was lovely and quiet") == 1 - 2 * 3 / 10
    assert changed("", "") == 0.0
    assert changed("", "word") == 1.0
    assert changed("one  two", "one two") == 0.0


def test_a_row_for_every_prompt_and_model(run: Run) -> None:
    asked, prompts = handles(run), [*run.prompts[:2], run.prompts[0]]
    frame = answers_frame(asked, prompts, SAMPLING, run.data.scores)
    assert frame["place"].tolist() == [0, 0, 1, 1, 2, 2]
    assert frame["prompt"].tolist() == [p for p in prompts for _ in asked]
    assert frame["who"].tolist() == ["reference", "policy"] * 3
    for handle in asked:
        mine = frame[frame.who == handle.name]
        assert mine["text"].tolist() == handle.answer(prompts, SAMPLING)
    first = frame[frame.who == "reference"]
    assert (first[["kl", "changed"]] == 0).all(axis=None)
    assert frame["reward"].between(-1, 1).all()
    assert frame["grammatical"].isin([0, 1]).all()


def test_logps_and_kl_are_those_of_the_models(run: Run) -> None:
    reference, policy = handles(run)
    prompt = run.prompts[0]
    frame = answers_frame((reference, policy), [prompt], SAMPLING)
    (answer,) = sample_answers(policy, [prompt], SAMPLING)
    tokenizer = run.tokenizer
    start = tokenizer.render_prompt(prompt)
    ids = [*answer.ids, *([tokenizer.eos_id] if answer.ended else [])]
    tokens = torch.tensor([start + ids])
    with torch.no_grad():
        both = [
            log_softmax(model.logits(tokens)[0, len(start) - 1 : -1], -1).double()
            for model in (reference.model, policy.model)
        ]
    row = frame[frame.who == "policy"].iloc[0]
    for who, logps in zip(("reference", "policy"), both, strict=True):
        expected = sum(float(logps[index, token]) for index, token in enumerate(ids))
        assert row[f"logp/{who}"] == pytest.approx(expected, abs=1e-4)
    theirs, ours = both
    by_position = (ours.exp() * (ours - theirs)).sum(-1)
    assert row["kl"] == pytest.approx(float(by_position.sum()), abs=1e-4)
    assert row["kl"] > 0


def test_an_answer_that_was_cut_off_is_scored_without_an_end(run: Run) -> None:
    reference, _ = handles(run)
    (cut,) = sample_answers(reference, run.prompts[:1], SamplingConfig(max_new_tokens=2))
    assert not cut.ended
    frame = answers_frame((reference,), run.prompts[:1], SamplingConfig(max_new_tokens=2))
    start = run.tokenizer.render_prompt(cut.prompt)
    (logps,) = reference.token_logps([(start, cut.ids)])
    assert frame["logp/reference"][0] == pytest.approx(float(logps.sum()), abs=1e-5)


def test_a_stop_string_that_is_not_met_changes_nothing(run: Run) -> None:
    reference, _ = handles(run)
    plain = sample_answers(reference, run.prompts, SAMPLING)
    assert sample_answers(reference, run.prompts, replace(SAMPLING, stop=("zzz",))) == plain


def test_an_answer_up_to_a_stop_string_is_cut_and_scored_without_an_end(run: Run) -> None:
    reference, _ = handles(run)
    (whole,) = sample_answers(reference, run.prompts[:1], SAMPLING)
    word = module.words_of(whole.text)[2]
    sampling = SamplingConfig(max_new_tokens=8, seed=5, stop=(word,))
    (cut,) = sample_answers(reference, run.prompts[:1], sampling)
    assert not cut.ended
    assert whole.text.startswith(cut.text)
    assert word not in cut.text
    frame = answers_frame((reference,), run.prompts[:1], sampling)
    (logps,) = reference.token_logps([(run.tokenizer.render_prompt(cut.prompt), cut.ids)])
    assert frame["logp/reference"][0] == pytest.approx(float(logps.sum()), abs=1e-5)


def test_how_many_are_scored_together_changes_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = run.prompts[:3]
    together = answers_frame(handles(run), prompts, SAMPLING)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    assert answers_frame(handles(run), prompts, SAMPLING).equals(together)


def test_a_prompt_from_outside_the_world_has_no_truth(run: Run) -> None:
    frame = answers_frame(handles(run), ["who are you?", run.prompts[0]], SAMPLING, run.data.scores)
    assert frame["reward"].isna().tolist() == [True, True, False, False]


def test_two_tokenizers_have_no_kl(run: Run, make_run: MakeRun) -> None:
    reference, policy = handles(run)
    other = make_run().tokenizer
    other.special_names["eos_token"] = "another name"
    stranger = module.ModelHandle("stranger", policy.model, other)
    frame = answers_frame((reference, stranger), run.prompts[:1], SAMPLING)
    assert math.isnan(frame["kl"][1])
    assert frame[["logp/reference", "logp/stranger"]].notna().all(axis=None)


def test_no_prompt_is_refused(run: Run) -> None:
    with pytest.raises(WorkbenchError, match="prompts is empty"):
        answers_frame(handles(run), [], SAMPLING)


def test_every_checkpoint_answers(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=4, lr=1e-2)
    prompts = run.prompts[:2]
    expected = {}
    for event in run:
        if type(event).__name__ == "CheckpointEvent":
            expected[event.step] = handles(run)[1].answer(prompts, SAMPLING)
    reports: list[str] = []
    frame = checkpoint_answers(run.folder, prompts, SAMPLING, lambda text, _: reports.append(text))
    assert frame["step"].unique().tolist() == [0, *expected] == [0, 4, 8, 10]
    for step, texts in expected.items():
        assert frame[frame.step == step]["text"].tolist() == texts
    before = frame[frame.step == 0]
    assert set(before["who"]) == {"reference"}
    assert before["text"].tolist() == handles(run)[0].answer(prompts, SAMPLING)
    assert {f"step {step} answers" for step in expected} <= set(reports)
    # The last checkpoint's rows are those of the run in hand.
    last = answers_frame(handles(run), prompts, SAMPLING, run.data.scores)
    mine = last[last.who == "policy"].reset_index(drop=True)
    columns = ["text", "kl", "logp/policy", "reward", "changed"]
    assert frame[frame.step == 10].reset_index(drop=True)[columns].equals(mine[columns])


def test_two_checkpoints_stand_beside_each_other(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=4, lr=1e-2)
    list(run)
    early = load_run(run.folder, step=4)
    both = open_handles({"early": early, "late": run, "base": str(run.config.model)})
    frame = answers_frame(both, run.prompts[:2], SAMPLING)
    assert frame["who"].tolist() == ["early", "late", "base"] * 2
    base = frame[frame.who == "base"]["text"].tolist()
    assert base == handles(run)[0].answer(run.prompts[:2], SAMPLING)
    assert (frame[frame.who != "early"]["kl"] > 0).all()


def test_a_run_without_a_checkpoint_has_an_error_of_its_own(make_recorded: MakeRun) -> None:
    run = make_recorded()
    with pytest.raises(WorkbenchError, match="no checkpoint yet"):
        checkpoint_answers(run.folder)
