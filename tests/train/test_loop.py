"""The one loop: equal to DPO written out, steered while it runs, careful with bad numbers."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from workbench.core.batch import Pair, PreferenceBatch
from workbench.core.collation import collate
from workbench.core.fast.fast_kernels import FAST
from workbench.core.losses import LOSSES
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.errors import WorkbenchError
from workbench.models.load import model_hash
from workbench.train.batches import FixedBatches, batches_for, each_step
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, StepEvent
from workbench.train.loop import NonFiniteLossError, TrainState, fit, total_steps
from workbench.train.method import find_method
from workbench.train.reference.live import LiveReference, freeze

VOCAB, PAD = 23, 0
PREFERENCE = find_method("preference")


def draw_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Pairs of unequal lengths, prompts of 1 to 4 tokens and completions of 1 to 6."""
    generator = torch.Generator().manual_seed(seed)

    def ids(most: int) -> tuple[int, ...]:
        size = int(torch.randint(1, most + 1, (), generator=generator))
        return tuple(torch.randint(1, VOCAB, (size,), generator=generator).tolist())

    return [Pair(ids(4), ids(6), ids(6)) for _ in range(count)]


@pytest.fixture
def policy() -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24, max_length=16
    )
    return Transformer(shape, seed=4, kernels=FAST)


@pytest.fixture
def batches() -> list[PreferenceBatch]:
    pairs = draw_pairs(12)
    return [collate(pairs[i : i + 4], PAD) for i in (0, 4, 8)]


def settings(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"lr": 1e-2, "warmup": 0, "epochs": 2, "precision": "float32", **changes})


def steps(events: Any) -> list[StepEvent]:
    return [event for event in events if isinstance(event, StepEvent)]


def logp(policy: nn.Module, prompt: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    """The definition: every token of the completion, given all before it."""
    logps = policy.logits(torch.tensor([[*prompt, *completion]])).log_softmax(-1)[0]
    return sum(logps[len(prompt) + i - 1, token] for i, token in enumerate(completion))


def plain_dpo(
    policy: nn.Module, pairs: list[Pair], order: list[list[int]], beta: float, lrs: list[float]
) -> list[tuple[float, float]]:
    """(loss, gradient norm) of each step of DPO, one sequence at a time; AdamW by hand."""
    reference = copy.deepcopy(policy)
    weights = list(policy.parameters())
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    told = []
    for step, (places, lr) in enumerate(zip(order, lrs, strict=True), start=1):
        losses = []
        for pair in (pairs[place] for place in places):
            rho = [
                logp(policy, pair.prompt, side) - logp(reference, pair.prompt, side).detach()
                for side in (pair.chosen, pair.rejected)
            ]
            losses.append(torch.log1p(torch.exp(-beta * (rho[0] - rho[1]))))
        loss = torch.stack(losses).mean()
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        with torch.no_grad():
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                g = g * min(1.0, 1.0 / (float(norm) + 1e-6))  # clipped to norm 1
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.98).add_(0.02 * g * g)
                w -= lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.98**step)).sqrt() + 1e-8)
        told.append((float(loss.detach()), float(norm)))
    return told


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix"])
def test_the_trajectory_is_that_of_dpo_written_out(policy: Transformer, layout: str) -> None:
    pairs = draw_pairs(10)
    ours, beta = copy.deepcopy(policy), 0.7
    batches = batches_for(PREFERENCE, pairs, PAD, batch_size=4, layout=layout, seed=3)
    order = [batches.at(step)[0].index.tolist() for step in range(6)]
    config = settings(beta=beta, warmup=4, batch_size=4)
    found = [event.metrics for event in steps(fit(ours, batches, config))]
    # Warm-up over 4 steps: 1/4, 2/4, 3/4 of the rate, then all of it.
    lrs = [0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01]
    expected = plain_dpo(policy, pairs, order, beta, lrs)
    assert [event["lr"] for event in found] == pytest.approx(lrs)
    for event, (loss, norm) in zip(found, expected, strict=True):
        assert event["loss"] == pytest.approx(loss, rel=1e-3)
        assert event["grad_norm"] == pytest.approx(norm, rel=5e-3)
    for left, right in zip(ours.parameters(), policy.parameters(), strict=True):
        assert torch.allclose(left, right, atol=2e-4)
    assert expected[-1][0] < expected[0][0], "otherwise nothing was learnt and equality is cheap"


