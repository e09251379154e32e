"""The token tree: Q* and V* by hand and by enumeration, DPO's implicit rewards against them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from workbench.core import tabular
from workbench.core.tabular import TokenTree, completion_sums
from workbench.errors import WorkbenchError

SEEDS = range(4)
TREES = [TokenTree.example(), *(TokenTree.random(3, 3, seed) for seed in SEEDS)]
BETAS = [0.3, 1.0]


def assert_levels_close(ours: tuple, theirs: tuple, tolerance: float = 1e-9) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() < tolerance


def test_the_recursion_by_hand() -> None:
    # Two tokens, depth 2, beta 1, all references 1/2. Paid by the last token: aa log 3, else 0.
    rewards = (torch.zeros(2), torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]))
    tree = TokenTree(("a", "b"), (torch.zeros(2), torch.zeros(2, 2)), rewards)
    q, v = tree.values(1.0)
    # V(a) = log((3 + 1) / 2) = log 2, V(b) = 0; the root: log((2 + 1) / 2).
    torch.testing.assert_close(q[0], torch.tensor([math.log(2), 0.0], dtype=torch.float64))
    torch.testing.assert_close(v[1], q[0])
    assert v[0].item() == pytest.approx(math.log(1.5))
    # pi*(a) = 1/2 * 2 / (3/2) = 2/3, though "a" itself earns nothing.
    assert tree.optimum(1.0)[0].exp()[0].item() == pytest.approx(2 / 3)
    assert tree.advantages(1.0)[0][0].item() == pytest.approx(math.log(4 / 3))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("tree", TREES)
def test_values_are_those_of_all_ways_to_go_on(tree: TokenTree, beta: float) -> None:
    """V*(s) = beta log E_ref exp(reward to come / beta), by listing what can come."""
    _, values = tree.values(beta)
    for prefix in [(), (1,), (2, 0)]:
        parts = []
        for rest in product(range(3), repeat=3 - len(prefix)):
            whole, logp, reward = prefix + rest, 0.0, 0.0
            for t in range(len(prefix), 3):
                logp += tree.reference_logps[t][whole[: t + 1]].item()
                reward += tree.rewards[t][whole[: t + 1]].item()
            parts.append(logp + reward / beta)
        wanted = beta * torch.tensor(parts, dtype=torch.float64).logsumexp(0)
        torch.testing.assert_close(values[len(prefix)][prefix], wanted)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("tree", TREES)
def test_the_log_ratio_of_a_token_is_its_optimal_advantage(tree: TokenTree, beta: float) -> None:
    policy = tree.optimum(beta)  # from the sequence level, without Q* and V*
    for level in policy:
        torch.testing.assert_close(level.logsumexp(-1), torch.zeros_like(level[..., 0]))
    assert_levels_close(tree.token_rewards(policy, beta), tree.advantages(beta))
    # The paper's convention: with beta log pi_ref in the reward, pi* = exp((Q - V) / beta).
    q, v = tree.values(beta)
    with_reference = [one + beta * two for one, two in zip(q, tree.reference_logps, strict=True)]
    theirs = tuple(
        (one - two[..., None]) / beta for one, two in zip(with_reference, v, strict=True)
    )
    assert_levels_close(theirs, policy)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("tree", TREES)
def test_advantages_sum_to_the_reward_minus_the_value_of_the_root(
    tree: TokenTree, beta: float
) -> None:
    (root, *_), rewards = tree.values(beta)[1], completion_sums(tree.rewards)
    torch.testing.assert_close(completion_sums(tree.advantages(beta)), rewards - root)
    # That value is beta log Z, the most that the objective can be.
    reference = completion_sums(tree.reference_logps)
    best = completion_sums(tree.optimum(beta))
    torch.testing.assert_close(root, tabular.objective(best, reference, rewards, beta))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("tree", TREES)
def test_dpo_learns_them_from_whole_completions(tree: TokenTree, beta: float) -> None:
    found = tree.token_rewards(tree.fit_dpo(beta), beta)
    assert_levels_close(found, tree.advantages(beta), 1e-6)


def test_gradient_descent_comes_closer() -> None:
    tree = TREES[0]
    first, *_, last = tree.descend(1.0, 60, lr=8.0)
    torch.testing.assert_close(first[0], tree.reference_logps[0])
    wanted, losses = tree.advantages(1.0)[1], [tree.dpo_loss(p, 1.0) for p in (first, last)]
    apart = [(tree.token_rewards(p, 1.0)[1] - wanted).abs().max() for p in (first, last)]
    assert losses[0].item() == pytest.approx(math.log(2))
    assert losses[1] < losses[0]
    assert apart[1] < 0.1 * apart[0]


@pytest.mark.parametrize("tree", TREES)
def test_they_are_not_the_credit_that_a_token_earned(tree: TokenTree) -> None:
    """Three trees with the same rewards of completions, and what tells them apart."""
    late = tree.paid_at_end()
    torch.testing.assert_close(completion_sums(late.rewards), completion_sums(tree.rewards))
    assert (late.rewards[0] - tree.rewards[0]).abs().max() > 0.1
    # Paid at once or at the end: one and the same implicit reward, so it can be neither.
    assert_levels_close(late.advantages(0.5), tree.advantages(0.5))
    # Other references, other implicit rewards of the same tokens.
    other = replace(tree, reference_logps=tuple(-table for table in tree.reference_logps))
    assert (other.advantages(0.5)[0] - tree.advantages(0.5)[0]).abs().max() > 0.05


def test_in_the_example_not_has_a_price_and_earns_nothing() -> None:
    tree, words = TokenTree.example(), {"not good good": 0.0, "not bad good": 2.0, "bad not bad": 0}
    rewards = dict(zip(tree.completions, completion_sums(tree.rewards).tolist(), strict=True))
    assert {text: rewards[text] for text in words} == words
    not_ = 0
    prices = [tree.advantages(0.5)[t][(not_,) * (t + 1)].item() for t in range(3)]
    assert [tree.rewards[t][(not_,) * (t + 1)].item() for t in range(3)] == [0, 0, 0]
    assert prices == [pytest.approx(p, abs=0.005) for p in (-0.37, -0.48, -0.60)]


def test_levels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        WorkbenchError, match=r"rewards has levels of shape \[\(3,\)\]; accepted: \["
    ):
        TokenTree(("a", "b"), (torch.zeros(2),), (torch.zeros(3),))
    with pytest.raises(WorkbenchError, match="beta=0 is not accepted"):
        TREES[0].token_rewards(TREES[0].reference_logps, 0)
