"""DPO learns margins better than rankings (Chen et al. 2024).

A pair is ranked right where the policy itself finds the chosen text more likely than the rejected,
and its margin is right where the policy has moved towards the chosen one, compared with the
reference. A pair that the reference ranks wrongly by c nats is ranked right exactly when its loss
is below -log sigmoid(beta c).
"""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import torch

from workbench.core.losses import log_sigmoid
from workbench.core.tabular import TabularWorld, descend
from workbench.models.load import Model
from workbench.runs.papers.claims import Claim, above, equals
from workbench.runs.papers.reviews_runs import train, worlds
from workbench.train.base_model import tiny_base
from workbench.train.config import TrainConfig

BETA, GAP = 0.1, 20.0
ALWAYS_FIRST = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)


def measure(
    seeds: int = 5, pairs: int = 2048, held_out: int = 128, base: Model | None = None
) -> pd.DataFrame:
    """One row per held-out pair of each seed: `seed`, `beta`, `loss`, and in nats `reference` and
    `policy`, chosen minus rejected log-probability under each."""
    base, parts = base or tiny_base(), []
    for seed, world in enumerate(worlds(seeds, pairs=pairs)):
        config = TrainConfig(beta=BETA, held_out=held_out, samples=0, eval_every=0, world=world)
        found = train(config, base).held_out_frame()
        policy = found["logps/chosen"] - found["logps/rejected"]
        margin = found["logratios/chosen"] - found["logratios/rejected"]
        columns = {"reference": policy - margin, "policy": policy, "loss": found["loss"]}
        parts.append(pd.DataFrame(columns).assign(seed=seed, beta=config.beta))
    return pd.concat(parts, ignore_index=True)


def flip_loss(beta: float, gap: float) -> float:
    """The loss that a pair must reach to be ranked right, where the reference is wrong by `gap`.

    >>> round(flip_loss(0.1, 20.0), 3)
    0.127
    """
    return -log_sigmoid(torch.tensor(beta * gap, dtype=torch.float64)).item()


def loss_at_flip(beta: float, gap: float) -> tuple[float, float]:
    """The losses of a single pair in the steps before and after the policy ranks it right.

    Plain gradient descent on a table of two answers, of which the reference prefers the rejected
    one by `gap` nats.
    """
    reference = torch.tensor([[0.0, gap]], dtype=torch.float64)
    world = TabularWorld(("?",), (("chosen", "rejected"),), reference, torch.zeros(1, 2))
    before = math.nan
    for at in descend(world, beta, steps=100_000, lr=1.0, preferences=ALWAYS_FIRST):
        if at.logps[0, 0] > at.logps[0, 1]:
            return before, at.loss
        before = at.loss
    raise AssertionError("unreachable: the margin of DPO grows without bound")


def claims(frame: pd.DataFrame) -> list[Claim]:
    """Rankings are learned less than margins; which pairs flip is told by their loss."""
    before, after = loss_at_flip(BETA, GAP)
    words = f"loss at which a pair flips, beta {BETA:g}, wrong by {GAP:g} nats"
    flip = equals(words, flip_loss(BETA, GAP), (before + after) / 2, 1e-3)
    right = frame.assign(
        margins=frame.policy > frame.reference,
        rankings=frame.policy > 0,
        by_reference=frame.reference > 0,
    )
    wrong = right[~right.by_reference]
    threshold = [
        flip_loss(beta, -gap) for beta, gap in zip(wrong.beta, wrong.reference, strict=True)
    ]
    other = int(((wrong.loss < threshold) != wrong.rankings).sum())
    shares = right.groupby("seed")[["margins", "rankings", "by_reference"]].mean()
    stays = 1 - wrong.groupby("seed").rankings.mean()
    return [
        replace(flip, low=after, high=before),
        equals(
            f"of {len(wrong)} pairs ranked wrongly, flips that the loss does not tell", 0, other, 0
        ),
        above("margin accuracy minus ranking accuracy", list(shares.margins - shares.rankings)),
        above(
            "ranking accuracy minus that of the reference",
            list(shares.rankings - shares.by_reference),
        ),
        above("share of wrongly ranked pairs that stay wrong", list(stays), bound=0.5),
    ]
