"""A trainer of TRL as a contender: its own loop, which waits for its turn between two steps."""

from __future__ import annotations

import os
import random
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # all it needs is here
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback

from benchmarks.contender import Turns, serve
from benchmarks.workloads import labelled, read_token_pairs
from workbench.core.batch import Pair

MODULES = {
    "DPO": "trl",
    "KTO": "trl",
    "CPO": "trl.experimental.cpo",
    "ORPO": "trl.experimental.orpo",
}


class GivenTokens:
    """Makes a trainer take token ids as they are instead of tokenising texts."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def tokenize_row(self, *_: Any) -> dict[str, Any]:
        return {}


def rows_for(trainer: str, pairs: list[Pair]) -> list[dict[str, Any]]:
    """Columns as the trainer's own preparation makes them. KTO's mismatched completions, which TRL
    takes from the row before, are the workbench's."""
    if trainer == "KTO":
        return [
            {
                "prompt_ids": list(row.prompt),
                "completion_ids": list(row.completion),
                "KL_completion_ids": list(row.mismatched),
                "label": row.label,
            }
            for row in labelled(pairs)
        ]
    if trainer == "DPO":
        names = {"prompt_ids": "prompt", "chosen_ids": "chosen", "rejected_ids": "rejected"}
        return [{key: list(getattr(p, name)) for key, name in names.items()} for p in pairs]
    return [
        {**masked("chosen", p.prompt, p.chosen), **masked("rejected", p.prompt, p.rejected)}
        for p in pairs
    ]


def masked(side: str, prompt: tuple[int, ...], completion: tuple[int, ...]) -> dict[str, Any]:
    """A row of CPOTrainer and ORPOTrainer: the labels of its prompt are -100."""
    tokens = [*prompt, *completion]
    return {
        f"{side}_input_ids": tokens,
        f"{side}_attention_mask": [1] * len(tokens),
        f"{side}_labels": [-100] * len(prompt) + list(completion),
    }


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
    kind, pairs = setting["trainer"], read_token_pairs(setting["pairs"])
    module = import_module(MODULES[kind])
    order = [place for places in setting["first"]["order"] for place in places]
    if setting["shuffled"]:
        random.Random(0).shuffle(order)
    made = rows_for(kind, pairs)
    rows = [made[place] for place in order]
    with TemporaryDirectory() as folder:
        os.environ["HF_DATASETS_CACHE"] = str(Path(folder) / "datasets")
        config = getattr(module, f"{kind}Config")(
            output_dir=folder,
            max_steps=setting["steps"],
            train_sampling_strategy="sequential",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **setting["config"],
        )
        given = type("Given", (GivenTokens, getattr(module, f"{kind}Trainer")), {})
        trainer = given(
            model=setting["model"],
            args=config,
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(**setting["lora"]) if "lora" in setting else None,
        )
        facts = {
            "precision": "bf16" if config.bf16 else "float32",
            "tokens_per_pair": positions(trainer, config, rows)
            * len(made)
            / len(rows)
            / len(pairs),
        }
        trainer.add_callback(Stepwise(turns, facts))
        trainer.train()


def positions(trainer: Any, config: Any, rows: list[dict[str, Any]]) -> int:
    """How many go through the model for these rows, padding included."""
    size, total = config.per_device_train_batch_size, 0
    for begin in range(0, len(rows), size):
        batch = trainer.data_collator(rows[begin : begin + size])
        ids = [value for name, value in batch.items() if name.endswith("input_ids")]
        if "chosen_input_ids" in batch:  # both sides are padded to one length
            ids = [max(ids, key=lambda side: side.shape[1])] * 2
        total += sum(one.numel() for one in ids)
    return total


if __name__ == "__main__":
    serve(train)
