"""The reward model learns what the pairs say, by the one loop, and judges by it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from workbench.compare.judging.reward_model_judge import (
    RewardJudge,
    reward_judge,
    start_from_reference,
)
from workbench.core.collation import collate
from workbench.core.metrics import wilson_interval
from workbench.data.pairs import encode_pairs
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.split import split_by_group
from workbench.models.heads import RewardModel
from workbench.models.load import Model
from workbench.runs.run import Run
from workbench.train.batches import batches_for
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.loop import fit
from workbench.train.method import find_method

METHOD = find_method("reward_model")
QUICK = TrainConfig(
    method="reward_model", lr=4e-3, epochs=4, batch_size=32, warmup=5, precision="float32",
    device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def judged(trained: Model) -> tuple[RewardJudge, Reviews, list[StepEvent], tuple[float, ...]]:
    """A judge trained on 500 pairs of the small world, its steps, and its held-out accuracy."""
    world = Reviews(ReviewsConfig(pairs=620, topics=4, label_scale=8))
    encoded = encode_pairs(world.preferences(), trained.tokenizer, 64)
    train, held_out = split_by_group(encoded.texts, lambda text: text.group, 120, 0)
    model = RewardModel(trained.policy)
    pairs = [encoded.pairs[index] for index in train]
    batches = batches_for(METHOD, pairs, trained.tokenizer.pad_id, QUICK.batch_size)
    events = list(fit(model, batches, QUICK, method=METHOD))
    judge = RewardJudge(model, trained.tokenizer, device="cpu")
    chosen, rejected = judge.rewards([encoded.pairs[index] for index in held_out])
    share = (chosen > rejected).double().mean().item()
    steps = [event for event in events if isinstance(event, StepEvent)]
    return judge, world, steps, (share, *wilson_interval(share, len(held_out)))


def test_bradley_terry_by_hand(make_run: Callable[..., Run]) -> None:
    run = make_run()
    model = RewardModel(run.policy)
    with torch.no_grad():
        model.weight.normal_(generator=torch.Generator().manual_seed(2))
    batch = collate(run.data.train[:3], run.tokenizer.pad_id)
    rewards = model(batch).tolist()
    found = METHOD.losses(model, batch, {"loss": "bradley_terry"})
    margins = [rewards[0] - rewards[1], rewards[2] - rewards[3], rewards[4] - rewards[5]]
    assert found.values.tolist() == pytest.approx(
        [math.log1p(math.exp(-m)) for m in margins], rel=1e-4
    )
    assert found.metrics["rewards/margins"].tolist() == pytest.approx(margins, rel=1e-4)


def test_it_starts_at_log_2_and_ranks_held_out_topics_better_than_chance(
    judged: tuple[RewardJudge, Reviews, list[StepEvent], tuple[float, ...]],
) -> None:
    _, _, steps, (share, low, _) = judged
    assert steps[0].metrics["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert steps[0].metrics["rewards/ties"] == 1
    assert steps[-1].metrics["loss"] < 0.5
    assert low > 0.65, f"held-out accuracy {share:.2f}"


def test_it_judges_by_the_words_and_not_by_the_position(
    judged: tuple[RewardJudge, Reviews, list[StepEvent], tuple[float, ...]],
) -> None:
    judge, world, _, _ = judged
    prompts = [world.prompts[0]] * 3
    topic = world.topic_of(prompts[0])
    good, bad = f"the {topic} was superb.", f"the {topic} was awful."
    outcomes = judge(prompts, [good, bad, good], [bad, good, good])
    assert outcomes.scores.tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("lora", [0, 2])
def test_it_starts_as_the_reference_reads(make_run: Callable[..., Run], lora: int) -> None:
    run = make_run(max_steps=3, lora=lora)
    list(run)
    model = start_from_reference(run)
    batch = collate(run.data.train[:3], 0)
    with torch.no_grad():
        ours = model.body.hidden(batch.tokens)  # type: ignore[operator]
        with run.reference.active():
            theirs = run.reference.model.hidden(batch.tokens)  # type: ignore[operator]
    torch.testing.assert_close(ours, theirs)
    assert any(weight.requires_grad for weight in model.body.parameters())


def test_one_call_makes_a_judge_of_a_run_and_leaves_the_run_alone(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(max_steps=2)
    before = {name: value.clone() for name, value in run.policy.state_dict().items()}
    judge = reward_judge(run, epochs=1)
    assert judge.model.weight.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in run.policy.state_dict().items())
    assert run.step == 0
