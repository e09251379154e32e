"""The win rate against worlds where the answer is known, and its symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.compare.handle_sources import handles
from workbench.compare.judging.judges import Outcomes, TrueReward
from workbench.compare.judging.win_rate import (
    PRIOR,
    controlled_rate,
    design_effect,
    judge_models,
    rates_frame,
    win_rate,
)
from workbench.core.metrics import win_interval
from workbench.data.reviews.world import Reviews
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.runs.run import Run


def outcomes(scores: Any, difference: Any, prompts: Any = None) -> Outcomes:
    """B always writes 20 words, A `difference` more; every prompt is another one if not given."""
    scores, difference = np.asarray(scores, float), np.asarray(difference, float)
    names = range(len(scores)) if prompts is None else prompts
    return Outcomes(tuple(map(str, names)), scores, 20 + difference, np.full(len(scores), 20.0))


def draw(count: int, ahead: float, slope: float, longer: float, seed: int) -> Outcomes:
    """P(A wins) = sigmoid(ahead + slope * difference), differences around `longer`."""
    rng = np.random.default_rng(seed)
    difference = rng.normal(longer, 5, count)
    chance = 1 / (1 + np.exp(-(ahead + slope * difference)))
    return outcomes(rng.random(count) < chance, difference)


def test_counts_and_rate_by_hand() -> None:
    found = win_rate(outcomes([1, 1, 1, 0, 0.5, 0.5, np.nan], [0] * 7))
    assert (found.wins, found.ties, found.losses, found.unjudged) == (3, 2, 1, 1)
    assert found.rate == pytest.approx((3 + 2 / 2) / 6)
    assert (found.low, found.high) == win_interval(3, 1, 6)
    assert (found.length_a, found.prompts) == (20, 6)


def test_who_wins_only_by_length_is_near_one_half_at_equal_length() -> None:
    found = win_rate(draw(600, ahead=0.0, slope=0.3, longer=4, seed=0))
    assert found.low > 0.65
    assert found.controlled_low < 0.5 < found.controlled_high
    assert found.controlled == pytest.approx(0.5, abs=0.06)


def test_who_is_better_and_shorter_gains_by_the_control() -> None:
    found = win_rate(draw(600, ahead=1.0, slope=0.3, longer=-4, seed=1))
    truth = 1 / (1 + math.exp(-1))
    assert found.high < truth
    assert found.controlled_low < truth < found.controlled_high
    assert found.controlled == pytest.approx(truth, abs=0.06)


def test_lengths_that_say_nothing_change_nothing() -> None:
    found = win_rate(draw(400, ahead=0.7, slope=0.0, longer=0, seed=2))
    assert found.controlled == pytest.approx(found.rate, abs=0.01)
    assert found.controlled_low == pytest.approx(found.low, abs=0.015)
    assert found.controlled_high == pytest.approx(found.high, abs=0.015)


@pytest.mark.parametrize(
    ("scores", "difference"),
    [
        ([1] * 40, [0] * 40),  # all won, no length to blame
        ([1] * 40, [3] * 40),  # all won, and always longer by the same: no way to separate them
        ([1, 0] * 20, [2, -2] * 20),  # length separates wins from losses
        ([0.5] * 40, [0] * 40),
        ([1], [1e6]),
        ([1] + [0] * 39, [1e-9] + [0] * 39),
    ],
)
def test_nothing_explodes(scores: list[float], difference: list[float]) -> None:
    found = win_rate(outcomes(scores, difference))
    values = [found.rate, found.controlled, found.controlled_low, found.controlled_high]
    assert np.isfinite(values).all()
    assert 0 <= found.controlled_low < found.controlled < found.controlled_high <= 1
    assert found.controlled_high - found.controlled_low > 0.05


def test_what_length_alone_could_explain_has_a_wide_interval() -> None:
    rate, low, high = controlled_rate(np.ones(40), np.full(40, 3.0))
    assert low < 0.2 < 0.5 < rate < high


def test_newton_finds_where_the_slope_is_zero() -> None:
    verdicts = draw(200, ahead=0.4, slope=0.2, longer=1, seed=3)
    difference = verdicts.lengths_a - verdicts.lengths_b
    rate, _, _ = controlled_rate(verdicts.scores, difference)
    # At the top of the penalised likelihood both residual sums equal the pull to 0, so some slope
    # has to make both vanish together with the constant that was found.
    x = difference / math.sqrt((difference**2).mean())
    constant, slopes = math.log(rate / (1 - rate)), np.linspace(0, 3, 3001)
    left = verdicts.scores - 1 / (1 + np.exp(-(constant + slopes[:, None] * x)))  # (slope, answer)
    of_constant = left.sum(-1) - constant / PRIOR**2
    of_slope = (left * x).sum(-1) - slopes / PRIOR**2
    assert np.maximum(abs(of_constant), abs(of_slope)).min() < 0.02


SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, math.nan]), st.integers(-30, 30), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@given(SCORES)
@settings(deadline=None, max_examples=150)
def test_swapping_a_and_b_mirrors_it(rows: list[tuple[float, int, int]]) -> None:
    scores, difference, prompts = zip(*rows, strict=True)
    verdicts = outcomes(scores, difference, prompts)
    swapped = Outcomes(
        verdicts.prompts, 1 - verdicts.scores, verdicts.lengths_b, verdicts.lengths_a
    )
    found, turned = win_rate(verdicts), win_rate(swapped)
    assert (found.wins, found.ties, found.losses) == (turned.losses, turned.ties, turned.wins)
    assert found.ties + found.wins + found.losses + found.unjudged == len(rows)
    for name in ("", "controlled"):
        rate = name or "rate"
        ends = (f"{name}_low", f"{name}_high") if name else ("low", "high")
        ours = [getattr(found, key) for key in (rate, *ends)]
        theirs = [1 - getattr(turned, key) for key in (rate, *ends[::-1])]
        np.testing.assert_allclose(ours, theirs, atol=1e-7)
        if found.unjudged < len(rows):
            assert ours[1] <= ours[0] <= ours[2]


@given(SCORES, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_the_answers_is_no_matter(
    rows: list[tuple[float, int, int]], rng: Any
) -> None:
    other = list(rows)
    rng.shuffle(other)
    one, two = (win_rate(outcomes(*zip(*given, strict=True))) for given in (rows, other))
    np.testing.assert_allclose(
        [one.rate, one.low, one.controlled, one.controlled_low],
        [two.rate, two.low, two.controlled, two.controlled_low],
        atol=1e-7,
    )


def test_the_design_effect_by_hand() -> None:
    # Two prompts, each asked twice. Answers that agree count once: the mean's variance between
    # prompts, 2/1 * (1 + 1) = 4 over 4 * 0.25 = 1, is four times that of independent answers.
    assert design_effect(np.array([1.0, 1.0, 0.0, 0.0]), ["p", "p", "q", "q"]) == 4.0
    assert design_effect(np.array([1.0, 0.0, 1.0, 0.0]), ["p", "p", "q", "q"]) == 1.0
    assert design_effect(np.array([1.0, 1.0, 0.0, 0.0]), ["p", "q", "r", "s"]) == 1.0


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 times 60 prompts, each asked four times; half of what decides is the prompt's."""
    rng = np.random.default_rng(5)
    held, narrow = 0, 0
    for _ in range(200):
        chance = np.repeat(rng.beta(1.4, 0.6, 60), 4)
        verdicts = outcomes(
            rng.random(240) < chance, rng.normal(1, 4, 240), np.repeat(range(60), 4)
        )
        found = win_rate(verdicts)
        held += found.low <= 0.7 <= found.high
        low, high = win_interval(found.wins, found.losses, 240)
        narrow += low <= 0.7 <= high
    assert held >= 182  # 95% of 200, less two and a half standard errors
    assert narrow < 175  # as if no prompt had been asked twice


