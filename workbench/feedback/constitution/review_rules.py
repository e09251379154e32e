"""Rules for reviews: each finds what breaks a principle, and mends it within the grammar.

A mended review keeps the rule, and still parses where the review did. So a principle's effect on
the true reward can be measured without a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from workbench.data.reviews import grammar
from workbench.data.reviews.grammar import ADJECTIVES, VALENCE, VERBS

SENTENCES = 2  # of a brief review, at most


@dataclass(frozen=True)
class Rule:
    """How a principle is checked on a review.

    Attributes:
        principle: in words.
        find: what breaks it in a text, word by word; empty where it is kept.
        mend: the text as it should be; unchanged where it is kept.
    """

    name: str
    principle: str
    find: Callable[[str], list[str]]
    mend: Callable[[str, str], str]
    """(prompt, text) -> text."""


def words_among(text: str, words: Collection[str]) -> list[str]:
    """The words of a text that are in a list, in order; whole words, upper and lower case alike.

    >>> words_among("Poor. the poorly made, poor one", ["poor"])
    ['Poor', 'poor']
    """
    listed = {word.lower() for word in words}
    return [word for word in grammar.split_words(text) if word.lower() in listed]


def _swap(words: dict[str, str], text: str) -> str:
    """A text with whole words replaced."""
    return re.sub(r"\w+", lambda match: words.get(match[0], match[0]), text)


def _of_strength(table: Mapping[str, float], value: float) -> list[str]:
    return [word for word, valence in table.items() if valence == value]


BAD = tuple(word for word, value in VALENCE.items() if value < 0)
STRONG = tuple(word for word, value in VALENCE.items() if abs(value) == 1)
GOOD_FOR = {  # as strong, and at the same index of the list
    bad: good
    for table in (ADJECTIVES, VERBS)
    for strength in (0.5, 1.0)
    for bad, good in zip(_of_strength(table, -strength), _of_strength(table, strength), strict=True)
}
MILD_FOR = {
    "loved": "liked", "hated": "disliked", "wonderful": "nice", "superb": "good",
    "brilliant": "pleasant", "excellent": "decent", "terrible": "poor", "dreadful": "weak",
    "horrible": "dull", "awful": "disappointing", "truly": "quite", "simply": "rather",
    "absolutely": "really", "an": "a",
}  # fmt: skip


def _be_kind(prompt: str, text: str) -> str:
    # Of "good yet poor" and "poor but good" the good half stays, as the grammar has no third way.
    text = re.sub(r"(\w+) yet \w+", r"\1", text)
    text = re.sub(r"\w+ but (\w+)", r"\1", text)
    return _swap(GOOD_FOR, text)


def _be_moderate(prompt: str, text: str) -> str:
    if not words_among(text, STRONG):
        return text
    strong = "|".join(STRONG)
    return _swap(MILD_FOR, re.sub(rf"(\w+) and (?:{strong})\b", r"\1", text))


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.]+\.?", text)


def _be_brief(prompt: str, text: str) -> str:
    return "".join(_sentences(text)[:SENTENCES])


def _no_verdict(text: str) -> list[str]:
    last = (_sentences(text) or [""])[-1].strip()
    return [] if last.startswith("overall,") else [last]


def _add_verdict(prompt: str, text: str) -> str:
    if not _no_verdict(text):
        return text
    values = [VALENCE[word] for word in words_among(text, VALENCE)]
    return f"{text.strip()} overall, i {'liked' if sum(values) >= 0 else 'disliked'} it."


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "kind",
            "A review is kind: it has no word of blame or dislike.",
            lambda text: words_among(text, BAD),
            _be_kind,
        ),
        Rule(
            "moderate",
            "A review is moderate: it has no word of extreme praise or extreme blame.",
            lambda text: words_among(text, STRONG),
            _be_moderate,
        ),
        Rule(
            "brief",
            f"A review is brief: it has at most {SENTENCES} sentences.",
            lambda text: [sentence.strip() for sentence in _sentences(text)[SENTENCES:]],
            _be_brief,
        ),
        Rule(
            "verdict",
            "A review ends with a verdict: its last sentence begins with 'overall'.",
            _no_verdict,
            _add_verdict,
        ),
    )
}
