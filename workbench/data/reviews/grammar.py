"""The grammar of the reviews world, as data, with its sampler and its exact parser.

`RULES` is the one definition. `write_review` samples a review from it; `is_review` matches the
regular expression built from it, which is exact because no rule is recursive.
"""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from typing import NamedTuple


class Topic(NamedTuple):
    """The words that reviews of one topic may use."""

    verb: str
    aspects: tuple[str, ...]


def _topic(verb: str, aspects: str) -> Topic:
    return Topic(verb, tuple(aspects.split()))


TOPICS: Mapping[str, Topic] = {
    "film": _topic("saw", "plot acting music ending script"),
    "hotel": _topic("visited", "room staff breakfast pool view"),
    "book": _topic("read", "story style hero ending language"),
    "phone": _topic("bought", "screen battery camera sound design"),
    "cafe": _topic("visited", "coffee cake service music terrace"),
    "game": _topic("played", "story sound music design challenge"),
    "album": _topic("heard", "singing melody rhythm sound cover"),
    "museum": _topic("visited", "tour guide garden shop building"),
    "train": _topic("took", "seat service view staff speed"),
    "restaurant": _topic("visited", "food soup wine service terrace"),
    "laptop": _topic("bought", "screen battery keyboard speed design"),
    "course": _topic("took", "teacher pace material language room"),
    "bike": _topic("bought", "frame saddle speed design lamp"),
    "concert": _topic("heard", "singing sound crowd stage music"),
    "camera": _topic("bought", "lens zoom screen battery grip"),
    "flight": _topic("took", "seat food crew view service"),
}

ADJECTIVES: Mapping[str, float] = {
    **dict.fromkeys(("wonderful", "superb", "brilliant", "excellent"), 1.0),
    **dict.fromkeys(("good", "nice", "pleasant", "decent"), 0.5),
    **dict.fromkeys(("poor", "weak", "dull", "disappointing"), -0.5),
    **dict.fromkeys(("terrible", "dreadful", "horrible", "awful"), -1.0),
}
VERBS: Mapping[str, float] = {"loved": 1.0, "liked": 0.5, "disliked": -0.5, "hated": -1.0}
VALENCE: Mapping[str, float] = {**ADJECTIVES, **VERBS}

PHRASINGS = (
    "review of the {topic} :",
    "what did you think of the {topic} ?",
    "how was the {topic} ?",
    "tell us about the {topic} .",
    "your opinion of the {topic} :",
)


def _words(table: Mapping[str, float], *valences: float) -> tuple[str, ...]:
    return tuple(word for word, valence in table.items() if valence in valences)


def _mood_rules(
    mood: str, mild: float, strong: float, turn: str, other: str
) -> dict[str, tuple[str, ...]]:
    """The same sentences for a good and for a bad mood, so that rewards are balanced.

    "and" joins two words of one mood, "yet" changes from good to bad, "but" from bad to good: what
    may follow depends on the last two words only, which a small model learns in seconds.
    """
    adjectives = _words(ADJECTIVES, mild, strong)
    return {
        mood: (
            f"the {{aspect}} was {{{mood}_words}}",
            f"the {{aspect}} seemed {{{mood}_words}}",
            f"i found the {{aspect}} {{{mood}_words}}",
            f"i {{{mood}_verb}} the {{aspect}}",
        ),
        f"{mood}_words": (
            f"{{{mood}_mild}}",
            f"{{{mood}_strong}}",
            f"{{a_little}} {{{mood}_mild}}",
            f"{{a_lot}} {{{mood}_strong}}",
            f"{{{mood}_mild}} and {{{mood}_strong}}",
            f"{{{mood}_mild}} {turn} {{{other}_mild}}",
        ),
        f"{mood}_verdict": (
            f"it was {{{mood}_one}} {{topic}}",
            f"i would call it {{{mood}_one}} {{topic}}",
            f"i {{{mood}_verb}} it",
        ),
        f"{mood}_mild": _words(ADJECTIVES, mild),
        f"{mood}_strong": _words(ADJECTIVES, strong),
        f"{mood}_verb": _words(VERBS, mild, strong),
        f"{mood}_one": tuple(
            f"{'an' if word[0] in 'aeiou' else 'a'} {word}" for word in adjectives
        ),
    }


