"""The reviews world: short reviews whose true reward and grammar are known for any text.

It follows the controlled-sentiment experiment of the DPO paper (Rafailov et al. 2023, section 6.1)
at a size that a model of a million parameters learns in seconds. The true reward is the mean
valence of the sentiment words; a text is fluent if the grammar can generate it; and the preferences
are sampled from the true reward, with settings for typical faults of real labels.
"""

import math
import random
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

from workbench.data.pairs import TextPair
from workbench.data.reviews import grammar
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError

Generate = Callable[[list[str], int], list[str]]
"""(prompts, seed) -> one completion per prompt, the same for the same seed."""

FRUITLESS_ROUNDS = 30


class Example(NamedTuple):
    """A prompt with one completion, for pretraining."""

    prompt: str
    completion: str


class Reviews:
    """Prompts that ask for a review, and reviews with a known reward and a known grammar.

    `prompts` are all prompts of the chosen topics; `tokenizer` has every word of every topic.
    All randomness comes from the seeds that are given.

    >>> world = Reviews()
    >>> world.reward("the plot was good. i hated the music.")
    -0.25
    >>> world.is_grammatical("how was the film?", "the plot was good. i hated the breakfast.")
    False
    """

    max_reward = 1.0

    def __init__(self, config: ReviewsConfig | None = None) -> None:
        self.config = config or ReviewsConfig()
        self.topics = tuple(grammar.TOPICS)[: self.config.topics]
        self.prompts = tuple(
            grammar.join_words(phrasing.format(topic=topic).split())
            for topic in self.topics
            for phrasing in grammar.PHRASINGS
        )
        self.tokenizer = Tokenizer.from_words(grammar.vocabulary())

    def topic_of(self, prompt: str) -> str:
        """The topic that a prompt names. Raises WorkbenchError unless it names exactly one."""
        named = [word for word in grammar.split_words(prompt) if word in grammar.TOPICS]
        if len(named) != 1:
            raise WorkbenchError(
                f"prompt {prompt!r} names {len(named)} topics: name one of {', '.join(self.topics)}"
            )
        return named[0]

    def sample(self, rng: random.Random) -> Example:
        """A prompt, all equally likely, with a review from the grammar."""
        prompt = rng.choice(self.prompts)
        return Example(prompt, grammar.write_review(self.topic_of(prompt), rng))

    def corpus(self, n: int, seed: int) -> list[Example]:
        """`n` examples for pretraining; the same for the same world and seed."""
        rng = random.Random(f"corpus {self.config.world_seed} {seed}")
        return [self.sample(rng) for _ in range(n)]

    def reward(self, completion: str) -> float:
        """The true reward in [-1, 1]: the mean valence of the sentiment words, 0 without any."""
        words = grammar.split_words(completion)
        return fmean([grammar.VALENCE[word] for word in words if word in grammar.VALENCE] or [0.0])

    def is_grammatical(self, prompt: str, completion: str) -> bool:
        """Whether the grammar can generate this completion of this prompt."""
        return grammar.is_review(self.topic_of(prompt), completion)

    def preferences(self, generate: Generate | None = None) -> list[TextPair]:
        """`config.pairs` labelled pairs, grouped by topic; their sides always differ.

        Both sides come from `generate(prompts, seed)`, or from the grammar. The label is sampled
        from Bradley-Terry on the true reward, then flipped with probability `label_noise`. A share
        `length_bias` of the pairs is sampled again, label included, until the chosen side has more
        words: length then correlates with being chosen; labels still depend on the reward. In a
        share `similarity`, one side is the other with one sentiment word swapped; such sides are
        equally long and exempt from the length bias.

        Without a length bias, the same seed gives the same texts whatever the label settings.
        Raises WorkbenchError where `generate` keeps giving sides that cannot form a pair.
        """
        write = generate or self._write
        rng = random.Random(f"preferences {self.config.world_seed}")
        pairs: list[TextPair] = []
        fruitless = 0
        while (missing := self.config.pairs - len(pairs)) and fruitless < FRUITLESS_ROUNDS:
            prompts = rng.choices(self.prompts, k=missing)
            ones, others = (write(prompts, rng.randrange(2**31)) for _ in range(2))
            before = len(pairs)
            for prompt, one, other in zip(prompts, ones, others, strict=True):
                sides = self._label(prompt, one, other, rng)
                if sides is not None:
                    pairs.append(TextPair(prompt, *sides, len(pairs) + 1, self.topic_of(prompt)))
            fruitless = fruitless + 1 if len(pairs) == before else 0
        if missing:
            raise WorkbenchError(
                f"only {len(pairs)} of {self.config.pairs} pairs: the completions are too "
                "similar; raise the temperature, or lower similarity and length_bias"
            )
        return pairs

    def _write(self, prompts: list[str], seed: int) -> list[str]:
        rng = random.Random(seed)
        return [grammar.write_review(self.topic_of(prompt), rng) for prompt in prompts]

    def _label(
        self, prompt: str, one: str, other: str, rng: random.Random
    ) -> tuple[str, str] | None:
        """(chosen, rejected), or None where these samples form no pair."""
        # All random numbers come first, so that a setting changes only what it names.
        edit_coin, label_coin, noise_coin, length_coin = (rng.random() for _ in range(4))
        edit_rng = random.Random(rng.getrandbits(32))
        is_edit = edit_coin < self.config.similarity
        if is_edit:
            other = self._swap_sentiment(prompt, one, edit_rng)
        if one == other or not one.strip() or not other.strip():
            return None
        difference = self.reward(one) - self.reward(other)
        logit = self.config.label_scale * difference if difference else 0.0  # inf * 0 is no number
        one_wins = label_coin < 1 / (1 + math.exp(-logit))
        if noise_coin < self.config.label_noise:
            one_wins = not one_wins
        chosen, rejected = (one, other) if one_wins else (other, one)
        is_longer = len(grammar.split_words(chosen)) > len(grammar.split_words(rejected))
        if length_coin < self.config.length_bias and not is_edit and not is_longer:
            return None
        return chosen, rejected

    def _swap_sentiment(self, prompt: str, text: str, rng: random.Random) -> str:
        """`text` with one sentiment word of another valence, or `text` where none fits."""
        words = grammar.split_words(text)
        edits = [
            [*words[:index], other, *words[index + 1 :]]
            for index, word in enumerate(words)
            for table in (grammar.ADJECTIVES, grammar.VERBS)
            for other in table
            if word in table and table[word] != table[other]
        ]
        rng.shuffle(edits)
        texts = map(grammar.join_words, edits)
        return next((edit for edit in texts if self.is_grammatical(prompt, edit)), text)
