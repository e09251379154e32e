"""RLHF in its two exact stages beside DPO on the same pairs: where they agree, and where not.

Stage one fits a reward by maximum likelihood, stage two takes the policy that is optimal for it.
Every world has its own seed; nothing else is random but where a fit begins, where that is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from workbench.core.tabular import (
    TabularWorld,
    expected_loss,
    fit_dpo,
    fit_rewards,
    kl,
    optimal_logps,
    reward_loss,
)
from workbench.runs.exact.exact_sweep import sample_pairs

PROMPTS, ANSWERS = 3, 4
SPREADS = (0.0, 0.25, 0.5, 1.0, 2.0)
CHANCES = tuple(10.0**-power for power in range(1, 9))
CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
BUDGETS = (1, 3, 10, 30, 100, 300, 1000)
TWO_STAGES, FROM_REFERENCE, FROM_ELSEWHERE = "two stages", "DPO", "DPO from elsewhere"
ASCENT = "two stages, both in steps"


def two_stages_and_dpo(
    seeds: Sequence[int], betas: Sequence[float], pairs: int = 3000
) -> pd.DataFrame:
    """Both ways on all pairs of a world and on `pairs` drawn for each prompt.

    Returns:
        Columns seed, beta, pairs ("all" or their number), apart: the largest difference of two
        log-probabilities, and kl: of DPO's policy to the reference, in nats.

    Raises:
        WorkbenchError: so few `pairs` that some response only won, see `fit_rewards`.
    """
    rows = []
    for seed in seeds:
        world = _world(seed)
        for name, weights in {
            "all": world.preferences,
            str(pairs): sample_pairs(world, pairs, seed),
        }.items():
            rewards = fit_rewards(weights)
            for beta in betas:
                ours = optimal_logps(world.reference_logps, rewards, beta)
                theirs = fit_dpo(world.reference_logps, weights, beta)
                apart = (ours - theirs).abs().max().item()
                moved = kl(theirs, world.reference_logps).mean().item()
                rows.append((seed, beta, name, apart, moved))
    return pd.DataFrame(rows, columns=["seed", "beta", "pairs", "apart", "kl"])


def broken_equality(seeds: Sequence[int], beta: float = 0.5) -> dict[str, pd.DataFrame]:
    """The tables of `never_compared`, `off_support`, `small_family` and `finite_budget`."""
    breaks = (never_compared, off_support, small_family, finite_budget)
    return {function.__name__: function(seeds, beta) for function in breaks}


def never_compared(
    seeds: Sequence[int], beta: float, spreads: Sequence[float] = SPREADS
) -> pd.DataFrame:
    """The last response of each prompt is in no pair; the reward starts at normal random numbers.

    Returns:
        Columns seed, spread: standard deviation of the start, kl: KL(two stages || DPO) in nats,
        and loss_apart: how far apart the DPO losses of both policies are.
    """
    rows = []
    for seed in seeds:
        world, weights = _world(seed), _without_last(_world(seed).preferences)
        theirs = fit_dpo(world.reference_logps, weights, beta)
        for spread in spreads:
            rewards = fit_rewards(weights, start=spread * _normal(seed))
            ours = optimal_logps(world.reference_logps, rewards, beta)
            losses = (
                expected_loss(logps, world.reference_logps, weights, beta=beta)
                for logps in (ours, theirs)
            )
            apart = abs(next(losses) - next(losses)).item()
            rows.append((seed, spread, kl(ours, theirs).mean().item(), apart))
    return pd.DataFrame(rows, columns=["seed", "spread", "kl", "loss_apart"])


def off_support(
    seeds: Sequence[int], beta: float, chances: Sequence[float] = CHANCES
) -> pd.DataFrame:
    """The last response is in no pair, and the reference hardly gives it.

    The reward starts at standard normal numbers. DPO starts at the reference, or elsewhere, at
    standard normal logits.

    Returns:
        Columns seed, chance: the reference's probability of that response, fit, probability: the
        one that the fitted policy gives to it, mean over prompts, and loss: the DPO loss.
    """
    rows = []
    for seed in seeds:
        world, weights = _world(seed), _without_last(_world(seed).preferences)
        rewards = fit_rewards(weights, start=_normal(seed))
        for chance in chances:
            reference = world.reference_logps[:, :-1].log_softmax(-1) + math.log1p(-chance)
            rare = torch.full_like(reference[:, :1], math.log(chance))
            reference = torch.cat([reference, rare], -1)
            elsewhere = _normal(seed) - reference
            policies = {
                TWO_STAGES: optimal_logps(reference, rewards, beta),
                FROM_REFERENCE: fit_dpo(reference, weights, beta),
                FROM_ELSEWHERE: fit_dpo(reference, weights, beta, start=elsewhere),
            }
            for name, logps in policies.items():
                loss = expected_loss(logps, reference, weights, beta=beta).item()
                rows.append((seed, chance, name, logps[:, -1].exp().mean().item(), loss))
    return pd.DataFrame(rows, columns=["seed", "chance", "fit", "probability", "loss"])


def small_family(
    seeds: Sequence[int], beta: float, correlations: Sequence[float] = CORRELATIONS
) -> pd.DataFrame:
    """The reward is one weight times one feature; DPO's policy is free, or has the same family.

    Returns:
        Columns seed, correlation: of the feature with the true reward, kl: KL(two stages || free
        DPO) in nats, same_family: the same with a policy pi_ref exp(weight * feature).
    """
    rows = []
    for seed in seeds:
        world = _world(seed)
        reference, weights = world.reference_logps, world.preferences
        free = fit_dpo(reference, weights, beta)
        for correlation in correlations:
            features = _feature(world.rewards, correlation, seed)[..., None]
            ours = optimal_logps(reference, fit_rewards(weights, features), beta)
            same = fit_dpo(reference, weights, beta, features)
            distances = [kl(ours, logps).mean().item() for logps in (free, same)]
            rows.append((seed, correlation, *distances))
    return pd.DataFrame(rows, columns=["seed", "correlation", "kl", "same_family"])


def finite_budget(
    seeds: Sequence[int], beta: float, budgets: Sequence[int] = BUDGETS, lr: float = 4.0
) -> pd.DataFrame:
    """Plain gradient steps of one length: on the reward, on the policy, or on DPO's policy.

    Returns:
        Columns seed, steps: of each fit, fit, and kl: KL(policy || optimum) in nats, the optimum
        being that of the true reward, since the pairs are those of the whole population.
    """
    worlds = [_world(seed) for seed in seeds]  # side by side, as prompts of one world
    reference, weights, optimum = (
        torch.cat(parts)
        for parts in zip(
            *((one.reference_logps, one.preferences, one.optimum(beta)) for one in worlds),
            strict=True,
        )
    )
    rewards = _steps(lambda table: reward_loss(table, weights), reference * 0, lr, budgets)
    logits = _steps(
        lambda table: expected_loss(table.log_softmax(-1), reference, weights, beta=beta),
        reference,
        lr,
        budgets,
    )
    rows = []
    for steps, reward, logit in zip(budgets, rewards, logits, strict=True):
        policies = {
            TWO_STAGES: optimal_logps(reference, reward, beta),
            ASCENT: ascend(reference, reward, beta, lr, steps),
            FROM_REFERENCE: logit.log_softmax(-1),
        }
        for name, logps in policies.items():
            distances = kl(logps, optimum).reshape(len(worlds), -1).mean(-1).tolist()
            rows += [(seed, steps, name, kl_) for seed, kl_ in zip(seeds, distances, strict=True)]
    return pd.DataFrame(rows, columns=["seed", "steps", "fit", "kl"])


def ascend(reference: Tensor, rewards: Tensor, beta: float, lr: float, steps: int) -> Tensor:
    """Plain gradient ascent on the objective from the reference, (prompt, response)."""
    logps = reference
    for _ in range(steps):
        gains = rewards - beta * (logps - reference)
        slope = logps.exp() * (gains - (logps.exp() * gains).sum(-1, keepdim=True))
        logps = (logps + lr * slope).log_softmax(-1)
    return logps


def _steps(
    loss: Callable[[Tensor], Tensor], start: Tensor, lr: float, budgets: Sequence[int]
) -> Iterator[Tensor]:
    """Where gradient descent stands after each of `budgets` steps; the loss is a mean over prompts,
    and a step is that of each prompt's own."""
    slope, at, done = torch.func.grad(loss), start, 0
    for budget in budgets:
        for _ in range(budget - done):
            at = at - lr * len(start) * slope(at)
        done = budget
        yield at


def _world(seed: int) -> TabularWorld:
    return TabularWorld.random(PROMPTS, ANSWERS, seed)


def _normal(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 1000)
    return torch.randn(PROMPTS, ANSWERS, generator=generator, dtype=torch.float64)


def _without_last(preferences: Tensor) -> Tensor:
    """The same without pairs that hold the last response."""
    left = preferences.clone()
    left[:, -1] = left[:, :, -1] = 0
    return left


def _feature(rewards: Tensor, correlation: float, seed: int) -> Tensor:
    """(prompt, response) of mean 0 per prompt, with this correlation with the centred rewards."""
    truth, noise = (table - table.mean(-1, keepdim=True) for table in (rewards, _normal(seed)))
    noise = noise - truth * (noise * truth).sum() / truth.square().sum()
    return correlation * truth / truth.norm() + math.sqrt(1 - correlation**2) * noise / noise.norm()
