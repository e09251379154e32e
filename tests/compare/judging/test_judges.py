"""The truth and people as judges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.compare.judging.judges import Outcomes, People, TrueReward, outcomes_of_votes
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError

PROMPT = "how was the film?"
GOOD, BAD, BROKEN = "the plot was superb.", "the plot was awful.", "superb superb."


def test_the_true_reward_prefers_the_friendlier_review() -> None:
    judge = TrueReward(Reviews())
    outcomes = judge([PROMPT] * 3, [GOOD, BAD, GOOD], [BAD, GOOD, GOOD])
    assert outcomes.scores.tolist() == [1.0, 0.0, 0.5]
    assert outcomes.lengths_a.tolist() == [4, 4, 4]
    assert len(outcomes) == 3


def test_broken_texts_lose_only_where_grammar_counts() -> None:
    world = Reviews()
    assert world.reward(BROKEN) == 1.0
    asked = ([PROMPT] * 3, [BROKEN, BROKEN, BROKEN], [BAD, GOOD, "superb."])
    assert TrueReward(world)(*asked).scores.tolist() == [1.0, 0.5, 0.5]
    strict = TrueReward(world, grammar=True)
    assert strict(*asked).scores.tolist() == [0.0, 0.0, 0.5]
    assert strict.name != TrueReward(world).name


def test_equal_rewards_of_differently_long_reviews_are_a_tie() -> None:
    world = Reviews()
    one = "the plot was good. i hated the music. the plot was good."
    other = f"{one} {one}"
    assert TrueReward(world)([PROMPT], [one], [other]).scores.tolist() == [0.5]


def votes(*rows: tuple[str, str, str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["prompt", "a", "b", "name_a", "name_b", "vote"])


VOTES = votes(
    ("q1", "one", "two", "policy", "reference", "a"),
    ("q2", "two", "one", "reference", "policy", "a"),  # the sides were shuffled: policy lost
    ("q3", "x", "y", "reference", "policy", "bad"),
    ("q4", "x", "y", "policy", "reference", "tie"),
    ("q1", "one", "two", "policy", "other", "b"),
)


def test_votes_are_counted_for_a_model_on_either_side() -> None:
    outcomes = outcomes_of_votes(VOTES, "policy", "reference")
    assert outcomes.scores.tolist() == [1.0, 0.0, 0.5, 0.5]
    assert outcomes.notes == {"both bad": 1}
    assert outcomes.prompts == ("q1", "q2", "q3", "q4")
    mirrored = outcomes_of_votes(VOTES, "reference", "policy")
    np.testing.assert_array_equal(mirrored.scores, 1 - outcomes.scores)
    with pytest.raises(WorkbenchError, match="no vote on 'policy' against 'nothing'"):
        outcomes_of_votes(VOTES, "policy", "nothing")


def test_people_judge_the_answers_they_saw_on_either_side() -> None:
    frame = votes(
        ("q", "one", "two", "", "", "a"),
        ("q", "two", "one", "", "", "b"),
        ("q", "one", "two", "", "", "b"),
        ("p", "x", "y", "", "", "bad"),
        ("p", "same", "same", "", "", "a"),
    )
    judge = People(frame)
    asked = (["q", "q", "p", "p", "r", "r"], ["one", "two", "y", "same", "one", "="],
             ["two", "one", "x", "same", "two", "="])  # fmt: skip
    scores = judge(*asked).scores
    # One is preferred by two of three votes; there is no vote on r.
    np.testing.assert_array_equal(scores, [1.0, 0.0, 0.5, 0.5, np.nan, 0.5])
    assert judge(*asked).notes == {"both bad": 1}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (VOTES.drop(columns="vote"), "no column 'vote'"),
        (VOTES.assign(vote="both"), "vote 1 is 'both'; accepted: a, b, tie, bad"),
    ],
)
def test_frames_that_hold_no_votes_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        People(frame)
    with pytest.raises(WorkbenchError, match=message):
        outcomes_of_votes(frame, "policy", "reference")


def test_the_first_of_many() -> None:
    outcomes = Outcomes.of(["p", "q"], ["a b", "a"], ["a", "a"], [1.0, 0.5], {"both bad": 1})
    assert outcomes.first(2) is outcomes
    assert outcomes.first(1).prompts == ("p",)
    assert outcomes.first(1).notes == {}
