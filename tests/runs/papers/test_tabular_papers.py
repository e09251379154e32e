"""Two actions, the bandit, over-optimisation: the pieces by arithmetic, a short run of each."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch

from workbench.core.tabular import TabularWorld, kl
from workbench.runs.papers import bandit, over_optimisation, two_actions
from workbench.runs.papers.claims import Claim


def by_name(claims: list[Claim]) -> dict[str, Claim]:
    return {one.claim: one for one in claims}


# -- two actions -------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", two_actions.BETAS)
def test_a_step_of_newton_by_hand(beta: float) -> None:
    # IPO: slope 2 (m - 1 / (2 beta)), curvature 2: one step ends at 1 / (2 beta).
    assert two_actions.newton_step("ipo", beta, 0.3) == pytest.approx(1 / (2 * beta) - 0.3)
    # DPO at margin 0: slope -beta / 2, curvature beta^2 / 4.
    assert two_actions.newton_step("dpo", beta, 0.0) == pytest.approx(2 / beta)
    assert two_actions.newton_step("dpo", beta, 20 / beta) == pytest.approx(1 / beta, rel=1e-6)


def test_ipo_stops_and_dpo_does_not() -> None:
    found = two_actions.claims(two_actions.measure())
    assert [round(one.measured, 3) for one in found[:4]] == [0.993, 0.731, 0.622, 0.525]
    assert {one.verdict for one in found} == {"reproduced"}


def test_after_a_few_steps_dpo_is_not_there_yet_and_that_is_said() -> None:
    found = by_name(two_actions.claims(two_actions.measure(steps=5)))
    assert found["DPO, beta 5: P(preferred)"].verdict == "not reproduced"


# -- bandit ------------------------------------------------------------------------------------


def test_the_reference_by_hand() -> None:
    logps = bandit.reference_logps()
    assert logps.exp().sum().item() == pytest.approx(1)
    # Arm 50 is (0, 0.02); there the variable is between 0 and 0.020003.
    mass = (math.atan(0.720003 / 0.4) - math.atan(0.7 / 0.4)) / math.pi
    assert logps[50].exp().item() == pytest.approx(mass, rel=1e-4)
    inner = logps[5:95]
    assert abs(int(inner.argmax()) + 5 - bandit.PEAKS[1]) < 10
    assert logps[60:81].exp().sum() < 0.05


def test_rewards_by_hand() -> None:
    reward = bandit.rewards(70)
    assert reward[70] == 1
    assert reward[80].item() == pytest.approx(math.exp(-1))


def test_answers_are_sorted_best_first() -> None:
    drawn = torch.tensor([[3, 70, 60], [99, 0, 71]])
    found = bandit.sorted_by_reward(drawn, bandit.rewards(70))
    assert found.tolist() == [[70, 60, 3], [71, 99, 0]]


def test_losses_of_answers_by_hand() -> None:
    policy = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
    reference = torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64).log()
    answers = torch.tensor([[[0, 1, 2]]])
    best = bandit.answer_losses(policy, reference, answers, "best_of_n")
    assert best.tolist() == [[[pytest.approx(-math.log(0.5))]]]
    # Log-ratios are log 2, log 1.2 and log 0.4, so the margins are log(5 / 3) and log 5.
    expected = [math.log(1 + math.exp(-0.1 * math.log(ratio))) for ratio in (5 / 3, 5)]
    contrastive = bandit.answer_losses(policy, reference, answers, "contrastive")
    assert contrastive.flatten().tolist() == pytest.approx(expected)
    worst = bandit.answer_losses(policy, reference, answers, "contrastive_worst")
    assert worst.flatten().tolist() == pytest.approx(expected[1:])


def test_on_policy_data_reach_a_far_peak_sooner() -> None:
    offline, on_policy = (
        bandit.train(70, "best_of_n", data, seeds=4, rounds=15) for data in ("offline", "on-policy")
    )
    start, end = (
        [frame[frame["round"] == number].reward.to_numpy() for frame in (offline, on_policy)]
        for number in (0, 15)
    )
    assert (start[0] == start[1]).all()
    assert (end[1] > end[0] + 0.3).all()
    assert (offline.kl >= -1e-12).all()


def test_the_claims_of_the_bandit_compare_with_offline_best_of_n() -> None:
    rows = [
        (peak, method, data, seed, 0, 0.5 + (0.3 if data == "on-policy" else 0.0))
        for peak in bandit.PEAKS
        for method, data in bandit.METHODS
        for seed in range(4)
    ]
    columns = ["peak", "method", "data", "seed", "round", "reward"]
    found = by_name(bandit.claims(pd.DataFrame(rows, columns=columns)))
    words = "{} minus offline best-of-n, peak at {}: reward"
    assert found[words.format("on-policy best-of-n", 70)].verdict == "reproduced"
    assert found[words.format("on-policy best-of-n", 20)].verdict == "not reproduced"
    assert found[words.format("offline contrastive", 20)].verdict == "reproduced"


# -- over-optimisation -------------------------------------------------------------------------


def test_best_of_n_by_hand() -> None:
    reference = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log()
    scores = torch.tensor([[1.0, 3.0, 2.0]], dtype=torch.float64)
    # The worst wins if all are it, 0.2^2; the worst two hold 0.7, so the middle wins 0.49 - 0.04.
    found = over_optimisation.best_of_n(reference, scores, 2).exp()
    torch.testing.assert_close(found, torch.tensor([[0.04, 0.51, 0.45]], dtype=torch.float64))
    torch.testing.assert_close(over_optimisation.best_of_n(reference, scores, 1), reference)


def test_equal_scores_keep_the_proportions_of_the_reference() -> None:
    reference = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).log()
    scores = torch.tensor([[1.0, 1.0, 2.0]], dtype=torch.float64)
    found = over_optimisation.best_of_n(reference, scores, 3).exp()
    expected = torch.tensor([[0.2, 0.3, 0.0]], dtype=torch.float64) / 0.5 * 0.5**3
    expected[0, 2] = 1 - 0.5**3
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n", [4, 16, 64])
def test_the_kl_of_best_of_n_follows_its_formula(n: int) -> None:
    reference = torch.zeros(1, 100_000, dtype=torch.float64).log_softmax(-1)
    scores = torch.arange(100_000, dtype=torch.float64)[None]
    distance = kl(over_optimisation.best_of_n(reference, scores, n), reference).item()
    assert distance == pytest.approx(math.log(n) - (n - 1) / n, abs=1e-4)


def test_labels_follow_the_gold_reward() -> None:
    world = TabularWorld(("?",), (("a", "b"),), torch.zeros(1, 2), torch.tensor([[math.log(3), 0]]))
    winners, losers = over_optimisation.draw_labels(world, 4000)
    differ = winners != losers
    assert 0.47 < differ.double().mean() < 0.53
    assert 0.72 < (winners[differ] == 0).double().mean() < 0.78  # sigmoid(log 3)


def test_the_proxy_is_the_most_likely_reward() -> None:
    winners = torch.tensor([[0, 0, 0, 1, 2]])
    losers = torch.tensor([[1, 1, 1, 0, 2]])
    proxy = over_optimisation.fit_proxy(winners, losers, 3)
    assert (proxy[0, 0] - proxy[0, 1]).item() == pytest.approx(math.log(3), abs=1e-3)
    assert proxy[0, 2] == 0


def test_a_few_worlds_of_over_optimisation() -> None:
    frame = over_optimisation.measure(worlds=8)
    assert set(frame.groupby(["labels", "world", "method"]).size()) == {
        len(over_optimisation.DRAWN),
        len(over_optimisation.BETAS),
    }
    for method in ("best-of-n", "dpo"):
        proxy = over_optimisation.paths(frame[frame.labels == 500], method, "proxy")
        assert (proxy.diff(axis=1).iloc[:, 1:] > -1e-9).all(axis=None)
    found = by_name(over_optimisation.claims(frame))
    assert found["best-of-4: KL, nats"].verdict == "reproduced"
    assert found["best-of-n: rise of the gold reward to its peak"].verdict == "reproduced"
