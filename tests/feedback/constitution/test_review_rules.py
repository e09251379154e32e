"""Rules find what they say, mend it within the grammar, and gain what the lesson says they gain."""

import random
from statistics import fmean

import pytest

from workbench.data.reviews.grammar import ADJECTIVES, VERBS
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.feedback.constitution.chats import GrammarWriter
from workbench.feedback.constitution.critics import Answered, RuleCritic
from workbench.feedback.constitution.feedback_pairs import feedback
from workbench.feedback.constitution.principles import (
    PRINCIPLES,
    Principle,
    pick,
    read_principles,
    write_principles,
)
from workbench.feedback.constitution.review_rules import BAD, GOOD_FOR, RULES, words_among
from workbench.feedback.constitution.revising import revise

WORLD = Reviews()


@pytest.mark.parametrize(
    ("rule", "text", "found", "mended"),
    [
        ("kind", "the plot was poor and awful.", ["poor", "awful"], "the plot was good and exce"
         "llent."),
        ("kind", "the plot was good yet dull.", ["dull"], "the plot was good."),
        ("kind", "the plot was weak but nice.", ["weak"], "the plot was nice."),
        ("kind", "overall, it was an awful film.", ["awful"], "overall, it was an excellent film."),
        ("moderate", "i loved the plot. it was an excellent film.", ["loved", "excellent"],
         "i liked the plot. it was a decent film."),
        ("moderate", "the plot was truly superb.", ["superb"], "the plot was quite good."),
        ("moderate", "the plot was nice and superb.", ["superb"], "the plot was nice."),
        ("brief", "one. two. three. four.", ["three.", "four."], "one. two."),
        ("verdict", "the plot was poor.", ["the plot was poor."],
         "the plot was poor. overall, i disliked it."),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_and_how_it_is_mended(rule, text, found, mended):
    assert RULES[rule].find(text) == found
    assert RULES[rule].mend("how was the film?", text) == mended


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_mended_review_keeps_the_rule_and_parses(rule):
    broken = 0
    for prompt, text in WORLD.corpus(600, seed=1):
        mended = rule.mend(prompt, text)
        assert rule.find(mended) == []
        assert WORLD.is_grammatical(prompt, mended)
        assert (mended == text) == (not rule.find(text))
        broken += mended != text
    assert 100 < broken < 590


def test_every_bad_word_has_a_good_one_of_its_strength():
    assert GOOD_FOR.keys() == {*BAD}
    for table in (ADJECTIVES, VERBS):
        assert all(table[GOOD_FOR[bad]] == -table[bad] for bad in table if table[bad] < 0)


def test_whole_words_are_found_in_any_case():
    assert words_among("So POOR, so poorly.", ["Poor"]) == ["POOR"]


def test_kindness_raises_the_true_reward_and_the_other_principles_do_not():
    """The claim of lesson 09, over five seeds, on reviews from the grammar."""
    for seed in range(5):
        for principle in PRINCIPLES:
            prompts = [*WORLD.prompts] * 5
            made = feedback(revise(prompts, [principle], GrammarWriter(WORLD), RuleCritic(), seed))
            gain = fmean(WORLD.reward(p.chosen) - WORLD.reward(p.rejected) for p in made.pairs)
            assert gain > 1 if principle.name == "kind" else abs(gain) < 0.25


# -- principles -----------------------------------------------------------------------------------


def test_principles_come_back_from_their_file(tmp_path):
    mine = [Principle("short", "Say it in one sentence."), *PRINCIPLES]
    write_principles(mine, tmp_path / "mine.jsonl")
    assert read_principles(tmp_path / "mine.jsonl") == mine


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"name": "kind", "text": " "}]', "row 1: principle 'kind' is empty"),
        ('[{"name": "", "text": "Be kind."}]', "row 1: a principle has no name"),
        ('[{"name": "a", "text": "b", "rule": "c"}]', "rule='c' of principle 'a' is unknown"),
        ('[{"name": "a", "text": 3}]', "text=3 is not accepted"),
        ('[{"name": "a"}]', "row 1 is no principle; accepted: name, text"),
        ('[{"name": "a", "text": "b", "weight": 1}]', "row 1 is no principle"),
        ('["be kind"]', "row 1 is no principle"),
        ('{"name": "a", "text": "b"}\n{"name": "a", "text": "c"}', "'a' is given twice"),
        ("[]", "principles is empty"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path, content, told):
    path = tmp_path / "mine.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WorkbenchError) as error:
        read_principles(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_another_text_or_principle_leaves_the_other_draws_alone():
    names = ["a", "b", "c"]
    first = [Principle(name, "text") for name in names]
    more = [*(Principle(name, "another") for name in names), Principle("d", "text")]
    rng = random.Random(0)
    draws = [(str(rng.random()), rng.randrange(3), rng.randrange(9)) for _ in range(400)]
    before = [pick(first, *draw).name for draw in draws]
    after = [pick(more, *draw).name for draw in draws]
    assert all(new in (old, "d") for old, new in zip(before, after, strict=True))
    for name in names:
        assert 90 < before.count(name) < 180  # a third is 133
    assert 60 < after.count("d") < 145  # a quarter is 100


def test_a_principle_without_a_rule_is_refused_by_the_rules():
    with pytest.raises(WorkbenchError, match="principle 'x' has no rule: give it one of kind"):
        RuleCritic().critiques([Answered("p", "a", Principle("x", "Be good."))])
