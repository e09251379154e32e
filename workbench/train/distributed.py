"""Everything that concerns several processes; with one process nothing happens here.

`torch.distributed` has to be initialised before, as `torchrun` with `init_process_group` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from workbench.core.metrics import mean_metrics
from workbench.errors import WorkbenchError


def world_size() -> int:
    """Number of processes that train together."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def is_main() -> bool:
    """Whether this process writes files, logs and shows."""
    return world_size() == 1 or distributed.get_rank() == 0


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all processes, without gradient; itself in one process."""
    if world_size() == 1:
        return value
    on_gpu = distributed.get_backend() == "nccl"  # which sums nothing that is elsewhere
    added = value.detach().to("cuda" if on_gpu else value.device, copy=True)
    distributed.all_reduce(added)
    return added.to(value.device)


def require_equal(what: str, count: int) -> None:
    """Raise WorkbenchError where processes differ in a number that they wait for each other by."""
    if world_size() == 1:
        return
    counts: list[int] = [0] * world_size()
    distributed.all_gather_object(counts, count)
    if len(set(counts)) > 1:
        raise WorkbenchError(f"processes differ in their {what}: {counts}; all need the same")


def mean_over_all(values: dict[str, Tensor]) -> dict[str, float]:
    """`mean_metrics` over the items of all processes, (item,) each."""
    return mean_metrics(gather(values))


def gather(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values (item,) of all processes, those of one process after those of another."""
    if world_size() == 1:
        return values
    gathered: list[dict[str, Tensor] | None] = [None] * world_size()
    distributed.all_gather_object(gathered, {n: value.cpu() for n, value in values.items()})
    parts = [part for part in gathered if part is not None]
    return {
        name: torch.cat([part[name] for part in parts]).to(value.device)
        for name, value in values.items()
    }


def clip(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip the gradients to `max_norm`; returns their norm before, over all shards."""
    return _whole(nn.utils.clip_grad_norm_(parameters, max_norm))


def unwrap(policy: nn.Module) -> nn.Module:
    """The policy within a wrapper that has it as `module`, as DDP does."""
    inner = getattr(policy, "module", policy)
    return inner if isinstance(inner, nn.Module) else policy


def is_sharded(policy: nn.Module) -> bool:
    """Whether each process holds a part of the weights only, as under FSDP2."""
    return any(map(_is_part, policy.parameters()))


def whole_state(policy: nn.Module) -> dict[str, Tensor]:
    """The trainable weights by name, detached and on the processor, put together from shards."""
    return {
        name: _whole(weight.detach()).cpu().contiguous()
        for name, weight in unwrap(policy).named_parameters()
        if weight.requires_grad
    }


@torch.no_grad()
def load_whole_state(policy: nn.Module, state: dict[str, Tensor]) -> None:
    """The inverse of `whole_state`; both must name the same weights."""
    trainable = {name: p for name, p in unwrap(policy).named_parameters() if p.requires_grad}
    if trainable.keys() != state.keys():
        odd = sorted(trainable.keys() ^ state.keys())[0]
        raise WorkbenchError(f"the checkpoint does not fit the model: {odd} is only in one of them")
    for name, weight in trainable.items():
        weight.copy_(_part_of(weight, state[name]))


def _is_part(value: Tensor) -> bool:
    """Whether it is a DTensor, whose class takes a second to import."""
    return hasattr(value, "full_tensor")


def _whole(value: Any) -> Tensor:
    return value.full_tensor() if _is_part(value) else value


def _part_of(weight: Any, value: Tensor) -> Tensor:
    """Of a whole value the part that this process has of `weight`."""
    if not _is_part(weight):
        return value
    from torch.distributed.tensor import distribute_tensor  # here, see `_is_part`

    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
