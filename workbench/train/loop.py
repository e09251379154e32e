"""`fit`: the only optimiser loop. It yields events and knows nothing of files or screens."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.fast.bf16_weights import BF16Weights
from workbench.core.metrics import mean_metrics
from workbench.errors import WorkbenchError
from workbench.train.batches import Batches, FixedBatches
from workbench.train.config import TrainConfig
from workbench.train.control import Control
from workbench.train.events import ChangeEvent, StepEvent
from workbench.train.objectives import LiveSettings, Objective, preference
from workbench.train.precision import autocast, bf16_weights, pick_device, pick_precision
from workbench.train.reference import LiveReference, freeze


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
        settings = LiveSettings(**{f.name: getattr(config, f.name) for f in fields(LiveSettings)})
        return cls(make_optimizer(policy, config), settings)

    def fork(self, policy: nn.Module, config: TrainConfig) -> TrainState:
        """The same state for a copy of the policy."""
        optimizer = make_optimizer(policy, config.resolved())
        optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        return replace(self, optimizer=optimizer, settings=replace(self.settings))

    def numbers(self) -> dict[str, Any]:
        """Everything but the optimiser's tensors, for a checkpoint."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "pairs": self.pairs,
            "settings": asdict(self.settings),
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


def total_steps(batches: Batches, config: TrainConfig) -> int:
    """How many steps a run takes."""
    config = config.resolved()
    return config.max_steps or len(batches) * (config.epochs or 1)


def fit(
    policy: nn.Module,
    batches: Batches | Sequence[SequenceBatch],
    config: TrainConfig,
    control: Control | None = None,
    *,
    objective: Objective | None = None,
    state: TrainState | None = None,
    decay: bool = False,
) -> Iterator[StepEvent | ChangeEvent]:
    """Train `policy` in place; stop iterating and it pauses, go on and it resumes.

    Args:
        policy: a Policy module.
        batches: `at(step)` gives a step's micro-batches; a plain list is taken one a step.
        config: loss, learning rate and so on; open fields are filled in.
        control: live changes and the wish to stop; taken before each step.
        objective: `preference` against a frozen copy of the policy as it is now when left out.
        state: where to go on from; a fresh one when left out.
        decay: let the learning rate fall linearly to 0 after the warm-up (used for pretraining).

    Raises:
        NonFiniteLossError: before the weights are touched, naming step and pairs.
    """
    config = config.resolved()
    source = FixedBatches(batches) if isinstance(batches, Sequence) else batches
    device = pick_device(config.device)
    precision = pick_precision(config.precision, device, policy)
    control = control or Control()
    objective = objective or preference(LiveReference(freeze(policy, precision), device, precision))
    state = state or TrainState.start(policy, config)
    if not len(source):
        raise WorkbenchError("batches is empty; at least one is needed")
    total = total_steps(source, config)
    copies = bf16_weights(policy, device, precision)
    loaded = _load(source, range(state.step, total), device, ahead=device == "cuda")
    while state.step < total and not control.stopping:
        changes = control.take()
        for name, value in changes.items():  # all before the first word of it: a branch has all
            setattr(state.settings, name, value)
        for name, value in changes.items():
            yield ChangeEvent(state.step, name, value)
        begin = time.perf_counter()
        share = min(1.0, (state.step + 1) / max(1, config.warmup or 0))
        share *= 1 - state.step / total if decay else 1
        for group in state.optimizer.param_groups:
            group["lr"] = state.settings.lr * share
        parts = next(loaded)
        precise = autocast(device, precision)
        metrics = _step(policy, parts, objective, state, config, precise, copies)
        state.step += 1
        state.seconds += time.perf_counter() - begin
        state.pairs += int(metrics.pop("count"))
        metrics |= {
            "lr": state.settings.lr * share,
            "beta": state.settings.beta,
            "pairs_per_second": state.pairs / state.seconds,
        }
        yield StepEvent(state.step, total, (state.step - 1) // len(source), metrics)


def _load(source: Batches, steps: range, device: str, ahead: bool) -> Iterator[list[SequenceBatch]]:
    """Each step's micro-batches on `device`; `ahead`: the next ones are made in the meantime."""

    def load(step: int) -> list[SequenceBatch]:
        return [batch.to(device) for batch in source.at(step)]

    if not ahead:
        yield from map(load, steps)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, steps.start)
        for step in steps:
            here = coming.result()
            if step + 1 < steps.stop:
                coming = pool.submit(load, step + 1)
            yield here


def _step(
    policy: nn.Module,
    parts: list[SequenceBatch],
    objective: Objective,
    state: TrainState,
    config: TrainConfig,
    precision: AbstractContextManager[object],
    copies: BF16Weights | None,
) -> dict[str, float]:
    """One optimiser step over its micro-batches; the loss is the mean over all their items."""
    values: list[dict[str, Tensor]] = []
    count = sum(_items(part) for part in parts)
    with copies.active() if copies else nullcontext():
        for number, part in enumerate(parts):
            with precision:
                losses, metrics = objective(policy, part, state.settings)  # type: ignore[arg-type]
            if not torch.isfinite(losses).all():
                raise NonFiniteLossError(
                    _not_finite("loss", state.step, _places(part, ~torch.isfinite(losses)))
                )
            (losses.sum() / count).backward()
            values.append(metrics)
            if copies:
                copies.gather(number == 0, number == len(parts) - 1)
    norm = _update(state.optimizer, config.max_grad_norm, copies)
    if not torch.isfinite(norm):
        places = [place for part in parts for place in _places(part)]
        raise NonFiniteLossError(_not_finite("gradient", state.step, places))
    merged = {name: torch.cat([part[name] for part in values]) for name in values[0]}
    return {**mean_metrics(merged), "grad_norm": float(norm), "count": count}


def _update(optimizer: torch.optim.AdamW, max_norm: float, copies: BF16Weights | None) -> Tensor:
    """Clip, update and drop the gradients; their norm. Nothing changes where it is not finite."""
    if copies:
        norm = copies.step(optimizer, max_norm)
    else:
        trainable = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(trainable, max_norm)
        if torch.isfinite(norm):
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # now, so that an evaluation has the memory
    return norm


def _items(batch: SequenceBatch) -> int:
    return getattr(batch, "pairs", batch.sequences)


def _places(batch: SequenceBatch, bad: Tensor | None = None) -> list[int]:
    """Where the items of a batch stand in their data set: all, or those that are `bad`."""
    index = getattr(batch, "index", None)
    places = torch.arange(_items(batch)) if index is None else index.cpu()
    return (places if bad is None else places[bad.cpu()]).tolist()


def _not_finite(what: str, step: int, places: list[int]) -> str:
    return (
        f"{what} is not finite at step {step + 1}, in the batch with training pairs {places}; "
        "the weights are those of the step before (try a smaller lr or beta)"
    )
