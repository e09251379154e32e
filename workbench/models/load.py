"""From a name to a model with its tokenizer, from a model to a folder, and what identifies weights.

Llama checkpoints run on the small decoder, everything else through `models.hub`. Weights are read
from safetensors only, never from pickles, and no code that comes with a model is run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from workbench.core.transformer import Transformer
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.llama import (
    Progress,
    decoder_config,
    read_decoder,
    read_json,
    write_decoder,
)
from workbench.models.smollm2 import fetch_smollm2


@dataclass
class Model:
    """A policy with its tokenizer; `max_length` is the most tokens it takes at once."""

    name: str
    policy: nn.Module
    tokenizer: Tokenizer
    max_length: int


def load_model(name: str, progress: Progress | None = None) -> Model:
    """The model called `name`: "smollm2", a folder or a Hugging Face id.

    Args:
        name: "smollm2" is fetched on first use; a folder is in the Hugging Face layout.
        progress: told what is happening and the share done, 0 to 1.

    Raises:
        WorkbenchError: nothing of that name, or its files are missing, broken or not accepted.
    """
    folder = fetch_smollm2(progress) if name == "smollm2" else Path(name)
    if not (folder / "config.json").is_file():
        raise WorkbenchError(
            f"model {name!r} is unknown; accepted: tiny, smollm2, a folder with config.json, "
            "or a Hugging Face id such as ORG/NAME"
        )
    config = decoder_config(read_json(folder / "config.json"))
    if config is None:
        raise WorkbenchError("not yet")
    policy = read_decoder(folder, config, progress)
    return Model(name, policy, Tokenizer.from_folder(folder), config.max_length)


def save_model(model: Model, folder: str | Path) -> None:
    """Write `model` in the Hugging Face layout; `transformers` and `load_model` both read it."""
    folder = Path(folder)
    tokenizer = model.tokenizer
    assert isinstance(model.policy, Transformer)
    ids = {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id}
    write_decoder(model.policy, folder, ids)
    tokenizer.save(folder)


def model_hash(policy: nn.Module) -> str:
    """SHA-256, in hexadecimal, over name, shape, type and bytes of every weight."""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
