"""The sweep in which the settings of the preset `visible` are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.compare.judging.judges import Judge
from workbench.compare.judging.reward_model_judge import reward_judge
from workbench.compare.visible.change_measures import (
    answers_before_and_after,
    facts_before_and_after,
    measure_change,
    unseen_prompts,
)
from workbench.compare.visible.facts import Fact
from workbench.compare.visible.plain_rule import FewerWords
from workbench.models.load import Model
from workbench.runs.sweep import opened
from workbench.train.config import preset

LRS, BETAS, EPOCHS = (4e-6, 8e-6), (0.1, 0.3), (2, 3)
SWEPT = ("ld_alpha", "lr", "beta", "epochs")
JUDGE_LR, JUDGE_EPOCHS = 1e-5, 2  # of the reward model, the same for all runs


def visible_sweep(
    lrs: Sequence[float] = LRS,
    betas: Sequence[float] = BETAS,
    epochs: Sequence[int] = EPOCHS,
    base: Model | None = None,
    prompts: Sequence[str] | None = None,
    facts: Sequence[Fact] | None = None,
    **changes: Any,
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Train the preset `visible` with every combination of the values, and measure each run.

    Args:
        lrs, betas, epochs: the grid.
        base: a loaded model, instead of the preset's.
        prompts, facts: what is measured on, by default what ships.
        changes: other fields of TrainConfig.

    Yields:
        After every run all rows so far: `ld_alpha`, `lr`, `beta`, `epochs`, `steps`, `seconds` of
        the training alone, and the figures of `measure_change`; and the answers that go with them.
    """
    common = {"samples": 0, "eval_every": 0, **changes}
    configs = [
        preset("visible", **{**common, "lr": lr, "beta": beta, "epochs": times})
        for times, beta, lr in product(epochs, betas, lrs)
    ]
    prompts = unseen_prompts() if prompts is None else prompts
    judges: list[Judge] = []
    rows, texts = [], []
    for config, run in opened(configs, base):
        judges = judges or [FewerWords(), reward_judge(run, JUDGE_EPOCHS, JUDGE_LR)]
        for _ in run:
            pass
        answers, known = answers_before_and_after(run, prompts), facts_before_and_after(run, facts)
        key = {name: getattr(config, name) for name in SWEPT}
        took = {"steps": run.total, "seconds": run.summary("measured")["seconds"]}
        rows.append({**key, **took, **measure_change(run, answers, known, judges)})
        texts.append(answers.assign(**key))
        yield pd.DataFrame(rows), pd.concat(texts, ignore_index=True)


def measured_sweep() -> pd.DataFrame:
    """The rows of `visible_sweep` as they came out on two cores with SmolLM2-135M-Instruct.

    `benchmarks/visible.py` measures them anew.
    """
    return pd.read_csv(Path(__file__).with_name("sweep.csv"))
