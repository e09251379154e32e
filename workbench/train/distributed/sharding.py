"""The policy wrapped for several processes, and put together again from its shards.

A model *without weights* has them on the meta device: names and shapes, and no memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from workbench.errors import WorkbenchError
from workbench.train.distributed.processes import world_size

M = TypeVar("M", bound=nn.Module)


class Whole(Generic[M]):
    """A plain module with the weights of one that is sharded, for as long as it is used.

    Made before sharding. Texts are generated with it, and it is evaluated, by every process for
    itself; what is trained stays sharded. Within `put_together`, which all processes enter
    together, `module` is whole; outside it holds no weights.
    """

    def __init__(self, source: M) -> None:
        self._source, self._users = source, 0
        self.module: M = without_weights(source).requires_grad_(False)
        self._empty = dict(self.module.named_parameters())

    @contextmanager
    def put_together(self) -> Iterator[M]:
        """A context that may be entered again within itself."""
        if not self._users:
            source = dict(self._source.named_parameters())
            _set_weights(self.module, lambda name, _: whole(source[name].detach()))
        self._users += 1
        try:
            yield self.module
        finally:
            self._users -= 1
            if not self._users:
                _set_weights(self.module, lambda name, _: self._empty[name])


def without_weights(module: M) -> M:
    """A copy without weights; its buffers are copied."""
    empty = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
        for weight in module.parameters()
    }
    return copy.deepcopy(module, empty)


def _set_weights(module: nn.Module, value: Callable[[str, nn.Parameter], Tensor]) -> None:
    """Give each weight the value that is found for its name and itself; tied ones stay tied."""
    old = dict(module.named_parameters())
    new = {
        id(weight): nn.Parameter(value(name, weight), weight.requires_grad)
        for name, weight in old.items()
    }
    for part in list(module.modules()):
        weights = part.named_parameters(recurse=False, remove_duplicate=False)
        for name, weight in list(weights):
            setattr(part, name, new[id(weight)])


def wrapped(policy: nn.Module, kind: str, every_weight: bool = True) -> nn.Module:
    """The policy as it is trained in several processes, or itself in one.

    Args:
        policy: what is trained.
        kind: "ddp": each process has all weights, and gradients are averaged (Li et al. 2020);
            "fsdp": each has a share of them, those of a block are put together where it is computed
            (FSDP2; Zhao et al. 2023). The policy is changed in place then.
        every_weight: whether every trained weight has a part in the loss.
    """
    if world_size() == 1:
        return policy
    if kind == "fsdp":
        return sharded_from_main(policy)
    return DistributedDataParallel(policy, find_unused_parameters=not every_weight)


def sharded(policy: M) -> M:
    """The module with its weights sharded in place, block by block, then the rest."""
    from torch.distributed.fsdp import fully_shard  # here, as it takes a second to import

    for block in _blocks(policy):
        fully_shard(block)
    # Also of the rest nothing stays whole after a forward pass, as it may be followed by none back.
    fully_shard(policy, reshard_after_forward=True)
    return policy


def sharded_from_main(policy: M) -> M:
    """`sharded`, with the weights of the main process.

    The other processes may have a model without weights; of the main process's each gets its
    shards, one weight after the other.
    """
    given = {name: weight.detach() for name, weight in policy.named_parameters()}
    _set_weights(policy, lambda _, weight: torch.empty_like(weight, device="meta"))
    sharded(policy)
    _set_weights(policy, lambda name, weight: _part_of(weight, _in_memory(given.pop(name))))
    return policy


def buffers_from_main(policy: nn.Module, device: str) -> None:
    """Give all processes the main process's buffers, on `device`."""
    for part in policy.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            sent = _in_memory(buffer).to(device)
            distributed.broadcast(sent, src=0)
            setattr(part, name, sent)


def _in_memory(value: Tensor) -> Tensor:
    """The value; where it is on the meta device, one with any numbers."""
    return torch.empty_like(value, device="cpu") if value.is_meta else value


def sharded_copy(empty: M, source: nn.Module) -> M:
    """`empty`, a copy without weights, sharded, with those that `source` has now; see `wrapped`."""
    sharded(empty)
    weights = dict(source.named_parameters())

    def part(name: str, weight: nn.Parameter) -> Tensor:
        value = weights[name].detach().to(weight.dtype, copy=True)
        return value if _is_part(value) else _part_of(weight, value)

    _set_weights(empty, part)
    return empty


def _blocks(policy: nn.Module) -> list[nn.Module]:
    """The layers of the longest list of layers of one kind; none where there is no such list."""
    found: list[nn.Module] = []
    for module in policy.modules():
        if isinstance(module, nn.ModuleList) and len(module) > max(1, len(found)):
            kinds = {type(layer) for layer in module}
            if len(kinds) == 1 and not kinds & {nn.ModuleList, nn.ModuleDict}:
                found = list(module)
    return found


def accumulating(policy: nn.Module, last: bool) -> AbstractContextManager[None]:
    """Around a forward and backward pass, of which the `last` of a step sends the gradients."""
    if isinstance(policy, DistributedDataParallel) and not last:
        return policy.no_sync()
    return nullcontext()


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
        name: whole(weight.detach()).cpu().contiguous()
        for name, weight in trainable(policy).items()
    }


def trainable(policy: nn.Module) -> dict[str, nn.Parameter]:
    """The weights by name that are trained; of a sharded policy, its shards."""
    return {name: p for name, p in unwrap(policy).named_parameters() if p.requires_grad}


@torch.no_grad()
def load_whole_state(policy: nn.Module, state: dict[str, Tensor]) -> None:
    """The inverse of `whole_state`; both must name the same weights."""
    weights = trainable(policy)
    require_names(weights, state)
    for name, weight in weights.items():
        weight.copy_(_part_of(weight, state[name]))


def require_names(weights: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Raise WorkbenchError where a checkpoint has weights of other names than the model."""
    if weights.keys() != stored.keys():
        odd = sorted(weights.keys() ^ stored.keys())[0]
        raise WorkbenchError(f"the checkpoint does not fit the model: {odd} is only in one of them")


def _is_part(value: Tensor) -> bool:
    """Whether it is a DTensor, whose class takes a second to import."""
    return hasattr(value, "full_tensor")


def whole(value: Any) -> Tensor:
    """The value, put together where it is sharded; all processes call it together then."""
    return value.full_tensor() if _is_part(value) else value


def _part_of(weight: Any, value: Tensor) -> Tensor:
    """Of the main process's whole value the part that this process has of `weight`."""
    if not _is_part(weight):
        return value
    from torch.distributed.tensor import distribute_tensor  # here, see `_is_part`

    mesh = weight.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, weight.placements)
