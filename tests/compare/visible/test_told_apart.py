"""Facts, the plain rule and the blinded sheet, each with its arithmetic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from workbench.compare.judging.judges import Outcomes
from workbench.compare.visible.blinded import SHEET, blinded
from workbench.compare.visible.change_measures import facts_before_and_after, told, unseen_prompts
from workbench.compare.visible.facts import Fact, is_right, read_facts
from workbench.compare.visible.plain_rule import FewerWords
from workbench.data.pairs import read_pairs
from workbench.generation.config import SamplingConfig


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Paris", True),
        ("It is paris, of course.", True),
        ('The answer: "PARIS"!', True),
        ("(Paris)", True),
        ("Parisian food is good.", False),
        ("Lyon", False),
        ("", False),
    ],
)
def test_a_fact_is_right_where_its_word_stands_alone(answer: str, right: bool) -> None:
    assert is_right(answer, "Paris") is right


def test_facts_are_asked_greedily_and_judged_on_both_sides() -> None:
    """A run that answers with what it was asked, and how; the reference of the second is none."""
    asked: list[Any] = []

    def sample(prompts: list[str], sampling: SamplingConfig) -> list[SimpleNamespace]:
        asked.append((prompts, sampling.temperature))
        pairs = [("Paris.", "Lyon."), (None, "It is Rome.")]
        return [SimpleNamespace(reference=before, policy=after) for before, after in pairs]

    facts = [Fact("France?", "Paris"), Fact("Italy?", "Rome")]
    frame = facts_before_and_after(SimpleNamespace(sample=sample), facts)  # type: ignore[arg-type]
    assert asked == [(["France?", "Italy?"], 0)]
    assert frame["before"].tolist() == ["Paris.", ""]
    assert frame["right_before"].tolist() == [True, False]
    assert frame["right_after"].tolist() == [False, True]


def test_there_are_forty_facts_with_one_word_each() -> None:
    facts = read_facts()
    assert len({fact.question for fact in facts}) == 40
    assert all(is_right(fact.word, fact.word) for fact in facts)
    assert not any(is_right(fact.question, fact.word) for fact in facts), "told by the question"


def test_fewer_words_win_and_silence_loses() -> None:
    a = ["one two", "one two three", "one  two\n", "", ""]
    b = ["one two three", "one", "three four", "one", ""]
    outcomes = FewerWords()(["?"] * 5, a, b)
    assert outcomes.scores.tolist() == [1, 0, 0.5, 0, 0.5]


def test_a_tie_is_not_told() -> None:
    """Two of four; Wilson: centre (0.5 + z²/8) / (1 + z²/4) = 0.5, half width 0.35."""
    share, low, high = told(Outcomes.of("abcd", "abcd", "abcd", [1, 0.5, 0, 1]))
    assert share == 0.5
    assert (low, high) == pytest.approx((0.15, 0.85), abs=1e-3)


def test_the_sheet_gives_no_side_away() -> None:
    names = [str(number) for number in range(200)]
    answers = pd.DataFrame({"prompt": names, "before": "long", "after": "short"})
    sheet = blinded(answers, seed=3)
    assert set(sheet["prompt"]) == set(names)
    assert list(sheet["prompt"]) != names
    assert 70 < (sheet["policy"] == "a").sum() < 130
    for _, row in sheet.iterrows():
        assert row[row["policy"]] == "short"
        assert {row["a"], row["b"]} == {"short", "long"}
    assert [*SHEET, "policy"] == list(sheet)
    assert sheet.equals(blinded(answers, seed=3))


def test_the_pairs_ask_for_fewer_words() -> None:
    """The plain rule is what the pairs wish for."""
    pairs = read_pairs("brief").pairs
    sides = [[getattr(pair, side) for pair in pairs] for side in ("prompt", "chosen", "rejected")]
    assert FewerWords()(*sides).scores.all()


def test_no_unseen_prompt_stands_in_the_shipped_pairs() -> None:
    unseen = {prompt.casefold() for prompt in unseen_prompts()}
    assert len(unseen) >= 40
    for name in ("assistant", "brief"):
        assert not unseen & {pair.prompt.casefold() for pair in read_pairs(name).pairs}
