"""Everything that concerns several processes; with one process nothing happens here.

`torch.distributed` has to be initialised before, as `torchrun` with `init_process_group` does.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn

from workbench.core.metrics import mean_metrics


def world_size() -> int:
    """Number of processes that train together."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def is_main() -> bool:
    """Whether this process writes files, logs and shows."""
    return world_size() == 1 or distributed.get_rank() == 0


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all processes; itself in one process."""
    if world_size() > 1:
        distributed.all_reduce(value)
    return value


def mean_over_all(values: dict[str, Tensor]) -> dict[str, float]:
    """`mean_metrics` over the items of all processes, (item,) each."""
    if world_size() == 1:
        return mean_metrics(values)
    gathered: list[dict[str, Tensor] | None] = [None] * world_size()
    distributed.all_gather_object(gathered, {n: value.cpu() for n, value in values.items()})
    parts = [part for part in gathered if part is not None]
    return mean_metrics({name: torch.cat([part[name] for part in parts]) for name in values})


def clip(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip the gradients to `max_norm`; returns their norm before, over all shards."""
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def unwrap(policy: nn.Module) -> nn.Module:
    """The policy within a wrapper that has it as `module`, as DDP does."""
    inner = getattr(policy, "module", policy)
    return inner if isinstance(inner, nn.Module) else policy


def whole_state(policy: nn.Module) -> dict[str, Tensor]:
    """The trainable weights by name, detached and on the processor, put together from shards."""
    found = {}
    for name, weight in unwrap(policy).named_parameters():
        if weight.requires_grad:
            value = weight.detach()
            value = value.full_tensor() if hasattr(value, "full_tensor") else value
            found[name] = value.cpu().contiguous()
    return found
