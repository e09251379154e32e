"""transformers' generate as a contender: greedy, cached, as many new tokens as asked for."""

from __future__ import annotations

import os
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}  # all it needs is here

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.contender import Turns, serve


def answer(setting: dict[str, Any], turns: Turns) -> None:
    """Answer the prompts again and again, once per step."""
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[setting["precision"]]
    model: Any = AutoModelForCausalLM.from_pretrained(setting["model"], dtype=dtype)
    model.generation_config = config = GenerationConfig(
        max_new_tokens=setting["new_tokens"],
        do_sample=False,
        eos_token_id=None,  # no answer ends early
        pad_token_id=setting["pad_id"],
    )
    prompts, width = setting["prompts"], max(map(len, setting["prompts"]))
    rows = [[setting["pad_id"]] * (width - len(ids)) + ids for ids in prompts]
    mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
    tokens, seen = torch.tensor(rows), torch.tensor(mask)
    turns.ready(precision=setting["precision"])
    while True:
        found = model.generate(tokens, attention_mask=seen, generation_config=config)
        assert found.shape[1] == width + setting["new_tokens"]
        turns.step_done()


if __name__ == "__main__":
    serve(answer)
