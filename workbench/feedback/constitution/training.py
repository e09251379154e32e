"""Training on the pairs of a constitution, measured before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import pandas as pd

from workbench.compare.handle_sources import handles
from workbench.feedback.constitution.feedback_pairs import FeedbackPair, write_feedback
from workbench.feedback.kept_training import folder_for, open_kept
from workbench.feedback.questions import Reward
from workbench.models.load import Model
from workbench.runs.prepare import open_model
from workbench.runs.run import Run
from workbench.train.config import TrainConfig


def train_on_feedback(
    pairs: Sequence[FeedbackPair],
    config: TrainConfig,
    prompts: Sequence[str],
    scores: Mapping[str, Reward],
    base: Model | None = None,
) -> pd.DataFrame:
    """Train on the pairs, and score answers of the model before and after.

    Args:
        config: how; `data` becomes a file of the pairs, and nothing is held out. With `out` the run
            is kept in a folder within: called again after a kill, it goes on from there.
        prompts: answered by both, with the same seed, at temperature 1.
        scores: (prompt, answer) -> a number, by name.
        base: trained in place; left out, the model that `config` names.

    Returns:
        One row per score: metric, before, after, each a mean over the prompts.
    """
    with TemporaryDirectory() as temporary:
        path = Path(config.out or temporary) / "pairs.jsonl"
        write_feedback(pairs, path)
        config = replace(config, data=str(path), held_out=0, samples=0, eval_every=0)
        if config.out:
            base = base or open_model(config)
            folder = folder_for(config, base, path.parent, "run")
            run = open_kept(config, base, folder, None)
        else:
            run = Run.create(config, base=base)
        for _ in run:
            pass
    sampling = replace(run.estimate_sampling, seed=config.seed)
    before, after = (handle.answer(prompts, sampling) for handle in handles(run))
    rows = [
        [name, *(fmean(map(score, prompts, texts)) for texts in (before, after))]
        for name, score in scores.items()
    ]
    return pd.DataFrame(rows, columns=["metric", "before", "after"])
