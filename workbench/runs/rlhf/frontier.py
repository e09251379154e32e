"""Reward against KL for DPO and what it replaced, in the manner of Rafailov et al. 2023, fig. 2.

Every method starts from one model and learns from one set of pairs: DPO and SFT directly, PPO, GRPO
and best-of-n through a reward model of these pairs. The true reward of the world is measured, not
trained on. Each run is a row of points: where it stood at each of its evaluations.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.data.pairs import TextPair
from workbench.data.reviews.world import Reviews
from workbench.generation.config import SamplingConfig
from workbench.models.load import Model
from workbench.runs.equal_kl.intervals import t_interval
from workbench.runs.evaluate import PREFIX
from workbench.runs.prepare import open_model, prepare, with_score
from workbench.runs.rlhf.learned_reward import learned_reward
from workbench.runs.run import Run
from workbench.runs.run_data import write_answers
from workbench.train.base_model import Progress
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent
from workbench.train.loop import NonFiniteLossError
from workbench.train.method import find_method
from workbench.train.rollouts.reward_function import Reward

HERE = Path(__file__).parent
TEXTS = 240  # sampled at each evaluation
FAR = 20.0  # nats; a run that ends beyond has failed
OPTIMUM = (10.0, 5.0, 2.0, 1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05)  # betas of the curve
MEASURED = {
    "kl": "kl/policy_reference", "reward": "samples/reward", "score": "samples/score",
    "grammatical": "samples/grammatical", "length": "samples/length",
}  # fmt: skip


@dataclass(frozen=True)
class RLHFSetting:
    """A run: a method with one of its settings."""

    method: str
    name: str
    value: float

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of the config."""
        whole = self.name in ("epochs", "group_size")
        value = int(self.value) if whole else self.value
        return {**METHODS[self.method], self.name: value}


METHODS: dict[str, dict[str, Any]] = {
    "DPO": {"method": "preference"},
    "DPO, 10 epochs": {"method": "preference", "epochs": 10},
    "PPO": {"method": "ppo"},
    "PPO, KL target": {"method": "ppo"},
    "GRPO": {"method": "grpo"},
    "best-of-n": {"method": "best_of_n"},
    "SFT": {"method": "sft"},
}
BETAS = (0.05, 0.1, 1.0, 5.0)
RLHF_SETTINGS = (
    *(RLHFSetting("DPO", "beta", beta) for beta in BETAS),
    *(RLHFSetting("DPO, 10 epochs", "beta", beta) for beta in BETAS),
    *(RLHFSetting("PPO", "beta", beta) for beta in BETAS),
    *(RLHFSetting("PPO, KL target", "kl_target", kl) for kl in (3.0, 6.0, 9.0, 12.0)),
    *(RLHFSetting("GRPO", "beta", beta) for beta in BETAS),
    *(RLHFSetting("best-of-n", "group_size", n) for n in (2, 4, 8, 16)),
    *(RLHFSetting("SFT", "epochs", epochs) for epochs in (3, 10)),
)


