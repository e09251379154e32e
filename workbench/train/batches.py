"""Which pairs come at which step: a function of seed and step alone, so a run can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import torch

from workbench.core.batch import Pair, PreferenceBatch, SequenceBatch, collate
from workbench.errors import WorkbenchError

T = TypeVar("T")
POOL = 8  # batches whose items are sorted by length together


class Batches(Protocol):
    """What the loop reads: `len` steps make an epoch; a step has one or more micro-batches."""

    def __len__(self) -> int: ...

    def at(self, step: int) -> list[SequenceBatch]: ...


@dataclass(frozen=True)
class ShuffledBatches(Generic[T]):
    """Every item once an epoch, in an order drawn from seed and epoch, similar lengths together.

    Attributes:
        items: what is drawn from.
        size: length of an item, for bucketing.
        build: items and their places -> batch.
        batch_size, accumulate: items a micro-batch, micro-batches a step. The last step of an
            epoch may be smaller; nothing is left out.
        max_tokens: a micro-batch that would be larger is split, which changes memory but not the
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
    _epoch: Callable[[int], list[list[int]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.items:
            raise WorkbenchError("there is nothing to train on: no items")
        # A run reads one epoch at a time; remembering it spares the shuffle at each step.
        object.__setattr__(self, "_epoch", lru_cache(maxsize=1)(self._arrange))

    def __len__(self) -> int:
        return -(-self._micro_batches() // self.accumulate)

    def _micro_batches(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def at(self, step: int) -> list[SequenceBatch]:
        """Micro-batches of the step with this number, from 0; it may lie in any epoch."""
        epoch, place = divmod(step, len(self))
        order = self._epoch(epoch)
        chosen = order[place * self.accumulate : (place + 1) * self.accumulate]
        return [
            self.build([self.items[i] for i in places], places)
            for whole in chosen
            for places in self._split(whole)
        ]

    def _split(self, places: list[int]) -> list[list[int]]:
        """In parts of even size, as few as keep to `max_tokens`; a single item may be larger."""
        parts = [places]
        for count in range(2, len(places) + 1):
            if not self.max_tokens or max(map(self._tokens, parts)) <= self.max_tokens:
                break
            even = -(-len(places) // count)
            parts = [places[i : i + even] for i in range(0, len(places), even)]
        return parts

    def _tokens(self, places: list[int]) -> int:
        sizes = [self.size(self.items[place]) for place in places]
        return max(sizes) * len(sizes) if self.padded else sum(sizes)

    def _arrange(self, epoch: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.items), generator=generator).tolist()
        batches = []
        for start in range(0, len(order), POOL * self.batch_size):
            pool = order[start : start + POOL * self.batch_size]
            if self.bucket:
                pool.sort(key=lambda place: self.size(self.items[place]))
            batches += [pool[i : i + self.batch_size] for i in range(0, len(pool), self.batch_size)]
        shuffle = torch.randperm(len(batches), generator=generator).tolist()
        return [batches[number] for number in shuffle]


def pair_batches(
    pairs: Sequence[Pair],
    pad_id: int,
    batch_size: int,
    accumulate: int = 1,
    layout: str = "packed",
    seed: int = 0,
    max_tokens: int = 0,
    bucket: bool = True,
) -> ShuffledBatches[Pair]:
    """Preference pairs, batched for `fit`."""

    def build(chosen: list[Pair], places: list[int]) -> PreferenceBatch:
        return collate(chosen, pad_id, layout, places)

    padded = layout != "packed"
    return ShuffledBatches(
        pairs, pair_size, build, batch_size, accumulate, seed, max_tokens, padded, bucket
    )


def pair_size(pair: Pair) -> int:
    """Tokens of a pair whose prompt stands once."""
    return len(pair.prompt) + len(pair.chosen) + len(pair.rejected)


@dataclass(frozen=True)
class FixedBatches:
    """A given list of batches, one a step, the same every epoch."""

    batches: Sequence[SequenceBatch]

    def __len__(self) -> int:
        return len(self.batches)

    def at(self, step: int) -> list[SequenceBatch]:
        """The batch of this step."""
        return [self.batches[step % len(self.batches)]]


def in_order(pairs: Sequence[Pair], pad_id: int, batch_size: int, layout: str) -> FixedBatches:
    """Pairs for evaluation: sorted by length, every epoch alike, `index` as in `pairs`."""
    order = sorted(range(len(pairs)), key=lambda place: pair_size(pairs[place]))
    groups = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return FixedBatches([collate([pairs[i] for i in g], pad_id, layout, g) for g in groups])