# A slot in braces stands for one of its alternatives; `aspect`, `verb` and `topic` depend on the
# topic. A sentence has one clause about one aspect, so it cannot contradict itself.
RULES: Mapping[str, tuple[str, ...]] = {
    "review": (
        "{sentence}",
        "{visit} {sentence}",
        "{visit} {verdict}",
        "{sentence} {sentence}",
        "{sentence} {verdict}",
        "{visit} {sentence} {sentence}",
        "{visit} {sentence} {verdict}",
        "{sentence} {sentence} {verdict}",
        "{visit} {sentence} {sentence} {verdict}",
    ),
    "visit": ("i {verb} it {when} .", "we {verb} it {when} ."),
    "when": ("last week", "last month", "last year", "yesterday"),
    "sentence": ("{clause} .", "{hedge} {clause} ."),
    "hedge": ("honestly ,", "frankly ,"),
    "clause": ("{good}", "{bad}"),
    "verdict": ("overall , {good_verdict} .", "overall , {bad_verdict} ."),
    "a_little": ("quite", "rather", "really"),
    "a_lot": ("truly", "simply", "absolutely"),
    **_mood_rules("good", 0.5, 1.0, turn="yet", other="bad"),
    **_mood_rules("bad", -0.5, -1.0, turn="but", other="good"),
}
MOODS = (0.05, 0.5, 0.95)  # the share of good clauses in a bad, a mixed and a good review
SLOT = re.compile(r"\{(\w+)\}")


def split_words(text: str) -> list[str]:
    """Words and punctuation marks, split as by the world's tokenizer."""
    return re.findall(r"\w+|[^\w\s]+", text)


def join_words(words: Sequence[str]) -> str:
    """A text from its words, with no space before a punctuation mark."""
    return re.sub(r" (?=[.,:?])", "", " ".join(words))


def vocabulary() -> list[str]:
    """Every word of every prompt and review, in a fixed order, each once."""
    fixed = [text for texts in (PHRASINGS, *RULES.values()) for text in texts]
    topical = [
        word for name, topic in TOPICS.items() for word in (name, topic.verb, *topic.aspects)
    ]
    plain = SLOT.sub(" ", " ".join(fixed))
    return list(dict.fromkeys([*split_words(plain), *topical]))


def write_review(topic: str, rng: random.Random) -> str:
    """A review sampled from the grammar; its clauses share a mood: good, mixed or bad."""
    verb, aspects = TOPICS[topic]
    topical = {"topic": (topic,), "verb": (verb,), "aspect": aspects}
    share_good = rng.choice(MOODS)

    def write(slot: str) -> str:
        if slot in topical:
            return rng.choice(topical[slot])
        option = rng.choices(RULES[slot], option_weights(slot, share_good))[0]
        return SLOT.sub(lambda match: write(match[1]), option)

    return join_words(write("review").split())


@cache
def option_weights(slot: str, share_good: float) -> tuple[float, ...]:
    """The weight of each alternative of a slot: the product over its clauses, not normalised.

    Args:
        slot: a key of `RULES`; slots that the topic fills are uniform and have no weights here.
        share_good: the probability of a good clause, in [0, 1]; a bad one has the rest.

    >>> option_weights("clause", 0.75)
    (0.75, 0.25)
    """
    shares = {"good": share_good, "bad": 1 - share_good}
    shares |= {f"{mood}_verdict": share for mood, share in shares.items()}
    return tuple(
        prod(shares.get(name, 1.0) for name in SLOT.findall(option)) for option in RULES[slot]
    )


def is_review(topic: str, text: str) -> bool:
    """Whether the grammar can generate this review of this topic."""
    verb, aspects = TOPICS[topic]
    slots = {topic: "{topic}", verb: "{verb}", **dict.fromkeys(aspects, "{aspect}")}
    skeleton = " ".join(slots.get(word, word) for word in split_words(text))
    return _review_pattern().fullmatch(skeleton) is not None


@cache
def _review_pattern() -> re.Pattern[str]:
    """The regular expression of all reviews, with the slots of a topic left in their braces."""

    def build(option: str) -> str:
        # Splitting by a pattern with one group gives plain text and slot names alternately.
        parts = enumerate(SLOT.split(option))
        return "".join(alternatives(part) if i % 2 else re.escape(part) for i, part in parts)

    def alternatives(slot: str) -> str:
        if slot not in RULES:
            return re.escape(f"{{{slot}}}")
        return f"(?:{'|'.join(build(option) for option in RULES[slot])})"

    return re.compile(alternatives("review"))
