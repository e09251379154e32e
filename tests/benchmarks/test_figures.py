"""What the tables are made of: pairs of exact lengths, counted FLOPs, rates and ratios."""

from pathlib import Path

import pytest
import torch

from benchmarks.growth import Spread, table
from benchmarks.profile_step import PARTS, by_part
from benchmarks.report import digits, outcome_rows, save
from benchmarks.side_by_side import Contender, Outcome
from benchmarks.utilisation import needed_flops, visible
from benchmarks.workloads import (
    TinyShape,
    cut_pairs,
    read_token_pairs,
    tiny_pairs,
    write_pairs,
)
from workbench.core.batch import Pair
from workbench.core.collation import collate
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.train.batches import FixedBatches


def test_cut_pairs_have_their_lengths_and_repeat() -> None:
    pairs = cut_pairs(range(100), (7, 3, 5), count=4, seed=1)
    assert [(len(p.prompt), len(p.chosen), len(p.rejected)) for p in pairs] == [(7, 3, 5)] * 4
    assert pairs == cut_pairs(range(100), (7, 3, 5), count=4, seed=1)
    assert pairs != cut_pairs(range(100), (7, 3, 5), count=4, seed=2)
    assert len({p.prompt for p in pairs}) > 1


def test_a_piece_beyond_the_end_goes_on_at_the_beginning() -> None:
    (pair,) = cut_pairs([5, 6, 7], (9, 1, 1), count=1)
    start = pair.prompt[0]
    assert pair.prompt[:3] in {(5, 6, 7), (6, 7, 5), (7, 5, 6)}
    assert pair.prompt == pair.prompt[:3] * 3
    assert start in {5, 6, 7}


def test_tiny_pairs_fill_the_decoder() -> None:
    pair = tiny_pairs(1)[0]
    assert len(pair.prompt) + len(pair.chosen) == TinyShape().max_length


def test_pairs_come_back_from_their_file(tmp_path: Path) -> None:
    pairs = [Pair((1, 2), (3,), (4, 5)), Pair((6,), (7,), (8,))]
    write_pairs(pairs, tmp_path / "pairs.json")
    assert read_token_pairs(str(tmp_path / "pairs.json")) == pairs


def test_visible_positions_by_hand() -> None:
    # Prompt 1 + 2; chosen (1 token) sees 2 + 1; rejected (2 tokens) sees 2 + 1 and 2 + 2.
    assert visible(Pair((1, 2), (3,), (4, 5))) == 3 + 3 + 7


def test_visible_positions_are_those_of_the_mask() -> None:
    pair = Pair(tuple(range(5)), tuple(range(3)), tuple(range(4)))
    mask = collate([pair], 0, "shared_prefix").attention_mask()
    assert mask is not None
    # That layout holds the prompt's last token twice, and it sees 5 positions.
    assert visible(pair) == int(mask.sum()) - 5


def test_flops_by_hand() -> None:
    shape = TransformerConfig(
        11, dim=4, layers=2, heads=2, kv_heads=1, hidden_dim=6, max_length=16, head_dim=2
    )
    found = needed_flops([Pair((1, 2), (3,), (4, 5))], Transformer(shape))
    # A block: queries 4 x 4, keys and values 4 x 2, output 4 x 4, three of 4 x 6, two norms of 4.
    block = 16 + 2 * 8 + 16 + 3 * 24 + 8
    assert found == {
        "blocks": 6 * 2 * block * 5,  # five tokens
        "head": 6 * 11 * 4 * 3,  # three of them scored
        "attention": 12 * 2 * 4 * 13,  # 13 positions seen, heads of 4 in all
    }


def test_rates_and_ratios_of_a_table() -> None:
    ours, theirs = Contender("ours", (), words="a"), Contender("theirs", (), words="b")
    facts = {"precision": "bf16", "tokens_per_pair": 9.0}
    outcomes = [Outcome(ours, [1.0, 2.0], 10, facts), Outcome(theirs, [3.0, 6.0], 20, facts)]
    rows = outcome_rows("short", "pairs/s", 12, outcomes).to_dict("records")
    assert rows[0]["rate"] == (12 / 1 + 12 / 2) / 2
    assert rows[1]["rate"] == (12 / 3 + 12 / 6) / 2
    assert [row["ratio"] for row in rows] == [1.0, 3.0]
    assert [row["peak_memory_bytes"] for row in rows] == [10, 20]
    assert [row["setting"] for row in rows] == ["a", "b"]


def test_a_file_replaces_the_older_one(tmp_path: Path) -> None:
    outcomes = [Outcome(Contender("ours", ()), [1.0], 1, {"precision": "float32"})]
    for _ in range(2):
        save(outcome_rows("tiny", "pairs/s", 1, outcomes), tmp_path / "results", "tiny")
    lines = (tmp_path / "results" / "tiny.csv").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("workload,contender,unit,rate,")


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234"), (1.2345, "1.23"), (0.00012, "0.00012"), ("a", "a")]
)
def test_three_digits(value: object, text: str) -> None:
    assert digits(value) == text


def test_parts_of_a_step() -> None:
    """A step of two products, the second with a vocabulary of 11."""
    weights = [torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4, 11))]
    optimizer = torch.optim.AdamW(weights, fused=True)

    def step() -> None:
        hidden = (torch.ones(3, 4) @ weights[0]).sin()
        (hidden @ weights[1]).logsumexp(-1).sum().backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    found = by_part(step, vocab_size=11)
    assert tuple(found) == PARTS
    parts = ("matrix products", "head and log-probabilities", "elementwise and sums")
    assert all(found[part] > 0 for part in (*parts, "clipping", "optimiser"))


def test_growth_is_relative_to_a_size_round_by_round() -> None:
    rows = table("pairs", {10: {"x": [1.0, 2.0]}, 20: {"x": [2.0, 4.0]}}, base=10)
    assert [row["ratio to 10"] for row in rows] == [1.0, 2.0]


def test_spread_steps_reach_over_the_epoch() -> None:
    batches = FixedBatches([collate([Pair((1,), (2,), (number,))], 0) for number in range(9)])
    found = [Spread(batches, 3).at(step)[0].tokens[1, 1].item() for step in range(4)]
    assert found == [0, 3, 6, 0]
