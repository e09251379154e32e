"""The self-test finds what makes training wrong, and leaves a run as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench.core.losses import LOSSES
from workbench.data.pairs import TruncatedRow
from workbench.errors import WorkbenchError
from workbench.models.load import Model, model_hash
from workbench.runs.prepare import Parts, prepare
from workbench.runs.reopen import load_run
from workbench.runs.run import Run
from workbench.runs.self_test.result import Check, SelfTest
from workbench.runs.self_test.self_test import self_test
from workbench.train.config import TrainConfig
from workbench.train.loop import TrainState
from workbench.train.reference.values import CachedReference

MakeRun = Callable[..., Run]
GIVEN = [name for name, loss in LOSSES.items() if not loss.rollouts]
PRECISIONS = ("float32", "bf16")


@pytest.fixture
def make_parts(base: Model, small: dict[str, Any]) -> Callable[..., Parts]:
    def make(**settings: Any) -> Parts:
        return prepare(TrainConfig(**{**small, "samples": 0, **settings}), base=base)

    return make


def look_at(parts: Parts) -> SelfTest:
    return self_test(parts, TrainState.start(parts.model.policy, parts.config))


def check(found: SelfTest, name: str) -> Check:
    return next(one for one in found.checks if one.name == name)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("loss", GIVEN)
def test_every_loss_passes(make_parts: Callable[..., Parts], loss: str, precision: str) -> None:
    found = look_at(make_parts(loss=loss, precision=precision))
    assert not found.failed, found.line
    compares = LOSSES[loss].needs_reference
    assert len(found.checks) == 5 + compares
    assert (found.reference is not None) == compares
    assert bool(found.left_out) == (not compares)


def test_line_tells_of_the_reference(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    found = look_at(parts)
    card = f"{parts.model.name} {parts.reference_hash[:12]}, frozen copy, float32"
    assert found.line == f"self-test: 6 of 6 checks passed; reference {card}"
    assert "dpo is 0.6931" in check(found, "the loss is as defined").text
    assert SelfTest.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_adapters_are_the_only_weights_with_a_gradient(make_parts: Callable[..., Parts]) -> None:
    pytest.importorskip("peft")
    found = look_at(make_parts(lora=2))
    assert not found.failed
    assert "adapters switched off" in found.line
    # 7 linear layers of the one block, two matrices each
    assert "14 of 14" in check(found, "gradients reach what is trained").text


def test_rollouts_have_no_rows_yet(make_parts: Callable[..., Parts]) -> None:
    found = look_at(make_parts(loss="grpo", rollout_size=8, group_size=4, eval_every=0))
    assert not found.failed
    assert "has written no rows yet" in found.line


@pytest.mark.parametrize("loss", ["dpo", "kto", "simpo"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_leaves_no_trace(make_parts: Callable[..., Parts], loss: str, precision: str) -> None:
    parts = make_parts(loss=loss, precision=precision)
    policy, before = parts.model.policy, model_hash(parts.model.policy)
    kernels, state = policy.kernels, torch.get_rng_state()
    look_at(parts)
    assert model_hash(policy) == before
    assert policy.kernels is kernels
    assert all(weight.grad is None for weight in policy.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_another_reference_stops_the_run(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    assert isinstance(parts.reference, CachedReference)
    parts.reference = CachedReference({n: v - 0.1 for n, v in parts.reference.values.items()})
    with pytest.raises(WorkbenchError, match=r"at most 0\.1 nats, in rows .* take --reference"):
        look_at(parts)


def test_values_of_other_rows_stop_the_run(make_parts: Callable[..., Parts]) -> None:
    """As where the cached reference is out of line with the data."""
    parts = make_parts()
    assert isinstance(parts.reference, CachedReference)
    parts.reference = CachedReference({n: v.roll(1, 0) for n, v in parts.reference.values.items()})
    with pytest.raises(WorkbenchError, match="is not the model that training starts from"):
        look_at(parts)


def test_gradient_in_a_weight_that_is_not_trained(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    state = TrainState.start(parts.model.policy, parts.config)
    name = next(name for name, _ in parts.model.policy.named_parameters())
    del state.optimizer.param_groups[0]["params"][0]
    with pytest.raises(WorkbenchError, match=rf"so have {name}, which are not trained"):
        self_test(parts, state)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_no_gradient_at_all(
    make_parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    parts = make_parts(loss="simpo", precision=precision)
    right = parts.method.losses

    def flat(*given: Any) -> Any:
        found = right(*given)
        return replace(found, values=found.values * 0)

    monkeypatch.setattr(parts.method, "losses", flat)
    with pytest.raises(WorkbenchError, match="all are 0: see whether chosen and rejected differ"):
        look_at(parts)


def test_weight_that_nothing_depends_on_is_told(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    parts.model.policy.register_parameter("spare", nn.Parameter(torch.ones(3)))
    (failed,) = look_at(parts).failed
    assert "none has spare" in failed.text


class Leaky(nn.Module):
    """Dropout that no layer shows, and one that does."""

    def __init__(self, inner: nn.Module, shown: bool) -> None:
        super().__init__()
        self.inner = inner
        self.drop = nn.Dropout(0.1) if shown else lambda x: x * (torch.rand(()) < 2)

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.drop(self.inner(*given, **named))


@pytest.mark.parametrize("shown", [True, False])
def test_dropout_is_found(make_parts: Callable[..., Parts], shown: bool) -> None:
    parts = make_parts(loss="simpo")
    layer = next(m for m in parts.model.policy.modules() if hasattr(m, "down_proj"))
    layer.down_proj = Leaky(layer.down_proj, shown)  # type: ignore[assignment]
    failed = {one.name for one in look_at(parts).failed}
    assert "dropout is off" in failed


def test_wrong_collation_is_a_wrong_loss(
    make_parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_parts(loss="simpo")
    right = parts.method.collate

    def swapped(items: Any, pad_id: int, layout: str, index: Any) -> Any:
        if layout != "stacked":
            items = [replace(one, chosen=one.rejected, rejected=one.chosen) for one in items]
        return right(items, pad_id, layout, index)

    monkeypatch.setattr(parts.method, "collate", swapped)
    (failed,) = look_at(parts).failed
    assert failed.name == "the loss is as defined"
    assert "differ" in failed.text


def test_missing_end_is_told_but_of_cut_rows(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts(loss="simpo")
    item = parts.data.train[3]
    parts.data.train[3] = replace(item, chosen=item.chosen[:-1] + item.chosen[:1])
    (failed,) = look_at(parts).failed
    row = parts.data.train_texts[3].row
    assert f"rows {row} have no end of sequence, or two" in failed.text
    parts.data.truncated.append(TruncatedRow(row, ("chosen",)))
    assert not look_at(parts).failed
    parts.data.train[3] = replace(item, chosen=item.chosen + item.chosen[-1:])
    assert look_at(parts).failed


def test_beginning_that_the_tokenizer_wants(
    make_parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = make_parts(loss="simpo")
    begin = (parts.model.tokenizer.eos_id,)
    monkeypatch.setattr(parts.model.tokenizer, "bos_ids", begin)
    (missing,) = look_at(parts).failed
    assert "do not begin, once, with <eos>" in missing.text
    for items in (parts.data.train, parts.data.held_out):
        items[:] = [replace(one, prompt=begin + one.prompt) for one in items]
    assert not look_at(parts).failed
    parts.data.held_out[1] = replace(parts.data.held_out[1], prompt=begin + begin)
    (doubled,) = look_at(parts).failed
    assert f"rows {parts.data.held_out_texts[1].row} do not" in doubled.text


def test_kept_with_the_run_and_its_branch(make_recorded: MakeRun) -> None:
    run = make_recorded(max_steps=2)
    assert run.self_test is not None
    assert run.folder is not None
    kept = json.loads((run.folder / "self_test.json").read_text())
    assert kept["reference"]["hash"] == run.reference_hash
    assert all(one["passed"] for one in kept["checks"])
    branch = run.branch("other")
    assert branch.record is not None
    assert branch.record.self_test() == run.self_test
    list(run)
    assert load_run(run.folder).self_test == run.self_test


def test_resumed_run_tells_what_was_found_at_its_start(make_recorded: MakeRun) -> None:
    run = make_recorded(checkpoint_every=1)
    folder = run.folder
    assert folder is not None
    again = Run.resume(folder)  # no checkpoint yet: checked again
    assert again.self_test == run.self_test
    while again.step < 2:
        next(again)
    (folder / "self_test.json").write_text('{"checks": 3}')  # not checked again
    with pytest.warns(UserWarning, match=r"self_test\.json is left out"):
        assert Run.resume(folder).self_test is None


def test_failed_test_leaves_no_folder(
    tmp_path: Path, base: Model, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.runs.self_test.checks.ROUNDING", {"float32": -1.0})
    with pytest.raises(WorkbenchError, match="the self-test before the first step failed"):
        Run.create(TrainConfig(**{**small, "out": str(tmp_path / "run")}), base=base)
    assert not (tmp_path / "run").exists()
