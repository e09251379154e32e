"""The reviews world: its reward, its labels and each of its knobs."""

import math
import random
from statistics import fmean

import pytest

from workbench.data.pairs import TextPair
from workbench.data.reviews import grammar
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError

WORLD = Reviews()


def preferences(**knobs: float) -> list[TextPair]:
    return Reviews(ReviewsConfig(**knobs)).preferences()  # type: ignore[arg-type]


def reward_gap(pair: TextPair) -> float:
    return WORLD.reward(pair.chosen) - WORLD.reward(pair.rejected)


def length_gap(pair: TextPair) -> int:
    return len(grammar.split_words(pair.chosen)) - len(grammar.split_words(pair.rejected))


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("the plot was superb.", 1.0),
        ("i loved it. the plot was truly wonderful.", 1.0),
        ("i hated the plot.", -1.0),
        ("the plot was good but the music was terrible.", (0.5 - 1.0) / 2),
        ("i liked the plot. the music was dull. overall, it was an awful film.", -1.0 / 3),
        ("we saw it last week.", 0.0),
        ("", 0.0),
        ("Superb", 0.0),
    ],
)
def test_the_reward_is_the_mean_valence(text: str, reward: float) -> None:
    assert Reviews().reward(text) == pytest.approx(reward)


def test_the_best_reward_is_reached_but_not_passed() -> None:
    world = Reviews()
    rewards = [world.reward(example.completion) for example in world.corpus(500, 0)]
    assert max(rewards) == world.max_reward == max(grammar.VALENCE.values())
    assert min(rewards) == -1.0


def test_the_grammar_is_balanced_and_varied_in_length() -> None:
    world = Reviews()
    examples = world.corpus(4000, 1)
    # The standard deviation of a reward is about 0.65, of the mean of 4000 about 0.01.
    assert abs(fmean(world.reward(example.completion) for example in examples)) < 0.05
    lengths = [len(grammar.split_words(example.completion)) for example in examples]
    assert 15 < fmean(lengths) < 22
    assert len(set(lengths)) > 20


def test_the_clauses_of_a_review_share_a_mood() -> None:
    """Two thirds of the reviews lean to one side, so that pairs often differ clearly."""
    signs = [
        {grammar.VALENCE[word] > 0 for word in words if word in grammar.VALENCE}
        for words in (grammar.split_words(text) for _, text in WORLD.corpus(2000, 2))
        if sum(word in grammar.VALENCE for word in words) == 3
    ]
    # Three independent signs agree in 1/4 of all reviews; with moods of 0.05, 0.5 and 0.95, in
    # (0.86 + 0.25 + 0.86) / 3 = 0.66, less where "yet" or "but" turns the mood.
    assert 0.4 < fmean(len(found) == 1 for found in signs) < 0.66


def test_prompts_name_their_topic() -> None:
    world = Reviews(ReviewsConfig(topics=3))
    assert world.topics == ("film", "hotel", "book")
    assert len(world.prompts) == len(set(world.prompts)) == 3 * len(grammar.PHRASINGS)
    assert world.prompts[0] == "review of the film:"
    assert {world.topic_of(prompt) for prompt in world.prompts} == set(world.topics)
    assert world.topic_of("what did you think of the hotel ?") == "hotel"


@pytest.mark.parametrize("prompt", ["how was the weather?", "film or book?", ""])
def test_a_prompt_without_one_topic_is_refused(prompt: str) -> None:
    with pytest.raises(WorkbenchError, match="name one of film, hotel"):
        Reviews().topic_of(prompt)


def test_samples_are_grammatical_for_their_prompt_alone() -> None:
    world = Reviews(ReviewsConfig(topics=16))
    rng = random.Random(0)
    for _ in range(200):
        prompt, completion = world.sample(rng)
        assert world.is_grammatical(prompt, completion)
        assert not world.is_grammatical(prompt, completion + " " + prompt)


def test_the_tokenizer_knows_every_word_and_keeps_every_text() -> None:
    world = Reviews(ReviewsConfig(topics=16))
    tokenizer = world.tokenizer
    assert tokenizer.vocab_size <= 200
    for prompt, completion in world.corpus(300, 0):
        for text in (prompt, completion):
            assert tokenizer.decode(tokenizer.encode(text)) == text
            assert "<unk>" not in tokenizer.tokens(tokenizer.encode(text))
            assert len(tokenizer.encode(text)) == len(grammar.split_words(text))


def test_all_worlds_share_one_tokenizer() -> None:
    few, many = Reviews(ReviewsConfig(topics=2)), Reviews(ReviewsConfig(topics=16))
    assert few.tokenizer.digest == many.tokenizer.digest


def test_corpora_repeat_for_a_seed_and_differ_between_seeds() -> None:
    assert Reviews().corpus(20, 5) == Reviews().corpus(20, 5)
    assert Reviews().corpus(20, 5) != Reviews().corpus(20, 6)
    assert Reviews().corpus(20, 5) != Reviews(ReviewsConfig(world_seed=1)).corpus(20, 5)


