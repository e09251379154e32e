"""Runs of TRL's DPOTrainer, sound ones and faults, whose `trainer_state.json` the doctor reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # all it needs is here

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

from benchmarks.doctor_faults import Plant, reviews
from benchmarks.trl_peer import GivenTokens, rows_for
from workbench.core.batch import Pair
from workbench.data.pairs import encode_pairs
from workbench.data.reviews.world import Reviews

TRAIN, KEPT = 256, 64  # pairs


class GivenDPO(GivenTokens, DPOTrainer):
    """DPOTrainer on token ids."""


def small_model(seed: int) -> LlamaForCausalLM:
    """A small decoder that was never trained."""
    torch.manual_seed(seed)
    shape = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 96,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(vocab_size=Reviews().tokenizer.vocab_size, **shape))


def dpo(folder: Path, seed: int, start: Any = None, **settings: Any) -> Any:
    """Train and write the state; the model. `start` is the policy where it isn't the reference."""
    pairs = encode_pairs(reviews(TRAIN + KEPT, seed), Reviews().tokenizer, 96).pairs
    config = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=16, per_device_eval_batch_size=16,
        logging_steps=2, eval_strategy="steps", eval_steps=8, save_strategy="no", report_to="none",
        disable_tqdm=True, seed=seed, bf16=False, use_cpu=True, **settings,
    )  # fmt: skip
    backend = Reviews().tokenizer.backend
    words = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")
    trainer = GivenDPO(
        model=start or small_model(seed), ref_model=small_model(seed), args=config,
        processing_class=words,
        train_dataset=_rows(pairs[:TRAIN]), eval_dataset=_rows(pairs[TRAIN:]),
    )  # fmt: skip
    trainer.train()
    folder.mkdir(parents=True, exist_ok=True)
    trainer.state.save_to_json(str(folder / "trainer_state.json"))
    return trainer.model


def small_lr(folder: Path, seed: int) -> None:
    """A learning rate of 1e-7."""
    dpo(folder, seed, learning_rate=1e-7, num_train_epochs=2)


def frozen(folder: Path, seed: int) -> None:
    """A learning rate of 0: nothing is trained."""
    dpo(folder, seed, learning_rate=0.0, num_train_epochs=2)


def large_lr(folder: Path, seed: int) -> None:
    """A learning rate of 1."""
    dpo(folder, seed, learning_rate=1.0, num_train_epochs=2)


def by_heart(folder: Path, seed: int) -> Any:
    """Twenty epochs."""
    return dpo(folder, seed, learning_rate=3e-3, num_train_epochs=20)


def other_reference(folder: Path, seed: int) -> None:
    """A trained policy goes on, with the untrained model as reference."""
    start = by_heart(folder / "before", seed)
    dpo(folder, seed, start, learning_rate=1e-5, num_train_epochs=2)


FAULTS: dict[str, tuple[str, Plant]] = {
    "TRL: learning rate 1e-7": ("learning rate too small", small_lr),
    "TRL: learning rate 0": ("stuck at log 2", frozen),
    "TRL: learning rate 1": ("learning rate too large", large_lr),
    "TRL: twenty epochs": ("memorised pairs", by_heart),
    "TRL: untrained reference": ("reference is not the start", other_reference),
}


def good(folder: Path, seed: int) -> None:
    """A sound run."""
    dpo(folder, seed, learning_rate=1e-3, num_train_epochs=2)


def _rows(pairs: list[Pair]) -> Dataset:
    return Dataset.from_list(rows_for("DPO", pairs))
