"""KTO with a tenth of the desirable rows beside DPO on all pairs (Ethayarajh et al. 2024)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from workbench.data.pairs import TextPair
from workbench.data.reviews.config import ReviewsConfig
from workbench.models.load import Model
from workbench.runs.papers.claims import Claim, alike
from workbench.runs.papers.reviews_runs import REWARDS, config_of, score, train, worlds
from workbench.runs.run import Run
from workbench.train.base_model import tiny_base

SHARES = (1, 10)  # every so many desirable rows are kept
TOLERANCE = 0.05  # of a reward from -1 to 1


def measure(seeds: int = 10, pairs: int = 2048, base: Model | None = None) -> pd.DataFrame:
    """Columns seed, method, desirable and undesirable rows, and those of `score`.

    KTO gets the pairs of the DPO run as single rows. The weight of the desirable ones makes up for
    those that are left out (eq. 8).
    """
    base, rows = base or tiny_base(), []
    for seed, world in enumerate(worlds(seeds, pairs=pairs)):
        run = train(config_of(world), base)
        texts = run.data.train_texts
        names = {"seed": seed, "method": "dpo", "desirable": len(texts), "undesirable": len(texts)}
        rows.append(names | score(run))
        for every in SHARES:
            kept = len(texts[::every])
            names |= {"method": f"kto, 1 of {every}", "desirable": kept}
            rows.append(names | score(train_kto(texts, every, world, base)))
    return pd.DataFrame(rows)


def train_kto(pairs: Sequence[TextPair], every: int, world: ReviewsConfig, base: Model) -> Run:
    """KTO on all rejected texts, and on the chosen one of every so many pairs."""
    config = config_of(world, loss="kto", desirable_weight=float(every))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("\n".join(map(json.dumps, labelled_rows(pairs, every))), encoding="utf-8")
        return train(replace(config, data=str(file)), base)


def labelled_rows(pairs: Sequence[TextPair], every: int) -> list[dict[str, Any]]:
    """The chosen text of every so many pairs as desirable, all rejected ones as undesirable.

    >>> pair = TextPair("How was it?", "Good.", "Bad.")
    >>> [row["label"] for row in labelled_rows([pair, pair, pair], every=2)]
    [True, True, False, False, False]
    """
    good = [
        {"prompt": one.prompt, "completion": one.chosen, "label": True} for one in pairs[::every]
    ]
    bad = [{"prompt": one.prompt, "completion": one.rejected, "label": False} for one in pairs]
    return good + bad


def claims(frame: pd.DataFrame) -> list[Claim]:
    """The reward of KTO is that of DPO, within a twentieth."""
    by_seed = frame.pivot(index="seed", columns="method")
    found = []
    for every in SHARES:
        for column, words in REWARDS.items():
            gain = by_seed[column][f"kto, 1 of {every}"] - by_seed[column]["dpo"]
            name = f"kto, 1 of {every} desirable rows, minus dpo: {words}"
            found.append(alike(name, list(gain), TOLERANCE))
    return found
