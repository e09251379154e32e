"""Generation side by side: tokens per second of greedy answers, against transformers."""

from __future__ import annotations

import pandas as pd

from benchmarks.against import OURS, Choose, everyone
from benchmarks.report import outcome_rows
from benchmarks.side_by_side import Contender, measure
from benchmarks.workloads import smollm2_tokenizer
from workbench.data.pairs import ASSISTANT, read_pairs
from workbench.models.smollm2 import fetch_smollm2

TITLE = "SmolLM2, greedy answers of 64 tokens"
NEW_TOKENS = 64
ROUNDS = 7
BATCHES = (1, 16)
PRECISIONS = ("float32", "bf16")


def run(rounds: int | None = None, choose: Choose = everyone) -> pd.DataFrame:
    """Measure every batch size in every precision, always the same on both sides."""
    tables = []
    for batch in BATCHES:
        for precision in PRECISIONS:
            outcomes = measure(choose(contenders(batch, precision)), rounds or ROUNDS, 1)
            name = f"generate_{batch}_{precision}"
            tables.append(outcome_rows(name, "tokens/s", batch * NEW_TOKENS, outcomes))
    return pd.concat(tables, ignore_index=True)


def contenders(batch: int, precision: str) -> list[Contender]:
    """Both sides with the same prompts."""
    tokenizer = smollm2_tokenizer()
    pairs = read_pairs(ASSISTANT).pairs[:batch]
    setting = {
        "prompts": [tokenizer.render_prompt(pair.prompt, pair.system) for pair in pairs],
        "pad_id": tokenizer.pad_id,
        "new_tokens": NEW_TOKENS,
        "precision": precision,
        "model": str(fetch_smollm2()),
    }
    words = f"{batch} at a time, {precision}"
    cast = {"float32": "", "bf16": ", weights in bf16"}[precision]
    return [
        Contender("workbench", (*OURS, "answer"), setting, words),
        Contender(
            "transformers",
            ("-m", "benchmarks.transformers_peer"),
            setting,
            f"{words}, its generate with its cache{cast}",
        ),
    ]
