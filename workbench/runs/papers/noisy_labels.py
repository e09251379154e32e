"""Labels of which 40% are flipped: robust DPO beside DPO (Chowdhury et al. 2024)."""

from __future__ import annotations

import pandas as pd

from workbench.models.load import Model
from workbench.runs.papers.claims import Claim, above
from workbench.runs.papers.reviews_runs import REWARDS, config_of, score, train, worlds
from workbench.train.base_model import tiny_base

FLIPPED = 0.4
LOSSES: dict[str, dict[str, float]] = {"dpo": {}, "robust": {"label_smoothing": FLIPPED}}


def measure(seeds: int = 6, pairs: int = 2048, base: Model | None = None) -> pd.DataFrame:
    """Columns seed, loss, and those of `score`; a seed draws pairs, labels and flips of its own."""
    base, rows = base or tiny_base(), []
    for seed, world in enumerate(worlds(seeds, pairs=pairs, label_noise=FLIPPED)):
        for loss, settings in LOSSES.items():
            config = config_of(world, loss=loss, **settings)
            rows.append({"seed": seed, "loss": loss, **score(train(config, base))})
    return pd.DataFrame(rows)


def claims(frame: pd.DataFrame) -> list[Claim]:
    """The reward of robust DPO is above that of DPO."""
    by_seed = frame.pivot(index="seed", columns="loss")
    return [
        above(f"robust minus dpo: {words}", list(by_seed[column].robust - by_seed[column].dpo))
        for column, words in REWARDS.items()
    ]
