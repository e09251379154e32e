"""Train and held-out parts that share no prompt and no topic.

A held-out pair whose prompt or topic also occurs in training measures memorisation. So a whole
group belongs to one part.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from workbench.errors import WorkbenchError

T = TypeVar("T")


def split_by_group(
    items: Sequence[T], group: Callable[[T], str], held_out: int, seed: int
) -> tuple[list[int], list[int]]:
    """Divide the indices of `items` into (train, held out), each in ascending order.

    Exactly `held_out` items are held out where whole groups add up to it, else the nearest number
    below. Where even the smallest group is larger than `held_out`, that group is held out, so that
    0 < `held_out` always holds something out. The groups are chosen at random from `seed` alone.

    >>> split_by_group(["a", "b", "b", "c", "c"], str, held_out=3, seed=0)
    ([1, 2], [0, 3, 4])

    Raises WorkbenchError when `held_out` is below 0 or would leave nothing to train on.
    """
    if not 0 <= held_out < max(len(items), 1):
        raise WorkbenchError(
            f"held_out is {held_out}: give a number from 0 to {max(len(items) - 1, 0)}; "
            f"there are {len(items)} pairs, and at least one is needed for training"
        )
    members: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        members[group(item)].append(index)
    names = list(members)
    random.Random(seed).shuffle(names)
    chosen = [names[number] for number in _fill([len(members[name]) for name in names], held_out)]
    if held_out and not chosen:
        chosen = [min(names, key=lambda name: len(members[name]))]
    held = sorted(index for name in chosen for index in members[name])
    if len(held) == len(items) and items:
        raise WorkbenchError(
            f"held_out is {held_out}, but all {len(items)} pairs share one prompt or topic: "
            "give 0, or pairs with several prompts"
        )
    is_held = set(held)
    return [index for index in range(len(items)) if index not in is_held], held


def _fill(sizes: Sequence[int], target: int) -> list[int]:
    """Indices of sizes with the largest sum up to `target`; ties go to the earliest sizes.

    0/1 knapsack: each sum keeps the size that first reached it and the sum before.
    """
    reached: dict[int, tuple[int, int]] = {0: (-1, 0)}  # sum -> (last index, sum without it)
    for index, size in enumerate(sizes):
        if target in reached:
            break
        for total in list(reached):
            if total + size <= target:
                reached.setdefault(total + size, (index, total))
    indices = []
    total = max(reached)
    while total:
        index, total = reached[total]
        indices.append(index)
    return indices
