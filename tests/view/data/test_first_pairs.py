"""Pairs drawn as they are trained on: prompt once, what is scored marked, long ones shortened."""

from __future__ import annotations

import re

from workbench.core.batch import Pair
from workbench.data.pairs import TextPair
from workbench.data.tokenizer import Tokenizer
from workbench.train.config import TrainConfig
from workbench.view.data.first_pairs import FIRST, LAST, PairDrawer, _strips

TOLD = re.compile(r"(\w+), (\d+) of (\d+) scored")


def drawer(longest: int = 64) -> PairDrawer:
    made = PairDrawer(TrainConfig(max_length=longest))
    assert made.draw([TextPair("the film", "good", "bad", 1)]) == ""
    made.load(lambda text, share: None)
    return made


def test_only_completions_and_their_ends_are_scored() -> None:
    html = drawer().draw([TextPair("the film", "was good .", "was bad", 7)])
    assert "<b>row 7</b>" in html
    assert TOLD.findall(html) == [
        ("prompt", "0", "2"), ("completion", "3", "3"), ("end", "1", "1"),
        ("completion", "2", "2"), ("end", "1", "1"),
    ]  # fmt: skip


def test_what_is_cut_has_no_end_and_says_so() -> None:
    html = drawer(longest=4).draw([TextPair("the film", "was good .", "bad", 1)])
    assert "chosen cut at 4" in html
    assert TOLD.findall(html)[1:] == [
        ("completion", "2", "2"), ("completion", "1", "1"), ("end", "1", "1")
    ]  # fmt: skip


def test_a_pair_that_does_not_fit_says_why_and_the_others_are_drawn() -> None:
    pairs = [TextPair("the film was good", "good", "bad", 1), TextPair("film", "good", "bad", 2)]
    first, second = drawer(longest=4).draw(pairs).split("<b>row 2</b>")
    assert "the prompt has 4 tokens, no room for a completion in 4" in first
    assert len(TOLD.findall(second)) == 5


def test_of_a_long_text_the_beginning_and_the_end_are_drawn() -> None:
    size, made = FIRST + LAST, PairDrawer(TrainConfig())
    made._tokenizer, made.longest = Tokenizer.from_words(["film", "good", "bad"]), 4 * size
    html = made.draw([TextPair("film", "good " * 2 * size, "bad", 1)])
    assert f"chosen: the first {FIRST} of {2 * size + 1} tokens" in html
    counts = [(role, int(count)) for role, _, count in TOLD.findall(html)]
    assert counts[1:4] == [("completion", FIRST), ("completion", LAST - 1), ("end", 1)]


def test_what_others_say_within_a_completion_is_drawn_as_the_prompt_is() -> None:
    words = Tokenizer.from_words(["good", "bad", "film"])
    ids = words.completion("good film bad")
    pair = Pair((5,), tuple(ids), tuple(ids), chosen_scored=(True, False, True, True))
    strip = _strips(pair, words)["chosen"]
    assert list(strip.roles) == ["completion", "prompt", "completion", "end"]
