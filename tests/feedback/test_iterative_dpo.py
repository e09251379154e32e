"""Rounds of votes with a simulated voter: the questions, the training, the table."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.compare.handle_sources import handles
from workbench.core import tabular
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.iterative_dpo import MINIMUM, IterativeDPO, iterate
from workbench.feedback.questions import (
    agreement,
    implicit_margins,
    make_questions,
    simulated_voter,
)
from workbench.feedback.votes import Question, Vote, append_vote, read_votes, undo_vote
from workbench.models.load import Model, model_hash
from workbench.runs.run import Run
from workbench.runs.run_data import review_scores
from workbench.train.config import TrainConfig

WORLD = ReviewsConfig(pairs=48, topics=4)
REVIEWS = Reviews(WORLD)


@pytest.fixture
def config() -> TrainConfig:
    """Two epochs of few and small steps."""
    return TrainConfig(world=WORLD, epochs=2, lr=1e-3, max_new_tokens=12)


@pytest.fixture
def make(trained: Model, config: TrainConfig, tmp_path: Path) -> Callable[..., IterativeDPO]:
    """Makes rounds over sixteen prompts."""

    def rounds(name: str = "votes", **changed: Any) -> IterativeDPO:
        own = {part: changed.pop(part) for part in ("lr", "out") if part in changed}
        settings = {"scores": review_scores(REVIEWS), **changed}
        return IterativeDPO(
            replace(config, **own),
            trained,
            REVIEWS.prompts[:16],
            tmp_path / f"{name}.jsonl",
            **settings,
        )

    return rounds


def reward(prompt: str, text: str) -> float:
    return REVIEWS.reward(text)


def vote_on_all(rounds: IterativeDPO, choice: str | None = None) -> list[Vote]:
    vote = simulated_voter(reward)
    votes = [Vote.cast(q, choice or vote(q)) for q in rounds.ask().questions]
    for one in votes:
        append_vote(rounds.file, one)
    return votes


def test_questions_repeat_and_their_texts_are_the_models(
    make: Callable[..., IterativeDPO],
) -> None:
    rounds = make()
    asked = rounds.ask()
    assert rounds.ask() == asked
    assert len(asked.questions) + asked.identical == 16
    assert {q.name_a for q in asked.questions} == {"policy, first sample", "policy, second sample"}
    assert all(q.a != q.b for q in asked.questions)
    other = make("other", seed=1).ask()
    assert {q.key for q in other.questions} != {q.key for q in asked.questions}


def test_identical_answers_are_left_out_and_counted(make: Callable[..., IterativeDPO]) -> None:
    rounds = make()
    greedy = replace(rounds.sampling, temperature=0.0)
    asked = make_questions(rounds.policy, rounds.policy, rounds.prompts, greedy)
    assert asked.questions == []
    assert asked.identical == 16


def test_simulated_votes_follow_bradley_terry() -> None:
    vote = simulated_voter(lambda prompt, text: float(text), scale=2.0)
    questions = [Question(f"{n}", "1", "0.5", "one", "other") for n in range(2000)]
    share = sum(vote(question) == "a" for question in questions) / len(questions)
    assert share == pytest.approx(1 / (1 + math.exp(-1.0)), abs=0.03)
    assert [vote(q) for q in reversed(questions)] == [vote(q) for q in questions][::-1]
    sure = simulated_voter(lambda prompt, text: float(text), scale=1e6)
    assert {sure(Question("x", a, b, "one", "other")) for a, b in (("0", "1"), ("-1", "1"))} == {
        "b"
    }


def test_round_trains_a_copy_on_the_votes_and_its_reference_is_the_start(
    make: Callable[..., IterativeDPO], trained: Model
) -> None:
    before = model_hash(trained.policy)
    rounds = make()
    votes = vote_on_all(rounds)
    run = rounds.train()
    assert run.reference_hash == before == model_hash(trained.policy)
    assert model_hash(rounds.origin.model) == model_hash(rounds.start.model) == before
    after = model_hash(rounds.model.policy)
    assert after != before
    chosen = {
        (vote.prompt, vote.a if vote.vote == "a" else vote.b)
        for vote in votes
        if vote.a.strip() and vote.b.strip()
    }
    assert {(text.prompt, text.chosen) for text in run.data.train_texts} == chosen
    assert rounds.number == 1
    assert {question.round for question in rounds.ask().questions} == {1}
    vote_on_all(rounds)
    second = rounds.train()
    assert second.reference_hash == after == model_hash(rounds.start.model)
    assert len(second.data.train) <= 16  # the votes of this round alone
    assert model_hash(rounds.origin.model) == before


def test_opened_anew_and_trained_again_it_asks_the_same(make: Callable[..., IterativeDPO]) -> None:
    first = make()
    vote_on_all(first)
    first.train()
    second = make()
    second.train()
    assert second.ask() == first.ask()


@pytest.mark.parametrize("stopped", [False, True])
def test_interrupted_training_goes_on_from_its_checkpoint_to_the_same_end(
    make: Callable[..., IterativeDPO], tmp_path: Path, stopped: bool
) -> None:
    undisturbed = make("one", out=str(tmp_path / "kept"))
    vote_on_all(undisturbed)
    undisturbed.train()
    rounds = make("two")
    vote_on_all(rounds)
    run = rounds.begin()
    while run.step < 3:
        next(run)
    if stopped:
        run.control.stop()
        list(run)
    del run
    again = make("two")
    resumed = again.begin()
    assert resumed.step == (3 if stopped else 2)  # else that of the first epoch's checkpoint
    list(resumed)
    again.adopt(resumed)
    assert model_hash(again.model.policy) == model_hash(undisturbed.model.policy)
    assert again.rows == undisturbed.rows
    assert (tmp_path / "two-rounds").is_dir()
    assert not (tmp_path / "one-rounds").exists()


def test_a_finished_round_with_damaged_weights_is_no_earlier_one(
    make: Callable[..., IterativeDPO],
) -> None:
    rounds = make()
    vote_on_all(rounds)
    rounds.train()
    *_, weights = sorted(rounds.folder.glob("round-0-*/checkpoints/*/policy.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with (
        pytest.warns(UserWarning, match="is damaged"),
        pytest.raises(WorkbenchError, match=r"last checkpoint in .* is damaged; delete the folder"),
    ):
        make().begin()


HOLDER = """
import sys
from pathlib import Path
from workbench.runs.folder.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_round_that_another_process_trains_is_not_trained_beside_it(
    make: Callable[..., IterativeDPO],
) -> None:
    rounds = make()
    vote_on_all(rounds)
    run = rounds.begin()
    assert run.record is not None
    run.record.release()
    command = [sys.executable, "-c", HOLDER, str(run.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(WorkbenchError, match=f"is being written by process {other.pid} on"):
            make().begin()
        other.kill()
    assert make().begin().step == 0


def test_finished_rounds_are_read_and_anything_changed_is_trained_anew(
    make: Callable[..., IterativeDPO],
) -> None:
    first = make()
    votes = vote_on_all(first)
    first.train()
    after = model_hash(first.model.policy)
    caught_up = make()
    caught_up.catch_up()
    assert caught_up.number == 1
    assert model_hash(caught_up.model.policy) == after
    assert caught_up.rows == first.rows
    assert make().begin().step == first.config.epochs * 2  # nothing is left to do
    assert make(lr=2e-3).begin().step == 0
    undo_vote(first.file, votes[0])
    changed = make()
    changed.catch_up()
    assert changed.number == 0
    assert changed.begin().step == 0


def test_margins_are_the_runs_and_agreement_counts_their_signs(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(max_steps=6, lr=5e-3)
    list(run)
    reference, policy = handles(run)
    frame = run.held_out_frame()
    questions = [
        Question(row.prompt, row.chosen, row.rejected, "one", "other") for row in frame.itertuples()
    ]
    margins = implicit_margins(policy, reference, questions)
    wanted = torch.tensor((frame["rewards/margins"] / run.config.beta).to_numpy())
    torch.testing.assert_close(margins, wanted.float(), atol=1e-3, rtol=1e-3)
    votes = [Vote.cast(question, "a") for question in questions]
    assert agreement(policy, reference, votes) == pytest.approx((margins > 0).float().mean().item())
    swapped = [Vote.cast(question, "b") for question in questions]
    assert agreement(policy, reference, swapped) == pytest.approx(1 - (margins > 0).float().mean())
    assert agreement(reference, reference, votes) == 0.5
    assert math.isnan(agreement(policy, reference, [Vote.cast(questions[0], "tie")]))


def test_rounds_without_a_person_say_what_came_of_them(make: Callable[..., IterativeDPO]) -> None:
    rounds = make()
    *_, frame = iterate(rounds, simulated_voter(reward), 2)
    assert list(frame["round"]) == [0, 1, 2]
    assert frame["pairs"].isna().tolist() == [True, False, False]
    assert frame["agreement"].isna().tolist() == [True, True, False]  # nothing was learnt before
    shares = frame.loc[1:, ["win_rate", "win_rate_first", "right", "grammatical"]]
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert ((frame.low <= frame.win_rate) & (frame.win_rate <= frame.high))[1:].all()
    assert frame.win_rate[1] == frame.win_rate_first[1]  # the round began at the first policy
    assert {vote.round for vote in read_votes(rounds.file)} == {0, 1}


def test_ties_are_skipped_and_too_few_votes_train_nothing(
    make: Callable[..., IterativeDPO],
) -> None:
    rounds = make()
    texts = "the plot was good.", "the plot was bad."
    questions = [Question(prompt, *texts, "one", "other") for prompt in rounds.prompts]
    for number, question in enumerate(questions):
        append_vote(rounds.file, Vote.cast(question, "a" if number < MINIMUM - 1 else "tie"))
    with pytest.raises(WorkbenchError, match=rf"has {MINIMUM - 1} votes .* {MINIMUM} at least"):
        rounds.train()
    assert rounds.number == 0
    append_vote(rounds.file, Vote.cast(questions[-1], "b"))
    rounds.train()
    assert rounds.rows[1]["pairs"] == MINIMUM
    assert rounds.rows[1]["skipped"] == len(questions) - MINIMUM + 1


def test_run_that_has_not_ended_is_not_adopted(make: Callable[..., IterativeDPO]) -> None:
    rounds = make()
    vote_on_all(rounds, "a")
    run = rounds.begin()
    with pytest.raises(WorkbenchError, match="the run is at step 0"):
        rounds.adopt(run)


@pytest.mark.parametrize("lora", [0, 2])
def test_goes_on_from_a_run_against_its_reference(
    make_run: Callable[..., Run], tmp_path: Path, lora: int
) -> None:
    run = make_run(max_steps=6, lr=5e-3, lora=lora)
    list(run)
    before = model_hash(run.policy)
    rounds = IterativeDPO.after(run, tmp_path / "votes.jsonl")
    questions = rounds.ask().questions
    assert {question.name_a for question in questions} <= {"policy", "reference"}
    vote_on_all(rounds)
    rounds.train()
    assert model_hash(run.policy) == before
    rounds.ask()
    vote_on_all(rounds)
    rounds.train()  # adapters of the round before were merged
    assert rounds.rows[1]["agreement"] == rounds.rows[1]["agreement"]


def test_open_settings_fit_few_pairs_and_given_ones_stay(
    make: Callable[..., IterativeDPO], trained: Model, config: TrainConfig, tmp_path: Path
) -> None:
    assert (make().config.batch_size, make().config.held_out) == (8, 0)
    own = replace(config, batch_size=3, held_out=2)
    rounds = IterativeDPO(own, trained, ["p"], tmp_path / "own.jsonl")
    assert (rounds.config.batch_size, rounds.config.held_out) == (3, 2)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"against": "everybody"}, "accepted: itself, reference"),
        ({"prompts": []}, "prompts is empty"),
    ],
)
def test_what_cannot_be_is_refused(
    trained: Model, config: TrainConfig, tmp_path: Path, changed: dict[str, Any], why: str
) -> None:
    given = {"config": config, "prompts": ["p"], "file": tmp_path / "v.jsonl", **changed}
    with pytest.raises(WorkbenchError, match=why):
        IterativeDPO(base=copy.deepcopy(trained), **given)


def test_rounds_of_optima_come_to_one_round_with_a_smaller_beta() -> None:
    """pi_n is proportional to pi_0 exp(n r / beta), see the module."""
    world = tabular.TabularWorld.example()
    logps = world.reference_logps
    for _ in range(3):
        logps = tabular.optimal_logps(logps, world.rewards, 1.5)
    torch.testing.assert_close(logps, world.optimum(0.5))
