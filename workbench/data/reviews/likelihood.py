"""The exact probability that the grammar generates a text: the sum over all its derivations.

No rule is recursive, so it is enough to compute once which spans each slot can cover from each
word on: the inside algorithm (Baker 1979) on a grammar without recursion.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from workbench.data.reviews import grammar
from workbench.data.reviews.grammar import MOODS, RULES, SLOT, TOPICS

Ends = Mapping[int, float]
"""Index of the word after a part -> probability that the part ends there."""


def review_logp(topic: str, text: str) -> float:
    """Log-probability that `grammar.write_review` gives exactly this text; -inf if it can't.

    The mood of a review is not in its text, so the probability is the mean over the moods.

    >>> p = 1/9 * 1/2 * 1/2 * 1/4 * 1/5 * 1/6 * 1/4  # one sentence, no hedge, good, "was", ...
    >>> math.isclose(review_logp("film", "the plot was good."), math.log(p))
    True
    """
    words = grammar.split_words(text)
    p = fmean(_Walk(topic, words, mood).ends("review", 0).get(len(words), 0.0) for mood in MOODS)
    return math.log(p) if p else -math.inf


def fitting_words(topic: str, text: str) -> int:
    """The length, in words, of the longest prefix of a text that begins some review of this topic.

    >>> fitting_words("film", "the plot was breakfast good.")
    3
    """
    walk = _Walk(
        topic, grammar.split_words(text), MOODS[1]
    )  # in a mixed mood every clause is possible
    walk.ends("review", 0)
    return walk.furthest


def next_words(topic: str, text: str) -> set[str]:
    """The words that can follow a text in a review of this topic; none if no review begins with it.

    >>> sorted(next_words("film", "the plot"))
    ['seemed', 'was']
    """
    walk = _Walk(topic, grammar.split_words(text), MOODS[1])
    walk.ends("review", 0)
    return walk.following


class _Walk:
    """One text parsed by the rules, in one mood."""

    def __init__(self, topic: str, words: Sequence[str], share_good: float) -> None:
        verb, aspects = TOPICS[topic]
        self._topical = {"topic": (topic,), "verb": (verb,), "aspect": aspects}
        self._words, self._share_good = words, share_good
        self._known: dict[tuple[str, int], Ends] = {}
        self.furthest = 0  # length of the longest prefix that fits
        self.following: set[str] = set()  # words that may follow the last word

    def ends(self, slot: str, start: int) -> Ends:
        """Where a slot that starts at word `start` can end."""
        if (slot, start) not in self._known:
            if slot in self._topical:
                options = self._topical[slot]
                weights: Sequence[float] = [1.0] * len(options)
            else:
                options, weights = RULES[slot], grammar.option_weights(slot, self._share_good)
            ends: dict[int, float] = defaultdict(float)
            for option, weight in zip(options, weights, strict=True):
                for end, p in self._follow(option, start).items():
                    ends[end] += weight / sum(weights) * p
            self._known[slot, start] = ends
        return self._known[slot, start]

    def _follow(self, option: str, start: int) -> Ends:
        """The same for one alternative: its words and slots in sequence."""
        reached: Ends = {start: 1.0}
        for part in option.split():
            after: dict[int, float] = defaultdict(float)
            for index, p in reached.items():
                if slot := SLOT.fullmatch(part):
                    for end, share in self.ends(slot[1], index).items():
                        after[end] += p * share
                elif part in self._words[index : index + 1]:
                    after[index + 1] += p
                    self.furthest = max(self.furthest, index + 1)
                elif index == len(self._words):
                    self.following.add(part)
            reached = after
        return reached
