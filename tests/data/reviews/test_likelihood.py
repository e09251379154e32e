"""The grammar's own probabilities: by hand, in sum over all texts of a form, and against draws."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data.reviews import grammar
from workbench.data.reviews.grammar import RULES, SLOT, TOPICS, is_review, write_review
from workbench.data.reviews.likelihood import fitting_words, next_words, review_logp

topics = st.sampled_from(list(TOPICS))
seeds = st.integers(0, 2**32)


def every_text(slot: str) -> set[str]:
    """All texts about a film that a slot can become: every choice of every slot within it."""
    verb, aspects = TOPICS["film"]
    rules = {**RULES, "topic": ("film",), "verb": (verb,), "aspect": aspects}
    texts = set()
    for option in rules[slot]:
        parts = enumerate(SLOT.split(option))
        choices = [every_text(part) if odd % 2 else {part} for odd, part in parts]
        texts |= {grammar.join_words("".join(chosen).split()) for chosen in product(*choices)}
    return texts


def test_a_review_of_two_clauses_by_hand() -> None:
    # One of 9 forms, twice no hedge (1/2), "i liked the ..." is one of 4 clauses of a good mood,
    # with one of 2 verbs and one of 5 aspects; "i hated the ..." the same of a bad mood.
    clause = 1 / 2 * 1 / 4 * 1 / 2 * 1 / 5
    # The mood is bad, mixed or good, with 5, 50 and 95 of 100 clauses good; one is, one is not.
    moods = (0.05 * 0.95 + 0.5 * 0.5 + 0.95 * 0.05) / 3
    expected = math.log(1 / 9 * clause**2 * moods)
    assert review_logp("film", "i liked the plot. i hated the music.") == pytest.approx(expected)


def test_all_reviews_of_one_form_have_the_chance_of_this_form() -> None:
    """One sentence alone is one of 9 forms."""
    texts = every_text("sentence")
    assert sum(math.exp(review_logp("film", text)) for text in texts) == pytest.approx(1 / 9)


def test_draws_agree() -> None:
    """A visit and a verdict is another form; its texts come as often as they should."""
    pairs = product(every_text("visit"), every_text("verdict"))
    chances = {text: math.exp(review_logp("film", text)) for text in map(" ".join, pairs)}
    assert sum(chances.values()) == pytest.approx(1 / 9)
    rng = random.Random(0)
    drawn = Counter(write_review("film", rng) for _ in range(20_000))
    # Pearson's statistic: its mean is the number of texts, its variance twice that.
    distance = sum((drawn[t] - 20_000 * p) ** 2 / (20_000 * p) for t, p in chances.items())
    assert abs(distance - len(chances)) < 4 * math.sqrt(2 * len(chances))


@settings(max_examples=50)
@given(topics, seeds)
def test_what_the_grammar_writes_is_likely_and_fits_whole(topic: str, seed: int) -> None:
    text = write_review(topic, random.Random(seed))
    assert -60 < review_logp(topic, text) < -5
    assert fitting_words(topic, text) == len(grammar.split_words(text))


@settings(max_examples=50)
@given(topics, seeds, st.integers(0, 50))
def test_a_cut_review_fits_but_is_impossible(topic: str, seed: int, index: int) -> None:
    words = grammar.split_words(write_review(topic, random.Random(seed)))
    cut = grammar.join_words(words[: index % len(words)])
    assert fitting_words(topic, cut) == index % len(words)
    assert (review_logp(topic, cut) > -math.inf) == is_review(topic, cut)


@settings(max_examples=50)
@given(topics, seeds, st.integers(0, 50))
def test_a_wrong_word_ends_what_fits(topic: str, seed: int, index: int) -> None:
    words = grammar.split_words(write_review(topic, random.Random(seed)))
    index %= len(words)
    words[index] = "nonsense"
    text = grammar.join_words(words)
    assert fitting_words(topic, text) == index
    assert review_logp(topic, text) == -math.inf


@settings(max_examples=20)
@given(topics, seeds, st.integers(0, 50))
def test_the_next_words_are_those_that_fit(topic: str, seed: int, index: int) -> None:
    words = grammar.split_words(write_review(topic, random.Random(seed)))
    index %= len(words) + 1
    head = grammar.join_words(words[:index])
    fits = {word for word in grammar.vocabulary() if fitting_words(topic, f"{head} {word}") > index}
    assert next_words(topic, head) == fits
    assert (index < len(words)) <= bool(fits)
    assert not next_words(topic, f"{head} nonsense")


@pytest.mark.parametrize("text", ["", " ", "<script>", "the breakfast was good."])
def test_other_texts_are_impossible(text: str) -> None:
    assert review_logp("film", text) == -math.inf
