"""Runs in the reviews world that share one base model, and what their texts are worth."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import cycle, islice
from statistics import fmean
from typing import Any

from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model
from workbench.runs.run import Run
from workbench.train.config import TrainConfig

TEXTS = 512  # sampled to judge a policy; half as many for its KL
REWARDS = {"true_reward": "true reward", "reward": "reward, 0 where a text does not parse"}


def worlds(seeds: int, **settings: Any) -> list[ReviewsConfig]:
    """One world per seed: its pairs and labels are drawn anew."""
    return [ReviewsConfig(world_seed=seed, **settings) for seed in range(seeds)]


def config_of(world: ReviewsConfig, **settings: Any) -> TrainConfig:
    """A run on all pairs, evaluated before and after by its texts alone."""
    return TrainConfig(held_out=0, samples=TEXTS // 2, eval_every=0, world=world, **settings)


def train(config: TrainConfig, base: Model) -> Run:
    """A finished run from `base`, which stays as it is."""
    run = Run.create(config, base=replace(base, policy=copy.deepcopy(base.policy)))
    for _ in run:
        pass
    return run


def score(run: Run) -> dict[str, float]:
    """Means over texts of the policy: `true_reward` in [-1, 1], `parses`, and `reward`, which is
    the true reward counted as 0 for a text that does not parse; `kl` in nats per text, estimated
    from the samples of the evaluation."""
    reviews = Reviews(run.config.world)
    prompts = list(islice(cycle(reviews.prompts), TEXTS))
    samples = run.sample(prompts, SamplingConfig(max_new_tokens=40, seed=run.config.seed))
    rewards = [reviews.reward(one.policy) for one in samples]
    parses = [float(reviews.is_grammatical(one.prompt, one.policy)) for one in samples]
    return {
        "reward": fmean(a * b for a, b in zip(rewards, parses, strict=True)),
        "true_reward": fmean(rewards),
        "parses": fmean(parses),
        "kl": run.evaluate()["held_out/kl/policy_reference"],
    }
