"""A name -> a reward: the world's own, a rule, a reward model that was trained, a function.

A reward is (prompts, completions) -> one number each.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.data.completions import TextCompletion
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.heads import RewardModel
from workbench.models.load import Model
from workbench.models.lora import add_lora
from workbench.runs.folder.checkpoint_files import load_tensors
from workbench.runs.folder.checkpoints import whole_checkpoint
from workbench.runs.folder.record import Record
from workbench.train.config import TrainConfig
from workbench.train.precision import computing
from workbench.train.rollouts.reward_function import Reward

GIVEN = "python:"  # before the name of a function that was given in Python
BATCH = 32  # texts per forward pass of a reward model
COURTESY = re.compile(r"\b(please|thanks?|thank you|happy to|glad to|sorry|welcome)\b", re.I)


def polite(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """1 for a text with a word of courtesy, 0 without."""
    return [float(bool(COURTESY.search(text))) for text in completions]


def short(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """Minus the number of words, in tens; an empty text counts as a hundred words."""
    return [-len(text.split()) / 10 if text.strip() else -10.0 for text in completions]


RULES: dict[str, Reward] = {"polite": polite, "short": short}
ACCEPTED = (
    f"accepted: world (with data reviews), {', '.join(RULES)}, the folder of a run of method "
    "reward_model, or FILE.py:FUNCTION"
)


def world_reward(config: ReviewsConfig) -> Reward:
    """The true reward of the reviews."""
    world = Reviews(config)

    def true_reward(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return [world.reward(text) for text in completions]

    return true_reward


def find_reward(config: TrainConfig, open_model: Callable[[TrainConfig], Model]) -> Reward | None:
    """The reward that `config.reward` names; None for a function that was given in Python.

    Args:
        config: resolved.
        open_model: loads the base model of a reward model's run.

    Raises:
        WorkbenchError: no reward of that name, or its file or folder can't be used.
    """
    name = config.reward
    if name is None:
        raise WorkbenchError(f"reward is missing: method {config.method} needs one; {ACCEPTED}")
    if name == "world":
        if config.data != "reviews":
            raise WorkbenchError(f"reward='world' needs data reviews, not {config.data}")
        return world_reward(config.world)
    if name in RULES:
        return RULES[name]
    if name.startswith(GIVEN):
        return None
    path, _, function = name.rpartition(":")
    if path.endswith(".py"):
        return _from_file(Path(path), function)
    if (Path(name) / "config.toml").is_file():
        return reward_of_run(name, config, open_model)
    raise WorkbenchError(f"reward={name!r} is unknown; {ACCEPTED}")


def _from_file(path: Path, function: str) -> Reward:
    """A function of a person's own Python file."""
    if not path.is_file():
        raise WorkbenchError(f"reward: no file {str(path)!r}")
    try:
        found = runpy.run_path(str(path)).get(function)
    except Exception as error:
        raise WorkbenchError(f"reward: {path} raised {type(error).__name__}: {error}") from error
    if not callable(found):
        raise WorkbenchError(f"reward: {path} has no function {function!r}")
    return found


@dataclass(frozen=True)
class ModelReward:
    """A reward model as a reward of texts."""

    model: RewardModel
    tokenizer: Tokenizer
    max_length: int
    device: str = "cpu"
    precision: str = "float32"

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """One number per text; only differences between answers to one prompt mean anything.

        A text is read with its end of sequence, as in training, and cut where the context ends.

        Raises:
            WorkbenchError: a prompt fills the reward model's context.
        """
        sequences = []
        for prompt, completion in zip(prompts, completions, strict=True):
            ids = self.tokenizer.render_prompt(prompt)
            left = self.max_length - len(ids)
            if left < 1:
                raise WorkbenchError(
                    f"reward: a prompt has {len(ids)} tokens, no room for an answer in the reward "
                    f"model's {self.max_length}; set max_length={self.max_length} or less"
                )
            sequences.append((ids, self.tokenizer.completion(completion)[:left]))
        found: list[float] = []
        for start in range(0, len(sequences), BATCH):
            batch: SequenceBatch = collate_sequences(
                sequences[start : start + BATCH], self.tokenizer.pad_id
            )
            with torch.no_grad(), computing(self.model, self.device, self.precision):
                found += self.model(batch.to(self.device)).tolist()
        return found


def check_prompts_of(reward: Reward | None, texts: Iterable[TextCompletion]) -> None:
    """Raise WorkbenchError for a system message or turns that a reward model would not see."""
    if isinstance(reward, ModelReward):
        for text in texts:
            if text.system is not None:
                raise WorkbenchError(
                    f"row {text.row} has a system message, which a reward model is not shown; "
                    "accepted are prompts without one, or a Python function as the reward"
                )
            if text.dialogue is not None:
                raise WorkbenchError(
                    f"row {text.row} has several turns, which a reward model is shown as one text; "
                    "accepted are prompts of one turn, or a Python function as the reward"
                )


def reward_of_run(
    folder: str | Path, config: TrainConfig, open_model: Callable[[TrainConfig], Model]
) -> ModelReward:
    """The reward model that a run of method reward_model ended with."""
    record = Record(Path(folder))
    own = record.config()
    if own.method != "reward_model":
        raise WorkbenchError(
            f"reward={str(folder)!r} is a run of method {own.method}; accepted: reward_model"
        )
    model = open_model(replace(own, device=config.device))
    if own.lora:  # as in its run, so that the checkpoint fits
        add_lora(model.policy, own.lora, seed=own.seed)
    reward = RewardModel(model.policy)
    load_tensors(whole_checkpoint(record.folder), reward)
    reward.to(config.device).requires_grad_(False)
    return ModelReward(reward, model.tokenizer, model.max_length, config.device, config.precision)
