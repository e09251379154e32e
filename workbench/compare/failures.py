"""Where losses fail: data that each was warned of, made by the knobs of the reviews world.

Each function trains a few losses on the same pairs, with the same model and for as many steps, and
yields a growing frame. A loss that moves farther in as many steps may look worse, or better, for
that alone: so the KL to the reference stands beside every number.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.policy import Policy
from workbench.data.reviews.config import ReviewsConfig
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.equal_kl.readings import read_off
from workbench.runs.evaluate import PREFIX, Evaluator
from workbench.runs.prepare import Parts, prepare
from workbench.train.base_model import BaseConfig, tiny_base
from workbench.train.config import TrainConfig
from workbench.train.events import EvalEvent, StepEvent
from workbench.train.loop import fit
from workbench.train.settings import LiveSettings

SMALL = BaseConfig(dim=32, hidden_dim=64, steps=500, texts=16_000)  # writes reviews after seconds
WORLD = ReviewsConfig(topics=4, pairs=400)  # one topic of the four is held out
TRAIN = TrainConfig(lr=1e-3, batch_size=32, held_out=64, samples=64, pairs_from="grammar")
EVALUATIONS = 4  # along a run, besides the one before it
# Column -> held-out metric.
MEASURED = {
    "kl": "kl/policy_reference", "chosen": "logratios/chosen", "rejected": "logratios/rejected",
    "reward": "samples/reward", "grammatical": "samples/grammatical", "length": "samples/length",
}  # fmt: skip
Losses = Mapping[str, Mapping[str, Any]]


def near_identical_pairs(
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 32,
    similarity: float = 1.0,
    base: Model | None = None,
) -> Iterator[pd.DataFrame]:
    """`dpo` and `dpop` (Pal et al. 2024) on pairs whose sides differ in one word.

    Such sides share nearly all their tokens, which makes it easy for `dpo` to lower both (Razin et
    al. 2024). `dpop` punishes a chosen log-ratio below 0.

    Args:
        seeds: each draws pairs, their order and the answers anew.
        steps: of the optimiser, for each run.
        similarity: share of such pairs; the others have two sides of their own.
        base: the model that all runs start from; left out: a small one of the same world.

    Yields:
        After each run the rows of all runs so far, one per evaluation: `loss`, `seed`, `step`; on
        held-out pairs the mean log-ratios `chosen` and `rejected`, their difference `margin`, all
        in nats, and `accuracy`, the share with a margin above 0, ties by half; on answers to
        held-out prompts `kl` to the reference in nats, the true `reward`, the share `grammatical`
        and `length` in tokens; and `train_margin`, the mean over the training pairs of the steps
        since the evaluation before.

    Raises:
        WorkbenchError: at once, for no seeds, fewer steps than evaluations, or a value out of its
            range.
    """
    losses: Losses = {"dpo": {"beta": 0.1}, "dpop": {"beta": 0.1}}
    world = replace(WORLD, label_scale=8.0, similarity=similarity)
    return _train(world, losses, seeds, steps, base)


def certain_preferences(
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 64,
    label_scale: float = math.inf,
    beta: float = 0.5,
    base: Model | None = None,
) -> Iterator[pd.DataFrame]:
    """`dpo` and `ipo` (Azar et al. 2023) where the better side always wins.

    No margin is large enough for `dpo` then, at any beta; `ipo` has the target 1 / (2 beta).
    Arguments and frame as in `near_identical_pairs`.
    """
    losses: Losses = {"dpo": {"beta": beta}, "ipo": {"beta": beta}}
    return _train(replace(WORLD, label_scale=label_scale), losses, seeds, steps, base)


def flipped_labels(
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 40,
    label_noise: float = 0.3,
    base: Model | None = None,
) -> Iterator[pd.DataFrame]:
    """`dpo`, `cdpo` (Mitchell 2023) and `robust` (Chowdhury et al. 2024) on flipped labels.

    The last two are told the share that is flipped. The held-out labels are not flipped, so
    `accuracy` tells whether the truth was learnt. Arguments and frame as in `near_identical_pairs`.
    """
    told = {"beta": 0.5, "label_smoothing": label_noise}
    losses: Losses = {"dpo": {"beta": 0.5}, "cdpo": told, "robust": told}
    world = replace(WORLD, label_scale=math.inf, label_noise=label_noise)
    return _train(world, losses, seeds, steps, base)


def longer_chosen(
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 24,
    length_bias: float = 0.5,
    base: Model | None = None,
) -> Iterator[pd.DataFrame]:
    """`dpo`, `rdpo` (Park et al. 2024), `dpo_norm` and `simpo` (Meng et al. 2024) where the chosen
    side is the longer one more often than not.

    It is in a share `length_bias` of the pairs, and by chance in the others. Arguments and frame as
    in `near_identical_pairs`.
    """
    losses: Losses = {
        "dpo": {"beta": 0.1}, "rdpo": {"beta": 0.1, "length_weight": 0.05},
        "dpo_norm": {"beta": 2.0}, "simpo": {"beta": 2.0},
    }  # fmt: skip
    return _train(replace(WORLD, length_bias=length_bias), losses, seeds, steps, base)


def at_equal_kl(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each seed where its losses are equally far from the reference.

    Args:
        frame: from a function above, one evaluation per row.

    Returns:
        A row per seed and loss, at the largest KL that all losses reach with this seed. A run is
        read where it first passes that KL, see `runs.equal_kl.readings`.
    """
    rows = []
    for seed, alike in frame.groupby("seed"):
        common = alike.groupby("loss")["kl"].max().min()
        for loss, run in alike.groupby("loss", sort=False):
            distance = np.sqrt(run.pop("kl").clip(lower=0)).to_numpy()
            values = run.drop(columns=["loss", "seed"])
            read = {n: read_off(distance, v.to_numpy(), common**0.5) for n, v in values.items()}
            rows.append({"loss": loss, "seed": seed, "kl": common, **read})
    return pd.DataFrame(rows)


