"""How likely the grammar is to write a text: exactly, by adding up all the ways to derive it.

No rule contains itself, so a walk over the rules that remembers what each slot can cover from each
word on is enough: the inside algorithm (Baker 1979) on a grammar without recursion.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from workbench.data.reviews import grammar
from workbench.data.reviews.grammar import MOODS, RULES, SLOT, TOPICS

Ends = Mapping[int, float]
"""Where a part may end, as the number of words before, with the probability that it does."""


def review_logp(topic: str, text: str) -> float:
    """Log-probability that `grammar.write_review` writes just this text; -inf if it can't.

    The mood of a review is not seen in the text, so it is the mean over the moods.

    >>> p = 1/9 * 1/2 * 1/2 * 1/4 * 1/5 * 1/6 * 1/4  # one sentence, no hedge, good, "was", ...
    >>> math.isclose(review_logp("film", "the plot was good."), math.log(p))
    True
    """
    words = grammar.split_words(text)
    p = fmean(_Walk(topic, words, mood).ends("review", 0).get(len(words), 0.0) for mood in MOODS)
    return math.log(p) if p else -math.inf


def fitting_words(topic: str, text: str) -> int:
    """How many words of a text, from its first, some review of this topic begins with.

    >>> fitting_words("film", "the plot was breakfast good.")
    3
    """
    walk = _Walk(topic, grammar.split_words(text), MOODS[1])  # in a mixed mood all is possible
    walk.ends("review", 0)
    return walk.furthest


def next_words(topic: str, text: str) -> set[str]:
    """The words with which some review of this topic goes on; none where no review begins so.

    >>> sorted(next_words("film", "the plot"))
    ['seemed', 'was']
    """
    walk = _Walk(topic, grammar.split_words(text), MOODS[1])
    walk.ends("review", 0)
    return walk.following


class _Walk:
    """One text against the rules, in one mood."""

    def __init__(self, topic: str, words: Sequence[str], share_good: float) -> None:
        verb, aspects = TOPICS[topic]
        self._topical = {"topic": (topic,), "verb": (verb,), "aspect": aspects}
        self._words, self._share_good = words, share_good
        self._known: dict[tuple[str, int], Ends] = {}
        self.furthest = 0  # words of the text, from the first, that fit
        self.following: set[str] = set()  # what may come after the last word

    def ends(self, slot: str, start: int) -> Ends:
        """What a slot can cover from the word at `start` on."""
        if (slot, start) not in self._known:
            if slot in self._topical:
                options = self._topical[slot]
                weights: Sequence[float] = [1.0] * len(options)
            else:
                options, weights = RULES[slot], grammar.option_weights(slot, self._share_good)
            found: dict[int, float] = defaultdict(float)
            for option, weight in zip(options, weights, strict=True):
                for end, p in self._follow(option, start).items():
                    found[end] += weight / sum(weights) * p
            self._known[slot, start] = found
        return self._known[slot, start]

    def _follow(self, option: str, start: int) -> Ends:
        """The same for one alternative: its words and slots, one behind the other."""
        here: Ends = {start: 1.0}
        for part in option.split():
            after: dict[int, float] = defaultdict(float)
            for place, p in here.items():
                if slot := SLOT.fullmatch(part):
                    for end, share in self.ends(slot[1], place).items():
                        after[end] += p * share
                elif part in self._words[place : place + 1]:
                    after[place + 1] += p
                    self.furthest = max(self.furthest, place + 1)
                elif place == len(self._words):
                    self.following.add(part)
            here = after
        return here
