"""From pairs to batches: what is accepted, and where everything ends up."""

from dataclasses import replace

import pytest
import torch

from workbench.core.batch import Completion, Pair
from workbench.core.collation import (
    collate,
    collate_labelled,
    collate_sequences,
    pairs_from_prompt_mask,
)
from workbench.errors import WorkbenchError

PAIRS = [Pair((1, 2, 3), (4, 5), (6,)), Pair((7,), (8,), (9, 10, 11))]


def test_stacked_by_hand():
    batch = collate(PAIRS, pad_id=0)
    assert batch.tokens.tolist() == [
        [1, 2, 3, 4, 5],
        [1, 2, 3, 6, 0],
        [7, 8, 0, 0, 0],
        [7, 9, 10, 11, 0],
    ]
    assert batch.completion_mask.int().tolist() == [
        [0, 0, 0, 1, 1], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 1, 1, 1, 0],
    ]  # fmt: skip
    assert batch.attention_mask() is None
    assert batch.items == 2


def test_shared_prefix_by_hand():
    # 1 2 | 3 4 5 | 3 6: the prompt's last token opens both sides, at the same position.
    batch = collate(PAIRS[:1], pad_id=0, layout="shared_prefix")
    assert batch.tokens.tolist() == [[1, 2, 3, 4, 5, 3, 6]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3]]
    assert batch.branch.tolist() == [[0, 0, 1, 1, 1, 2, 2]]
    assert batch.completion_mask.int().tolist() == [[0, 0, 0, 1, 1, 0, 1]]
    seen_by_last = batch.attention_mask()[0, -1].int().tolist()
    assert seen_by_last == [1, 1, 0, 0, 0, 1, 1]


def test_index_follows_the_pairs():
    assert collate(PAIRS, 0, index=[5, 9]).index.tolist() == [5, 9]
    assert collate(PAIRS, 0).to("cpu").index.tolist() == [0, 1]


def test_marks_tell_which_tokens_of_a_completion_are_scored():
    marked = Pair((1, 2), (4, 5, 6), (7,), chosen_scored=(True, False, True))
    assert collate([marked], 0).completion_mask.int().tolist() == [[0, 0, 1, 0, 1], [0, 0, 1, 0, 0]]
    for layout in ("shared_prefix", "packed"):
        mask = collate([marked], 0, layout).completion_mask
        assert mask.int().tolist() == [[0, 0, 1, 0, 1, 0, 1]]
    assert collate([marked], 0).lengths().tolist() == [2, 1]
    other = Completion((1,), (2, 3), mismatched=(4, 5), scored=(True, False))
    batch = collate_labelled(
        [replace(other, mismatched_scored=(True, False)), other], 0, "stacked", [0, 1]
    )
    assert batch.lengths().tolist() == [1, 1]
    assert batch.mismatched.lengths().tolist() == [1, 2]


@pytest.mark.parametrize("marks", [(True,), (False, False), (True, True, True)])
def test_marks_that_do_not_fit_are_refused(marks):
    with pytest.raises(WorkbenchError, match="chosen_scored has"):
        Pair((1,), (2, 3), (4,), chosen_scored=marks)


def test_bad_batches_are_refused():
    with pytest.raises(WorkbenchError, match="pairs is empty"):
        collate([], 0)
    with pytest.raises(WorkbenchError, match="sequences is empty"):
        collate_sequences([], 0)
    with pytest.raises(WorkbenchError, match=r"layout='rows'.*stacked, shared_prefix"):
        collate(PAIRS, 0, "rows")


def test_prompt_mask_is_accepted():
    stacked = collate(PAIRS, pad_id=0)
    chosen, rejected = stacked.tokens[0::2], stacked.tokens[1::2]
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    lengths = torch.tensor([5, 2]), torch.tensor([4, 4])
    assert pairs_from_prompt_mask(chosen, rejected, mask, *lengths) == PAIRS
    wide = [Pair((1, 2, 3), (4, 5), (6, 0)), Pair((7,), (8, 0, 0, 0), (9, 10, 11, 0))]
    assert pairs_from_prompt_mask(chosen, rejected, mask) == wide


def test_bad_prompt_masks_are_refused():
    chosen = torch.tensor([[1, 2, 3]])
    lengths = torch.tensor([3]), torch.tensor([3])
    with pytest.raises(WorkbenchError, match="pair 0 is not a prefix"):
        pairs_from_prompt_mask(chosen, chosen, torch.tensor([[1, 0, 1]]), *lengths)
    with pytest.raises(
        WorkbenchError, match=r"\(1, 3\), \(1, 3\), \(3,\); accepted: \(pair, pos\)"
    ):
        pairs_from_prompt_mask(chosen, chosen, torch.tensor([1, 0, 0]), *lengths)
    with pytest.raises(WorkbenchError, match=r"pair 0.*different prompts"):
        pairs_from_prompt_mask(chosen, chosen + 1, torch.tensor([[1, 0, 0]]), *lengths)