def test_before_the_first_step_policy_and_reference_are_one(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    metrics = next(iter(fit(policy, batches, settings()))).metrics  # type: ignore[union-attr]
    for name in ("logratios/chosen", "logratios/rejected", "rewards/margins"):
        assert metrics[name] == 0.0
    assert metrics["rewards/ties"] == 1.0
    assert metrics["rewards/accuracies"] == 0.0
    assert metrics["loss"] == pytest.approx(math.log(2), abs=1e-7)
    assert metrics["grad_norm"] > 0


def test_accumulation_equals_the_large_batch(policy: Transformer) -> None:
    pairs = draw_pairs(8)
    whole, parts = copy.deepcopy(policy), copy.deepcopy(policy)
    once = steps(fit(whole, [collate(pairs, PAD)], settings(epochs=3)))

    class Halves(FixedBatches):
        def at(self, step: int) -> list[Any]:
            # Unequal, so that a mean of means would show.
            return [collate(pairs[:5], PAD), collate(pairs[5:], PAD, index=[5, 6, 7])]

    twice = steps(fit(parts, Halves([collate(pairs, PAD)]), settings(epochs=3)))
    for one, two in zip(once, twice, strict=True):
        for name in ("loss", "grad_norm", "logps/chosen", "rewards/margins", "lengths/rejected"):
            assert two.metrics[name] == pytest.approx(one.metrics[name], rel=1e-3, abs=1e-6)
    for left, right in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-4)


def test_two_micro_batches_of_four_are_one_step_of_eight(policy: Transformer) -> None:
    batches = batches_for(PREFERENCE, draw_pairs(32), PAD, batch_size=4, accumulate=2)
    state = TrainState.start(policy, settings(epochs=1))
    found = steps(fit(policy, batches, settings(epochs=1), state=state))
    assert len(found) == len(batches) == 4
    assert state.pairs == 32


def test_the_gradient_is_clipped_to_its_norm(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    state = TrainState.start(policy, settings())
    limit = 1e-3
    config = settings(max_steps=1, max_grad_norm=limit)
    norms: list[float] = []

    def measure(*_: Any) -> None:
        gradients = [parameter.grad for parameter in policy.parameters()]
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients if g is not None)))

    state.optimizer.register_step_pre_hook(measure)
    (first,) = steps(fit(policy, batches, config, state=state))
    (norm,) = norms
    assert first.metrics["grad_norm"] > 10 * limit, "the norm told is that before clipping"
    assert norm == pytest.approx(limit, rel=1e-3)


def test_only_the_policy_changes(policy: Transformer, batches: list[PreferenceBatch]) -> None:
    frozen = freeze(policy, "float32")
    before = model_hash(policy)
    reference = LiveReference(frozen)
    told = steps(fit(policy, batches, settings(epochs=1), reference=reference))
    assert model_hash(frozen) == before
    assert model_hash(policy) != before
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert told[-1].metrics["logratios/chosen"] != 0


def test_weights_that_are_frozen_stay(policy: Transformer, batches: list[PreferenceBatch]) -> None:
    policy.embed_tokens.weight.requires_grad_(False)
    before = copy.deepcopy(policy.state_dict())
    list(fit(policy, batches, settings(epochs=1)))
    changed = {name for name, value in policy.state_dict().items() if not value.equal(before[name])}
    assert changed == before.keys() - {"embed_tokens.weight"}


