"""Which items are in which batch of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

POOL = 8  # batches whose items are sorted by length together


def sizes_of(items: Sequence[Any], size: Any) -> NDArray[Any]:
    """(item,) what `size` gives of each; items that are made when they are looked at know it."""
    known = getattr(items, "sizes", None)
    return np.array([size(item) for item in items], int) if known is None else known


class EpochOrder(Sequence[list[int]]):
    """The batches of an epoch as lists of indices, in an order drawn from `seed`.

    With `sizes` (item,) those of similar size are in one batch: the items are shuffled and sorted
    by size within pools of `POOL` batches, then the batches are shuffled.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, sizes: NDArray[Any] | None = None
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._size = batch_size
        self._items = torch.randperm(count, generator=generator).numpy()
        if sizes is not None:
            pools = np.arange(count) // (POOL * batch_size)
            self._items = self._items[np.lexsort((sizes[self._items], pools))]
        self._batches = torch.randperm(-(-count // batch_size), generator=generator).numpy()

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start = int(self._batches[index]) * self._size
        return self._items[start : start + self._size].tolist()
