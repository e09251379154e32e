"""What DPO and the pipeline that it replaced keep in memory, compute, and ask a person to set."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pandas as pd
from torch import nn

from workbench.core.losses import find_loss
from workbench.models.heads import ActorCritic
from workbench.models.load import Model
from workbench.runs.choosing.method_costs import Scored, counted
from workbench.runs.prepare import open_model
from workbench.runs.reward.named_rewards import ModelReward
from workbench.runs.rlhf.frontier import METHODS
from workbench.runs.rlhf.learned_reward import learned_reward
from workbench.runs.run import Run
from workbench.train.config import TrainConfig
from workbench.train.config.train_config import OF_ROLLOUTS
from workbench.train.events import StepEvent
from workbench.train.rollouts.rollout_batches import RolloutBatches
from workbench.train.rollouts.rollout_method import RolloutMethod

Learned = tuple[ModelReward, Run]
OF_EVERY_RUN = ("lr", "epochs", "batch_size")
MEGABYTE = 2**20


def pipeline_costs(
    config: TrainConfig | None = None,
    methods: Sequence[str] = ("DPO", "PPO", "GRPO", "best-of-n"),
    steps: int = 8,
    base: Model | None = None,
    learned: Learned | None = None,
) -> pd.DataFrame:
    """One row per method: what a few steps took, and what a whole run takes at that rate.

    The reward model of PPO, GRPO and best-of-n is trained on the same pairs, and counts.

    Args:
        config: data, model and world; the rest is each method's own.
        methods: names of the frontier.
        steps: that are trained and counted.
        base: a loaded model; it stays as it is.
        learned: of `learned_reward`, where it was called before.

    Returns:
        `method`; the `models` that its steps run, their `weights_mb` and the `optimizer_mb`;
        per preference pair, over a whole run: completions `written`, `scored` by any model without
        gradient and `trained` on; `seconds` of a whole run, the reward model's included;
        `settings` that a person chooses, and their names.
    """
    config = config or TrainConfig()
    base = base or open_model(config.resolved())
    rows = []
    for name in methods:
        own = replace(config, **METHODS[name], eval_every=0, samples=0, held_out=0)
        rollouts = find_loss(own.resolved().loss).rollouts
        if rollouts and learned is None:
            learned = learned_reward(config, base)
        rows.append({"method": name, **_row(own, base, learned if rollouts else None, steps)})
    return pd.DataFrame(rows)


def _row(config: TrainConfig, base: Model, learned: Learned | None, steps: int) -> dict[str, Any]:
    copied = replace(base, policy=copy.deepcopy(base.policy))
    run = Run.create(config, base=copied, reward=learned[0] if learned else None)
    has_values = isinstance(run.policy, ActorCritic)
    own_name = "policy with value head" if has_values else "policy"
    models: dict[str, nn.Module] = {own_name: run.policy, "reference": run.reference.model}
    if learned:
        models["reward model"] = learned[0].model
    # Values of the reference that were cached when the run was made: both sides of every pair.
    cached = 0 if run.config.reference == "live" else 2 * len(run.data.train)
    found = _count(run, models, steps)
    share, pairs = run.total / steps, config.world.pairs
    source = run._batches
    written = 0.0
    if isinstance(source, RolloutBatches):
        written = steps * (run.config.rollout_size or 0) / source.steps_per_rollout
    of_reward = _reward_costs(learned[1]) if learned else {"trained": 0.0, "seconds": 0.0}
    held = models if run.config.reference == "live" else {own_name: run.policy}
    return {
        "models": ", ".join(held),
        "weights_mb": sum(map(_megabytes, held.values())),
        "optimizer_mb": _optimizer_megabytes(run),
        "written": written * share / pairs,
        "scored": (sum(one.without_gradient for one in found) * share + cached) / pairs,
        "trained": sum(one.with_gradient for one in found) * share / pairs + of_reward["trained"],
        "seconds": run._state.seconds * share + of_reward["seconds"],
        **_settings(run, learned is not None),
    }


def _count(run: Run, models: dict[str, nn.Module], steps: int) -> list[Scored]:
    """What each model scores while the run takes some steps."""
    with ExitStack() as stack:
        found = [stack.enter_context(counted(model)) for model in models.values()]
        for event in run:
            if isinstance(event, StepEvent) and event.step == steps:
                break
    return found


def _reward_costs(run: Run) -> dict[str, float]:
    """Completions that a reward model was trained on per pair, and its seconds."""
    summary = run.summary("finished")
    return {
        "trained": 2 * summary["pairs"] / run.config.world.pairs,
        "seconds": float(summary["seconds"]),
    }


def _settings(run: Run, learned: bool) -> dict[str, Any]:
    """How many settings a person chooses, and which."""
    names = [*OF_EVERY_RUN, *run.method.loss(run.settings).parameters]
    if isinstance(run.method, RolloutMethod):
        left_out = ("reward", "kl_target", *(() if run.method.grouped else ("group_size",)))
        names += [name for name in OF_ROLLOUTS if name not in left_out]
    names += [f"{name} of the reward model" for name in OF_EVERY_RUN if learned]
    return {"settings": len(names), "names": ", ".join(names)}


def _megabytes(model: nn.Module) -> float:
    unique = {weight.data_ptr(): weight for weight in model.parameters()}
    return sum(weight.numel() * weight.element_size() for weight in unique.values()) / MEGABYTE


def _optimizer_megabytes(run: Run) -> float:
    states = run._state.optimizer.state.values()
    tensors = [value for state in states for value in state.values() if hasattr(value, "numel")]
    return sum(value.numel() * value.element_size() for value in tensors) / MEGABYTE
