"""`fit`: the only optimiser loop. It yields events and knows nothing of files or screens."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.fast.bf16_weights import BF16Weights
from workbench.errors import WorkbenchError
from workbench.train import distributed
from workbench.train.batches import BatchSource, FixedBatches, each_step
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, StepEvent
from workbench.train.method import Method, Reference, find_method
from workbench.train.precision import autocast, bf16_weights, pick_device, pick_precision
from workbench.train.reference.live import LiveReference, freeze
from workbench.train.settings import LiveSettings


class NonFiniteLossError(WorkbenchError):
    """The loss or its gradient is no number; the weights are those of the step before."""


@dataclass
class TrainState:
    """All that a loop carries from step to step."""

    optimizer: torch.optim.AdamW
    settings: LiveSettings
    step: int = 0
    seconds: float = 0.0
    pairs: int = 0

    @classmethod
    def start(cls, policy: nn.Module, config: TrainConfig) -> TrainState:
        """At step 0, with `config` resolved first."""
        config = config.resolved()
        return cls(make_optimizer(policy, config), LiveSettings.start(config))

    def fork(self, policy: nn.Module, config: TrainConfig) -> TrainState:
        """The same state for a copy of the policy."""
        optimizer = make_optimizer(policy, config.resolved())
        optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return replace(self, optimizer=optimizer, settings=LiveSettings(self.settings))

    def numbers(self) -> dict[str, Any]:
        """Everything but the optimiser's tensors, for a checkpoint."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "pairs": self.pairs,
            "settings": dict(self.settings),
        }


