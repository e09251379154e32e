"""Where batches come from: sources that give the next one, and can be saved and restored.

A source that is a function of a counter (shuffled rows) saves the counter; one that depends on the
policy (rollouts) or on a stream saves what it needs to go on exactly where it stood.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from workbench.core.batch import SequenceBatch
from workbench.data.large.lazy_items import Lazy, LazyItems
from workbench.errors import WorkbenchError
from workbench.train import distributed
from workbench.train.epoch_order import EpochOrder, sizes_of
from workbench.train.method import Method

T = TypeVar("T")


class BatchSource(Protocol):
    """What the loop trains on. `len` steps make an epoch; a step has one or more forward passes."""

    def __len__(self) -> int: ...

    def next(self, policy: nn.Module) -> list[SequenceBatch]:
        """The batches of the next step; `policy` is that of the step."""

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on from here, as JSON takes it."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""

    def fork(self) -> Self:
        """A source that goes on from here by itself."""


class Counted:
    """A source whose batches depend on the number of the step alone, `at(step)`.

    Such a source can be read ahead, because the policy plays no part.
    """

    step = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def at(self, step: int) -> list[SequenceBatch]:
        """The batches of the step with this number, from 0; it may lie in any epoch."""
        raise NotImplementedError

    def next(self, policy: nn.Module) -> list[SequenceBatch]:
        """See `BatchSource`."""
        self.step += 1
        return self.at(self.step - 1)

    def state_dict(self) -> dict[str, Any]:
        """See `BatchSource`."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `BatchSource`."""
        self.step = state["step"]

    def fork(self) -> Self:
        """See `BatchSource`."""
        return copy.copy(self)


@dataclass
class ShuffledBatches(Counted, Generic[T]):
    """Every item once per epoch, in an order drawn from seed and epoch, similar lengths together.

    Attributes:
        items: what is drawn from.
        size: length of an item, for bucketing.
        build: items and their indices -> batch.
        batch_size, accumulate: items per batch, batches per step. The last step of an epoch may be
            smaller; nothing is left out.
        max_tokens: a batch that would be larger is split, which changes memory but not the
            gradient; 0: never.
        padded: whether a batch is as large as its longest item makes it.
        bucket: put items of similar length together.
    """

    items: Sequence[T]
    size: Callable[[T], int]
    build: Callable[[list[T], list[int]], SequenceBatch]
    batch_size: int
    accumulate: int = 1
    seed: int = 0
    max_tokens: int = 0
    padded: bool = True
    bucket: bool = True

    def __post_init__(self) -> None:
        if not self.items:
            raise WorkbenchError("there is nothing to train on: no items")
        # A run reads one epoch at a time, and the first one tells how many steps an epoch has;
        # remembering both spares the shuffle at each step.
        self._epoch = lru_cache(maxsize=2)(self._arrange)

    def __len__(self) -> int:
        return -(-len(self._epoch(0)) // self.accumulate)

    def at(self, step: int) -> list[SequenceBatch]:
        """See `Counted`."""
        epoch, number = divmod(step, len(self))
        order = self._epoch(epoch)
        chosen = order[number * self.accumulate : (number + 1) * self.accumulate]
        return [
            self._build(indices) if indices else replace(self._build(shares[0][:1]), counts=False)
            for shares in self._shares(chosen)
            for indices in self._split(shares)
        ]

    def _build(self, indices: list[int]) -> SequenceBatch:
        return self.build([self.items[i] for i in indices], indices)

    def _shares(self, chosen: list[list[int]]) -> Iterator[list[list[int]]]:
        """What each process has of the rows of a step, at one time.

        Of one batch after another, or whole batches where there are as many for all.
        """
        processes = distributed.world_size()
        if len(chosen) % processes == 0:
            yield from (chosen[i : i + processes] for i in range(0, len(chosen), processes))
        else:
            yield from ([whole[i::processes] for i in range(processes)] for whole in chosen)

    def _split(self, shares: list[list[int]]) -> list[list[int]]:
        """This process's share in parts of even size, as few as keep to `max_tokens` in all
        processes; a single item may be larger. Where others have more parts, the last are empty.
        """
        for count in range(1, max(map(len, shares)) + 1):
            parts = [_even_parts(indices, count) for indices in shares]
            if not self.max_tokens or self.max_tokens >= max(
                self._tokens(part) for one in parts for part in one if part
            ):
                break
        most = max(map(len, parts))
        own = parts[distributed.rank()]
        return own + [[]] * (most - len(own))

    def _tokens(self, indices: list[int]) -> int:
        sizes = self._sizes[indices].tolist()
        return max(sizes) * len(sizes) if self.padded else sum(sizes)

    @cached_property
    def _sizes(self) -> NDArray[Any]:
        return sizes_of(self.items, self.size)

    def _arrange(self, epoch: int) -> EpochOrder:
        sizes = self._sizes if self.bucket else None
        return EpochOrder(len(self.items), self.batch_size, self.seed * 1_000_003 + epoch, sizes)


class FixedBatches(Counted):
    """A given list of batches, one per step, the same every epoch."""

    def __init__(self, batches: Sequence[SequenceBatch], step: int = 0) -> None:
        self.batches, self.step = batches, step

    def __len__(self) -> int:
        return len(self.batches)

    def at(self, step: int) -> list[SequenceBatch]:
        """See `Counted`."""
        return [self.batches[step % len(self.batches)]]


def batches_for(
    method: Method[Any],
    items: Sequence[Any],
    pad_id: int,
    batch_size: int,
    accumulate: int = 1,
    layout: str = "packed",
    seed: int = 0,
    max_tokens: int = 0,
    bucket: bool = True,
) -> ShuffledBatches[Any]:
    """The items of a method, batched for `fit`."""

    def build(chosen: list[Any], indices: list[int]) -> SequenceBatch:
        return method.collate(chosen, pad_id, layout, indices)

    padded = layout != "packed"
    return ShuffledBatches(
        items, method.size, build, batch_size, accumulate, seed, max_tokens, padded, bucket
    )


def _even_parts(indices: list[int], count: int) -> list[list[int]]:
    even = max(1, -(-len(indices) // count))
    return [indices[i : i + even] for i in range(0, len(indices), even)]


def in_order(
    method: Method[Any], items: Sequence[Any], pad_id: int, batch_size: int, layout: str
) -> Sequence[SequenceBatch]:
    """Batches for evaluation: sorted by length, the same every time, `index` as in `items`.

    Those of items that are made when they are looked at are so, too.
    """
    order = np.argsort(sizes_of(items, method.size), kind="stable")

    def made(start: int) -> SequenceBatch:
        group = order[start : start + batch_size].tolist()
        return method.collate([items[index] for index in group], pad_id, layout, group)

    batches = Lazy(made, np.arange(0, len(order), batch_size))
    return batches if isinstance(items, LazyItems) else list(batches)


def each_step(
    source: BatchSource, policy: nn.Module, steps: int, device: str
) -> Iterator[list[SequenceBatch]]:
    """The batches of each of the next `steps` steps, on `device`.

    For a GPU those of a `Counted` source are made ahead, while it computes.
    """
    if device != "cuda" or not isinstance(source, Counted):
        for _ in range(steps):
            yield [batch.to(device) for batch in source.next(policy)]
        return

    def load(step: int) -> list[SequenceBatch]:
        return [batch.to(device) for batch in source.at(step)]

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(load, source.step)
        for left in reversed(range(steps)):
            here = coming.result()
            source.step += 1
            if left:
                coming = pool.submit(load, source.step)
            yield here
