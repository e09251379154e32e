"""From values per completion to those per pair."""

import torch

from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.losses import PairLogps


def test_pairs_come_apart_by_side():
    batch = collate([Pair((1,), (2, 3), (4,)), Pair((5,), (6,), (7, 8, 9))], 0)
    logps = PairLogps.from_sequences(batch, torch.tensor([1.0, 2, 3, 4]), torch.zeros(4))
    assert logps.policy_chosen.tolist() == [1, 3]
    assert logps.policy_rejected.tolist() == [2, 4]
    assert logps.chosen_lengths.tolist() == [2, 1]
    assert logps.rejected_lengths.tolist() == [1, 3]
