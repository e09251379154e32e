"""IPO stops where it was told to, DPO does not stop (Azar et al. 2023, section 5).

Two actions, a uniform reference, and labellers who always prefer the first. A policy is one number
then, the margin, and the probability of the preferred action is sigmoid(margin).
"""

from __future__ import annotations

import math

import pandas as pd
import torch

from workbench.core.losses import PairLogps, find_loss
from workbench.runs.papers.claims import Claim, equals

BETAS = (0.1, 0.5, 1.0, 5.0)


def measure(steps: int = 30) -> pd.DataFrame:
    """Columns loss, beta, step, probability: of the preferred action, after steps of Newton.

    A step of plain gradients is too small to see where DPO goes: its margin grows like the
    logarithm of their number. One of Newton takes it at least 1 / beta further each time.
    """
    rows = []
    for loss in ("ipo", "dpo"):
        for beta in BETAS:
            margin = 0.0
            for step in range(steps + 1):
                rows.append((loss, beta, step, 1 / (1 + math.exp(-margin))))
                margin += newton_step(loss, beta, margin)
    return pd.DataFrame(rows, columns=["loss", "beta", "step", "probability"])


def newton_step(loss: str, beta: float, margin: float) -> float:
    """Minus slope over curvature of the loss of one pair at this margin."""
    at = torch.tensor([margin], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(at)
    value = find_loss(loss)(PairLogps(at, zero, zero, zero), beta=beta).sum()
    (slope,) = torch.autograd.grad(value, at, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, at)
    return -(slope / curvature).item()


def claims(frame: pd.DataFrame) -> list[Claim]:
    """IPO at sigmoid(1 / (2 beta)); DPO at 1."""
    ends = frame[frame.step == frame.step.max()].set_index(["loss", "beta"]).probability
    found = [
        equals(f"IPO, beta {beta:g}: P(preferred)", 1 / (1 + math.exp(-1 / (2 * beta))), end, 1e-3)
        for beta, end in ends["ipo"].items()
    ]
    return found + [
        equals(f"DPO, beta {beta:g}: P(preferred)", 1.0, end, 5e-3)
        for beta, end in ends["dpo"].items()
    ]
