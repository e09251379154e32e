"""Displacement without a network: exact figures at the optimum, and slopes against gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from workbench.core import tabular
from workbench.core.displacement import LogLinearWorld, pair_logratios, pair_probabilities
from workbench.core.tabular import TabularWorld
from workbench.errors import WorkbenchError

numbers = st.integers(0, 10_000)


def random_world(seed: int, free_logits: bool = False) -> LogLinearWorld:
    """Four answers with normal reference logits, and as normal features or none that are shared."""
    generator = torch.Generator().manual_seed(seed)
    features, logits = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 2), (4,))
    )
    features = torch.eye(4, dtype=torch.float64) if free_logits else features
    return LogLinearWorld(("a", "b", "c", "d"), features, logits)


# -- the optimum -----------------------------------------------------------------------------------


def test_pairs_and_log_ratios_by_hand() -> None:
    # pi_ref = (1/2, 1/4, 1/4); BT: all alike but the first, which beats either 3 to 1.
    # Pairs of a and b: 1/8 drawn as (a, b) and as much as (b, a), so a wins 2 * 1/8 * 3/4 = 3/16
    # and b 1/16; c as b; b over c 2 * 1/16 * 1/2 = 1/16. The sum is 5/8.
    reference = torch.tensor([[0.5, 0.25, 0.25]]).log()
    world = TabularWorld(("x",), (("a", "b", "c"),), reference, [[math.log(3), 0.0, 0.0]])
    pairs = pair_probabilities(world)
    wanted = torch.tensor([[[0, 3, 3], [1, 0, 1], [1, 1, 0]]], dtype=torch.float64) / 10
    torch.testing.assert_close(pairs, wanted)
    # beta 1: pi* proportional to (3/2, 1/4, 1/4), so the log-ratios are log 3/2 and twice log 1/2.
    # Chosen: a in 6 of 10, b or c in 4; rejected: a in 2 of 10, b or c in 8.
    up, down = math.log(1.5), math.log(0.5)
    found = pair_logratios(world, beta=1.0)
    wanted = torch.tensor([[0.6 * up + 0.4 * down, 0.2 * up + 0.8 * down]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("beta", "chosen"), [(2, 0.09), (1, 0.03), (0.5, -0.40), (0.2, -2.78)])
def test_the_chosen_falls_at_the_exact_optimum_of_the_example(beta: float, chosen: float) -> None:
    sides = pair_logratios(TabularWorld.example(), beta).mean(0)
    assert round(sides[0].item(), 2) == chosen
    assert sides[1] < min(sides[0], 0)


@given(st.builds(TabularWorld.random, st.just(1), st.integers(2, 5), numbers))
def test_minus_kl_is_the_mean_of_both_sides_and_not_of_the_chosen(world: TabularWorld) -> None:
    """For independent draws from the reference, two equal ones included."""
    reference, optimum = world.reference_logps[0], world.optimum(0.5)[0]
    # Either answer of a pair may be drawn first, hence the 2; the sum is 1.
    drawn = 2 * reference.exp()[:, None] * reference.exp() * world.preferences[0]
    logratios = optimum - reference
    chosen, rejected = (drawn.sum(axis) @ logratios for axis in (1, 0))
    torch.testing.assert_close((chosen + rejected) / 2, -tabular.kl(reference, optimum))
    assert chosen > rejected


# -- shared features -------------------------------------------------------------------------------


@given(numbers, st.floats(-3, 3), st.booleans())
def test_slopes_are_the_changes_along_the_gradient_of_dpo(
    seed: int, scale: float, free: bool
) -> None:
    world = random_world(seed, free)
    weights = scale * torch.linspace(-1, 1, world.features.shape[1], dtype=torch.float64)
    weights.requires_grad_()
    logps = world.logps(weights)
    (step,) = torch.autograd.grad(-dpo(world, logps, beta=0.5), weights, retain_graph=True)
    wanted = [torch.autograd.grad(logp, weights, retain_graph=True)[0] @ step for logp in logps]
    margin = (weights @ world.direction).item()
    force = 0.5 / (1 + math.exp(0.5 * margin))
    torch.testing.assert_close(force * world.slopes(logps.detach()), torch.stack(wanted).detach())


def dpo(world: LogLinearWorld, logps: Tensor, beta: float) -> Tensor:
    """The loss of the world's pair."""
    weights = torch.zeros(len(logps), len(logps), dtype=torch.float64)
    weights[world.chosen, world.rejected] = 1
    return tabular.expected_loss(logps, world.reference_logps, weights, beta=beta)


