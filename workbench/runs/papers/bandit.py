"""On-policy data and negative gradients, in a bandit (Tajwar et al. 2024, section 4.1).

A hundred arms, reward exp(-((arm - peak) / 10)^2), and a reference that is largest around arm 20.
In each round ten answers are drawn for each of ten copies of the prompt, by the reference (offline)
or by the policy as it is now (on-policy), and the policy takes fifteen steps of Adam on them.

* best_of_n raises the likelihood of the best of each ten;
* contrastive is DPO with the best as chosen and each other one of the ten as rejected;
* contrastive_worst is DPO with the worst of the ten alone as rejected.

The paper's policy is a network of two hidden layers; here it is a table of logits.
"""

from __future__ import annotations

import math
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from workbench.core.losses import PairLogps, find_loss
from workbench.core.tabular import expected, kl
from workbench.runs.papers.claims import Claim, above, alike

ARMS, PEAKS = 100, (70, 20)
METHODS = (
    ("best_of_n", "offline"),
    ("best_of_n", "on-policy"),
    ("contrastive", "offline"),
    ("contrastive", "on-policy"),
    ("contrastive_worst", "offline"),
)
PROMPTS, ANSWERS, STEPS, LR, BETA = 10, 10, 15, 0.03, 0.1


def reference_logps() -> Tensor:
    """(arm,) a Cauchy variable around -0.7, of scale 0.4, pressed into (-1, 1) by tanh and counted
    in a hundred equal bins, as in the paper's code: away from both ends the mode is near arm 20,
    and arms around 70 are rare."""
    edges = torch.linspace(-1, 1, ARMS + 1, dtype=torch.float64)
    cumulated = 0.5 + torch.atan((torch.atanh(edges) + 0.7) / 0.4) / math.pi
    return cumulated.diff().log()


def rewards(peak: int) -> Tensor:
    """(arm,) from 0 to 1, largest at `peak`."""
    arms = torch.arange(ARMS, dtype=torch.float64)
    return torch.exp(-(((arms - peak) / 10) ** 2))


def measure(seeds: int = 10, rounds: int = 100) -> pd.DataFrame:
    """Columns peak, method, data, seed, round, reward and kl, both exact."""
    parts = [
        train(peak, method, data, seeds, rounds).assign(peak=peak, method=method, data=data)
        for peak, (method, data) in product(PEAKS, METHODS)
    ]
    return pd.concat(parts, ignore_index=True)


def train(peak: int, method: str, data: str, seeds: int, rounds: int) -> pd.DataFrame:
    """All seeds at once; columns seed, round, reward, kl, round 0 included."""
    generator = torch.Generator().manual_seed(0)
    reference, reward = reference_logps().expand(seeds, ARMS), rewards(peak).expand(seeds, ARMS)
    logits = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=LR)
    rows = []
    for number in range(rounds + 1):
        policy = logits.detach().log_softmax(-1)
        reached = zip(
            expected(policy, reward).tolist(), kl(policy, reference).tolist(), strict=True
        )
        rows += [(seed, number, *numbers) for seed, numbers in enumerate(reached)]
        source = policy if data == "on-policy" else reference
        drawn = torch.multinomial(
            source.exp(), PROMPTS * ANSWERS, replacement=True, generator=generator
        ).reshape(seeds * PROMPTS, ANSWERS)
        answers = sorted_by_reward(drawn, rewards(peak)).reshape(seeds, PROMPTS, ANSWERS)
        for _ in range(STEPS):
            losses = answer_losses(logits.log_softmax(-1), reference, answers, method)
            optimizer.zero_grad()
            losses.mean((1, 2)).sum().backward()  # no seed's gradient depends on another seed
            optimizer.step()
    return pd.DataFrame(rows, columns=["seed", "round", "reward", "kl"])


def sorted_by_reward(answers: Tensor, reward: Tensor) -> Tensor:
    """(row, answer) arms -> the same, the best one first."""
    return answers.gather(1, reward[answers].argsort(1, descending=True))


def answer_losses(policy: Tensor, reference: Tensor, answers: Tensor, method: str) -> Tensor:
    """(seed, prompt, pair): the losses of answers (seed, prompt, answer), the best one first.

    `policy` and `reference` are log-probabilities (seed, arm).
    """
    ours, theirs = (
        logps.gather(1, answers.flatten(1)).reshape(answers.shape) for logps in (policy, reference)
    )
    best = slice(0, 1)
    if method == "best_of_n":
        return -ours[..., best]
    rejected = slice(-1, None) if method == "contrastive_worst" else slice(1, None)
    pairs = PairLogps(
        ours[..., best], ours[..., rejected], theirs[..., best], theirs[..., rejected]
    )
    return find_loss("dpo")(pairs, beta=BETA)


def claims(frame: pd.DataFrame) -> list[Claim]:
    """Each method against offline best-of-n, far from the data and near it."""
    ends = frame[frame["round"] == frame["round"].max()]
    by_seed = ends.pivot(index="seed", columns=["peak", "method", "data"], values="reward")

    def gains(peak: int, method: str, data: str) -> list[float]:
        gain = by_seed[peak, method, data] - by_seed[peak, "best_of_n", "offline"]
        return list(gain.to_numpy())

    others = [method for method in METHODS if method != ("best_of_n", "offline")]

    def words(peak: int, method: str, data: str) -> str:
        return f"{data} {method.replace('_', '-')} minus offline best-of-n, peak at {peak}: reward"

    return [
        above(words(peak, *method), gains(peak, *method))
        if peak == PEAKS[0]
        else alike(words(peak, *method), gains(peak, *method), 0.1)
        for peak in PEAKS
        for method in others
    ]
