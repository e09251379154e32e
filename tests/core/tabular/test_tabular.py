"""The enumerable world: closed forms by hand, by brute force, and reached by descent."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.core import tabular
from workbench.core.losses import LOSSES
from workbench.core.tabular import TabularWorld, descend
from workbench.errors import WorkbenchError

worlds = st.builds(
    TabularWorld.random, st.integers(1, 3), st.integers(2, 5), st.integers(0, 10_000)
)
betas = st.sampled_from([0.1, 0.5, 1.0, 5.0])


def two_actions() -> TabularWorld:
    """One prompt, two responses, all alike."""
    return TabularWorld(("x",), (("a", "b"),), torch.zeros(1, 2), torch.zeros(1, 2))


def test_the_optimum_by_hand() -> None:
    # pi_ref = (1/4, 3/4), r = (log 6, 0), beta = 1: weights 6/4 and 3/4, Z = 9/4, pi* = (2/3, 1/3).
    reference = torch.tensor([0.25, 0.75]).log()
    rewards = torch.tensor([math.log(6), 0.0])
    optimum = tabular.optimal_logps(reference, rewards, 1.0)
    torch.testing.assert_close(optimum.exp(), torch.tensor([2 / 3, 1 / 3]))
    z = tabular.log_partition(reference, rewards, 1.0).exp()
    torch.testing.assert_close(z, torch.tensor(9 / 4))
    # KL = 2/3 log(8/3) + 1/3 log(4/9); E r = 2/3 log 6; the objective at the optimum is log Z.
    found = tabular.kl(optimum, reference)
    wanted = 2 / 3 * math.log(8 / 3) + 1 / 3 * math.log(4 / 9)
    torch.testing.assert_close(found, torch.tensor(wanted))
    value = tabular.objective(optimum, reference, rewards, 1.0)
    torch.testing.assert_close(value, torch.tensor(math.log(9 / 4)))
    # Bradley-Terry: 6 to 1.
    torch.testing.assert_close(tabular.preferences(rewards)[0, 1], torch.tensor(6 / 7))


@given(worlds, betas, st.integers(0, 10_000))
def test_no_policy_beats_the_optimum(world: TabularWorld, beta: float, seed: int) -> None:
    given_to = (world.reference_logps, world.rewards, beta)
    best = tabular.objective(world.optimum(beta), *given_to)
    torch.testing.assert_close(best, beta * tabular.log_partition(*given_to))
    for scale in (0.01, 1.0):  # close by, and anywhere
        generator = torch.Generator().manual_seed(seed)
        shift = scale * torch.randn(world.rewards.shape, generator=generator, dtype=torch.float64)
        other = (world.optimum(beta) + shift).log_softmax(-1)
        assert (tabular.objective(other, *given_to) <= best + 1e-9).all()


@given(worlds, betas)
def test_the_optimum_implies_its_reward_up_to_the_partition(
    world: TabularWorld, beta: float
) -> None:
    optimum = world.optimum(beta)
    implied = tabular.implied_rewards(optimum, world.reference_logps, beta)
    log_z = tabular.log_partition(world.reference_logps, world.rewards, beta)
    torch.testing.assert_close(implied + beta * log_z[:, None], world.rewards)
    torch.testing.assert_close(tabular.preferences(implied), world.preferences)


def test_kl_counts_impossible_responses_as_nothing() -> None:
    policy, reference = torch.tensor([1.0, 0.0]).log(), torch.tensor([0.5, 0.5]).log()
    assert tabular.kl(policy, reference).item() == pytest.approx(math.log(2))


def test_the_expected_loss_by_hand() -> None:
    # Margins are +-log 2 at beta 1; the right order weighs 3, the wrong one 1.
    policy, reference = torch.tensor([[2 / 3, 1 / 3]]).log(), torch.tensor([[0.5, 0.5]]).log()
    weights = torch.tensor([[[9.0, 3.0], [1.0, 9.0]]])  # what stands on the diagonal is no pair
    right, wrong = -math.log(2 / 3), -math.log(1 / 3)
    found = tabular.expected_loss(policy, reference, weights, beta=1.0)
    assert found.item() == pytest.approx((3 * right + wrong) / 4)


@pytest.mark.parametrize("beta", [0.1, 0.5, 1.0])
def test_dpo_reaches_the_closed_form_from_twenty_starts(beta: float) -> None:
    world = TabularWorld.example()
    for seed in range(20):
        *_, last = descend(world, beta, steps=100, seed=seed)
        assert last.kl < 1e-3
        worst = tabular.kl(last.logps, world.optimum(beta)).max()
        assert worst < 1e-3  # on every prompt, not only on average


@given(worlds, st.sampled_from(["dpo", "cdpo", "ipo"]), betas, st.integers(0, 100))
def test_descent_never_climbs(world: TabularWorld, loss: str, beta: float, seed: int) -> None:
    """Neither on the population's preferences nor on uneven counts of a few labels."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(0, 9, world.preferences.shape, generator=generator).double()
    counts[0, 0, 1] += 1
    preferences = counts if seed % 2 else None
    steps = descend(world, beta, loss, steps=20, preferences=preferences)
    losses = [found.loss for found in steps]
    assert loss == "ipo" or losses[0] == pytest.approx(math.log(2))
    assert all(after <= before + 1e-12 for before, after in pairwise(losses))