def test_the_descent_is_the_one_by_automatic_gradients() -> None:
    world = LogLinearWorld.example(0.3)
    logps, losses = world.descend(beta=0.4, lr=2.0, steps=20)
    weights = torch.zeros(2, dtype=torch.float64)
    for step in range(21):
        weights.requires_grad_()
        now = world.logps(weights)
        loss = dpo(world, now, beta=0.4)
        torch.testing.assert_close(logps[step], now.detach())
        torch.testing.assert_close(losses[step], loss.detach())
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - 2.0 * gradient).detach()


def test_no_over_never_raises_yes() -> None:
    world = LogLinearWorld.example()
    logps, losses = world.descend()
    before, after = logps[[0, -1]].exp().tolist()  # No, Never, Perhaps, Yes
    assert before == pytest.approx([0.45, 0.40, 0.14, 0.01])
    assert after[0] < 0.01
    assert after[3] > 0.85
    assert losses[0].item() == pytest.approx(math.log(2))
    assert (losses.diff() < 0).all()  # and the loss sees nothing but success
    assert (logps[:, 0] - logps[:, 1]).diff().min() > 0
    assert (logps[:, 0].diff() < 0).all()  # the chosen falls from the first step on


@pytest.mark.parametrize(("mildness", "first", "end"), [(0.1, -1, -1), (0.5, 1, -1), (1.2, 1, 1)])
def test_the_sign_of_the_slope_says_how_the_chosen_begins(
    mildness: float, first: int, end: int
) -> None:
    """It says nothing about the end: in between, the chosen rises first and falls later."""
    world = LogLinearWorld.example(mildness)
    logps, _ = world.descend()
    change = logps[:, 0] - logps[0, 0]
    assert world.slopes(logps[0])[0].sign() == first
    assert change[1].sign() == first
    assert change[-1].sign() == end


@given(numbers)
def test_with_free_logits_the_chosen_of_a_pair_only_rises(seed: int) -> None:
    """And the others keep their proportions: no third answer gains what the rejected one loses."""
    world = random_world(seed, free_logits=True)
    logps, _ = world.descend(beta=1.0, lr=0.5, steps=20)
    for row in logps:
        chosen, rejected = row[:2].exp()
        torch.testing.assert_close(world.slopes(row)[0], 1 - chosen + rejected)
    assert (logps[:, 0].diff() > 0).all()
    others = logps[:, 2] - logps[:, 3]
    torch.testing.assert_close(others, others[:1].expand_as(others))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": torch.zeros(3, 2)}, r"features \(3, 2\) and reference_logps \(4,\) do not"),
        ({"reference_logps": torch.zeros(3)}, r"reference_logps \(3,\) do not fit 4 responses"),
        ({"chosen": 1}, "chosen=1 and rejected=1 are not accepted: two different indices from 0"),
        ({"rejected": 4}, "rejected=4 are not accepted: two different indices from 0 to 3"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, message: str) -> None:
    given_to = {"responses": ("a", "b", "c", "d"), "features": torch.zeros(4, 2),
                "reference_logps": torch.zeros(4)}  # fmt: skip
    with pytest.raises(WorkbenchError, match=message):
        LogLinearWorld(**(given_to | changes))
    with pytest.raises(WorkbenchError, match="beta"):
        LogLinearWorld.example().descend(beta=0.0)
