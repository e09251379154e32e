"""`PAPERS`: the published results by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workbench.errors import WorkbenchError
from workbench.runs.papers import (
    bandit,
    few_desirable,
    noisy_labels,
    over_optimisation,
    rankings,
    two_actions,
)
from workbench.runs.papers.claims import Claim


@dataclass(frozen=True)
class Paper:
    """A published result in miniature.

    Attributes:
        title, source: what it says, and where.
        minutes: about how many `measure` takes on two cores.
        measure: the experiment, a tidy frame; its keyword arguments make it smaller or larger.
        claims: what the paper expects of that frame, and what came out.
    """

    title: str
    source: str
    minutes: float
    measure: Callable[..., pd.DataFrame]
    claims: Callable[[pd.DataFrame], list[Claim]]


PAPERS = {
    "ipo": Paper(
        "IPO stops at certain preferences, DPO does not", "Azar et al. 2023, section 5", 0.1,
        two_actions.measure, two_actions.claims,
    ),
    "rankings": Paper(
        "DPO learns margins better than rankings", "Chen et al. 2024", 1,
        rankings.measure, rankings.claims,
    ),
    "bandit": Paper(
        "On-policy data and negative gradients help away from the data",
        "Tajwar et al. 2024, section 4.1", 0.5,
        bandit.measure, bandit.claims,
    ),
    "over_optimisation": Paper(
        "The gold reward falls while the proxy rises", "Gao et al. 2022", 0.5,
        over_optimisation.measure, over_optimisation.claims,
    ),
    "robust": Paper(
        "Robust DPO holds up when labels are flipped", "Chowdhury et al. 2024", 2,
        noisy_labels.measure, noisy_labels.claims,
    ),
    "kto": Paper(
        "KTO needs a tenth of the desirable rows", "Ethayarajh et al. 2024", 5,
        few_desirable.measure, few_desirable.claims,
    ),
}  # fmt: skip
RECORDED = ("rankings", "robust", "kto")


def recorded(name: str) -> pd.DataFrame:
    """What `measure` gave once, kept for the results that take minutes: one of `RECORDED`."""
    if name not in RECORDED:
        raise WorkbenchError(f"name={name!r} is not recorded; accepted: {', '.join(RECORDED)}")
    return pd.read_csv(Path(__file__).with_name(f"{name}.csv"))
