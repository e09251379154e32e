"""The reference: asked live, cached, or by switching adapters off, it says the same."""

from __future__ import annotations

import copy
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.fast.fast_kernels import FAST
from workbench.core.logps import completion_logps
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.cache import cache_folder
from workbench.data.pairs import encode_pairs
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.models.load import Model
from workbench.models.lora import adapters_off, add_lora
from workbench.runs.run import Run
from workbench.train.batches import batches_for, in_order
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.method import find_method
from workbench.train.precision import computing
from workbench.train.reference.live import LiveReference, freeze
from workbench.train.reference.values import cache_key, cache_reference

PREFERENCE = find_method("preference")


@pytest.fixture(scope="session")
def pairs() -> list[Pair]:
    world = Reviews(ReviewsConfig(pairs=21, topics=3))
    return encode_pairs(world.preferences(), world.tokenizer, 64).pairs


def nudge(policy: torch.nn.Module) -> None:
    """Change every weight that is trained."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for weight in policy.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix"])
def test_cached_live_and_adapters_off_agree_on_every_pair(
    base: Model, pairs: list[Pair], layout: str
) -> None:
    pytest.importorskip("peft")
    frozen = LiveReference(freeze(base.policy, "float32"))
    fixed = in_order(PREFERENCE, pairs, 0, 4, layout)
    cached = cache_reference(frozen, fixed, (len(pairs), 2))
    adapted = copy.deepcopy(base.policy)
    add_lora(adapted, 4)
    nudge(adapted)
    off = LiveReference(adapted, off=lambda: adapters_off(adapted))
    batches = batches_for(PREFERENCE, pairs, 0, 6, layout=layout, seed=2)
    seen = []
    for step in range(len(batches)):
        (batch,) = batches.at(step)
        expected = completion_logps(base.policy, batch).detach()
        assert torch.equal(frozen.logps(batch), expected)
        assert torch.allclose(cached.logps(batch), expected, rtol=0, atol=1e-5)
        assert torch.allclose(off.logps(batch), expected, rtol=0, atol=1e-5)
        assert not torch.allclose(completion_logps(adapted, batch), expected, atol=1e-2)
        seen += batch.index.tolist()
    assert sorted(seen) == list(range(len(pairs)))
    assert cached.values["logps"].shape == (len(pairs), 2)
    assert not cached.values["logps"].requires_grad


def test_the_frozen_copy_does_not_follow_the_policy(base: Model, pairs: list[Pair]) -> None:
    batch = collate(pairs[:4], 0)
    reference = LiveReference(freeze(base.policy, "float32"))
    before = reference.logps(batch)
    nudge(base.policy)
    assert torch.equal(reference.logps(batch), before)
    assert not reference.logps(batch).requires_grad


def test_a_reference_kept_in_bf16_says_just_what_the_policy_does(
    base: Model, pairs: list[Pair]
) -> None:
    frozen = freeze(base.policy, "bf16")
    kept = {str(weight.dtype) for weight in frozen.parameters()}
    assert kept == {"torch.bfloat16", "torch.float32"}
    assert {weight.dtype for weight in base.policy.parameters()} == {torch.float32}
    for start in range(0, len(pairs), 5):
        batch = collate(pairs[start : start + 5], 0, "shared_prefix")
        with torch.no_grad(), computing(base.policy, "cpu", "bf16"):
            original = completion_logps(base.policy, batch)
        found = LiveReference(frozen, precision="bf16").logps(batch)
        assert torch.equal(found, original)
        assert found.dtype == torch.float32
        exact = completion_logps(base.policy, batch).detach()
        assert not torch.equal(found, exact), "otherwise nothing was rounded"


def test_the_key_knows_all_that_the_values_depend_on(pairs: list[Pair]) -> None:
    one, two, *rest = pairs
    conditions = ("float32", "stacked", "cpu", "8")
    keys = [
        cache_key("weights", pairs, *conditions),
        cache_key("others", pairs, *conditions),
        cache_key("weights", pairs[:-1], *conditions),
        cache_key("weights", [two, one, *rest], *conditions),
        cache_key("weights", [Pair(one.prompt, one.rejected, one.chosen), two, *rest], *conditions),
        cache_key("weights", pairs, "bf16", "stacked", "cpu", "8"),
        cache_key("weights", pairs, "float32", "shared_prefix", "cpu", "8"),
        cache_key("weights", pairs, "float32", "stacked", "cpu", "4"),
    ]
    for marks in ("chosen_scored", "rejected_scored"):
        same = Pair((1,), (2, 3), (4, 5))
        keys += [
            cache_key("weights", [replace(same, **{marks: found})], *conditions)
            for found in ((True, False), (True, True))
        ]
    assert len(set(keys)) == len(keys)
    assert cache_key("weights", list(pairs), *conditions) == keys[0]


def test_the_key_of_pairs_without_marks_is_what_it_was() -> None:
    content = "w\nfloat32\n[[[1], [2, 3], [4]]]"
    wanted = hashlib.sha256(content.encode()).hexdigest()
    assert cache_key("w", [Pair((1,), (2, 3), (4,))], "float32") == wanted


class Counting(LiveReference):
    """Counts how often it is asked."""

    asked = 0

    def sums(self, batch: Any, paired: bool = False) -> dict[str, torch.Tensor]:
        self.asked += 1
        return super().sums(batch, paired)


def test_values_are_read_back_where_they_are_kept(
    base: Model, pairs: list[Pair], tmp_path: Path
) -> None:
    path = tmp_path / "made" / "values"
    fixed = in_order(PREFERENCE, pairs, 0, 4, "stacked")
    reference = Counting(freeze(base.policy, "float32"))
    told: list[tuple[str, float]] = []
    first = cache_reference(
        reference, fixed, (len(pairs), 2), path, progress=lambda *p: told.append(p)
    )
    assert reference.asked == len(fixed) == 6  # 21 pairs by 4
    assert [share for _, share in told] == pytest.approx([i / 6 for i in range(6)])
    again = cache_reference(reference, fixed, (len(pairs), 2), path)
    assert reference.asked == 6
    assert torch.equal(first.values["logps"], again.values["logps"])
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["flipped", "zeroed", "cut", "of another data set"])
def test_damaged_values_are_set_aside_and_computed_anew(
    base: Model, pairs: list[Pair], tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "values"
    fixed = in_order(PREFERENCE, pairs, 0, 4, "stacked")
    reference = LiveReference(freeze(base.policy, "float32"))
    expected = cache_reference(reference, fixed, (len(pairs), 2), path).values["logps"]
    content = path.read_bytes()
    if damage == "flipped":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    elif damage == "zeroed":
        save_file({"logps": torch.zeros(len(pairs), 2)}, path)
    elif damage == "cut":
        path.write_bytes(content[:-5])
    else:
        fewer = in_order(PREFERENCE, pairs[:4], 0, 4, "stacked")
        cache_reference(reference, fewer, (4, 2), tmp_path / "other")
        (tmp_path / "other").rename(path)
    with pytest.warns(UserWarning, match="values is damaged and kept as values.damaged-1"):
        found = cache_reference(reference, fixed, (len(pairs), 2), path).values["logps"]
    assert torch.equal(found, expected)
    assert torch.equal(load_file(path)["logps"], expected)


def stored() -> set[Path]:
    return set((cache_folder() / "reference").glob("*"))


def losses(run: Run) -> list[float]:
    return [event.metrics["loss"] for event in run if isinstance(event, StepEvent)]


def test_a_run_reuses_what_fits_and_nothing_else(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: dict[str, Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    config = TrainConfig(**{**small, "model": str(model_folder)})
    fresh = losses(Run.create(config))
    assert len(stored()) == 2, "training pairs and held-out pairs"
    with monkeypatch.context() as patch:
        patch.setattr(LiveReference, "logps", lambda *_: pytest.fail("asked again"))
        assert losses(Run.create(config)) == fresh
    for changed in (
        {"precision": "bf16"},
        {"layout": "stacked"},
        {"batch_size": 4},
        {"world": replace(config.world, world_seed=1)},
    ):
        before = stored()
        Run.create(replace(config, **changed))
        assert len(stored() - before) == 2, changed


def test_other_weights_get_values_of_their_own(
    base: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small: dict[str, Any]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    config = TrainConfig(**{**small, "model": "mine"})
    Run.create(config, base=copy.deepcopy(base))
    before = stored()
    nudge(base.policy)
    Run.create(config, base=base)
    assert len(stored()) == 2 * len(before) == 4
    values = [load_file(path)["logps"] for path in stored()]
    assert not any(a is not b and a.equal(b) for a in values for b in values)


def test_a_parked_reference_answers_as_before_and_holds_no_memory_between(
    pairs: list[Pair],
) -> None:
    shape = TransformerConfig(Reviews().tokenizer.vocab_size, dim=16, layers=2, hidden_dim=24)
    batch = collate(pairs[:4], 0)
    reference = LiveReference(freeze(Transformer(shape, kernels=FAST), "bf16"), precision="bf16")
    before = reference.logps(batch)
    reference.park()
    assert all(parameter.is_meta for parameter in reference.model.parameters())
    for _ in range(2):
        assert torch.equal(reference.logps(batch), before)
        assert all(parameter.is_meta for parameter in reference.model.parameters())


def test_a_parked_reference_stays_while_anybody_asks(make_run: Callable[..., Run]) -> None:
    """Two streams that take turns enter one by one and leave in the same order."""
    reference = make_run().reference
    reference.park()
    first, second = reference.active(), reference.active()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert all(weight.device.type == "cpu" for weight in reference.model.parameters())
    second.__exit__(None, None, None)
    assert all(weight.device.type == "meta" for weight in reference.model.parameters())


def test_what_killed_processes_left_is_deleted_by_the_next(
    base: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders = [tmp_path / f"dpo-reference-{name}" for name in ("left", "held", "new")]
    for folder in folders:
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "reference.safetensors").touch()
        if folder.name != "dpo-reference-new":
            os.utime(folder, (0, 0))
    with FileLock(folders[1] / "lock"):
        reference = LiveReference(freeze(base.policy, "float32"))
        reference.park()
    assert [folder.exists() for folder in folders] == [False, True, True]
    (own,) = set(tmp_path.iterdir()) - set(folders)
    del reference
    assert not own.exists()
