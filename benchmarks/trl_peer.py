"""TRL's DPOTrainer as a contender: its own loop, which waits for its turn between two steps."""

from __future__ import annotations

import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # all it needs is here

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

from benchmarks.contender import Turns, serve
from benchmarks.workloads import read_token_pairs


class GivenTokens(DPOTrainer):
    """Takes token ids as they are instead of tokenising texts."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


class Stepwise(TrainerCallback):
    """Lets TRL's loop wait for its turn; fetching the next batch falls into the turn."""

    def __init__(self, turns: Turns, facts: dict[str, Any]) -> None:
        self._turns, self._facts = turns, facts

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._turns.ready(**self._facts)

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._turns.step_done()


def train(setting: dict[str, Any], turns: Turns) -> None:
    """Train on the given pairs, in the first contender's order or in one of its own."""
    pairs = read_token_pairs(setting["pairs"])
    order = [place for places in setting["first"]["order"] for place in places]
    if setting["shuffled"]:
        random.Random(0).shuffle(order)
    rows = [
        {"prompt_ids": p.prompt, "chosen_ids": p.chosen, "rejected_ids": p.rejected}
        for p in (pairs[place] for place in order)
    ]
    with TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = str(Path(folder) / "datasets")
        config = DPOConfig(
            output_dir=folder,
            max_steps=setting["steps"],
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **setting["config"],
        )
        trainer = GivenTokens(
            model=setting["model"],
            args=config,
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(**setting["lora"]) if "lora" in setting else None,
        )
        facts = {
            "precision": "bf16" if config.bf16 else "float32",
            "tokens_per_pair": tokens_per_pair(trainer, config, rows),
        }
        trainer.add_callback(Stepwise(turns, facts))
        trainer.train()


def tokens_per_pair(trainer: DPOTrainer, config: DPOConfig, rows: list[dict[str, Any]]) -> float:
    """Positions that go through the model for a pair, padding included."""
    size = config.per_device_train_batch_size
    rows = [{name: list(ids) for name, ids in row.items()} for row in rows]
    batches = [trainer.data_collator(rows[i : i + size]) for i in range(0, len(rows), size)]
    return sum(batch["input_ids"].numel() for batch in batches) / len(rows)


if __name__ == "__main__":
    serve(train)
