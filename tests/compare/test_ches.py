"""CHES: by hand on a toy, and equal to a direct loop over the positions of each completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from workbench.compare.ches import CHES, CHES_NORM, ches, ches_frame, hidden_sums
from workbench.compare.handle_sources import handles
from workbench.compare.model_handles import ModelHandle
from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.config import LAYOUTS
from workbench.core.policy import Policy
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.pairs import TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.run import Run

CONFIG = TransformerConfig(vocab_size=30, dim=16, layers=2, heads=2, kv_heads=1, hidden_dim=24)


class TablePolicy(Policy):
    """The hidden state at a position is the row of a table, whatever stands before it."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def hidden(self, tokens, positions=None, mask=None, cache=None) -> Tensor:
        return self.table[tokens]


def direct(policy: Policy, pair: Pair) -> tuple[float, float]:
    """Definition 2 as it is written, a completion and a position at a time, and normalised."""
    sums, means = [], []
    for side in (pair.chosen, pair.rejected):
        total = torch.zeros(1)
        for number in range(len(side)):
            before = torch.tensor([[*pair.prompt, *side[:number]]])
            with torch.no_grad():
                total = total + policy.hidden(before)[0, -1]
        sums.append(total.double())
        means.append(total.double() / len(side))
    found = [(plus @ minus - plus @ plus).item() for plus, minus in (sums, means)]
    return found[0], found[1]


def random_pairs(count: int) -> list[Pair]:
    generator = torch.Generator().manual_seed(0)

    def ids() -> tuple[int, ...]:
        size = int(torch.randint(1, 7, (), generator=generator))
        return tuple(torch.randint(3, 30, (size,), generator=generator).tolist())

    return [Pair(ids(), ids(), ids()) for _ in range(count)]


def test_the_score_by_hand() -> None:
    # Prompt 0, chosen 1 2, rejected 3. The tokens are predicted at 0 and 1, and at 0.
    policy = TablePolicy(torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 9.0]]))
    pair = Pair((0,), (1, 2), (3,))
    sums = hidden_sums(policy, collate([pair], 0))
    assert sums.tolist() == [[1, 1], [1, 0]]
    assert ches(*sums).item() == 1 - 2  # <(1, 1), (1, 0)> - ||(1, 1)||^2
    assert ches(sums[0] / 2, sums[1]).item() == 0.5 - 0.5
    assert direct(policy, pair) == (-1.0, 0.0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_gives_what_the_direct_loop_gives(layout: str) -> None:
    policy, pairs = Transformer(CONFIG), random_pairs(6)
    with torch.no_grad():
        sums = hidden_sums(policy, collate(pairs, 0, layout)).unflatten(0, (-1, 2))
    wanted = [direct(policy, pair)[0] for pair in pairs]
    torch.testing.assert_close(ches(*sums.unbind(1)), torch.tensor(wanted).double(), atol=1e-4,
                               rtol=1e-5)  # fmt: skip


def text_pairs(words: Sequence[str]) -> list[TextPair]:
    return [
        TextPair(f"{words[number]} {words[1]}", " ".join(words[: 1 + number % 5]),
                 " ".join(words[number : number + 3]), number + 1)
        for number in range(2, 40)
    ]  # fmt: skip


def test_the_frame_of_texts_is_sorted_and_leaves_out_what_cannot_be_used(
    tokenizer: Tokenizer,
) -> None:
    policy = Transformer(TransformerConfig(61, dim=16, layers=1, heads=2, hidden_dim=24))
    pairs = text_pairs([f"word{number}" for number in range(58)])
    unusable = TextPair("word1", "word2", "word2", 99)
    given = [pairs[0], unusable, *pairs[1:]]
    frame = ches_frame(ModelHandle("m", policy, tokenizer), given)
    assert sorted(frame["pair"]) == [0, *range(2, len(given))]
    assert [row.row for row in frame.attrs["skipped"]] == [99]
    assert frame[CHES].is_monotonic_decreasing
    for _, row in frame.iterrows():
        text = given[row["pair"]]
        texts = text.prompt, text.chosen, text.rejected
        assert (row["prompt"], row["chosen"], row["rejected"]) == texts
        sides = tokenizer.completion(text.chosen), tokenizer.completion(text.rejected)
        assert [row["lengths/chosen"], row["lengths/rejected"]] == [len(side) for side in sides]
        pair = Pair(tuple(tokenizer.render_prompt(text.prompt)), *map(tuple, sides))
        wanted = direct(policy, pair)
        assert (row[CHES], row[CHES_NORM]) == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_of_a_run_the_reference_is_scored(make_run: Callable[..., Run], trained: Model) -> None:
    run = make_run(max_steps=3)
    list(run)
    texts = run.data.held_out_texts
    before, after = (ches_frame([one], texts) for one in handles(run))
    found = ches_frame(run, texts)
    assert found.equals(before)
    assert not found.equals(after)
    start = ModelHandle("start", trained.policy, trained.tokenizer)
    assert ches_frame(start, texts)[CHES].tolist() == pytest.approx(found[CHES].tolist(), rel=1e-4)


def test_pairs_of_which_none_can_be_used_are_refused(trained: Model) -> None:
    handle = ModelHandle("m", trained.policy, trained.tokenizer)
    with pytest.raises(WorkbenchError, match="none of 1 rows can be used; row 7: chosen and"):
        ches_frame(handle, [TextPair("a", "good", "good", 7)])
