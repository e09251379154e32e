"""Two models token by token: what is kept is the truth, and nothing that is left out gets lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from workbench.compare.handle_sources import handles
from workbench.compare.model_handles import Ids, ModelHandle
from workbench.compare.tokens import LONGEST, compare_pair, compare_tokens
from workbench.core.tabular import TabularWorld, descend
from workbench.data.layouts.row_sources import write_rows
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.runs.run import Run

WORDS = Tokenizer.from_words(["a", "b", "c", "d", "e"])


@dataclass(frozen=True)
class TableModel(ModelHandle):
    """Gives the rows of a table, (token, vocab), for every prompt and completion."""

    table: Tensor = field(default_factory=lambda: torch.zeros(1, 1))

    def next_logps(self, prompt: Ids, completion: Ids) -> Tensor:
        return self.table


def table_models(reference: Tensor, policy: Tensor) -> tuple[ModelHandle, ModelHandle]:
    model = nn.Linear(1, 1)
    return (
        TableModel("reference", model, WORDS, table=reference),
        TableModel("policy", model, WORDS, table=policy),
    )


@pytest.mark.parametrize("kept", [1, 2, 8])
def test_no_probability_gets_lost_in_a_world_that_can_be_enumerated(kept: int) -> None:
    world = TabularWorld.random(prompts=6, responses=40, seed=0)
    *_, last = descend(world, beta=0.1, steps=20)
    tokens = compare_tokens(*table_models(world.reference_logps, last.logps), [3], range(6), kept)
    for position in tokens.positions:
        assert len(position.ids) + position.others == 40
        assert abs(position.changes.sum() + position.rest[0] - position.rest[1]) < 1e-12
        assert abs(position.policy.exp().sum() + position.rest[0] - 1) < 1e-12
        assert abs(position.reference.exp().sum() + position.rest[1] - 1) < 1e-12
    torch.testing.assert_close(tokens.policy, last.logps[range(6), range(6)])


def test_a_position_by_hand() -> None:
    # From (0.1, 0.2, 0.3, 0.4) to (0.3, 0.2, 0.4, 0.1); token 1 was written, and stays at 0.2.
    reference = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).double().log()
    policy = torch.tensor([[0.3, 0.2, 0.4, 0.1]]).double().log()
    (position,) = compare_tokens(*table_models(reference, policy), [3], [1], kept=1).positions
    assert position.ids.tolist() == [
        2,
        0,
        1,
        3,
    ]  # the likeliest, what gained, what stands, what lost
    assert position.others == 0
    torch.testing.assert_close(position.changes, torch.tensor([0.1, 0.2, 0.0, -0.3]).double())
    assert position.ranks == (3, 3)
    assert position.ids[position.moved(2)].tolist() == [0, 2]
    assert position.ids[position.moved(4, sign=-1)].tolist() == [3]
    assert position.ids[position.likely(1)].tolist() == [2, 1, 3]


@pytest.mark.parametrize("lora", [0, 2])
def test_shares_add_up_to_the_margin_of_the_run(make_run: Callable[..., Run], lora: int) -> None:
    run = make_run(max_steps=4, lora=lora)
    list(run)
    frame = run.held_out_frame()
    for number, pair in enumerate(run.data.held_out[:4]):
        found = compare_pair(*handles(run), pair.prompt, pair.chosen, pair.rejected)
        shares = torch.cat(found.shares)
        assert len(shares) == len(pair.chosen) + len(pair.rejected)
        assert shares.sum().item() == pytest.approx(found.margin, abs=1e-12)
        margin = frame["logratios/chosen"][number] - frame["logratios/rejected"][number]
        assert found.margin == pytest.approx(margin, abs=1e-4)
        assert found.chosen.total == pytest.approx(frame["logratios/chosen"][number], abs=1e-4)
    assert abs(margin) > 1e-3  # the run has moved


def test_only_what_is_scored_has_a_share_of_the_margin(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    good, bad = ({"role": "assistant", "content": f"was {word} ."} for word in ("good", "bad"))
    asked = [{"role": "user", "content": f"the plot {number}"} for number in range(8)]
    rows = [{"chosen": [a, good, a, good], "rejected": [a, bad, a, good]} for a in asked]
    path = write_rows(rows, tmp_path / "talk.jsonl")
    run = make_run(data=str(path), turns="every", held_out=2, max_steps=3)
    list(run)
    pair, margin = run.data.held_out[0], run.held_out_frame()["logratios/chosen"][0]
    marks = pair.chosen_scored, pair.rejected_scored
    assert not all(marks[0])
    found = compare_pair(*handles(run), pair.prompt, pair.chosen, pair.rejected, scored=marks)
    assert found.chosen.total == pytest.approx(margin, abs=1e-4)
    assert not found.shares[0][~torch.tensor(marks[0])].any()


def test_what_is_kept_are_the_likeliest_and_those_that_moved_most(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(max_steps=4)
    list(run)
    pair = run.data.held_out[0]
    reference, policy = handles(run)
    tokens = compare_tokens(reference, policy, pair.prompt, pair.chosen, kept=3)
    ours, theirs = (w.next_logps(pair.prompt, pair.chosen) for w in (policy, reference))
    for row, position in enumerate(tokens.positions):
        kept = set(position.ids.tolist())
        changes = ours[row].exp() - theirs[row].exp()
        for values in (ours[row], theirs[row], changes, -changes):
            assert set(values.topk(3).indices.tolist()) <= kept
        assert position.ids[position.moved(1)].item() == changes.argmax()
        assert position.ids[position.token_index] == pair.chosen[row]
        assert position.ranks[0] == (ours[row] > ours[row][pair.chosen[row]]).sum() + 1


def test_untrained_nothing_has_moved(make_run: Callable[..., Run]) -> None:
    run = make_run()
    pair = run.data.held_out[0]
    found = compare_pair(*handles(run), pair.prompt, pair.chosen, pair.rejected)
    assert found.margin == 0
    assert all(not position.moved() for position in found.chosen.positions)


def test_what_can_not_be_compared_is_refused() -> None:
    reference, policy = table_models(torch.zeros(1, 8), torch.zeros(1, 8))
    with pytest.raises(WorkbenchError, match="the prompt has no tokens"):
        compare_tokens(reference, policy, [], [1])
    with pytest.raises(WorkbenchError, match="the completion has no tokens"):
        compare_tokens(reference, policy, [1], [])
    with pytest.raises(WorkbenchError, match=f"at most {LONGEST} are compared"):
        compare_tokens(reference, policy, [1], [1] * LONGEST)
    other = TableModel("other", policy.model, Tokenizer.from_words(["x"]))
    with pytest.raises(WorkbenchError, match="different tokenizers"):
        compare_tokens(reference, other, [1], [1])
