"""The order of an epoch, against the same one step by step in plain lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.train.epoch_order import POOL, EpochOrder


def in_lists(count: int, batch_size: int, seed: int, sizes: list[int] | None) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=generator).tolist()
    batches = []
    for start in range(0, count, POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        if sizes is not None:
            pool.sort(key=sizes.__getitem__)
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


@pytest.mark.parametrize(("count", "batch_size"), [(1, 1), (5, 8), (64, 2), (1003, 4), (999, 7)])
@pytest.mark.parametrize("bucket", [True, False])
def test_batches_are_those_of_plain_lists(count: int, batch_size: int, bucket: bool) -> None:
    sizes = np.random.default_rng(count).integers(1, 9, count)  # many are equal: their order counts
    for seed in (0, 1_000_003):
        found = EpochOrder(count, batch_size, seed, sizes if bucket else None)
        wanted = in_lists(count, batch_size, seed, sizes.tolist() if bucket else None)
        assert list(found) == found[:] == wanted
        assert found[1:3] == wanted[1:3]
