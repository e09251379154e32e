"""Several processes, and wrappers of modules: the gradients and weights are those of one process
and of the plain module."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from workbench.core.batch import Completion, Pair, SequenceBatch
from workbench.core.fast.fast_kernels import BY_NAME
from workbench.core.policy import Policy
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.models.heads import RewardModel
from workbench.train import distributed as processes
from workbench.train import precision
from workbench.train.base_model import BaseConfig, tiny_base
from workbench.train.batches import FixedBatches
from workbench.train.config import TrainConfig
from workbench.train.events import StepEvent
from workbench.train.loop import TrainState, fit
from workbench.train.method import Method, find_method
from workbench.train.reference.live import LiveReference
from workbench.train.reference.start_model import weights_from_main

VOCAB = 23
CLOSE = 1e-6  # of the largest gradient or weight, in double precision
WRAPPERS = ["ddp", "fsdp2"]
# method and settings
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpo": ("preference", {"loss": "dpo", "beta": 0.3}),
    "simpo": ("preference", {"loss": "simpo"}),
    "sft": ("sft", {"loss": "sft"}),
    "kto": ("kto", {"loss": "kto", "beta": 0.3, "undesirable_weight": 1.7}),
    "reward_model": ("reward_model", {"loss": "bradley_terry"}),
}


def draw_items(method: Method[Any], count: int) -> list[Any]:
    """Of unequal lengths: prompts of 1 to 4 tokens, completions of 1 to 6."""
    generator = torch.Generator().manual_seed(0)

    def ids(most: int) -> tuple[int, ...]:
        size = int(torch.randint(1, most + 1, (), generator=generator))
        return tuple(torch.randint(1, VOCAB, (size,), generator=generator).tolist())

    if method.name in ("kto", "sft"):
        items = [Completion(ids(4), ids(6), number % 3 != 0) for number in range(count)]
        return method.complete(items, [], 16)
    return [Pair(ids(4), ids(6), ids(6)) for _ in range(count)]


def decoder(seed: int, kernels: str) -> Transformer:
    shape = TransformerConfig(
        VOCAB, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24, max_length=16
    )
    return Transformer(shape, seed=seed, kernels=BY_NAME[kernels]).double()


def make_policy(method: Method[Any], kernels: str) -> Policy:
    policy = method.trained(decoder(4, kernels))
    if isinstance(policy, RewardModel):
        policy.double()
        with torch.no_grad():  # not 0, where all rewards and most gradients are
            policy.weight.copy_(torch.linspace(-1, 1, len(policy.weight)))
    return policy


def make_reference(kernels: str) -> LiveReference:
    return LiveReference(decoder(5, kernels).requires_grad_(False))


def batch_of(method: Method[Any], items: Sequence[Any], indices: range, layout: str) -> Any:
    return method.collate([items[i] for i in indices], 0, layout, list(indices))


def wrap(policy: Policy, wrapper: str) -> nn.Module:
    """As one would for several GPUs: FSDP2 shards every block, then the rest."""
    if wrapper == "ddp":
        return DistributedDataParallel(policy)
    body = policy.body if isinstance(policy, RewardModel) else policy
    for block in body.layers:  # type: ignore[union-attr]
        fully_shard(block)
    return fully_shard(policy)


def whole(value: Tensor) -> Tensor:
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def gradients(policy: nn.Module) -> dict[str, Tensor]:
    named = processes.unwrap(policy).named_parameters()
    return {name: whole(w.grad).to_dense() for name, w in named if w.grad is not None}


def difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest, as a share of the largest value."""
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for value in expected.values())
    assert largest > 1e-6
    return max(float((found[n] - v).abs().max()) for n, v in expected.items()) / largest


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products this small take longer in several threads, where other programs run as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of this process alone, on gloo."""
    rendezvous = tmp_path_factory.mktemp("group") / "file"
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


# -- one process ------------------------------------------------------------------------------


def test_one_process_does_nothing_of_it() -> None:
    assert not distributed.is_initialized()
    check_nothing_happens()


@pytest.mark.usefixtures("one_process")
def test_a_group_of_one_does_nothing_of_it() -> None:
    assert distributed.is_initialized()
    check_nothing_happens()


def check_nothing_happens() -> None:
    assert processes.world_size() == 1
    assert processes.is_main()
    value = torch.tensor(3.0)
    assert processes.total(value) is value
    processes.require_equal("numbers", 3)
    assert not processes.is_sharded(decoder(4, "plain"))
    values = {"loss": torch.tensor([1.0, 2.0, 6.0])}
    assert processes.mean_over_all(values)["loss"] == 3.0
    policy = decoder(4, "plain")
    assert processes.unwrap(policy) is policy
    state = processes.whole_state(policy)
    assert list(state) == [name for name, _ in policy.named_parameters()]
    assert all(torch.equal(state[name], weight) for name, weight in policy.named_parameters())
    assert not any(value.requires_grad for value in state.values())


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kernels", ["plain", "fast"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("layout", ["stacked", "packed"])
def test_gradients_under_a_wrapper_are_those_of_the_plain_module(
    wrapper: str, kernels: str, name: str, layout: str
) -> None:
    method, settings = find_method(METHODS[name][0]), METHODS[name][1]
    items = draw_items(method, 5)
    batch = batch_of(method, items, range(5), layout)
    reference = make_reference(kernels)
    plain = make_policy(method, kernels)
    wrapped = wrap(copy.deepcopy(plain), wrapper)
    values, found = [], []
    for policy in (plain, wrapped):
        shared = method.statistics(policy, [batch], settings, reference)
        outcome = method.losses(policy, batch, settings, reference, shared)
        (outcome.values.sum() / method.weights(batch).sum()).backward()
        values.append(outcome.values.detach())
        found.append(gradients(policy))
    assert torch.allclose(*values, rtol=1e-9)
    assert difference(found[1], found[0]) <= CLOSE


def config_for(name: str, **changes: Any) -> TrainConfig:
    method, settings = METHODS[name]
    common = {"method": method, "lr": 1e-3, "warmup": 0, "max_steps": 5, "precision": "float32"}
    return TrainConfig(**{**common, **settings, **changes})


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kernels", ["plain", "fast"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_five_steps_under_a_wrapper_end_with_the_weights_of_the_plain_run(
    wrapper: str, kernels: str, name: str
) -> None:
    """Two passes a step, so that gradients are added up; the norm is clipped."""
    method = find_method(METHODS[name][0])
    items = draw_items(method, 5)
    parts = [batch_of(method, items, part, "packed") for part in (range(3), range(3, 5))]
    source = TwoPasses(parts)
    reference = make_reference(kernels)
    plain = make_policy(method, kernels)
    before = processes.whole_state(copy.deepcopy(plain))
    wrapped = wrap(copy.deepcopy(plain), wrapper)
    found, told = [], []
    for policy in (plain, wrapped):
        config = config_for(name, max_grad_norm=0.3)
        events = fit(policy, source.fork(), config, reference=reference)
        told.append([e.metrics for e in events if isinstance(e, StepEvent)])
        found.append(processes.whole_state(policy))
    assert difference(found[1], found[0]) <= CLOSE
    assert difference(found[0], before) > 1e-3, "something was learnt"
    for one, other in zip(*told, strict=True):
        for metric in one.keys() - {"pairs_per_second"}:
            assert other[metric] == pytest.approx(one[metric], rel=1e-6), metric


class TwoPasses(FixedBatches):
    """All of its batches at each step."""

    def __len__(self) -> int:
        return 1

    def at(self, step: int) -> list[SequenceBatch]:
        return list(self.batches)


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_that_were_put_together_can_be_loaded_under_a_wrapper(wrapper: str) -> None:
    source = decoder(7, "fast")
    state = processes.whole_state(source)
    wrapped = wrap(decoder(4, "fast"), wrapper)
    processes.load_whole_state(wrapped, state)
    again = processes.whole_state(wrapped)
    assert all(torch.equal(again[name], value) for name, value in state.items())
    with pytest.raises(WorkbenchError, match=r"does not fit the model: norm\.weight"):
        processes.load_whole_state(wrapped, {n: v for n, v in state.items() if n != "norm.weight"})


@pytest.mark.usefixtures("one_process")
def test_a_reference_left_out_is_made_of_what_a_wrapper_holds_or_asked_for() -> None:
    """DDP holds the plain module; of shards no frozen copy can be made."""
    method = find_method("preference")
    batches = [batch_of(method, draw_items(method, 4), range(4), "stacked")]
    config = config_for("dpo", max_steps=2)
    plain, wrapped = decoder(4, "fast"), wrap(decoder(4, "fast"), "ddp")
    list(fit(plain, batches, config))
    list(fit(wrapped, batches, config))
    states = processes.whole_state(wrapped), processes.whole_state(plain)
    assert difference(*states) <= CLOSE
    with pytest.raises(WorkbenchError, match=r"no reference .* before it is sharded"):
        list(fit(wrap(decoder(4, "fast"), "fsdp2"), batches, config))


@pytest.mark.parametrize(
    ("changes", "given", "count", "alone"),
    [
        ({"model": "a/b", "data": "pairs.jsonl"}, False, 2, True),
        ({"model": "a/b", "data": "pairs.jsonl"}, False, 1, False),
        ({"model": "a/b", "data": "pairs.jsonl"}, True, 2, False),
        ({"model": "a/b", "data": "pairs.jsonl", "shard": "ddp"}, False, 2, False),
        ({"pairs_from": "grammar"}, False, 2, True),
        ({"pairs_from": "reference"}, False, 2, False),  # each draws pairs with the whole model
    ],
)
def test_the_main_process_alone_reads_weights_that_are_sharded_at_once(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], given: bool, count: int, alone: bool
) -> None:
    monkeypatch.setattr(processes, "world_size", lambda: count)
    config = TrainConfig(**{"shard": "fsdp", **changes})
    assert weights_from_main(config, given) is alone


@pytest.mark.usefixtures("one_process")
def test_bf16_under_a_wrapper_is_that_of_autocast() -> None:
    """Copies of the matrices in bf16 are made of a plain policy only."""
    method = find_method("sft")
    batches = [batch_of(method, draw_items(method, 4), range(4), "packed")]
    losses = []
    for wrapper in WRAPPERS:
        policy = wrap(decoder(4, "fast").float(), wrapper)
        config = config_for("sft", max_steps=3, precision="bf16")
        losses.append([e.metrics["loss"] for e in fit(policy, batches, config)])  # type: ignore[union-attr]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


# -- two processes ----------------------------------------------------------------------------

SHARES = [range(0, 4), range(4, 5)]  # items of each process: unequal numbers


def one_step(policy: nn.Module, batch: SequenceBatch, name: str) -> dict[str, Any]:
    """The gradients and metrics of one step of `fit`, and the weights afterwards."""
    config = config_for(name, max_steps=1, max_grad_norm=1e6)
    state = TrainState.start(policy, config)
    found: dict[str, Tensor] = {}
    state.optimizer.register_step_pre_hook(lambda *_: found.update(gradients(policy)))
    found_events = list(fit(policy, [batch], config, reference=make_reference("fast"), state=state))
    (event,) = found_events
    assert isinstance(event, StepEvent)
    return {
        "gradients": found,
        "metrics": event.metrics,
        "weights": processes.whole_state(policy),
        "items": state.pairs,
    }


WITH_TWO = [(wrapper, name) for wrapper in WRAPPERS for name in ("dpo", "sft", "kto")]


def take_share(rank: int, folder: str) -> None:
    """What each of two processes does: steps with its share of the items."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(SHARES),
        timeout=timedelta(minutes=2),
    )  # fmt: skip
    assert processes.is_main() == (rank == 0)
    assert processes.world_size() == 2
    results = {}
    for wrapper, name in WITH_TWO:
        method = find_method(METHODS[name][0])
        items = draw_items(method, 5)
        policy = wrap(make_policy(method, "fast"), wrapper)
        results[wrapper, name] = one_step(
            policy, batch_of(method, items, SHARES[rank], "packed"), name
        )
    with processes.main_first():
        results["made"] = make_base(folder)
    with patch.multiple(precision, LARGE=0, bf16_gain=lambda device: 1.0 + rank):
        results["precision"] = precision.pick_precision("auto", "cpu", decoder(4, "fast"))
    try:
        take_unequal_numbers_of_passes(rank)
    except WorkbenchError as error:
        results["refused"] = str(error)
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def make_base(folder: str) -> dict[str, Tensor]:
    """The weights of a base model that is made once and kept in a cache."""
    os.environ["WORKBENCH_CACHE"] = folder
    base = BaseConfig(dim=16, layers=1, hidden_dim=16, texts=64, batch_size=8, steps=3)
    return processes.whole_state(tiny_base(ReviewsConfig(topics=4), base).policy)


