"""The files of `transformers`: weights, configurations, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.core.policy import MAKERS
from workbench.data.json_rows import read_json, write_json
from workbench.models.load import Model, save_model


def write_hf(model: Model, folder: Path) -> None:
    """Write a model with plain weights as `transformers` reads it."""
    save_model(model, folder)
    path, tokenizer = folder / "generation_config.json", model.tokenizer
    stop = sorted(tokenizer.stop_ids - {tokenizer.eos_id})
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    content |= {"pad_token_id": tokenizer.pad_id}
    content["eos_token_id"] = [tokenizer.eos_id, *stop] if stop else tokenizer.eos_id
    if tokenizer.bos_ids:
        content["bos_token_id"] = tokenizer.bos_ids[0]
    recommended = model.policy.recommended_sampling
    if recommended.why == MAKERS:
        content |= {"do_sample": True, **recommended.settings}
    write_json(path, content)
