"""Training side by side: who takes part in which workload, and with which settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks.against import OURS, Choose, everyone
from benchmarks.report import outcome_rows
from benchmarks.side_by_side import Contender, measure
from benchmarks.workloads import (
    assistant_text,
    cut_pairs,
    short_pairs,
    tiny_model,
    tiny_pairs,
    write_pairs,
)
from workbench.core.batch import Pair
from workbench.core.losses import LOSSES
from workbench.models.smollm2 import fetch_smollm2
from workbench.train.config import DEFAULTS
from workbench.train.precision import bf16_gain, pick_device, pick_precision

BATCH = DEFAULTS["real"]["batch_size"]  # TRL's default is the same
TINY_BATCH = 32
LORA_RANK = 16

# The trainer of TRL that has a loss, and what makes it the workbench's own.
TRL_SETTINGS: dict[str, dict[str, Any]] = {
    "dpo": {"trainer": "DPO"},
    "simpo": {
        "trainer": "CPO", "loss_type": "simpo", "cpo_alpha": 0.0, "beta": 2.0, "simpo_gamma": 1.0,
    },
    "orpo": {"trainer": "ORPO"},
    "kto": {"trainer": "KTO"},
}  # fmt: skip

Pairs = Callable[[str, int], list[Pair]]


@dataclass(frozen=True)
class Training:
    """One workload.

    Attributes:
        title: above its table.
        pairs: (preference file, number of pairs wanted) -> pairs, in whole batches.
        contenders: ours first.
        batch: pairs per step.
        rounds, steps: that count, and steps of each contender in a round.
    """

    title: str
    pairs: Pairs
    contenders: Callable[[], list[Contender]]
    batch: int
    rounds: int
    steps: int


def run(
    name: str,
    workload: Training,
    source: str,
    rounds: int | None = None,
    choose: Choose = everyone,
) -> pd.DataFrame:
    """Measure one workload; `source` is the preference file of the short pairs."""
    rounds = rounds or workload.rounds
    pairs = workload.pairs(source, (rounds + 1) * workload.steps * workload.batch)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.json"
        write_pairs(pairs, path)
        told = [
            replace(contender, setting={**contender.setting, "pairs": str(path)})
            for contender in choose(workload.contenders())
        ]
        outcomes = measure(told, rounds, workload.steps)
    return outcome_rows(name, "pairs/s", workload.batch * workload.steps, outcomes)


def ours(name: str, words: str, **config: Any) -> Contender:
    """The workbench with some settings of its `TrainConfig`."""
    return Contender(name, (*OURS, "train"), {"config": config}, words)


def trl(
    name: str,
    words: str,
    lora: dict[str, Any] | None = None,
    shuffled: bool = False,
    trainer: str = "DPO",
    **config: Any,
) -> Contender:
    """A trainer of TRL with some settings of its config.

    It gets the workbench's batches, sorted by length, which spares it padding; `shuffled`: the same
    pairs in the random order that is its default.
    """
    on_cpu = pick_device("auto") == "cpu"  # TRL has to be told, or refuses bf16 without a GPU
    setting = {"model": str(fetch_smollm2()), "config": {"use_cpu": on_cpu, **config}}
    setting |= {"shuffled": shuffled, "trainer": trainer}
    if lora:
        setting["lora"] = lora
    return Contender(name, ("-m", "benchmarks.trl_peer"), setting, words)


def trl_at_its_best(
    name: str,
    batch: int,
    part: int,
    words: str = "",
    compares: bool = True,
    rows: str = "pairs",
    **settings: Any,
) -> Contender:
    """TRL with what makes it fastest on a processor: batches in passes of `part` rows.

    Tried in short runs on two cores, on top of what is kept, as time over the kept one's. On short
    pairs: gradient checkpointing and the reference asked at each step 1.4; float32 1.6; AdamW not
    fused 1.2; padding to multiples of 16 1.1; attention written out, weights in bf16 and the whole
    batch in one pass 1.0, the last two at 70 % and 125 % of the memory. On long prompts:
    torch.compile 1.1; passes of one pair 1.0 at 75 % of the memory, of eight 1.0 at 15 GB.
    """
    best: dict[str, Any] = {"gradient_checkpointing": False}
    if compares:
        best["precompute_ref_log_probs"] = True
        words = f", reference computed once{words}"
    best["bf16"] = bf16_gain(pick_device("auto")) > 1
    best["per_device_train_batch_size"] = part
    best["gradient_accumulation_steps"] = batch // part
    words = f"no gradient checkpointing, {part} {rows} a pass{words}"
    return trl(name, words, **best, **settings)


def full_fine_tuning(batch: int, part: int, loss: str = "dpo") -> list[Contender]:
    """All weights of SmolLM2, `batch` pairs per step; TRL at its best takes `part` per pass.

    A pair is two labelled completions where the loss is on those.
    """
    compares, rows = LOSSES[loss].needs_reference, "pairs"
    if LOSSES[loss].method == "kto":
        batch, part, rows = 2 * batch, 2 * part, "completions"
    asked = "reference asked at each step, " if compares else ""
    by_default = f"gradient checkpointing, {asked}bf16, random order"
    same, together = TRL_SETTINGS[loss], ", similar lengths together"
    return [
        ours("workbench", "as it comes", model="smollm2", batch_size=batch, loss=loss),
        trl("TRL as it comes", by_default, None, True, per_device_train_batch_size=batch, **same),
        trl_at_its_best("TRL at its best", batch, part, together, compares, rows, **same),
    ]


def adapters() -> list[Contender]:
    """Low-rank adapters on all linear layers of SmolLM2."""
    lora = {
        "r": LORA_RANK,
        "lora_alpha": 2 * LORA_RANK,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }
    words = f"LoRA of rank {LORA_RANK} on all linear layers"
    return [
        ours("workbench LoRA", words, model="smollm2", lora=LORA_RANK),
        trl_at_its_best("TRL with peft", BATCH, 4, f", {words}", lora=lora),
    ]


def tiny_decoders() -> list[Contender]:
    """The same small decoder in two libraries."""
    common = {"model": "tiny", "batch_size": TINY_BATCH}
    picked = pick_precision("auto", pick_device("auto"), tiny_model().policy)
    by_default = [ours("workbench bf16", "as it comes", precision="bf16", **common)]
    return [
        ours("workbench", "float32", precision="float32", **common),
        *(by_default if picked == "bf16" else []),
        Contender(
            "x-transformers",
            ("-m", "benchmarks.x_transformers_peer"),
            words="float32, as it comes: the reference is asked at each step; fused AdamW",
        ),
    ]


def _short(source: str, count: int) -> list[Pair]:
    return short_pairs(source, BATCH)


def _long(*sizes: int) -> Pairs:
    return lambda source, count: cut_pairs(assistant_text(), sizes, count)


# (preference file, number of pairs wanted) -> pairs, by the name of a workload of the real model.
SMOLLM2: dict[str, Pairs] = {
    "short": _short,
    "long_prompts": _long(400, 40, 40),
    "long_answers": _long(40, 300, 300),
}
TRAININGS = {
    "short": Training(
        "SmolLM2, all weights, short real pairs",
        _short,
        partial(full_fine_tuning, BATCH, 4),
        BATCH,
        7,
        2,
    ),
    "short_4": Training(
        "SmolLM2, all weights, short real pairs, 4 at a time",
        _short,
        partial(full_fine_tuning, 4, 4),
        4,
        7,
        4,
    ),
    "long_prompts": Training(
        "SmolLM2, all weights, prompts of 400 tokens and answers of 40",
        SMOLLM2["long_prompts"],
        partial(full_fine_tuning, BATCH, 2),
        BATCH,
        3,
        1,
    ),
    "long_answers": Training(
        "SmolLM2, all weights, prompts of 40 tokens and answers of 300",
        SMOLLM2["long_answers"],
        partial(full_fine_tuning, BATCH, 2),
        BATCH,
        3,
        1,
    ),
    **{
        loss: Training(
            f"SmolLM2, all weights, short real pairs, {loss}",
            _short,
            partial(full_fine_tuning, BATCH, 4, loss),
            BATCH,
            7,
            2,
        )
        for loss in ("simpo", "orpo", "kto")
    },
    "simpo_long": Training(
        "SmolLM2, all weights, prompts of 400 tokens and answers of 40, simpo",
        SMOLLM2["long_prompts"],
        partial(full_fine_tuning, BATCH, 2, "simpo"),
        BATCH,
        3,
        1,
    ),
    "lora": Training("SmolLM2, low-rank adapters, short real pairs", _short, adapters, BATCH, 7, 2),
    "tiny": Training(
        "A decoder of 5 million parameters, prompts of 32 tokens and answers of 32",
        lambda source, count: tiny_pairs(count),
        tiny_decoders,
        TINY_BATCH,
        7,
        5,
    ),
}
