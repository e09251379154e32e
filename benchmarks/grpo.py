"""GRPO side by side: completions per second of whole rounds of it, against TRL's GRPOTrainer.

A round writes completions of the same prompts, scores them with the same function and trains on
them, as often and in batches as large on both sides, from the same weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks.against import OURS, Choose, everyone
from benchmarks.report import outcome_rows
from benchmarks.side_by_side import Contender, measure
from workbench.data.reviews.config import ReviewsConfig
from workbench.models.load import save_model
from workbench.train.base_model import tiny_base
from workbench.train.config import TrainConfig

TITLE = "GRPO on the tiny model: write, score, train"
ROUNDS = 9
CONFIG = TrainConfig(method="grpo", held_out=0, samples=0, eval_every=0).resolved()


def run(rounds: int | None = None, choose: Choose = everyone) -> pd.DataFrame:
    """Measure one rollout per round on every side."""
    with TemporaryDirectory() as folder:
        save_model(tiny_base(ReviewsConfig()), Path(folder) / "tiny")
        outcomes = measure(choose(contenders(f"{folder}/tiny")), rounds or ROUNDS, 1)
    return outcome_rows("grpo", "completions/s", CONFIG.rollout_size or 1, outcomes)


def steps_per_rollout() -> int:
    """Optimiser steps on one rollout."""
    return (CONFIG.rollout_size or 1) // (CONFIG.batch_size or 1) * (CONFIG.rollout_epochs or 1)


def contenders(model: str) -> list[Contender]:
    """The workbench, and TRL with the same settings; `model` is the folder of the same weights.

    TRL at its best was tried in short runs on two cores, as completions per second over those of
    what is kept: one thread 0.62, and with that bf16 0.5, a static cache 0.63, AdamW not fused
    0.65.
    The workbench takes one thread for models this small.
    """
    size, batch = CONFIG.rollout_size or 1, CONFIG.batch_size or 1
    same: dict[str, Any] = {
        "use_cpu": True,
        "per_device_train_batch_size": batch,
        "steps_per_generation": size // batch,
        "num_generations": CONFIG.group_size,
        "num_iterations": CONFIG.rollout_epochs,
        "max_completion_length": CONFIG.max_new_tokens,
        "learning_rate": CONFIG.lr,
        "beta": CONFIG.beta,
        "loss_type": "grpo",
        "adam_beta2": 0.98,
    }
    best = {"gradient_checkpointing": False, "bf16": False}
    setting = {"model": model, "steps_per_rollout": steps_per_rollout()}
    trl = Contender(
        "TRL as it comes",
        ("-m", "benchmarks.trl_grpo_peer"),
        {**setting, "config": same},
        "gradient checkpointing, bf16",
    )
    return [
        Contender("workbench", (*OURS, "rollouts"), {"config": {"method": "grpo"}}, "as it comes"),
        trl,
        replace(
            trl,
            name="TRL at its best",
            setting={**setting, "config": {**same, **best}},
            words="no gradient checkpointing, float32",
        ),
    ]
