"""Over-optimisation (Gao et al. 2022), or reward hacking: the learned reward rises, the true falls.

The reward model is trained for many epochs on few pairs, of which a share is labelled wrongly, so
that it learns their errors by heart. Then PPO and best-of-n follow it. DPO is trained on the same
pairs for as many epochs; its learned reward is the implicit one, beta times the log-ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from workbench.data.reviews.config import ReviewsConfig
from workbench.runs.prepare import open_model
from workbench.runs.rlhf.frontier import (
    RLHFSetting,
    best_of_n_curve,
    reference_texts,
    trace,
)
from workbench.runs.rlhf.learned_reward import learned_reward
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig

PAIRS, WRONG, HELD_OUT, EPOCHS = 192, 0.25, 32, 20
BETA = 0.05
STEPS = {"PPO": 240, "DPO": 120}


def reward_hacking(
    seeds: Sequence[int] = (0,), steps: int | None = None, progress: Progress | None = None
) -> pd.DataFrame:
    """Where the methods stand as they follow a reward model with errors; a world per seed.

    Args:
        seeds: of the world's pairs and labels, of the reward model, and of the runs.
        steps: of a run; left out: 240 of PPO and 120 of DPO.

    Returns:
        Columns method, seed, step (n for best-of-n), `kl` in nats per text, the learned `score`
        and the true `reward`, means over texts of the policy.
    """
    parts = []
    for number, seed in enumerate(seeds):
        if progress:
            progress(f"seed {seed}", number / len(seeds))
        world = ReviewsConfig(pairs=PAIRS, label_noise=WRONG, world_seed=seed)
        config = TrainConfig(world=world, seed=seed, eval_every=20)
        base = open_model(config.resolved())
        small = {"epochs": EPOCHS, "held_out": HELD_OUT}
        reward, _ = learned_reward(config, base, eval_every=0, **small)
        texts = reference_texts(config, base, each=64)
        texts["score"] = reward(texts["prompt"].tolist(), texts["text"].tolist())
        best = best_of_n_curve(texts).rename(columns={"value": "step"})
        ppo = replace(config, method="ppo", beta=BETA, max_steps=steps or STEPS["PPO"])
        dpo = replace(
            config, loss="dpo", beta=BETA, max_steps=steps or STEPS["DPO"], held_out=HELD_OUT
        )
        of_dpo = pd.DataFrame(trace(dpo, base, reward, RLHFSetting("DPO", "beta", BETA)))
        found = [
            pd.DataFrame(trace(ppo, base, reward, RLHFSetting("PPO", "beta", BETA))),
            best.assign(method="best-of-n"),
            # On its own texts the mean of beta times the log-ratio is beta times the KL.
            of_dpo.assign(score=BETA * of_dpo["kl"]),
        ]
        parts += [part.assign(seed=seed) for part in found]
    whole = pd.concat(parts, ignore_index=True)
    return whole[["method", "seed", "step", "kl", "score", "reward"]]