def rlhf_frontier(
    config: TrainConfig | None = None,
    settings: Sequence[RLHFSetting] = RLHF_SETTINGS,
    seeds: Sequence[int] = (0,),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train every setting with every seed; one row per evaluation.

    Args:
        config: what the runs have in common; data must be the reviews.
        settings: 26 of them when left out.
        seeds: of the order of the data and of all samples; the pairs stay the same.

    Returns:
        Columns method, setting, value, seed, step; `kl` in nats per text, the true `reward`, the
        `score` of the reward model, the share that is `grammatical`, `length` in tokens; `seconds`
        of training so far, and whether the run `failed`: was no longer finite, or ended beyond 20
        nats.
    """
    config = config or TrainConfig()
    base = open_model(config.resolved(), progress)
    rows: list[dict[str, Any]] = []
    for number, seed in enumerate(seeds):
        own = replace(config, seed=seed)
        reward, _ = learned_reward(own, base)
        for index, setting in enumerate(settings):
            if progress:
                share = (number * len(settings) + index) / (len(seeds) * len(settings))
                progress(f"seed {seed}: {setting.method}, {setting.name} {setting.value:g}", share)
            rows += trace(replace(own, **setting.changes), base, reward, setting)
    return pd.DataFrame(rows)


def trace(
    config: TrainConfig, base: Model, reward: Reward, setting: RLHFSetting
) -> list[dict[str, Any]]:
    """Where one run stood at each of its evaluations."""
    run = _measured_run(config, base, reward)
    named = {
        "method": setting.method, "setting": setting.name, "value": setting.value,
        "seed": config.seed,
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    failed = False
    try:
        for event in run:
            if isinstance(event, EvalEvent):
                found = {name: event.metrics.get(PREFIX + key) for name, key in MEASURED.items()}
                took = {"step": event.step, "seconds": run._state.seconds}
                rows.append({**named, **found, **took})
    except NonFiniteLossError:
        failed = True
    failed = failed or not float(rows[-1]["kl"]) < FAR
    return [{**row, "failed": failed} for row in rows]


def _measured_run(config: TrainConfig, base: Model, reward: Reward) -> Run:
    """A run that is evaluated by texts alone, on the same prompts whatever its method."""
    rollouts = find_method(str(config.resolved().method)).rollouts
    own = replace(base, policy=copy.deepcopy(base.policy))
    parts = prepare(config, base=own, reward=reward if rollouts else None)
    world, evaluator = Reviews(config.world), parts.evaluator
    evaluator.held_out = []
    evaluator.prompts = [TextPair(prompt, "", "") for prompt in islice(cycle(world.prompts), TEXTS)]
    evaluator.beside = True
    if not rollouts:
        evaluator.scores = with_score(evaluator.scores, reward)
    return Run(parts)


def reference_texts(
    config: TrainConfig, base: Model, each: int = 200, seed: int = 7
) -> pd.DataFrame:
    """`each` texts of every prompt by the base model: columns prompt, text, true reward."""
    world = Reviews(config.world)
    asked = [TextPair(prompt, "", "") for prompt in world.prompts for _ in range(each)]
    filled = config.resolved()
    sampling = SamplingConfig(max_new_tokens=filled.max_new_tokens or 40, seed=seed)
    texts = write_answers(base, asked, sampling, "cpu", "float32")
    rows = [(one.prompt, text, world.reward(text)) for one, text in zip(asked, texts, strict=True)]
    return pd.DataFrame(rows, columns=["prompt", "text", "reward"])


def optimum_curve(
    texts: pd.DataFrame, betas: Sequence[float] = OPTIMUM, by: str = "reward"
) -> pd.DataFrame:
    """Reward and KL of pi* = pi_ref exp(r / beta) / Z, by weighting the reference's own texts.

    Exact but for the sampling of the texts: the weights are exp(r / beta), normalised per prompt.

    Args:
        texts: of `reference_texts`.
        by: the column that pi* is the optimum of; `reward` is measured in any case.

    Returns:
        Columns value (beta), kl in nats, reward: means over prompts.
    """
    rows = []
    for beta in betas:
        found = []
        for _, group in texts.groupby("prompt"):
            scores, rewards = group[by].to_numpy(), group["reward"].to_numpy()
            logits = scores / beta
            top = logits.max()
            weights = [math.exp(x - top) for x in logits]
            total = sum(weights)
            log_z = top + math.log(total / len(weights))
            shares = [w / total for w in weights]
            kl = sum(s * x for s, x in zip(shares, logits, strict=True)) - log_z
            found.append((kl, sum(s * r for s, r in zip(shares, rewards, strict=True))))
        kls, means = zip(*found, strict=True)
        rows.append((beta, sum(kls) / len(kls), sum(means) / len(means)))
    return pd.DataFrame(rows, columns=["value", "kl", "reward"])


def best_of_n_curve(
    texts: pd.DataFrame, drawn: Sequence[int] = (1, 2, 4, 8, 16, 32, 64), by: str = "score"
) -> pd.DataFrame:
    """The best of n texts by a column, drawn anew from the reference's texts: no training.

    Its KL is ln n - (n - 1) / n where no two texts have the same score (Gao et al. 2022, section
    2), and at most that where some have.

    Returns:
        Columns value (n), kl in nats, reward, score: means over prompts and over disjoint draws.
    """
    rows = []
    for n in drawn:
        parts = [p for _, group in texts.groupby("prompt") for p in _disjoint(group, n)]
        best = pd.DataFrame([part.loc[part[by].idxmax()] for part in parts])
        kl = math.log(n) - (n - 1) / n
        rows.append((n, kl, best["reward"].mean(), best[by].mean()))
    return pd.DataFrame(rows, columns=["value", "kl", "reward", "score"])


def best_within(frame: pd.DataFrame, bounds: Sequence[float]) -> pd.DataFrame:
    """The highest reward that a method reaches within a KL: mean over seeds and 95% interval.

    A method's points of one seed are those of all its settings; what lies beyond the bound does not
    count. A method may be measured at more points than another, which helps it a little.

    Returns:
        Columns method, within (nats), mean, low, high, seeds.
    """
    rows = []
    for bound in bounds:
        inside = frame[frame["kl"] <= bound]
        for method, points in inside.groupby("method", sort=False):
            best = points.groupby("seed")["reward"].max()
            alone = best.mean(), math.nan, math.nan
            mean, low, high = t_interval(best.to_numpy()) if len(best) > 1 else alone
            rows.append((method, bound, mean, low, high, len(best)))
    return pd.DataFrame(rows, columns=["method", "within", "mean", "low", "high", "seeds"])


def _disjoint(group: pd.DataFrame, n: int) -> Iterator[pd.DataFrame]:
    for start in range(0, len(group) - n + 1, n):
        yield group.iloc[start : start + n]


def recorded_rlhf(name: str = "frontier") -> pd.DataFrame:
    """The rows of five seeds, as the benchmark wrote them."""
    return pd.read_csv(HERE / f"{name}.csv")
