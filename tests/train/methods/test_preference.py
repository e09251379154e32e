"""SimPO: its arithmetic, and runs without any reference; losses exchanged while a run goes on."""

from __future__ import annotations

import copy
import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from workbench.cli.flags import parse
from workbench.core.batch import Pair
from workbench.core.losses import LOSSES, PairLogps
from workbench.core.policy import Policy
from workbench.core.transformer import Transformer
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.folder.record import Record
from workbench.runs.run import Run
from workbench.runs.sweep import sweep
from workbench.train.config import TrainConfig
from workbench.train.events import ChangeEvent, EvalEvent, Event, StepEvent
from workbench.train.method import find_method, shorter
from workbench.train.reference.live import LiveReference

MakeRun = Callable[..., Run]
PREFERENCE = find_method("preference")
PAIRS = [
    Pair((1, 2), (3, 4, 5), (6,)),
    Pair((7,), (8, 9), (10, 11, 12, 13)),
    Pair((14, 15, 16), (17,), (18, 19)),
]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# -- SimPO by arithmetic -----------------------------------------------------------------------


def simpo_input() -> PairLogps:
    """Per token the first pair has -8/4 = -2 and -6/2 = -3, the second -9/3 = -3 and -5/5 = -1."""
    chosen = torch.tensor([-8.0, -9.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([-6.0, -5.0], dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 3]), torch.tensor([2, 5])
    return PairLogps(chosen, rejected, chosen_lengths=lengths[0], rejected_lengths=lengths[1])


def test_values_by_hand() -> None:
    # beta 2, gamma 1.5: 2 (-2 + 3) - 1.5 = 0.5 and 2 (-3 + 1) - 1.5 = -5.5
    values = LOSSES["simpo"](simpo_input(), beta=2.0, gamma=1.5)
    expected = [-math.log(sigmoid(0.5)), -math.log(sigmoid(-5.5))]
    assert values.tolist() == pytest.approx(expected, rel=1e-12)


def test_slopes_by_hand() -> None:
    """d/d logp_w of -log sigmoid(m) is -sigmoid(-m) beta / |w|, of logp_l + ... beta / |l|."""
    logps = simpo_input()
    LOSSES["simpo"](logps, beta=2.0, gamma=1.5).sum().backward()
    far, near = sigmoid(-0.5), sigmoid(5.5)
    chosen, rejected = logps.policy_chosen.grad, logps.policy_rejected.grad
    assert chosen is not None
    assert rejected is not None
    assert chosen.tolist() == pytest.approx([-far * 2 / 4, -near * 2 / 3], rel=1e-12)
    assert rejected.tolist() == pytest.approx([far * 2 / 2, near * 2 / 5], rel=1e-12)


def test_rewards_are_beta_times_the_log_probability_per_token() -> None:
    logps = simpo_input()
    chosen, rejected = LOSSES["simpo"].rewards(logps, beta=2.0, gamma=1.5)
    assert chosen.tolist() == pytest.approx([2 * -2.0, 2 * -3.0])
    assert rejected.tolist() == pytest.approx([2 * -3.0, 2 * -1.0])
    assert not chosen.requires_grad


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
@pytest.mark.parametrize("sizes", [[3], [1, 2], [1, 1, 1]], ids=str)
def test_a_step_is_that_of_simpo_written_out(
    policy: Transformer, logp: Callable[..., Tensor], take_step: Any, gradients: Any,
    assert_equal_gradients: Any, layout: str, sizes: list[int],
) -> None:  # fmt: skip
    losses, means = [], {"chosen": 0.0, "rejected": 0.0}
    for pair in PAIRS:
        chosen = logp(policy, pair.prompt, pair.chosen) / len(pair.chosen)
        rejected = logp(policy, pair.prompt, pair.rejected) / len(pair.rejected)
        losses.append(torch.log1p(torch.exp(-(2.2 * (chosen - rejected) - 0.6))))
        means["chosen"] += 2.2 * chosen.item() / len(PAIRS)
        means["rejected"] += 2.2 * rejected.item() / len(PAIRS)
    loss = torch.stack(losses).mean()
    expected = gradients(loss, policy)
    batches, start = [], 0
    for size in sizes:
        index = range(start, start + size)
        batches.append(PREFERENCE.collate([PAIRS[i] for i in index], 0, layout, list(index)))
        start += size
    found, metrics = take_step(policy, batches, loss="simpo", beta=2.2, gamma=0.6)
    assert_equal_gradients(found, expected)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-6)
    for side, mean in means.items():
        assert metrics[f"rewards/{side}"] == pytest.approx(mean, rel=1e-6)
    assert metrics["gamma"] == 0.6
    assert not any(name.startswith("logratios") for name in metrics)
    assert "grad_weight" not in metrics


