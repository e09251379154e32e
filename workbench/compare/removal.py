"""DPO with and without the pairs that CHES ranks as the most displacing."""

from __future__ import annotations

import copy
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from workbench.compare.ches import CHES, CHES_NORM, ches_frame
from workbench.compare.model_handles import ModelHandle
from workbench.errors import WorkbenchError
from workbench.models.load import Model
from workbench.runs.evaluate import PREFIX
from workbench.runs.prepare import Parts, prepare
from workbench.runs.run import Run
from workbench.train.base_model import Progress
from workbench.train.batches import batches_for
from workbench.train.config import TrainConfig

REMOVED = ("nothing", "at random", "most displacing")


def train_without(
    config: TrainConfig,
    base: Model | None = None,
    share: float = 0.1,
    seeds: Sequence[int] = (0, 1, 2),
    by: str = CHES,
    progress: Progress | None = None,
) -> Iterator[pd.DataFrame]:
    """Train on all pairs, without a random share of them, and without the most displacing share.

    The runs differ in their training pairs and the order of these alone: all take as many steps as
    `config` takes with all pairs, and all are measured on the same held-out pairs. The fair
    comparison is with the random share: with all pairs the last batch of an epoch has another size.

    Args:
        config: a method on pairs with a reference; `held_out` above 0.
        base: a loaded model, instead of the one that `config.model` names; it stays as it is.
        share: of the training pairs, above 0 and up to 0.5.
        seeds: of the order of the pairs, and of the random share.
        by: the column of `ches_frame` that ranks the pairs, "ches" or "ches_norm".
        progress: called with what is being done and the share done, 0 to 1.

    Yields:
        After each run the rows of all runs so far: `seed`, `removed` (a name of `REMOVED`),
        `pairs` trained on, `step`, and every held-out metric of the end without `held_out/`, such
        as `logratios/chosen`.

    Raises:
        WorkbenchError: at once, for a share out of range, an unknown score, no held-out pairs, or
            another method.
    """
    if not 0 < share <= 0.5:
        raise WorkbenchError(f"share={share!r} is not accepted: a number above 0 and up to 0.5")
    if by not in (CHES, CHES_NORM):
        raise WorkbenchError(f"by={by!r} is unknown; accepted: {CHES}, {CHES_NORM}")
    own = base and replace(base, policy=copy.deepcopy(base.policy))
    parts = prepare(replace(config, out=None), progress, own)
    if not (parts.method.paired and parts.reference is not None and parts.data.held_out):
        raise WorkbenchError(
            f"method {parts.method.name} with loss {parts.config.loss} and "
            f"{len(parts.data.held_out)} rows held out is not accepted: a loss on pairs with a "
            "reference, and held_out above 0"
        )
    if len(parts.data.train) < 2:
        raise WorkbenchError("there is one pair to train on; removing a share takes two or more")
    steps, epochs = Run(parts).total, 2 * (parts.config.epochs or 1)  # fewer pairs, as many steps
    parts.config = replace(parts.config, max_steps=steps, epochs=epochs)
    return _train(
        parts, ranked_pairs(parts, by), share, seeds, progress or (lambda text, done: None)
    )


def ranked_pairs(parts: Parts, by: str) -> list[int]:
    """Indices of the training pairs, the most displacing first."""
    config, model = parts.config, parts.model
    handle = ModelHandle(
        "reference", model.policy, model.tokenizer, config.device, config.precision
    )
    frame = ches_frame(handle, parts.data.train_texts, config.max_length or 0)
    return frame.sort_values(by, ascending=False, kind="stable")["pair"].tolist()


def _train(
    parts: Parts, ranked: list[int], share: float, seeds: Sequence[int], progress: Progress
) -> Iterator[pd.DataFrame]:
    count, rows = max(1, round(share * len(ranked))), list[dict[str, Any]]()
    for seed in seeds:
        drawn = random.Random(seed).sample(range(len(ranked)), count)
        for name, removed in zip(REMOVED, ([], drawn, ranked[:count]), strict=True):
            text, runs = f"training, removed: {name}", len(seeds) * len(REMOVED)
            progress(text, len(rows) / runs)
            run = run_without(parts, set(removed), seed)
            for _ in run:
                pass
            metrics = {key.removeprefix(PREFIX): value for key, value in run.evaluate().items()}
            named = {"seed": seed, "removed": name, "pairs": len(run.data.train)}
            rows.append({**named, "step": run.step, **metrics})
            progress(text, len(rows) / runs)
            yield pd.DataFrame(rows)


def run_without(parts: Parts, removed: Collection[int], seed: int) -> Run:
    """A run of a policy of its own on the other training pairs."""
    config, data = replace(parts.config, seed=seed), parts.data
    kept = [index for index in range(len(data.train)) if index not in removed]
    train, texts = ([rows[i] for i in kept] for rows in (data.train, data.train_texts))
    batches = batches_for(
        parts.method, train, parts.model.tokenizer.pad_id, config.batch_size or 1,
        config.accumulate, config.layout or "stacked", seed, config.max_tokens or 0, config.bucket,
    )  # fmt: skip
    model = replace(parts.model, policy=copy.deepcopy(parts.model.policy))
    # The cached values of the reference are found by an index in all pairs; this one computes them.
    return Run(
        replace(
            parts, config=config, model=model, data=replace(data, train=train, train_texts=texts),
            batches=batches, reference=parts.evaluator.start,
        )
    )  # fmt: skip
