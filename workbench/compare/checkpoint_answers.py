"""How a run's answers changed during training: every checkpoint answers the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workbench.compare.answers import Answer, measure, sample_answers
from workbench.compare.handle_sources import handles
from workbench.generation.config import SamplingConfig
from workbench.runs.folder.checkpoint_files import step_of
from workbench.runs.folder.record import Record
from workbench.runs.reopen import walk_checkpoints
from workbench.train.base_model import Progress


def checkpoint_answers(
    folder: Path | str,
    prompts: Sequence[str] = (),
    sampling: SamplingConfig | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The answers at every checkpoint of a recorded run, all with the same seed.

    Args:
        folder: of the run.
        prompts: by default, some held-out ones of the run.
        sampling: by default, that of the run's own samples.
        progress: called with the step of the checkpoint and the share done.

    Returns:
        `answers_frame` with a column `step` in front: the reference's answers at step 0, where
        policy and reference were the same, then the policy's at each checkpoint.

    Raises:
        WorkbenchError: no run there, or one without a checkpoint.
    """
    report = progress or (lambda text, share: None)
    steps = [step_of(path) for path in Record(Path(folder)).checkpoints()]
    frames: list[pd.DataFrame] = []
    before: list[Answer] = []
    for number, run in enumerate(walk_checkpoints(folder, report)):
        report(f"step {run.step} answers", number / len(steps))
        (reference, policy), config = handles(run), sampling or run.shown_sampling
        questions = list(prompts) or run.prompts[:4]
        before = before or sample_answers(reference, questions, config)
        after = sample_answers(policy, questions, config)
        answers = {reference.name: before, policy.name: after}
        frame = measure(answers, (reference, policy), run.data.scores)
        of_policy = frame["who"] == policy.name
        if not frames:
            frames.append(frame[~of_policy].assign(step=0))
        frames.append(frame[of_policy].assign(step=run.step))
    steps_frame = pd.concat(frames, ignore_index=True)
    return steps_frame[["step", *steps_frame.columns.drop("step")]]