def make_optimizer(policy: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what can be trained, updated in one fused pass.

    Its second moment looks back 50 steps rather than 1,000: runs here are short.
    """
    trainable = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    if not trainable:
        raise WorkbenchError("the policy has no trainable parameter; nothing would be learnt")
    return torch.optim.AdamW(
        trainable,
        lr=config.lr or 0.0,
        betas=(0.9, 0.98),
        weight_decay=config.weight_decay,
        fused=True,
    )


def total_steps(batches: BatchSource, config: TrainConfig) -> int:
    """How many steps a run takes."""
    config = config.resolved()
    return config.max_steps or len(batches) * (config.epochs or 1)


def fit(
    policy: nn.Module,
    batches: BatchSource | Sequence[SequenceBatch],
    config: TrainConfig,
    control: Control | None = None,
    *,
    method: Method[Any] | None = None,
    reference: Reference | None = None,
    state: TrainState | None = None,
) -> Iterator[StepEvent | ChangeEvent]:
    """Train `policy` in place; stop iterating and it pauses, go on and it resumes.

    Args:
        policy: what the method trains, or a wrapper of it (DDP, FSDP2).
        batches: a source of batches, which goes on from where it stands; a plain list is taken one
            per step, again and again, from the step of `state` on.
        config: loss, learning rate and so on; open fields are filled in.
        control: live changes and the wish to stop; taken before each step.
        method: that of `config` when left out.
        reference: where the loss needs one; a frozen copy of the policy as it is now when left out.
        state: where to go on from; a fresh one when left out.

    Raises:
        NonFiniteLossError: before the weights are touched, naming step and rows.
    """
    config = config.resolved()
    if not len(batches):
        raise WorkbenchError("batches is empty; at least one is needed")
    device = pick_device(config.device)
    state = state or TrainState.start(policy, config)
    source = FixedBatches(batches, state.step) if isinstance(batches, Sequence) else batches
    step = _Step(policy, config, method or find_method(str(config.method)), device, reference)
    step.freeze_if_needed(state.settings)
    control, total = control or Control(), total_steps(source, config)
    loaded = each_step(source, policy, total - state.step, device)
    while state.step < total:
        changes, stop = distributed.agreed(control.take, control.stopping)
        if stop:
            break
        state.settings.update(changes)  # all before the first event: a branch made then has all
        for name, value in changes.items():
            yield ChangeEvent(state.step, name, value)
        begin = time.perf_counter()
        lr = state.settings.lr * _lr_share(state.step, total, config)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        parts = next(loaded)
        metrics = step(parts, state)
        state.step += 1
        state.seconds += time.perf_counter() - begin
        items = sum(part.items for part in parts if part.counts)
        state.pairs += int(distributed.total(torch.tensor(items)))
        metrics |= {"lr": lr, "pairs_per_second": state.pairs / state.seconds}
        parameters = step.method.loss(state.settings).parameters
        metrics |= {name: float(state.settings[name]) for name in parameters}
        yield StepEvent(state.step, total, (state.step - 1) // len(source), metrics)


def _lr_share(step: int, total: int, config: TrainConfig) -> float:
    """The learning rate at a step, as a share of the one that is set.

    A linear warm-up, times a schedule that falls from 1 at the first step to 0 after the last.
    """
    share = min(1.0, (step + 1) / max(1, config.warmup or 0))
    if config.schedule == "linear":
        return share * (1 - step / total)
    if config.schedule == "cosine":
        return share * (1 + math.cos(math.pi * step / total)) / 2
    return share


class _Step:
    """One optimiser step over its batches; the loss is the weighted mean over all their items."""

    def __init__(
        self,
        policy: nn.Module,
        config: TrainConfig,
        method: Method[Any],
        device: str,
        reference: Reference | None,
    ) -> None:
        self._policy, self._config, self.method = policy, config, method
        self._device, self._reference = device, reference
        inner = distributed.unwrap(policy)
        self._precision = pick_precision(config.precision, device, inner)
        self._bf16: BF16Weights | None = bf16_weights(policy, device, self._precision)

    def freeze_if_needed(self, settings: LiveSettings) -> None:
        """Make the reference that was left out."""
        if self._reference is None and self.method.needs_reference(settings):
            if distributed.is_sharded(self._policy):
                raise WorkbenchError(
                    "no reference can be copied from shards; make it of the policy before it is "
                    "sharded and give it as `reference`"
                )
            frozen = freeze(distributed.unwrap(self._policy), self._precision)  # type: ignore[arg-type]
            self._reference = LiveReference(frozen, self._device, self._precision)

    def __call__(self, parts: list[SequenceBatch], state: TrainState) -> dict[str, float]:
        """Change the weights; returns the means of the metrics."""
        method, settings = self.method, state.settings
        distributed.require_equal("numbers of forward passes per step", len(parts))
        weights = [method.weights(part).sum().float() * part.counts for part in parts]
        all_weights = distributed.total(torch.stack(weights).sum())
        scale = distributed.world_size() / all_weights  # wrappers average over processes
        values: list[dict[str, Tensor]] = []
        sums: list[Tensor] = []
        with self._bf16.active() if self._bf16 else nullcontext():
            with autocast(self._device, self._precision):
                shared = method.statistics(self._policy, parts, settings, self._reference)
            for number, part in enumerate(parts):
                last = number == len(parts) - 1
                with distributed.accumulating(self._policy, last):
                    with autocast(self._device, self._precision):
                        found = method.losses(self._policy, part, settings, self._reference, shared)
                    _require_finite(found.values, part, state.step)
                    (found.values.sum() * (scale * part.counts)).backward()
                values.append(part.counted(found.metrics))
                sums.append(found.values.detach().cpu().double().sum() * part.counts)
                if self._bf16:
                    self._bf16.gather(number == 0, last)
        norm = self._update(state.optimizer)
        if not torch.isfinite(norm):
            rows = [row for part in parts for row in _rows(part)]
            raise NonFiniteLossError(_not_finite("gradient", state.step, rows))
        merged = {name: torch.cat([part[name] for part in values]) for name in values[0]}
        total = distributed.total(torch.stack(sums).sum())
        means = distributed.mean_over_all(merged) | {"loss": float(total / all_weights)}
        return means | {"grad_norm": float(norm)}

    def _update(self, optimizer: torch.optim.AdamW) -> Tensor:
        """Clip, update and drop the gradients; their norm. If it is not finite nothing changes."""
        most = self._config.max_grad_norm
        if self._bf16:
            norm = self._bf16.step(optimizer, most)
        else:
            trainable = [weight for group in optimizer.param_groups for weight in group["params"]]
            norm = distributed.clip(trainable, most)
            if torch.isfinite(norm):
                optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # now, so that an evaluation has the memory
        return norm


def _require_finite(values: Tensor, part: SequenceBatch, step: int) -> None:
    finite = torch.isfinite(values)
    if not finite.all():
        raise NonFiniteLossError(_not_finite("loss", step, _rows(part, ~finite)))


def _rows(batch: SequenceBatch, bad: Tensor | None = None) -> list[int]:
    """Indices of a batch's items in their data set: of all, or of those that are `bad`."""
    rows = torch.arange(batch.items) if batch.index is None else batch.index.cpu()
    return (rows if bad is None else rows[bad.cpu()]).tolist()


def _not_finite(what: str, step: int, rows: list[int]) -> str:
    return (
        f"{what} is not finite at step {step + 1}, in the batch with training rows {rows}; "
        "the weights are those of the step before (try a smaller lr or beta)"
    )