def test_without_outcomes_and_without_verdicts() -> None:
    with pytest.raises(WorkbenchError, match="no outcomes"):
        win_rate(outcomes([], []))
    found = win_rate(outcomes([math.nan] * 3, [1, 2, 3]))
    assert math.isnan(found.rate)
    assert (found.low, found.high, found.controlled_low, found.unjudged) == (0.0, 1.0, 0.0, 3)


class Longer:
    """A judge that likes whatever is longer."""

    name = "longer"

    def __call__(self, prompts: Any, one: Any, other: Any) -> Outcomes:
        scores = [0.5 + np.sign(len(a) - len(b)) / 2 for a, b in zip(one, other, strict=True)]
        return Outcomes.of(prompts, one, other, scores, {"asked": len(prompts)})


def test_policy_and_reference_are_compared_on_the_same_seed(make_run: Callable[..., Run]) -> None:
    run = make_run(max_steps=3)
    prompts = [pair.prompt for pair in run.data.prompts(12)]
    judges = [TrueReward(Reviews(run.config.world)), Longer()]
    frame = rates_frame(judge_models(run, prompts, judges))
    assert (frame["rate"] == 0.5).all()  # nothing is trained: the same texts
    assert (frame["ties"] == 12).all()
    list(run)
    sampling = SamplingConfig(max_new_tokens=12, seed=3)
    frame = rates_frame(judge_models(run, prompts, judges, sampling))
    assert list(frame["judge"]) == ["true reward", "longer"]
    assert list(frame["a"]) == ["policy", "policy"]
    assert frame["notes"][1] == "asked 12"
    reference, policy = handles(run)
    verdicts = Longer()(
        prompts, policy.answer(prompts, sampling), reference.answer(prompts, sampling)
    )
    assert frame["rate"][1] == win_rate(verdicts).rate
    other = rates_frame(judge_models((reference, policy), prompts, judges, sampling))
    np.testing.assert_allclose(other["rate"], 1 - frame["rate"])


def test_what_cannot_be_compared_is_refused(make_run: Callable[..., Run]) -> None:
    run = make_run()
    with pytest.raises(WorkbenchError, match="prompts is empty"):
        judge_models(run, [], [Longer()])
    for judges in ([], [Longer(), Longer()]):
        with pytest.raises(WorkbenchError, match="judges are needed"):
            judge_models(run, ["p"], judges)
    with pytest.raises(WorkbenchError, match="1 models were given; accepted: two"):
        judge_models(handles(run)[:1], ["p"], [Longer()])
