"""Over-optimisation of a learned reward (Gao et al. 2022), with every number exact.

A world of 256 answers has a gold reward. A proxy is fitted to labels that Bradley-Terry
draws from it. Best-of-n takes the answer with the highest proxy of n; DPO on the same labels ends,
for each beta, at pi_ref exp(proxy / beta), normalised. Both are computed in full, not sampled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor

from workbench.core.losses import PairLogps, find_loss
from workbench.core.tabular import TabularWorld, expected, kl, optimal_logps
from workbench.runs.papers.claims import Claim, above, equals

ANSWERS, LABELS, STEPS, LR = 256, (500, 2000), 300, 0.1
DRAWN = tuple(2**power for power in range(13))  # n of best-of-n
BETAS = (10.0, 5.0, 3.0, 2.0, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)


def measure(worlds: int = 800) -> pd.DataFrame:
    """Columns labels, world, method, strength (n or beta), kl in nats, gold and proxy reward."""
    world = TabularWorld.random(worlds, ANSWERS, seed=1)
    parts = []
    for labels in LABELS:
        proxy = fit_proxy(*draw_labels(world, labels), ANSWERS)
        proxy = proxy - expected(world.reference_logps, proxy)[:, None]
        best = trace(world, proxy, "best-of-n", DRAWN, best_of_n)
        dpo = trace(world, proxy, "dpo", BETAS, optimal_logps)
        parts += [part.assign(labels=labels) for part in (best, dpo)]
    return pd.concat(parts, ignore_index=True)


def draw_labels(world: TabularWorld, labels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Winners and losers (world, label): two answers of the reference, compared by the gold reward.

    Both may be the same answer, which says nothing and costs nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    reference = world.reference_logps.exp()
    drawn = torch.multinomial(reference, 2 * labels, replacement=True, generator=generator)
    one, other = drawn.chunk(2, dim=1)
    difference = world.rewards.gather(1, one) - world.rewards.gather(1, other)
    coins = torch.rand(difference.shape, generator=generator, dtype=difference.dtype)
    wins = coins < difference.sigmoid()
    return torch.where(wins, one, other), torch.where(wins, other, one)


def fit_proxy(winners: Tensor, losers: Tensor, answers: int) -> Tensor:
    """(world, answer) rewards that fit the labels (world, label): the DPO loss at beta 1.

    The log-ratio of a DPO policy at beta 1 is this reward, so one fit serves both methods.
    """
    proxy = torch.zeros(len(winners), answers, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([proxy], lr=LR)
    zero = torch.zeros(winners.shape, dtype=torch.float64)
    for _ in range(STEPS):
        pairs = PairLogps(proxy.gather(1, winners), proxy.gather(1, losers), zero, zero)
        loss = find_loss("dpo")(pairs, beta=1.0).mean(1).sum()  # a world's labels are its own
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return proxy.detach()


def best_of_n(reference_logps: Tensor, scores: Tensor, n: float) -> Tensor:
    """Log-probabilities of the best of `n` independent answers, (row, answer) each.

    The best is at most y where all n are: P(at most y)^n less P(below y)^n. Answers of one score
    share that by their probability under the reference.
    """
    order = scores.argsort(-1)
    ranked, masses = scores.gather(-1, order), reference_logps.exp().gather(-1, order)
    upto = masses.cumsum(-1)
    upto = upto / upto[..., -1:]
    last = torch.searchsorted(ranked, ranked, right=True) - 1  # of those with the same score
    before = torch.searchsorted(ranked, ranked) - 1
    high = upto.gather(-1, last)
    low = upto.gather(-1, before.clamp(min=0)).masked_fill(before < 0, 0.0)
    chances = (high**n - low**n) / (high - low)
    return (torch.empty_like(chances).scatter(-1, order, chances)).log() + reference_logps


def trace(
    world: TabularWorld,
    proxy: Tensor,
    method: str,
    strengths: tuple[float, ...],
    policy: Callable[[Tensor, Tensor, float], Tensor],
) -> pd.DataFrame:
    """Where `policy(reference, proxy, strength)` stands for each strength, one row per world."""
    parts = []
    for strength in strengths:
        logps = policy(world.reference_logps, proxy, strength)
        numbers = {
            "kl": kl(logps, world.reference_logps),
            "gold": expected(logps, world.rewards),
            "proxy": expected(logps, proxy),
        }
        part = pd.DataFrame({name: values.numpy() for name, values in numbers.items()})
        parts.append(part.assign(strength=strength, world=range(len(part)), method=method))
    return pd.concat(parts, ignore_index=True)


def claims(frame: pd.DataFrame) -> list[Claim]:
    """KL of best-of-n by its formula; a gold reward that rises, then falls while the proxy rises.

    The formula holds where answers don't share a score. The peak is chosen in one half of the
    worlds and the fall measured in the other: the highest of several means is too high by chance.
    """
    few, many = (frame[frame.labels == labels] for labels in LABELS)
    distance = many[many.method == "best-of-n"].groupby("strength").kl.mean()
    found = [
        equals(f"best-of-{n}: KL, nats", math.log(n) - (n - 1) / n, distance[n], 0.01)
        for n in (4, 16, 64)
    ]
    for method in ("best-of-n", "dpo"):
        gold, proxy = (paths(few, method, column) for column in ("gold", "proxy"))
        peak = gold[::2].mean().argmax()
        start, top, end = (gold[1::2].iloc[:, at] for at in (0, peak, -1))
        beyond = proxy[1::2].iloc[:, -1] - proxy[1::2].iloc[:, peak]
        found += [
            above(f"{method}: rise of the gold reward to its peak", list(top - start)),
            above(f"{method}: its fall from there to the end", list(top - end)),
            above(f"{method}: rise of the proxy meanwhile", list(beyond)),
        ]
    peaks = [paths(part, "best-of-n", "gold").max(axis=1) for part in (few, many)]
    words = f"best-of-n: peak with {LABELS[1]} labels minus peak with {LABELS[0]}"
    return [*found, above(words, list(peaks[1] - peaks[0]))]


def paths(frame: pd.DataFrame, method: str, column: str) -> pd.DataFrame:
    """One row per world, one column per strength, from near the reference to far."""
    found = frame[frame.method == method].pivot(index="world", columns="strength", values=column)
    return found if method == "best-of-n" else found.iloc[:, ::-1]
