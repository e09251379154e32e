"""Whole groups go to one side, and as many items are held out as groups allow."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.split import _fill, split_by_group
from workbench.errors import WorkbenchError


def split(names: list[str], held_out: int, seed: int = 0) -> tuple[list[int], list[int]]:
    return split_by_group(names, lambda name: name, held_out, seed)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=30), st.data(), st.integers())
def test_a_split_is_the_best_that_whole_groups_allow(
    names: list[str], data: st.DataObject, seed: int
) -> None:
    held_out = data.draw(st.integers(1, len(names) - 1))
    sizes = [names.count(name) for name in sorted(set(names))]
    sums = {sum(subset) for count in range(len(sizes) + 1) for subset in combinations(sizes, count)}
    best = max(total for total in sums if total <= held_out) or min(sizes)
    if best == len(names):
        with pytest.raises(WorkbenchError, match="share one prompt or topic"):
            split(names, held_out, seed)
        return
    train, held = split(names, held_out, seed)
    assert sorted(train + held) == list(range(len(names)))
    assert (train, held) == (sorted(train), sorted(held))
    assert not {names[index] for index in train} & {names[index] for index in held}
    assert len(held) == best


def test_sixty_of_mostly_single_prompts_are_exactly_sixty() -> None:
    names = [f"prompt {index}" for index in range(290)] + ["twice"] * 2 + ["six times"] * 6
    assert split_by_group(names, lambda name: [name], 60, 0) == split(names, 60)
    train, held = split(names, 60)
    assert (len(train), len(held)) == (238, 60)


def test_topics_larger_than_asked_hold_out_the_smallest() -> None:
    names = ["film"] * 80 + ["hotel"] * 70 + ["book"] * 90
    train, held = split(names, 60)
    assert held == list(range(80, 150))
    assert len(train) == 170


def test_the_seed_alone_decides() -> None:
    names = [str(index) for index in range(50)]
    assert split(names, 10, seed=3) == split(names, 10, seed=3)
    assert split(names, 10, seed=3) != split(names, 10, seed=4)


def test_every_prompt_can_be_held_out() -> None:
    names = [str(index) for index in range(10)]
    assert {index for seed in range(60) for index in split(names, 2, seed)[1]} == set(range(10))


def test_nothing_held_out_keeps_all() -> None:
    assert split(["a", "b", "a"], 0) == ([0, 1, 2], [])
    assert split([], 0) == ([], [])


@pytest.mark.parametrize("held_out", [-1, 3, 4])
def test_impossible_numbers_are_refused(held_out: int) -> None:
    with pytest.raises(WorkbenchError, match=f"held_out is {held_out}: give a number from 0 to 2"):
        split(["a", "b", "c"], held_out)


def plain_fill(sizes: list[int], target: int) -> list[int]:
    """0/1 knapsack as it is defined: each sum keeps the size that first reached it."""
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


@given(st.lists(st.integers(1, 40) | st.integers(1, 2), max_size=25), st.integers(0, 200))
def test_sums_as_bits_choose_what_the_definition_chooses(sizes: list[int], target: int) -> None:
    """So that the runs of before are split as they were."""
    assert _fill(sizes, target) == plain_fill(sizes, target)


rows = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("stuvwxyz"))


@given(st.lists(rows, min_size=2, max_size=20), st.integers(0, 99))
def test_what_is_joined_by_any_chain_stays_together(
    items: list[tuple[str, str]], seed: int
) -> None:
    """Plain definition: repeat until nothing changes."""
    group = list(range(len(items)))
    for _ in items:
        for one, other in combinations(range(len(items)), 2):
            if set(items[one]) & set(items[other]):
                group[one] = group[other] = min(group[one], group[other])
    if len(set(group)) == 1:
        return
    train, held = split_by_group(items, lambda item: item, len(items) - 1, seed)
    assert held
    assert not {group[index] for index in train} & {group[index] for index in held}


def test_an_item_without_keys_is_a_group_of_its_own() -> None:
    assert split_by_group("abc", lambda item: [], 1, 0)[1] in ([0], [1], [2])