def take_unequal_numbers_of_passes(rank: int) -> None:
    """The first process has one, the other two."""
    method = find_method("sft")
    parts = [batch_of(method, draw_items(method, 4), range(2), "packed")] * (1 + rank)
    list(fit(wrap(decoder(4, "fast"), "ddp"), TwoPasses(parts), config_for("sft")))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    spawn(take_share, (str(folder),), nprocs=len(SHARES))
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(SHARES))]


@pytest.mark.parametrize(("wrapper", "name"), WITH_TWO)
def test_two_processes_with_unequal_shares_take_the_step_of_one_process(
    two_processes: list[dict[Any, Any]], wrapper: str, name: str
) -> None:
    method = find_method(METHODS[name][0])
    batch = batch_of(method, draw_items(method, 5), range(5), "packed")
    alone = one_step(make_policy(method, "fast"), batch, name)
    for results in two_processes:
        found = results[wrapper, name]
        assert difference(found["gradients"], alone["gradients"]) <= CLOSE
        assert difference(found["weights"], alone["weights"]) <= CLOSE
        assert found["items"] == alone["items"] == 5
        for metric in alone["metrics"].keys() - {"pairs_per_second"}:
            assert found["metrics"][metric] == pytest.approx(alone["metrics"][metric], rel=1e-6)


def test_what_goes_to_a_cache_is_made_by_the_main_process_alone(
    two_processes: list[dict[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's loop makes it, and would wait for the other process, which waits for the cache."""
    monkeypatch.setenv("WORKBENCH_CACHE", "")
    alone = make_base(str(tmp_path))
    for results in two_processes:
        assert all(torch.equal(results["made"][name], value) for name, value in alone.items())


def test_processes_that_measure_differently_take_one_precision(
    two_processes: list[dict[Any, Any]],
) -> None:
    assert [results["precision"] for results in two_processes] == ["float32"] * 2


def test_unequal_numbers_of_passes_are_refused(two_processes: list[dict[Any, Any]]) -> None:
    """The first process would end its step while the other waits for it."""
    for results in two_processes:
        assert results["refused"] == (
            "processes differ in their numbers of forward passes per step: [1, 2]; "
            "all need the same"
        )