def _train(
    world: ReviewsConfig, losses: Losses, seeds: Sequence[int], steps: int, base: Model | None
) -> Iterator[pd.DataFrame]:
    """Every loss with every seed; the frame is described in `near_identical_pairs`."""
    if not len(seeds):
        raise WorkbenchError("seeds is empty; at least one value is needed")
    if steps < EVALUATIONS:
        raise WorkbenchError(f"steps={steps!r} is not accepted: a whole number from {EVALUATIONS}")
    plan: dict[TrainConfig, dict[str, TrainConfig]] = {}
    for seed in seeds:
        own = replace(TRAIN, seed=seed, max_steps=steps, world=replace(world, world_seed=seed))
        plan[own] = {n: replace(own, loss=n, **parameters) for n, parameters in losses.items()}

    def go() -> Iterator[pd.DataFrame]:
        start = base or tiny_base(WORLD, SMALL)
        rows: list[dict[str, Any]] = []
        for shared, runs in plan.items():
            parts, clean = _prepare(shared, start), _prepare(without_noise(shared), start)
            before = _measure(clean.evaluator, parts.model.policy, 0)
            for name, config in runs.items():
                run = _run(parts, config, clean.evaluator)
                rows += [{"loss": name, "seed": config.seed, **row} for row in (before, *run)]
                yield pd.DataFrame(rows)

    return go()


def _prepare(config: TrainConfig, base: Model) -> Parts:
    """The parts of a DPO run: also those of a loss without a reference, to be measured alike."""
    return prepare(config, base=replace(base, policy=copy.deepcopy(base.policy)))


def without_noise(config: TrainConfig) -> TrainConfig:
    """The same texts with the labels that they had before some were flipped."""
    return replace(config, world=replace(config.world, label_noise=0.0))


def _run(parts: Parts, config: TrainConfig, evaluator: Evaluator) -> Iterator[dict[str, float]]:
    """A policy trained by the loss of `config`, measured along and after."""
    policy, margins = copy.deepcopy(parts.model.policy), list[float]()
    measured = [config.max_steps * part // EVALUATIONS for part in range(1, EVALUATIONS + 1)]
    for event in fit(
        policy, parts.batches.fork(), config, method=parts.method, reference=parts.reference
    ):
        assert isinstance(event, StepEvent)
        margins.append(_margin(event.metrics))
        if event.step in measured:
            yield _measure(evaluator, policy, event.step) | {"train_margin": fmean(margins)}
            margins.clear()


def _margin(metrics: Mapping[str, float]) -> float:
    """Chosen minus rejected log-ratio; NaN for a loss that is computed without a reference."""
    nan = math.nan
    return metrics.get("logratios/chosen", nan) - metrics.get("logratios/rejected", nan)


def _measure(evaluator: Evaluator, policy: Policy, step: int) -> dict[str, float]:
    """A row of the frame, without loss and seed."""
    (event, *_) = evaluator(policy, step, LiveSettings.start(TrainConfig().resolved()))
    assert isinstance(event, EvalEvent)
    found = {name.removeprefix(PREFIX): value for name, value in event.metrics.items()}
    row = {column: found[name] for column, name in MEASURED.items()}
    accuracy = (
        found["rewards/accuracies"] + found["rewards/ties"] / 2
    )  # before the run all are ties
    margin = row["chosen"] - row["rejected"]
    return {"step": step, **row, "margin": margin, "accuracy": accuracy}
