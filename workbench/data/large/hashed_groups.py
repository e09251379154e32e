"""Which rows are held out together, from hashes: as `split.split_by_group` does from texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.data.split import held_groups

Numbers = NDArray[np.int64]


def split_by_hash(
    prompts: NDArray[np.uint64], groups: NDArray[np.uint64], held_out: int, seed: int
) -> tuple[Numbers, Numbers]:
    """Divide the items 0, 1, ... into (train, held out), each in ascending order.

    Args:
        prompts: (item,) a hash of what items of one prompt have in common.
        groups: (item,) a hash of the group; 0: none.

    Raises:
        WorkbenchError: as `split_by_group` does.
    """
    first = joined(prompts, groups)
    starts, group, sizes = np.unique(first, return_inverse=True, return_counts=True)
    chosen = held_groups(sizes.tolist(), held_out, seed)
    is_held = np.zeros(len(starts), bool)
    is_held[chosen] = True
    held = is_held[group]
    return np.flatnonzero(~held), np.flatnonzero(held)


def joined(prompts: NDArray[np.uint64], groups: NDArray[np.uint64]) -> Numbers:
    """(item,) the first item of each item's group: items that share a hash are in one group, and so
    are those that are joined by others.

    >>> joined(np.array([1, 2, 3, 2], "u8"), np.array([0, 7, 7, 0], "u8")).tolist()
    [0, 1, 1, 1]
    """
    number = np.arange(len(prompts))
    _, prompt = np.unique(prompts, return_inverse=True)
    keys = [prompt]
    if groups.any():
        _, group = np.unique(groups, return_inverse=True)
        keys.append(np.where(groups == 0, len(number) + number, group))
    first = number
    while True:
        before = first
        for key in keys:
            least = np.full(int(key.max()) + 1, len(number))
            np.minimum.at(least, key, first)
            first = least[key]
        first = first[first]  # so that a long chain of items takes few rounds
        if np.array_equal(first, before):
            return first
