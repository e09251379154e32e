"""What a field that is left open becomes."""

from __future__ import annotations

from typing import Any

# What a field left open becomes: for the embedded decoder, for real models, for their adapters.
DEFAULTS: dict[str, dict[str, Any]] = {
    "tiny": {
        "lr": 5e-4, "epochs": 3, "batch_size": 64, "warmup": 5, "held_out": 128, "samples": 64,
        "eval_every": 16, "max_length": 64, "max_new_tokens": 40, "pairs_from": "reference",
        "shown_length": 40,
    },
    "real": {
        "lr": 5e-6, "epochs": 1, "batch_size": 8, "warmup": 5, "held_out": 60, "samples": 8,
        "eval_every": 15, "max_length": 512, "max_new_tokens": 40, "pairs_from": "grammar",
        "shown_length": 128,
    },
    "lora": {"lr": 2e-4},
}  # fmt: skip
# The same of methods whose completions the policy writes: by model, then by method.
ROLLOUTS: dict[str, dict[str, Any]] = {
    "tiny": {"rollout_size": 256, "lr": 1e-3, "epochs": 20, "held_out": 5, "pairs_from": "grammar"},
    "real": {"rollout_size": 32, "lr": 1e-5, "held_out": 8},
    "ppo": {"group_size": 1, "rollout_epochs": 2},
    "grpo": {"group_size": 8, "rollout_epochs": 2},
    "best_of_n": {"group_size": 8, "rollout_epochs": 1},
}
# Tokens in one forward pass, where that is left open.
MAX_TOKENS = {"cpu": 1536, "mps": 4096, "cuda": 16_384}


def by_model(name: str, tables: dict[str, dict[str, Any]] = DEFAULTS) -> str:
    """What the help of a field says of its values."""
    values = {kind: table[name] for kind, table in tables.items() if name in table}
    return "left open: " + ", ".join(f"{value} ({kind})" for kind, value in values.items())
