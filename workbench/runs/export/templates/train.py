"""Train with TRL on the rows, batches and settings of a run of the DPO workbench.

    pip install "trl>=1.16,<2" peft
    python train.py                  # writes the trained model to the folder "trained"

config.json names the trainer and its settings, data/train.jsonl holds the rows as token ids with
their texts, data/batches.json the rows of each forward pass, in order. The model that the run
started from is in "model", adapters as they began in "adapters".
"""

from __future__ import annotations

import argparse
import json
import math
import os
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
MODULES = {"CPO": "trl.experimental.cpo", "ORPO": "trl.experimental.orpo"}


def lr_share(step: int, total: int, warmup: int, schedule: str) -> float:
    """The learning rate at a step, as a share of the one that is set."""
    share = min(1.0, (step + 1) / max(1, warmup))
    if schedule == "linear":
        return share * (1 - step / total)
    if schedule == "cosine":
        return share * (1 + math.cos(math.pi * step / total)) / 2
    return share


class GivenRows:
    """Makes a trainer of TRL take rows of token ids, in given batches, and keep its losses."""

    batches: list[list[int]]
    losses: list[float]

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset

    def tokenize_row(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def get_train_dataloader(self) -> Any:
        loader = torch.utils.data.DataLoader
        rows, collate = self.train_dataset, self.data_collator  # type: ignore[attr-defined]
        return loader(rows, batch_sampler=self.batches, collate_fn=collate)

    def training_step(self, *values: Any, **more: Any) -> Any:
        loss = super().training_step(*values, **more)  # type: ignore[misc]
        self.losses.append(float(loss))
        return loss


def read(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def rows() -> Dataset:
    lines = (HERE / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    made = [json.loads(line) for line in lines]
    return Dataset.from_list([{k: v for k, v in row.items() if k != "texts"} for row in made])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, help="end after this many; left out: all")
    parser.add_argument(
        "--losses", type=Path, help="write the loss of each step there, save nothing"
    )
    parser.add_argument("--cpu", action="store_true", help="use no GPU")
    given, config = parser.parse_args(), read("config.json")

    model: Any = AutoModelForCausalLM.from_pretrained(HERE / "model", dtype=torch.float32)
    if (HERE / "adapters").is_dir():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, HERE / "adapters", is_trainable=True)
    total, accumulate = config["steps"], config["arguments"]["gradient_accumulation_steps"]
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    arguments = config["arguments"]
    optimizer = torch.optim.AdamW(
        trainable,
        lr=arguments["learning_rate"],
        betas=(arguments["adam_beta1"], arguments["adam_beta2"]),
        weight_decay=arguments["weight_decay"],
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: lr_share(step, total, config["warmup"], config["schedule"])
    )
    kind = config["trainer"]
    module = import_module(MODULES.get(kind, "trl"))
    settings = getattr(module, f"{kind}Config")(
        output_dir=str(HERE / "trained"),
        max_steps=min(given.steps or total, total),
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=given.losses is not None,
        remove_unused_columns=False,
        use_cpu=given.cpu,
        **arguments,
    )
    trainer_class = type("Trainer", (GivenRows, getattr(module, f"{kind}Trainer")), {})
    trainer = trainer_class(
        model=model,
        args=settings,
        train_dataset=rows(),
        processing_class=AutoTokenizer.from_pretrained(HERE / "model"),
        optimizers=(optimizer, schedule),
    )
    trainer.batches, trainer.losses = read("data/batches.json"), []
    trainer.train()
    if given.losses is None:
        trainer.save_model(str(HERE / "trained"))
        return
    parts = [trainer.losses[i : i + accumulate] for i in range(0, len(trainer.losses), accumulate)]
    given.losses.write_text(json.dumps([sum(part) for part in parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
