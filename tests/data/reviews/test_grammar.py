"""The parser accepts what the grammar writes, and nothing else."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data.reviews import grammar
from workbench.data.reviews.grammar import (
    RULES,
    SLOT,
    TOPICS,
    is_review,
    option_weights,
    write_review,
)

topics = st.sampled_from(list(TOPICS))
seeds = st.integers(0, 2**32)


def parses(topic: str, text: str) -> bool:
    """An independent parser: which word indices can each slot reach, tried word by word."""
    words = grammar.split_words(text)
    verb, aspects = TOPICS[topic]
    rules = {**RULES, "topic": (topic,), "verb": (verb,), "aspect": aspects}

    def reach(part: str, starts: set[int]) -> set[int]:
        slot = SLOT.fullmatch(part)
        if slot:
            return {end for option in rules[slot[1]] for end in follow(option, starts)}
        return {start + 1 for start in starts if words[start : start + 1] == [part]}

    def follow(option: str, starts: set[int]) -> set[int]:
        for part in option.split():
            starts = reach(part, starts)
        return starts

    return len(words) in reach("{review}", {0})


@given(topics, seeds)
def test_every_written_review_parses(topic: str, seed: int) -> None:
    text = write_review(topic, random.Random(seed))
    assert is_review(topic, text)
    assert parses(topic, text)
    assert text == text.lower()
    assert 5 <= len(grammar.split_words(text)) <= 40


@given(topics, seeds, st.sampled_from(["drop", "swap", "repeat", "replace"]))
def test_the_parser_agrees_with_an_independent_one_on_corrupted_reviews(
    topic: str, seed: int, corruption: str
) -> None:
    rng = random.Random(seed)
    words = grammar.split_words(write_review(topic, rng))
    index = rng.randrange(len(words))
    if corruption == "drop":
        del words[index]
    elif corruption == "swap":
        other = rng.randrange(len(words))
        words[index], words[other] = words[other], words[index]
    elif corruption == "repeat":
        words.insert(index, words[index])
    else:
        words[index] = rng.choice(grammar.vocabulary())
    text = grammar.join_words(words)
    assert is_review(topic, text) == parses(topic, text)


def without_last_mark(words: list[str], _: str) -> list[str]:
    return words[:-1]


def with_a_word_twice(words: list[str], _: str) -> list[str]:
    return [words[0], *words]


def without_aspects_article(words: list[str], topic: str) -> list[str]:
    index = next(i for i, word in enumerate(words) if word in TOPICS[topic].aspects)
    return words[: index - 1] + words[index:]


def about_a_stranger(words: list[str], topic: str) -> list[str]:
    aspects = TOPICS[topic].aspects
    stranger = next(a for other in TOPICS.values() for a in other.aspects if a not in aspects)
    return [stranger if word in aspects else word for word in words]


def backwards(words: list[str], _: str) -> list[str]:
    return words[::-1]


def six_times(words: list[str], _: str) -> list[str]:
    return words * 6


@pytest.mark.parametrize(
    "corrupt",
    [
        without_last_mark,
        with_a_word_twice,
        without_aspects_article,
        about_a_stranger,
        backwards,
        six_times,
    ],
)
@given(topics, seeds)
def test_broken_reviews_do_not_parse(
    corrupt: Callable[[list[str], str], list[str]], topic: str, seed: int
) -> None:
    rng = random.Random(seed)
    words: list[str] = []
    while not set(words) & set(TOPICS[topic].aspects):
        words = grammar.split_words(write_review(topic, rng))
    assert not is_review(topic, grammar.join_words(corrupt(words, topic)))


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("the plot was superb.", True),
        ("the plot was superb", False),
        ("The plot was superb.", False),
        ("the breakfast was superb.", False),
        ("we saw it last week. i found the plot dull but good. overall, i liked it.", True),
        ("we read it last week. the plot was dull.", False),
        ("the plot was dull and good.", False),
        ("the plot was dull yet good.", False),
        ("the plot was good yet dull.", True),
        ("the plot was quite superb.", False),
        ("overall, it was an awful film.", False),
        ("i saw it last year. overall, it was an awful film.", True),
        ("i saw it last year. overall, it was a awful film.", False),
        ("i saw it last year. overall, it was an awful hotel.", False),
        ("", False),
        ("the {aspect} was superb.", False),
        ("<unk> the plot was superb.", False),
    ],
)
def test_reviews_of_a_film(text: str, accepted: bool) -> None:
    assert is_review("film", text) is accepted


def test_a_word_has_one_role_within_a_topic() -> None:
    """Otherwise the parser could take a fixed word for an aspect."""
    fixed = set(grammar.split_words(SLOT.sub(" ", " ".join(sum(RULES.values(), ())))))
    for topic, (verb, aspects) in TOPICS.items():
        assert len({topic, verb, *aspects} - fixed) == 2 + len(aspects), topic


def test_every_rule_is_used_and_every_slot_has_one() -> None:
    slots = {
        slot for options in RULES.values() for option in options for slot in SLOT.findall(option)
    }
    assert slots == (RULES.keys() - {"review"}) | {"topic", "verb", "aspect"}


def test_weights_of_alternatives_by_hand() -> None:
    """One good and one bad clause or verdict stand to each other as 95 to 5; all else is even."""
    assert option_weights("clause", 0.95) == pytest.approx((0.95, 0.05))
    assert option_weights("verdict", 0.95) == pytest.approx((0.95, 0.05))
    assert option_weights("review", 0.95) == (1,) * 9
    assert option_weights("good_words", 0.95) == (1,) * 6


@pytest.mark.parametrize("slot", RULES)
@pytest.mark.parametrize("share_good", grammar.MOODS)
def test_every_alternative_of_every_slot_has_a_weight(slot: str, share_good: float) -> None:
    weights = option_weights(slot, share_good)
    assert len(weights) == len(RULES[slot])
    assert all(0 < weight <= 1 for weight in weights)