def test_preferences_are_numbered_grouped_and_repeatable() -> None:
    pairs = preferences(pairs=200)
    assert pairs == preferences(pairs=200) != preferences(pairs=200, world_seed=1)
    assert [pair.row for pair in pairs] == list(range(1, 201))
    world = Reviews()
    for pair in pairs:
        assert pair.group == world.topic_of(pair.prompt)
        assert pair.chosen != pair.rejected
        assert world.is_grammatical(pair.prompt, pair.chosen)
        assert world.is_grammatical(pair.prompt, pair.rejected)


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0, math.inf])
def test_labels_follow_bradley_terry(scale: float) -> None:
    pairs = preferences(pairs=4000, label_scale=scale)
    gaps = [reward_gap(pair) for pair in pairs if reward_gap(pair)]
    # A pair with gap g is labelled right with probability sigma(scale |g|), each by its own coin.
    chances = [1 / (1 + math.exp(-scale * abs(gap))) for gap in gaps]
    deviation = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    right = sum(gap > 0 for gap in gaps)
    assert right == pytest.approx(sum(chances), abs=4 * deviation)


def test_sides_of_equal_reward_are_labelled_by_a_coin_at_any_scale() -> None:
    random, certain = (preferences(pairs=2000, label_scale=scale) for scale in (0.0, math.inf))
    ties = [index for index, pair in enumerate(certain) if not reward_gap(pair)]
    assert len(ties) > 50
    assert [certain[index] for index in ties] == [random[index] for index in ties]


def test_noise_flips_labels_of_the_same_texts() -> None:
    clean, noisy = preferences(pairs=2000), preferences(pairs=2000, label_noise=0.25)
    flips = 0
    for one, other in zip(clean, noisy, strict=True):
        assert {one.chosen, one.rejected} == {other.chosen, other.rejected}
        flips += one.chosen != other.chosen
    # 2000 coins with probability 1/4: 500 expected, standard deviation sqrt(375) = 19.
    assert flips == pytest.approx(500, abs=80)


def test_length_bias_makes_the_chosen_longer_and_keeps_the_reward() -> None:
    plain, biased = preferences(pairs=2000), preferences(pairs=2000, length_bias=1.0)
    assert all(length_gap(pair) > 0 for pair in biased)
    assert fmean(length_gap(pair) > 0 for pair in plain) == pytest.approx(0.47, abs=0.06)
    half = preferences(pairs=2000, length_bias=0.5)
    # Half of the accepted draws were free: of those, as many are longer as without the bias.
    assert 0.55 < fmean(length_gap(pair) > 0 for pair in half) < 0.85
    right = [fmean(reward_gap(pair) > 0 for pair in pairs) for pairs in (plain, biased)]
    assert right[0] == pytest.approx(right[1], abs=0.06)


def test_similar_sides_differ_in_one_sentiment_word() -> None:
    world = Reviews()
    for pair in preferences(pairs=300, similarity=1.0, length_bias=1.0):
        chosen, rejected = grammar.split_words(pair.chosen), grammar.split_words(pair.rejected)
        changed = [words for words in zip(chosen, rejected, strict=True) if words[0] != words[1]]
        assert len(changed) == 1
        valences = [grammar.VALENCE[word] for word in changed[0]]
        assert valences[0] != valences[1]
        assert world.is_grammatical(pair.prompt, pair.chosen)
        assert world.is_grammatical(pair.prompt, pair.rejected)


def test_similarity_is_a_share_of_pairs() -> None:
    pairs = preferences(pairs=2000, similarity=0.3)
    edits = 0
    for pair in pairs:
        sides = grammar.split_words(pair.chosen), grammar.split_words(pair.rejected)
        if len(sides[0]) == len(sides[1]):
            edits += sum(a != b for a, b in zip(*sides, strict=True)) == 1
    # 600 expected, with a standard deviation of 20; a few edits do not fit and are sampled again.
    assert edits == pytest.approx(600, abs=90)


def test_the_reference_can_write_both_sides() -> None:
    calls: list[tuple[list[str], int]] = []

    def generate(prompts: list[str], seed: int) -> list[str]:
        calls.append((prompts, seed))
        rng = random.Random(seed)
        return [rng.choice(["i loved it.", "i hated it.", " ", "it was good"]) for _ in prompts]

    world = Reviews(ReviewsConfig(pairs=50, topics=2))
    pairs = world.preferences(generate)
    assert len(pairs) == 50
    assert all(prompt in world.prompts for prompts, _ in calls for prompt in prompts)
    assert len({seed for _, seed in calls}) == len(calls)
    assert {text for pair in pairs for text in (pair.chosen, pair.rejected)} == {
        "i loved it.",
        "i hated it.",
        "it was good",
    }


def test_a_reference_that_always_says_the_same_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="only 0 of 8 pairs"):
        Reviews(ReviewsConfig(pairs=8)).preferences(lambda prompts, _: ["the same."] * len(prompts))


@pytest.mark.parametrize(
    ("name", "value", "limits"),
    [
        ("topics", 1, "2 to 16"),
        ("topics", 17, "2 to 16"),
        ("pairs", 0, "1 to 100000"),
        ("label_noise", 0.6, "0.0 to 0.5"),
        ("label_scale", -1.0, "0.0 to inf"),
        ("length_bias", math.nan, "0.0 to 1.0"),
        ("similarity", 1.1, "0.0 to 1.0"),
        ("world_seed", -1, "0 to"),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: float, limits: str) -> None:
    with pytest.raises(WorkbenchError, match=f"^{name} is {value}: give a value from {limits}"):
        ReviewsConfig(**{name: value})  # type: ignore[arg-type]
