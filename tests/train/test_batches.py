"""Which pair comes when: once per epoch, by seed and step alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.batch import Pair, SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.errors import WorkbenchError
from workbench.train.batches import FixedBatches, ShuffledBatches, batches_for, in_order
from workbench.train.epoch_order import POOL, EpochOrder
from workbench.train.method import find_method

PREFERENCE = find_method("preference")
Places = list[list[int]]
sizes = st.lists(st.integers(1, 30), min_size=1, max_size=70)


def shuffled(
    lengths: list[int], batch_size: int, accumulate: int, seed: int
) -> ShuffledBatches[int]:
    """Items are their own lengths; a batch holds as many tokens per row."""

    def build(items: list[int], places: list[int]) -> SequenceBatch:
        assert items == [lengths[place] for place in places]
        return collate_sequences([([place], [1] * lengths[place]) for place in places], pad_id=0)

    return ShuffledBatches(lengths, lambda size: size, build, batch_size, accumulate, seed)


def places(parts: list[SequenceBatch]) -> Places:
    return [part.tokens[:, 0].tolist() for part in parts]


@given(sizes, st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31 - 1), st.integers(0, 5))
def test_every_item_comes_once_an_epoch(
    lengths: list[int], batch_size: int, accumulate: int, seed: int, epoch: int
) -> None:
    batches = shuffled(lengths, batch_size, accumulate, seed)
    steps = [places(batches.at(epoch * len(batches) + step)) for step in range(len(batches))]
    parts = [part for step in steps for part in step]
    assert sorted(place for part in parts for place in part) == list(range(len(lengths)))
    assert len(parts) == -(-len(lengths) // batch_size)
    assert [len(step) for step in steps[:-1]] == [accumulate] * (len(steps) - 1)
    assert 1 <= len(steps[-1]) <= accumulate
    assert sum(len(part) < batch_size for part in parts) <= 1


@given(sizes, st.integers(1, 9), st.integers(0, 1000), st.lists(st.integers(0, 40), max_size=8))
def test_a_step_depends_on_nothing_but_seed_and_its_number(
    lengths: list[int], batch_size: int, seed: int, asked: list[int]
) -> None:
    together = shuffled(lengths, batch_size, 2, seed)
    for step in asked:
        alone = shuffled(lengths, batch_size, 2, seed)
        assert places(together.at(step)) == places(alone.at(step))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def order(seed: int, epoch: int) -> Places:
        batches = shuffled(list(range(1, 41)), 4, 1, seed)
        return [places(batches.at(epoch * 10 + step))[0] for step in range(10)]

    assert order(0, 0) != order(0, 1) != order(1, 1)


def test_similar_lengths_come_together() -> None:
    # As many items as one pool holds: sorted, a batch of 4 spans at most 3 of the lengths 1 to 32.
    batches = shuffled([*range(1, 4 * POOL + 1)], 4, 1, seed=3)
    for step in range(len(batches)):
        (lengths,) = places(batches.at(step))
        assert max(lengths) - min(lengths) == 3


def test_an_epoch_is_shuffled_once_and_an_item_measured_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[int] = []
    seeds: list[int] = []

    def size(item: int) -> int:
        measured.append(item)
        return item

    def build(items: list[int], places: list[int]) -> SequenceBatch:
        return collate_sequences([([1], [1] * item) for item in items], pad_id=0)

    def order(count: int, batch_size: int, seed: int, sizes: Any) -> EpochOrder:
        seeds.append(seed)
        return EpochOrder(count, batch_size, seed, sizes)

    monkeypatch.setattr("workbench.train.batches.EpochOrder", order)
    batches = ShuffledBatches(list(range(1, 41)), size, build, 4)
    for step in range(3 * len(batches)):
        batches.at(step)
    assert measured == [*range(1, 41)]
    assert seeds == [0, 1, 2], "one order for each of the three epochs"


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="no items"):
        shuffled([], 4, 1, 0)


@pytest.fixture
def pairs() -> list[Pair]:
    """Seven, the longest first."""
    return [Pair((5, number), (6,) * (8 - number), (7, 8)) for number in range(7)]


@pytest.mark.parametrize("layout", ["stacked", "shared_prefix"])
def test_a_batch_knows_where_its_pairs_stand(pairs: list[Pair], layout: str) -> None:
    batches = batches_for(PREFERENCE, pairs, 0, batch_size=3, accumulate=2, layout=layout, seed=1)
    assert len(batches) == 2
    for step in range(4):
        for batch in batches.at(step):
            assert (batch.branch is None) == (layout == "stacked")
            for place, lengths in zip(batch.index, batch.lengths().view(-1, 2), strict=True):
                pair = pairs[place]
                assert lengths.tolist() == [len(pair.chosen), len(pair.rejected)]


def test_in_order_sorts_by_length_and_keeps_the_places(pairs: list[Pair]) -> None:
    fixed = in_order(PREFERENCE, pairs, 0, batch_size=3, layout="stacked")
    assert [batch.index.tolist() for batch in fixed] == [[6, 5, 4], [3, 2, 1], [0]]
    for batch in fixed:
        assert batch.tokens[::2, 1].tolist() == batch.index.tolist()


def test_fixed_batches_are_the_same_every_epoch(
    pairs: list[Pair], batch_of: Callable[[int], SequenceBatch]
) -> None:
    one, two = batch_of(1), batch_of(2)
    fixed = FixedBatches([one, two])
    assert len(fixed) == 2
    assert [fixed.at(step)[0] for step in range(4)] == [one, two, one, two]
    assert all(len(fixed.at(step)) == 1 for step in range(4))


@pytest.fixture
def batch_of() -> Callable[[int], SequenceBatch]:
    return lambda token: collate_sequences([([token], [token])], pad_id=0)


def test_the_global_random_state_stays() -> None:
    before = torch.get_rng_state()
    shuffled([1, 2, 3], 2, 1, 0).at(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pass_that_would_be_too_long_is_split_without_changing_the_step():
    # Five pairs of 8 tokens: at most 20 tokens a pass is two pairs, so 2 + 2 + 1.
    pairs = [Pair((1, 2), (3, 4, i), (5, 6, 7)) for i in range(5)]
    whole, split = (batches_for(PREFERENCE, pairs, 0, 5, max_tokens=tokens) for tokens in (0, 20))
    assert [batch.items for batch in whole.at(0)] == [5]
    assert [batch.items for batch in split.at(0)] == [2, 2, 1]
    order = [place for batch in split.at(0) for place in batch.index.tolist()]
    assert order == whole.at(0)[0].index.tolist()
    assert [batch.items for batch in batches_for(PREFERENCE, pairs, 0, 5, max_tokens=3).at(0)] == [
        1
    ] * 5