# -- a loss over the whole step, and sums beyond the shorter completion -------------------------


def spread(pairs: int = 7) -> list[Pair]:
    """Pairs of unequal lengths."""
    generator = torch.Generator().manual_seed(3)

    def ids() -> tuple[int, ...]:
        size = int(torch.randint(1, 6, (), generator=generator))
        return tuple(torch.randint(1, 20, (size,), generator=generator).tolist())

    return [Pair(ids(), ids(), ids()) for _ in range(pairs)]


@torch.no_grad()
def nudge(policy: nn.Module) -> None:
    """Move the policy away from where it stands."""
    generator = torch.Generator().manual_seed(7)
    for weight in policy.parameters():
        weight.add_(0.05 * torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("loss", ["aot", "aot_unpaired", "0.5*dpo+aot"])
def test_the_split_of_a_step_changes_nothing(
    policy: Transformer, take_step: Any, assert_equal_gradients: Any, loss: str
) -> None:
    pairs = spread()

    def batches(sizes: list[int]) -> list[Any]:
        starts = [sum(sizes[:n]) for n in range(len(sizes))]
        ranges = [range(s, s + size) for s, size in zip(starts, sizes, strict=True)]
        return [PREFERENCE.collate([pairs[i] for i in r], 0, "stacked", list(r)) for r in ranges]

    reference = LiveReference(copy.deepcopy(policy))
    nudge(policy)
    whole, metrics = take_step(policy, batches([7]), reference, loss=loss, beta=2.0)
    assert metrics["loss"] != pytest.approx(math.log(2), rel=1e-2)
    parts = batches([3, 1, 3])
    stand_in = replace(parts[0], counts=False)  # as a process has it that lacks a batch
    for given in (parts, [*parts, stand_in]):
        split, other = take_step(policy, given, reference, loss=loss, beta=2.0)
        assert_equal_gradients(split, whole)
        assert other["loss"] == pytest.approx(metrics["loss"], rel=1e-6)


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
def test_sums_beyond_the_shorter_completion(
    policy: Transformer, logp: Callable[..., Tensor], layout: str
) -> None:
    pairs = spread()
    batch = PREFERENCE.collate(pairs, 0, layout, range(len(pairs)))
    found = policy(batch).sums(batch.sequences, shorter(batch))
    expected = [
        logp(policy, (*pair.prompt, *side[:shared]), side[shared:])
        if len(side) > (shared := min(len(pair.chosen), len(pair.rejected)))
        else torch.zeros(())
        for pair in pairs
        for side in (pair.chosen, pair.rejected)
    ]
    assert torch.allclose(found, torch.stack(expected).to(found.dtype), atol=1e-5)


def test_ld_alpha_trains_alike_on_cached_and_live_sums(make_recorded: MakeRun) -> None:
    cached, live = (
        [
            event.metrics["loss"]
            for event in make_recorded(f"run {reference}", ld_alpha=0.3, reference=reference)
            if isinstance(event, StepEvent)
        ]
        for reference in ("cached", "live")
    )
    assert cached[0] == pytest.approx(math.log(2))
    assert cached[-1] != pytest.approx(math.log(2), abs=1e-4)
    assert cached == pytest.approx(live, rel=1e-5)


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix", "packed"])
def test_wpo_weights_by_their_definition(
    policy: Transformer, logp: Callable[..., Tensor], take_step: Any, gradients: Any,
    assert_equal_gradients: Any, layout: str,
) -> None:  # fmt: skip
    pairs, reference = spread(), copy.deepcopy(policy)
    nudge(policy)
    losses = []
    for pair in pairs:
        weight, ratios = torch.zeros(()), []
        for side in (pair.chosen, pair.rejected):
            tokens = torch.tensor([[*pair.prompt, *side]])
            logps = policy.logits(tokens)[0, len(pair.prompt) - 1 : -1].log_softmax(-1).detach()
            own = logps[range(len(side)), list(side)]
            weight = weight + (own - logps.exp().square().sum(-1).log()).mean()
            before = logp(reference, pair.prompt, side).detach()
            ratios.append(logp(policy, pair.prompt, side) - before)
        losses.append(-weight.exp() * torch.nn.functional.logsigmoid(0.7 * (ratios[0] - ratios[1])))
    loss = torch.stack(losses).mean()
    expected = gradients(loss, policy)
    batch = PREFERENCE.collate(pairs, 0, layout, range(len(pairs)))
    found, metrics = take_step(
        policy, [batch], LiveReference(reference), loss="dpo", beta=0.7, wpo=True
    )
    assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert_equal_gradients(found, expected)


# -- runs without a reference ------------------------------------------------------------------


class Passes:
    """Which modules a forward pass was made of; `policy.forward` and `policy.hidden` count."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: dict[int, int] = {}
        for kind in (Policy, Transformer):
            for name in ("forward", "hidden"):
                if name in vars(kind):
                    monkeypatch.setattr(kind, name, self._counting(getattr(kind, name)))

    def _counting(self, method: Any) -> Any:
        def count(module: nn.Module, *args: Any, **named: Any) -> Any:
            self.counts[id(module)] = self.counts.get(id(module), 0) + 1
            return method(module, *args, **named)

        return count

    def of_others(self, policy: nn.Module) -> int:
        return sum(count for module, count in self.counts.items() if module != id(policy))


@pytest.mark.parametrize("reference", ["cached", "live"])
def test_reference_settings_are_refused_where_none_is_compared_with(reference: str) -> None:
    with pytest.raises(WorkbenchError, match=f"reference='{reference}' is not accepted: simpo"):
        TrainConfig(loss="simpo", reference=reference)


@pytest.mark.parametrize("loss", ["simpo", "orpo", "cpo", "nll", "simpo+0.5*nll"])
def test_a_run_without_a_reference_makes_none(
    make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    passes = Passes(monkeypatch)
    run = make_recorded(loss=loss, eval_every=2)
    events = list(run)
    evaluations = [event for event in events if isinstance(event, EvalEvent)]
    assert len(evaluations) > 3
    assert all("held_out/samples/length" in event.metrics for event in evaluations)
    assert not any("kl" in name for event in evaluations for name in event.metrics)
    assert not run.compares
    assert not run.reference.loaded
    assert passes.counts[id(run.policy)] > 10
    assert passes.of_others(run.policy) == 0
    # Its texts can still be asked for, and only then is the model read again.
    (sample,) = run.sample(["review of the film"])
    assert sample.reference
    assert run.reference.loaded
    assert passes.of_others(run.policy) > 0


def test_the_counter_sees_the_reference_of_dpo(
    make_recorded: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = Passes(monkeypatch)
    run = make_recorded(loss="dpo")
    list(run)
    assert run.reference.loaded
    assert passes.of_others(run.policy) > 0


def test_a_loss_with_a_reference_is_refused_in_a_run_without(
    make_run: MakeRun, to_step: Callable[[Run, int], list[Event]]
) -> None:
    run = make_run(loss="simpo")
    to_step(run, 2)
    with pytest.raises(
        WorkbenchError, match="loss='dpo' compares with a reference; this run was started without"
    ) as caught:
        run.control.set(loss="dpo", lr=1e-4)
    assert "\n" not in str(caught.value)
    list(run)
    assert not any(isinstance(event, ChangeEvent) for event in run.events), "nothing was changed"
    assert run.settings.loss == "simpo"


def test_a_loss_of_another_method_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(WorkbenchError, match="'kto' trains by method kto, this run by preference"):
        make_run().control.set(loss="kto")
    with pytest.raises(WorkbenchError, match="desirable_weight is no setting of method preference"):
        make_run().control.set(desirable_weight=2.0)


def test_losses_may_be_exchanged_in_a_run_with_a_reference(
    make_run: MakeRun, to_step: Callable[[Run, int], list[Event]]
) -> None:
    run = make_run(loss="dpo", beta=0.3)
    to_step(run, 3)
    run.control.set(loss="simpo", beta=2.0, gamma=0.7)
    to_step(run, 6)
    run.control.set(loss="dpo", beta=0.3)
    list(run)
    assert run.compares
    for event in run.events:
        if isinstance(event, StepEvent):
            by_simpo = 3 < event.step <= 6
            metrics = event.metrics
            assert ("logratios/chosen" in metrics) != by_simpo
            assert ("gamma" in metrics) == by_simpo
            assert metrics["beta"] == (2.0 if by_simpo else 0.3)
            scale = metrics["logps/chosen"] / metrics["lengths/chosen"]
            if by_simpo:  # a mean of ratios is near the ratio of means, for these lengths
                assert metrics["rewards/chosen"] == pytest.approx(2 * scale, rel=0.2)
            else:
                assert metrics["rewards/chosen"] == pytest.approx(
                    0.3 * metrics["logratios/chosen"], rel=1e-4, abs=1e-6
                )
    evaluations = [event for event in run.events if isinstance(event, EvalEvent)]
    assert "held_out/kl/policy_reference" in evaluations[-1].metrics


# -- gamma everywhere --------------------------------------------------------------------------


def test_gamma_is_a_flag() -> None:
    command = parse(["train", "--loss", "simpo", "--gamma", "0.8"])
    assert isinstance(command, TrainConfig)
    assert command.gamma == 0.8  # type: ignore[attr-defined]
    with pytest.raises(WorkbenchError, match=r"gamma=7\.0 is not accepted: 0 to 5"):
        parse(["train", "--loss", "simpo", "--gamma", "7"])


def test_gamma_is_written_changed_live_and_summarised(
    make_recorded: MakeRun, to_step: Callable[[Run, int], list[Event]]
) -> None:
    run = make_recorded(loss="simpo", gamma=0.8)
    assert run.folder is not None
    assert tomllib.loads((run.folder / "config.toml").read_text())["gamma"] == 0.8
    assert Record(run.folder).config().gamma == 0.8  # type: ignore[attr-defined]
    to_step(run, 2)
    with pytest.raises(WorkbenchError, match="gamma=-1 is not accepted"):
        run.control.set(gamma=-1)
    run.control.set(gamma=1.25)
    list(run)
    gammas = [event.metrics["gamma"] for event in run.events if isinstance(event, StepEvent)]
    assert gammas == [0.8, 0.8] + [1.25] * 8
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["settings"] == {"lr": 1e-3, "beta": 2.0, "gamma": 1.25, "loss": "simpo"}


def test_gamma_is_an_axis_of_a_sweep(base: Model, small: dict[str, Any], tmp_path: Path) -> None:
    config = TrainConfig(**{**small, "loss": "simpo", "samples": 0, "out": str(tmp_path / "s")})
    *_, frame = sweep(config, {"gamma": [0.1, 2.0]}, base=base)
    assert sorted(frame["gamma"].unique()) == [0.1, 2.0]
    losses = frame[frame["step"] == 0].set_index("gamma")["loss"]
    assert losses[2.0] > losses[0.1], "a larger wanted margin is missed by more"
    assert (tmp_path / "s" / "gamma=2.0" / "summary.json").exists()


def test_simpo_and_dpo_in_one_sweep_each_have_what_they_need(
    base: Model, small: dict[str, Any]
) -> None:
    config = TrainConfig(**{**small, "epochs": 1, "samples": 0})
    *_, frame = sweep(config, {"loss": ["simpo", "dpo"]}, base=base)
    first = frame[frame["step"] == 0].set_index("loss")
    assert set(first.index) == {"simpo", "dpo"}
    assert first.loc["dpo", "held_out/loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert math.isnan(first.loc["simpo", "logratios/chosen"])
    assert first.loc["dpo", "logratios/chosen"] == pytest.approx(0.0, abs=1e-5)
