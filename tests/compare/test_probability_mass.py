"""Where probability went, in a world whose completions can all be listed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from statistics import fmean, stdev

import pytest
import torch
from torch import Tensor, nn

from workbench.compare.handle_sources import handles
from workbench.compare.model_handles import ModelHandle
from workbench.compare.probability_mass import Continuation, find_probability_mass, remaining_mass
from workbench.compare.tokens import compare_tokens
from workbench.core.policy import Policy
from workbench.core.tabular import kl
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run

WORDS = Tokenizer.from_words(["ask", "yes", "no"])
ASK, YES, NO = WORDS.encode("ask yes no")
END = WORDS.eos_id
NEVER = -60.0


class Table(Policy):
    """What follows a word depends on that word alone: log-probabilities (word, next word).

    After the question an answer of one word, yes or no, or of two; then the end.
    """

    vocab_size = WORDS.vocab_size

    def __init__(self, yes: float, again: float) -> None:
        super().__init__()
        table = torch.full((WORDS.vocab_size, WORDS.vocab_size), NEVER)
        table[ASK, YES], table[ASK, NO] = math.log(yes), math.log(1 - yes)
        for word in (YES, NO):
            table[word, YES] = table[word, NO] = math.log(again / 2)
            table[word, END] = math.log(1 - again)
        self.table = nn.Parameter(table)

    def hidden(self, tokens: Tensor, *_: object) -> Tensor:
        return nn.functional.one_hot(tokens, self.vocab_size).float()

    def head(self, hidden: Tensor) -> Tensor:
        return hidden @ self.table

    def new_cache(self, rows: int, max_length: int) -> object:
        return object()


@pytest.fixture
def pair() -> tuple[ModelHandle, ModelHandle]:
    """No was as likely as yes; now yes is likelier, and answers are longer."""
    return (
        ModelHandle("reference", Table(yes=0.5, again=0.2), WORDS),
        ModelHandle("policy", Table(yes=0.8, again=0.4), WORDS),
    )


def test_probabilities_by_hand(pair: tuple[ModelHandle, ModelHandle]) -> None:
    mass = find_probability_mass(*pair, [ASK], [YES, END], [NO, END], draws=400)
    chosen, rejected = mass.rows[:2]
    assert (chosen.name, rejected.name) == ("chosen", "rejected")
    # yes, then the end: 0.8 * 0.6 = 0.48 under the policy, 0.5 * 0.8 = 0.40 under the reference.
    assert math.exp(chosen.policy) == pytest.approx(0.48, abs=1e-6)
    assert chosen.change == pytest.approx(0.08, abs=1e-6)
    assert chosen.gain == pytest.approx(0.48 * math.log(0.48 / 0.40), abs=1e-6)
    # no, then the end: 0.2 * 0.6 = 0.12 and 0.40.
    assert rejected.change == pytest.approx(-0.28, abs=1e-6)
    assert rejected.gain == pytest.approx(0.12 * math.log(0.12 / 0.40), abs=1e-6)
    assert chosen.drawn == pytest.approx(0.48 * 400, abs=40)
    gains = [row.gain for row in mass.rows[2:]]
    assert gains == sorted(gains, reverse=True)
    assert sum(row.drawn for row in mass.rows) == 400


def test_events_exclude_each_other_and_the_rest_is_known(
    pair: tuple[ModelHandle, ModelHandle],
) -> None:
    sampling = SamplingConfig(max_new_tokens=2)
    mass = find_probability_mass(*pair, [ASK], [YES, YES, YES, END], [NO, END], 400, sampling)
    # All that can be drawn: yes. / no. to their ends, and four beginnings of two words.
    drawn = {row.ids: row for row in mass.rows if row.drawn}
    assert set(drawn) == {(YES, END), (NO, END), *product((YES, NO), repeat=2)}
    assert [row.ended for row in drawn.values()] == [row.ids[-1] == END for row in drawn.values()]
    # The chosen begins like one that was cut, so it isn't counted again; nothing is left over.
    rest = remaining_mass(mass.exclusive)
    assert len(mass.exclusive) == len(mass.rows) - 1 == 6
    assert [rest.policy, rest.reference, rest.change] == pytest.approx([0, 0, 0], abs=1e-5)
    assert sum(row.change for row in drawn.values()) == pytest.approx(0, abs=1e-5)
    exact = kl(*(torch.tensor([getattr(row, side) for row in drawn.values()])
                 for side in ("policy", "reference"))).item()  # fmt: skip
    assert sum(row.gain for row in drawn.values()) == pytest.approx(exact, abs=1e-6)
    # yes and no are followed alike, so the KL along each of them is that of all.
    assert (mass.kl, mass.error) == (pytest.approx(exact, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_what_is_not_drawn_is_elsewhere(pair: tuple[ModelHandle, ModelHandle]) -> None:
    mass = find_probability_mass(*pair, [ASK], [YES, END], [NO, END], draws=1)
    listed = [math.exp(row.policy) for row in mass.rows]
    rest = remaining_mass(mass.exclusive)
    assert rest.policy == pytest.approx(1 - sum(listed), abs=1e-9)
    assert rest.change == pytest.approx(rest.policy - rest.reference, abs=1e-9)
    assert math.isnan(mass.error)


def test_both_sides_alike_are_one_row(pair: tuple[ModelHandle, ModelHandle]) -> None:
    mass = find_probability_mass(*pair, [ASK], [YES, END], [YES, END], draws=8)
    assert [row.name for row in mass.rows if row.name] == ["chosen and rejected"]


@pytest.mark.parametrize("lora", [0, 4])
def test_draws_of_a_run_are_scored_as_token_by_token(
    make_run: Callable[..., Run], lora: int
) -> None:
    if lora:
        pytest.importorskip("peft")
    run = make_run(max_steps=4, lora=lora, lr=1e-2)
    list(run)
    pair = run.data.held_out[0]
    sampling = SamplingConfig(max_new_tokens=12, seed=3)
    mass = find_probability_mass(
        *handles(run), pair.prompt, pair.chosen, pair.rejected, 20, sampling
    )
    for row in (mass.rows[0], mass.rows[-1]):
        tokens = compare_tokens(*handles(run), pair.prompt, row.ids)
        assert row.policy == pytest.approx(tokens.policy.sum().item(), abs=1e-4)
        assert row.logratio == pytest.approx(tokens.total, abs=1e-4)
    along = []
    for row in mass.rows:
        theirs, ours = (one.next_logps(pair.prompt, row.ids).double() for one in handles(run))
        along += [float((ours.exp() * (ours - theirs)).sum())] * row.drawn
    assert len(along) == 20
    assert fmean(along) > 1e-3
    assert mass.kl == pytest.approx(fmean(along), abs=1e-5)
    assert mass.error == pytest.approx(stdev(along) / math.sqrt(20), abs=1e-5)
    assert mass == find_probability_mass(
        *handles(run), pair.prompt, pair.chosen, pair.rejected, 20, sampling
    )


def test_nothing_to_draw_is_refused(pair: tuple[ModelHandle, ModelHandle]) -> None:
    with pytest.raises(WorkbenchError, match="draws"):
        find_probability_mass(*pair, [ASK], [YES], [NO], draws=0)
    with pytest.raises(WorkbenchError, match="the prompt has no tokens"):
        find_probability_mass(*pair, [], [YES], [NO])


def test_a_gain_by_hand() -> None:
    row = Continuation("", (1,), True, 1, math.log(0.5), math.log(0.25))
    assert (row.logratio, row.change) == (pytest.approx(math.log(2)), pytest.approx(0.25))
    assert row.gain == pytest.approx(0.5 * math.log(2))


def test_models_on_two_devices_are_refused(pair: tuple[ModelHandle, ModelHandle]) -> None:
    reference, policy = pair
    with pytest.raises(WorkbenchError, match="policy is on device cpu and reference on cuda"):
        find_probability_mass(replace(reference, device="cuda"), policy, [ASK], [YES], [NO])
