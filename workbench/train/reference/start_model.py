"""The model as it is before a run, and what several processes hold of it and of the policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from torch import nn

from workbench.core.policy import Policy
from workbench.errors import WorkbenchError
from workbench.models.hub import HubPolicy
from workbench.models.load import model_hash, shapes_hash
from workbench.models.lora import adapters_off, add_lora
from workbench.train import distributed
from workbench.train.config import TrainConfig
from workbench.train.precision import is_large, return_free_memory
from workbench.train.reference.live import LiveReference, freeze


def refuse_processes(config: TrainConfig, noun: str, rows: int) -> None:
    """Raise where the run can't be shared by as many processes as were started."""
    processes, step = distributed.world_size(), (config.batch_size or 1) * config.accumulate
    if processes == 1:
        return
    if config.shard == "none":
        raise WorkbenchError(
            f"shard='none' is not accepted with {processes} processes; accepted: ddp, fsdp"
        )
    if config.device == "mps":
        raise WorkbenchError("device='mps' runs in one process; accepted: cpu, cuda")
    if rows < processes:
        raise WorkbenchError(
            f"{processes} processes are more than the {rows} {noun} to train on; start fewer"
        )
    if step < processes:
        raise WorkbenchError(
            f"{processes} processes are more than the {step} rows of a step (batch_size="
            f"{config.batch_size}, accumulate={config.accumulate}); start fewer, or take larger "
            "batches"
        )


def weights_from_main(config: TrainConfig, given: bool) -> bool:
    """Whether the main process alone reads the model's weights and sends each its shards.

    Not where the model was `given`, nor where it draws the rows before it is sharded.
    """
    if given or distributed.world_size() == 1 or config.shard != "fsdp":
        return False
    data = config.resolved()
    return data.data != "reviews" or data.pairs_from != "reference"


def take_layouts_of_main(policy: Policy, from_main: bool) -> None:
    """Of a hub model, which is tried for them with its weights, where those are `from_main`."""
    if from_main and isinstance(policy, HubPolicy):
        policy.supports_branches = distributed.main_says(policy.supports_branches)


def hash_of(policy: Policy, from_main: bool) -> str:
    """`model_hash` of the weights, `from_main` those of the main process.

    Raises:
        WorkbenchError: the weights of another process have other names or shapes.
    """
    if not from_main:
        return model_hash(policy)
    distributed.require_alike({"shapes of the weights": shapes_hash(policy)[:12]})
    return distributed.from_main(partial(model_hash, policy))


def start_model(
    policy: Policy,
    config: TrainConfig,
    compares: bool,
    given: bool,
    read_again: Callable[[], Policy],
) -> LiveReference:
    """The model before the run: with adapters switched off, or a frozen copy.

    Where the method doesn't compare with it, it is only made when its texts are wanted: by
    `read_again`, or from a temporary file where the model was `given` to the run. In several
    processes `Shared.of` makes the copy.
    """
    device, precision = config.device, config.precision
    if config.lora:
        add_lora(policy, config.lora, seed=config.seed)
        return LiveReference(policy, device, precision, partial(adapters_off, policy))
    if (compares or given) and distributed.world_size() == 1:
        start = LiveReference(freeze(policy, precision), device, precision)
        if not compares and policy.can_be_parked:
            start.park()
        return start
    return LiveReference(lambda: freeze(read_again(), precision), device, precision)


@dataclass
class Shared:
    """The policy and the model before the run, as a process holds them.

    Attributes:
        wrapper: of the policy, by which it is trained; None: it is trained as it is.
        whole: what texts are generated with and what is evaluated, where the policy is sharded.
        texts: the model before the run, for texts and the KL to it.
        scores: the same for log-probabilities of data, before the first step.
        live: the same during training.
    """

    wrapper: nn.Module | None
    whole: distributed.Whole[Policy] | None
    texts: LiveReference
    scores: LiveReference
    live: LiveReference

    @classmethod
    def of(cls, policy: Policy, start: LiveReference, config: TrainConfig) -> Shared:
        """In one process they are what they are; in several, no process has two whole models.

        The frozen copy is made in shards, with DDP too, and put together where texts are wanted.
        """
        if distributed.world_size() == 1:
            return cls(None, None, start, start, start)
        kind, device, precision = config.shard or "ddp", config.device, config.precision
        if kind == "fsdp":
            distributed.buffers_from_main(policy, device)
        whole = distributed.Whole(policy) if kind == "fsdp" else None
        frozen = freeze(policy.language_model, precision, distributed.without_weights)
        wrapper = distributed.wrapped(policy, kind, every_weight=policy.generates)
        return_free_memory()  # the whole model's, where it was read and is now in shards
        if config.lora:
            if whole is None:
                return cls(wrapper, whole, start, start, start)
            model = whole.module.language_model
            texts = LiveReference(model, device, precision, partial(_without_adapters, whole))
            return cls(wrapper, whole, texts, start, start)
        if not policy.generates:  # a reward model is compared with nothing
            return cls(wrapper, whole, start, start, start)
        before = distributed.Whole(frozen)
        sharded = distributed.sharded_copy(frozen, policy.language_model)
        live = LiveReference(sharded, device, precision)
        texts = LiveReference(before.module, device, precision, before.put_together)
        return cls(wrapper, whole, texts, LiveReference(policy, device, precision), live)

    def park_if_rarely_asked(self, config: TrainConfig, policy: Policy) -> None:
        """Free the memory of a reference whose values are known, where that is worth a file."""
        alone = distributed.world_size() == 1
        rarely = config.reference != "live" and not config.lora and config.device == "cpu"
        if alone and rarely and policy.can_be_parked and is_large(policy):
            self.texts.park()


@contextmanager
def _without_adapters(whole: distributed.Whole[Policy]) -> Iterator[None]:
    with whole.put_together() as policy, adapters_off(policy):
        yield
