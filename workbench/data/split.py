"""Train and held-out parts that share no prompt and no topic.

A held-out pair whose prompt or topic also occurs in training measures memorisation. So pairs that
share either belong to one part.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from workbench.errors import WorkbenchError

T = TypeVar("T")


def plain(text: str) -> str:
    """A text without the difference of case and spaces.

    >>> plain(" The  plot\\n")
    'the plot'
    """
    return " ".join(text.split()).casefold()


def split_by_group(
    items: Sequence[T], keys: Callable[[T], str | Iterable[Hashable]], held_out: int, seed: int
) -> tuple[list[int], list[int]]:
    """Divide the indices of `items` into (train, held out), each in ascending order.

    `keys` gives a text or several keys of an item. Items that share one belong to one group, and so
    do those that are joined by others: items with ("p", "q"), ("q", "r") and ("r",) are one group.

    Exactly `held_out` items are held out where whole groups add up to it, else the nearest number
    below. Where even the smallest group is larger than `held_out`, that group is held out, so that
    0 < `held_out` always holds something out. The groups are chosen at random from `seed` alone.

    >>> split_by_group(["a", "b", "b", "c", "c"], str, held_out=3, seed=0)
    ([1, 2], [0, 3, 4])

    Raises WorkbenchError when `held_out` is below 0 or would leave nothing to train on.
    """
    found = [keys(item) for item in items]
    groups = _groups([(own,) if isinstance(own, str) else tuple(own) for own in found])
    chosen = held_groups(list(map(len, groups)), held_out, seed)
    held = sorted(index for number in chosen for index in groups[number])
    is_held = set(held)
    return [index for index in range(len(items)) if index not in is_held], held


def held_groups(sizes: Sequence[int], held_out: int, seed: int) -> list[int]:
    """Which of the groups of these sizes are held out, see `split_by_group`."""
    count = sum(sizes)
    if not 0 <= held_out < max(count, 1):
        raise WorkbenchError(
            f"held_out is {held_out}: give a number from 0 to {max(count - 1, 0)}; "
            f"there are {count} pairs, and at least one is needed for training"
        )
    order = list(range(len(sizes)))
    random.Random(seed).shuffle(order)
    chosen = [order[place] for place in _fill([sizes[number] for number in order], held_out)]
    if held_out and not chosen:
        chosen = [min(order, key=sizes.__getitem__)]
    if count and sum(sizes[number] for number in chosen) == count:
        raise WorkbenchError(
            f"held_out is {held_out}, but all {count} pairs share one prompt or topic: "
            "give 0, or pairs with several prompts"
        )
    return chosen


def _groups(keys: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Indices that are joined by their keys, in the order of the first of each group."""
    first = list(range(len(keys)))  # of an index, one before it in its group, or itself

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    owners: dict[Hashable, int] = {}
    for index, own in enumerate(keys):
        for key in own:
            one, other = sorted((root(owners.setdefault(key, index)), root(index)))
            first[other] = one
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(keys)):
        members[root(index)].append(index)
    return list(members.values())


def _fill(sizes: Sequence[int], target: int) -> list[int]:
    """Indices of sizes with the largest sum up to `target`; ties go to the earliest sizes.

    0/1 knapsack: each sum keeps the index that first reached it. The sums that are reached are the
    bits of one number, or, as long as none is missing, all below `full`.
    """
    last = [-1] * (target + 1)  # by sum: the index that first reached it
    full, reached, within = 1, 0, (1 << (target + 1)) - 1
    for index, size in enumerate(sizes):
        if full > target or reached >> target & 1:
            break
        if not reached and size <= full:
            for total in range(full, min(full + size, target + 1)):
                last[total] = index
            full += size
            continue
        reached = reached or (1 << full) - 1
        new = (reached << size) & within & ~reached
        reached |= new
        while new:
            lowest = new & -new
            last[lowest.bit_length() - 1] = index
            new ^= lowest
    indices = []
    total = reached.bit_length() - 1 if reached else min(full - 1, target)
    while total:
        indices.append(last[total])
        total -= sizes[last[total]]
    return indices