def test_a_policy_with_nothing_to_train_is_refused(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    policy.requires_grad_(False)
    with pytest.raises(WorkbenchError, match="no trainable parameter"):
        next(iter(fit(policy, batches, settings())))


@pytest.mark.parametrize("max_steps", [0, 3])
def test_no_batches_are_refused(policy: Transformer, max_steps: int) -> None:
    with pytest.raises(WorkbenchError, match="batches is empty"):
        next(iter(fit(policy, [], settings(max_steps=max_steps))))


def test_a_plain_list_is_gone_through_each_epoch(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    assert total_steps(FixedBatches(batches), settings(epochs=2)) == 6
    found = steps(fit(policy, batches, settings(epochs=2)))
    assert [event.step for event in found] == [1, 2, 3, 4, 5, 6]
    assert [event.epoch for event in found] == [0, 0, 0, 1, 1, 1]
    assert {event.total for event in found} == {6}


def test_max_steps_ends_before_and_after_the_epochs(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    assert len(steps(fit(policy, batches, settings(max_steps=2)))) == 2
    assert len(steps(fit(policy, batches, settings(max_steps=8)))) == 8


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        # 0.08 times the warm-up 1/2, 1, 1, 1 and the schedule at 0, 1/4, 2/4, 3/4 of the run
        ("constant", [0.04, 0.08, 0.08, 0.08]),
        ("linear", [0.04, 0.06, 0.04, 0.02]),
        ("cosine", [0.04, 0.04 * (1 + 0.5**0.5), 0.04, 0.04 * (1 - 0.5**0.5)]),
    ],
)
def test_the_rate_follows_its_schedule(
    policy: Transformer, batches: list[PreferenceBatch], schedule: str, rates: list[float]
) -> None:
    found = steps(fit(policy, batches, settings(max_steps=4, lr=0.08, warmup=2, schedule=schedule)))
    assert [event.metrics["lr"] for event in found] == pytest.approx(rates)


def test_a_schedule_takes_the_rate_that_is_set_meanwhile(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    control = Control()
    config = settings(max_steps=4, lr=0.08, warmup=0, schedule="linear")
    events = fit(policy, batches, config, control)
    found = [next(events), next(events)]
    control.set(lr=0.4)
    found += steps(events)
    assert [e.metrics["lr"] for e in found] == pytest.approx([0.08, 0.06, 0.2, 0.1])


# -- the hand on it ---------------------------------------------------------------------------


def test_a_change_holds_from_the_next_step_on(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    control = Control()
    events = fit(policy, batches, settings(beta=0.1, max_steps=4), control)
    said: list[Any] = [next(events)]
    control.set(beta=2.0, lr=3e-3)
    control.set(loss="ipo", lr=4e-3)  # the later word holds
    said += list(events)
    changes = [event for event in said if isinstance(event, ChangeEvent)]
    assert changes == [
        ChangeEvent(1, "beta", 2.0),
        ChangeEvent(1, "lr", 4e-3),
        ChangeEvent(1, "loss", "ipo"),
    ]
    assert said[1:4] == changes
    found = steps(said)
    assert [event.metrics["beta"] for event in found] == [0.1, 2.0, 2.0, 2.0]
    assert [event.metrics["lr"] for event in found] == pytest.approx([1e-2, 4e-3, 4e-3, 4e-3])
    # One pair's IPO loss is (delta - 1 / (2 * 2))^2, and rewards/margins is 2 * delta.
    second = copy.deepcopy(found[1].metrics)
    assert second["loss"] >= (second["rewards/margins"] / 2 - 0.25) ** 2 - 1e-6
    assert second["loss"] != pytest.approx(found[0].metrics["loss"], abs=0.1)


def test_the_changed_run_is_the_one_begun_with_these_settings(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    other, control = copy.deepcopy(policy), Control()
    control.set(beta=1.5, lr=2e-3, loss="cdpo", label_smoothing=0.2)
    list(fit(policy, batches, settings(), control))
    list(fit(other, batches, settings(beta=1.5, lr=2e-3, loss="cdpo", label_smoothing=0.2)))
    assert model_hash(policy) == model_hash(other)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"beta": 0}, "beta=0"),
        ({"beta": math.nan}, "beta=nan"),
        ({"beta": "1"}, "beta='1'"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": math.inf}, "lr=inf"),
        ({"lr": True}, "lr=True"),
        ({"loss": "dpoo"}, "loss='dpoo'"),
        ({"loss": ["dpo"]}, r"loss=\['dpo'\]"),
        ({"label_smoothing": 0.5}, "label_smoothing=0.5"),
        ({"epochs": 3}, "epochs can't be changed"),
    ],
)
def test_a_bad_change_is_refused_at_once_and_changes_nothing(
    changes: dict[str, Any], named: str
) -> None:
    control = Control()
    with pytest.raises(WorkbenchError, match=named):
        control.set(**{"beta": 0.3, "lr": 1e-3} | changes)
    assert control.take() == {}


def test_stop_ends_after_the_present_step(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    control = Control()
    events = fit(policy, batches, settings(), control)
    next(events)
    control.stop()
    assert list(events) == []


def test_what_pauses_goes_on_as_if_nothing_had_been(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    other = copy.deepcopy(policy)
    whole = steps(fit(policy, batches, settings()))
    reference = LiveReference(freeze(other, "float32"))
    state = TrainState.start(other, settings())
    events = fit(other, batches, settings(), reference=reference, state=state)
    said = [next(events), next(events)]
    del events
    said += list(fit(other, batches, settings(), reference=reference, state=state))
    assert model_hash(policy) == model_hash(other)
    assert [e.metrics["loss"] for e in whole] == [e.metrics["loss"] for e in steps(said)]


def test_a_forked_state_goes_its_own_way(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    reference = LiveReference(freeze(policy, "float32"))
    config = settings(max_steps=6)
    state = TrainState.start(policy, config)
    events = fit(policy, batches, config, reference=reference, state=state)
    for _ in range(3):
        next(events)
    twin = copy.deepcopy(policy)
    forked = state.fork(twin, config)
    list(fit(twin, batches, config, reference=reference, state=forked))
    assert state.step == 3
    assert model_hash(twin) != model_hash(policy)
    list(events)
    assert model_hash(twin) == model_hash(policy)


# -- bad numbers ------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_never_reaches_the_weights(
    policy: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = batches_for(PREFERENCE, draw_pairs(12), PAD, batch_size=4, seed=1)
    state = TrainState.start(policy, settings())
    events = fit(policy, batches, settings(), state=state)
    next(events)
    before, third = model_hash(policy), batches.at(1)[0].index[2].item()
    whole = LOSSES["dpo"].function

    def poisoned(logps: Any, beta: float = 0.1) -> torch.Tensor:
        return whole(logps, beta) * torch.tensor([1, 1, math.nan, 1])

    monkeypatch.setitem(LOSSES, "dpo", replace(LOSSES["dpo"], function=poisoned))
    with pytest.raises(NonFiniteLossError, match=rf"loss .* step 2, .* rows \[{third}\]"):
        next(events)
    assert model_hash(policy) == before
    assert state.step == 1


def test_a_weight_that_is_no_number_is_told_by_step_and_pairs(
    policy: Transformer, batches: list[PreferenceBatch]
) -> None:
    events = fit(policy, batches, settings())
    next(events)
    with torch.no_grad():
        policy.norm.weight[0] = math.inf
    before = model_hash(policy)
    with pytest.raises(NonFiniteLossError, match=r"step 2, .* rows \[0, 1, 2, 3\]"):
        next(events)
    assert model_hash(policy) == before


def test_a_gradient_that_is_no_number_names_all_pairs_of_the_step(policy: Transformer) -> None:
    """The parts are of unequal size, as at the end of an epoch."""
    batches = batches_for(PREFERENCE, draw_pairs(6), PAD, batch_size=4, accumulate=2)
    policy.norm.weight.register_hook(lambda gradient: gradient * math.nan)
    before = model_hash(policy)
    every = sorted(place for part in batches.at(0) for place in part.index.tolist())
    with pytest.raises(NonFiniteLossError) as caught:
        next(iter(fit(policy, batches, settings())))
    message = str(caught.value)
    assert message.startswith("gradient is not finite at step 1")
    named = message.split("[")[1].split("]")[0]
    assert sorted(map(int, named.split(", "))) == every == list(range(6))
    assert model_hash(policy) == before


def test_the_global_random_state_stays(policy: Transformer, batches: list[PreferenceBatch]) -> None:
    before = torch.get_rng_state()
    list(fit(policy, batches, settings()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_steps_come_in_order_made_ahead_or_not(
    device: str, policy: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a GPU they are made ahead; moving them there is left out."""
    monkeypatch.setattr(PreferenceBatch, "to", lambda batch, device: batch)
    pairs = [Pair((1, 2), (3, 4, i), (5, 6)) for i in range(9)]
    batches = batches_for(PREFERENCE, pairs, PAD, batch_size=2, accumulate=2, seed=3)
    expected = [[b.index.tolist() for b in batches.at(step)] for step in range(2, 7)]
    batches.load_state_dict({"step": 2})
    for number, parts in enumerate(each_step(batches, policy, 5, device)):
        assert [batch.index.tolist() for batch in parts] == expected[number]
        assert batches.state_dict() == {"step": 3 + number}, "what is ahead is not counted"
