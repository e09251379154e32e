"""TRL's GRPOTrainer as a contender: its own loop, which waits for its turn after each rollout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # all it needs is here

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from benchmarks.contender import Turns, serve
from workbench.data.reviews.config import ReviewsConfig
from workbench.data.reviews.world import Reviews


class Rounds(TrainerCallback):
    """Ends a turn with the last step on a rollout; the next is written in the next turn."""

    def __init__(self, turns: Turns, steps: int, facts: dict[str, Any]) -> None:
        self._turns, self._steps, self._facts = turns, steps, facts

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._turns.ready(**self._facts)

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step % self._steps == 0:
            self._turns.step_done()


def train(setting: dict[str, Any], turns: Turns) -> None:
    """Train on the first contender's prompts, in its order."""
    world, each = Reviews(ReviewsConfig()), setting["steps_per_rollout"]

    def true_reward(completions: Sequence[str], **_: Any) -> list[float]:
        return [world.reward(text) for text in completions]

    prompts = [text for one in setting["first"]["prompts"] for text in one]
    with TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = str(Path(folder) / "datasets")
        config = GRPOConfig(
            output_dir=folder,
            max_steps=setting["steps"] * each,
            shuffle_dataset=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **setting["config"],
        )
        trainer = GRPOTrainer(
            model=setting["model"],
            args=config,
            reward_funcs=true_reward,
            train_dataset=Dataset.from_list([{"prompt": text} for text in prompts]),
        )
        facts = {"precision": "bf16" if config.bf16 else "float32"}
        trainer.add_callback(Rounds(turns, each, facts))
        trainer.train()


if __name__ == "__main__":
    serve(train)