# Azar et al. 2023, section 5: two actions, one always preferred. IPO stops at
# sigmoid(1 / (2 beta)); DPO goes on to 1, ever more slowly.
@pytest.mark.parametrize(
    ("beta", "limit"), [(0.1, 0.993), (0.5, 0.731), (1.0, 0.622), (5.0, 0.525)]
)
def test_ipo_stops_where_its_paper_says_and_dpo_does_not(beta: float, limit: float) -> None:
    always = torch.tensor([[[0.5, 1.0], [0.0, 0.5]]])
    *_, ipo = descend(two_actions(), beta, "ipo", steps=200, preferences=always)
    assert ipo.logps.exp()[0, 0].item() == pytest.approx(limit, abs=0.005)
    steps = descend(two_actions(), beta, "dpo", steps=4000, preferences=always)
    margins = [(found.logps[0, 0] - found.logps[0, 1]).item() for found in steps]
    assert all(before < after for before, after in pairwise(margins))
    assert margins[-1] > math.log(limit / (1 - limit))


IN_TABLES = [  # responses of the enumerable world have no length, and its pairs are no batch
    name
    for name, loss in LOSSES.items()
    if loss.method == "preference" and not loss.needs_lengths and not loss.needs_step
]
# Losses that bend more elsewhere than at margin 0, so that the step which is left open is too long.
STEPS = {"dpop": 1.0, "discopop": 1.0}


@pytest.mark.parametrize("loss", IN_TABLES)
def test_every_loss_of_pairs_can_be_descended(loss: str) -> None:
    first, *_, last = descend(TabularWorld.example(), 0.5, loss, 10, STEPS.get(loss))
    assert last.loss < first.loss


def test_what_can_not_be_is_refused() -> None:
    two = ("a", "b")
    with pytest.raises(WorkbenchError, match=r"\[1, 2\] responses do not fit"):
        TabularWorld(("x", "y"), (two, ("a",)), torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(WorkbenchError, match=r"rewards has shape \(2,\); accepted: \(1, 2\)"):
        TabularWorld(("x",), (two,), torch.zeros(1, 2), torch.zeros(2))
    with pytest.raises(WorkbenchError, match="rewards holds nan; accepted: finite numbers"):
        TabularWorld(("x",), (two,), torch.zeros(1, 2), torch.tensor([[0.0, math.nan]]))
    with pytest.raises(WorkbenchError, match="beta=0 is not accepted"):
        TabularWorld.example().optimum(0)
    with pytest.raises(WorkbenchError, match="loss='dop' is unknown; accepted: dpo"):
        next(descend(two_actions(), 1.0, "dop"))
    with pytest.raises(WorkbenchError, match="loss='kto' is unknown for method preference"):
        next(descend(two_actions(), 1.0, "kto"))
    with pytest.raises(WorkbenchError, match="loss='aot' sorts the pairs of a batch"):
        next(descend(two_actions(), 1.0, "aot", lr=1.0))
    for loss in ("dpo_norm", "simpo"):
        with pytest.raises(WorkbenchError, match="chosen_lengths is missing"):
            next(descend(two_actions(), 1.0, loss, lr=1.0))
