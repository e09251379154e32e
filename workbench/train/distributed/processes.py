"""How many processes there are, sums and values over all of them, and each one's share of rows.

`group.joined`, or `init_process_group` under `torchrun`, has to be called before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from workbench.core.metrics import mean_metrics
from workbench.errors import WorkbenchError

T = TypeVar("T")
_by_itself = 0  # how many blocks of `main_first` this process is within


def world_size() -> int:
    """Number of processes that train together."""
    if _by_itself:
        return 1
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this process writes files, logs and shows."""
    return rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process through first, so that the others find what it leaves in caches.

    Within it each process counts as the only one, as what it makes, it makes by itself.
    """
    main, several = is_main(), world_size() > 1
    if not main:
        distributed.barrier()
    with _alone():
        yield
    if main and several:
        distributed.barrier()


@contextmanager
def _alone() -> Iterator[None]:
    global _by_itself
    _by_itself += 1
    try:
        yield
    finally:
        _by_itself -= 1


def from_main(make: Callable[[], T]) -> T:
    """What `make` gives in the main process, in every process; elsewhere it is not called."""
    if world_size() == 1:
        return make()
    found: list[Any] = [make() if is_main() else None]
    distributed.broadcast_object_list(found)
    return found[0]


def main_says(flag: bool) -> bool:
    """The flag of the main process, in every process."""
    return flag if world_size() == 1 else bool(total(torch.tensor(float(flag and is_main()))))


def agreed(take: Callable[[], dict[str, Any]], stop: bool) -> tuple[dict[str, Any], bool]:
    """What all processes do of the changes that each takes and of the wishes to stop.

    Where this process is to stop it takes no changes.
    """
    changes = {} if stop else take()
    if world_size() == 1:
        return changes, stop
    flags = total(torch.tensor([float(bool(changes)), float(stop)]))
    if flags[0]:
        found: list[dict[str, Any]] = [{}] * world_size()
        distributed.all_gather_object(found, changes)
        changes = {name: value for one in reversed(found) for name, value in one.items()}
    return changes, bool(flags[1])


def total(value: Tensor) -> Tensor:
    """The sum of `value` over all processes, without gradient; itself in one process."""
    if world_size() == 1:
        return value
    added = value.detach().to(_device_of_sums(value), copy=True)
    distributed.all_reduce(added)
    return added.to(value.device)


def _device_of_sums(value: Tensor) -> torch.device | str:
    """Where a value can be added up: NCCL alone takes nothing that is elsewhere."""
    return "cuda" if distributed.get_backend() == "nccl" else value.device


def require_equal(what: str, count: int) -> None:
    """Raise WorkbenchError where processes differ in a number that they wait for each other by."""
    sums = total(torch.tensor([count, count * count]))
    if world_size() * sums[1] == sums[0] ** 2:  # exactly where all are equal
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
    table = torch.stack([value.detach().double() for value in values.values()], 1)  # item, name
    found = {
        name: column.to(value.dtype)
        for (name, value), column in zip(values.items(), _gather_rows(table).T, strict=True)
    }
    return {name: column.to(values[name].device) for name, column in found.items()}


def _gather_rows(table: Tensor) -> Tensor:
    """(row, column) of each process, of unequal numbers of rows -> all rows."""
    table = table.to(_device_of_sums(table))
    counts = torch.zeros(world_size(), dtype=torch.long, device=table.device)
    counts[rank()] = len(table)
    distributed.all_reduce(counts)
    most = int(counts.max())
    padded = torch.cat([table, table.new_zeros(most - len(table), table.shape[1])])
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])


def share(rows: Sequence[T]) -> list[T]:
    """This process's share of some rows: every so many-th one."""
    return list(rows[rank() :: world_size()])


def divided(keys: Sequence[Hashable], work: Callable[[list[int]], list[T]]) -> list[T]:
    """What `work` gives for all rows, of which each process does its share.

    Args:
        keys: of the rows; rows of equal keys are done by one process, in their order.
        work: numbers of rows -> what is found for each.
    """
    if world_size() == 1:
        return work(list(range(len(keys))))
    order = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    own = [row for row, key in enumerate(keys) if order[key] % world_size() == rank()]
    parts: list[Any] = [None] * world_size()
    distributed.all_gather_object(parts, list(zip(own, work(own), strict=True)) if own else [])
    found = {row: value for part in parts for row, value in part}
    return [found[row] for row in range(len(keys))]


def clip(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip the gradients to `max_norm`; returns their norm before, over all shards."""
    norm: Any = nn.utils.clip_grad_norm_(parameters, max_norm)
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
