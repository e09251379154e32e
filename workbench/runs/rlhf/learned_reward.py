"""The reward model of the pipeline, trained on the same pairs that DPO is trained on."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from workbench.models.load import Model
from workbench.runs.reward.named_rewards import ModelReward
from workbench.runs.run import Run
from workbench.train.config import TrainConfig


def learned_reward(
    config: TrainConfig, base: Model | None = None, **settings: Any
) -> tuple[ModelReward, Run]:
    """A Bradley-Terry reward model of the data that `config` names, and its run.

    Args:
        config: data, world and seed are taken from it; the rest is that of method reward_model.
        base: a loaded model to start from; it stays as it is.
        settings: of the run, such as `epochs`.
    """
    own = TrainConfig(
        model=config.model, data=config.data, world=config.world, seed=config.seed,
        pairs_from=config.pairs_from, method="reward_model", device=config.device,
        precision=config.precision, **settings,
    )  # fmt: skip
    run = Run.create(own, base=base and replace(base, policy=copy.deepcopy(base.policy)))
    for _ in run:
        pass
    policy = run.policy.requires_grad_(False)
    filled = run.config
    parts = policy, run.tokenizer, run.model.max_length, filled.device, filled.precision
    return ModelReward(*parts), run  # type: ignore[arg-type]
