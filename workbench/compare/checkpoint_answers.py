"""How a run's answers changed while it trained: every checkpoint is asked the same, once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workbench.compare.answers import Answer, ask, measure
from workbench.compare.open_handles import handles
from workbench.generation.config import SamplingConfig
from workbench.runs.record import Record, step_of
from workbench.runs.reopen import walk_checkpoints
from workbench.train.base_model import Progress


def checkpoint_answers(
    folder: Path | str,
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """How the answers changed while a recorded run trained, with the same seed at every checkpoint.

    Args:
        folder: of the run.
        prompts: left out, some held-out ones of the run.
        sampling: left out, as the run shows its texts.
        progress: told how many checkpoints have answered.

    Returns:
        `answers_frame` with a column `step` in front: the reference's answers at step 0, where
        policy and reference were the same, then the policy's at each checkpoint.

    Raises:
        WorkbenchError: no run there, or one without a checkpoint.
    """
    tell = progress or (lambda text, share: None)
    steps = [step_of(path) for path in Record(Path(folder)).checkpoints()]
    frames: list[pd.DataFrame] = []
    before: list[Answer] = []
    for number, run in enumerate(walk_checkpoints(folder, tell)):
        tell(f"step {run.step} answers", number / len(steps))
        (reference, policy), how = handles(run), sampling or run.shown_sampling
        asked = list(prompts) or run.prompts[:4]
        before = before or ask(reference, asked, how)
        answers = {reference.name: before, policy.name: ask(policy, asked, how)}
        found = measure(answers, (reference, policy), run.data.scores)
        mine = found["who"] == policy.name
        if not frames:
            frames.append(found[~mine].assign(step=0))
        frames.append(found[mine].assign(step=run.step))
    whole = pd.concat(frames, ignore_index=True)
    return whole[["step", *whole.columns.drop("step")]]
