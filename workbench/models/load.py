"""Load a model and its tokenizer by name, save a model to a folder, and hash weights.

Llama checkpoints run on the small decoder, those of x-transformers on that library, all others
through `models.hub`. Weights are read from safetensors only, never from pickles, and code that
comes with a model is not run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.core.policy import MAKERS, Policy, Recommended
from workbench.data.foreign.own_files import check_folder, told
from workbench.data.json_rows import read_json
from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.download import hub_folder
from workbench.models.headers.sizes import check_memory, check_sizes
from workbench.models.headers.tensor_headers import stored_tensors, weight_files
from workbench.models.hub_files import load_gguf, load_hub, load_tokenizer, save_hub
from workbench.models.llama import (
    Progress,
    decoder_config,
    read_decoder,
    write_decoder,
)
from workbench.models.lora import has_lora
from workbench.models.smollm2 import QUANTISED, RECOMMENDED, fetch_smollm2
from workbench.models.x_transformers_files import FORMAT, load_folder, save_x_transformers

ACCEPTED = (
    "accepted: tiny, smollm2, a folder with config.json, a .gguf file, "
    "or a Hugging Face id such as ORG/NAME"
)
FORMATS: dict[str, Callable[..., None]] = {
    "llama": write_decoder,
    "transformers": save_hub,
    FORMAT: save_x_transformers,
}
# Greedily the embedded model writes one and the same review of every topic, so a reader would see
# nothing of its distribution, whose truth is known here and which the numbers are about.
TINY = Recommended((("temperature", 1.0),), "as samples of its own distribution")
# What makers publish elsewhere than in generation_config.json, by the names of their models.
PUBLISHED = {
    "tiny": TINY,
    "smollm2": RECOMMENDED,
    "HuggingFaceTB/SmolLM2-135M-Instruct": RECOMMENDED,
}
ABOUT = {"smollm2": QUANTISED}  # what has to be known of a model, by its name
QUANTISED_BY = "quantization_config"  # in config.json, of weights that are quantised
GENERATION = {  # settings in generation_config.json, with what `transformers` takes where left out
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0,
}  # fmt: skip
HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")


@dataclass
class Model:
    """A policy with its tokenizer; `max_length` is the longest sequence, in tokens."""

    name: str
    policy: Policy
    tokenizer: Tokenizer
    max_length: int


def load_model(name: str, progress: Progress | None = None, empty: bool = False) -> Model:
    """The model called `name`, in float32 and ready for training.

    Args:
        name: "smollm2" (fetched on first use), a folder in the Hugging Face layout or written by
            `save_model`, a GGUF file (with the tokenizer that `transformers` makes of it), or an id
            of the Hugging Face hub.
        progress: called with what is happening and the share done, 0 to 1.
        empty: without weights, on the meta device, for a process that gets its part of them from
            another; those of GGUF files and of x-transformers are read all the same.

    Raises:
        WorkbenchError: no model of that name, or its files are missing, broken or not accepted.
    """
    model, folder = _load(name, progress, empty)
    _check_ids(model)
    model.policy.recommended_sampling = PUBLISHED.get(name) or recommended_in(folder)
    return model


def _check_ids(model: Model) -> None:
    """Raise WorkbenchError where the tokenizer gives ids that the model has no embedding of."""
    tokenizer, size = model.tokenizer, model.policy.vocab_size
    added = tokenizer.backend.get_added_tokens_decoder()
    unused = {index for index, token in added.items() if token.special}
    ids = set(tokenizer.backend.get_vocab().values()) - unused
    ids |= {tokenizer.pad_id, *tokenizer.stop_ids, *tokenizer.bos_ids}
    if max(ids) >= size:
        raise WorkbenchError(
            f"{model.name}: tokenizer.json has ids up to {max(ids)}; the model's {size} embeddings "
            f"(vocab_size, num_tokens) do not hold them"
        )


def recommended_before_loading(name: str) -> Recommended:
    """How answers of a model are drawn that is not loaded yet, as far as its files are here."""
    folder = Path(name).expanduser()
    return PUBLISHED.get(name) or recommended_in(folder if folder.is_dir() else folder.parent)


def recommended_in(folder: Path) -> Recommended:
    """How `generation_config.json` of a folder says that answers are drawn; else greedily."""
    path = folder / "generation_config.json"
    values = read_json(path) if path.is_file() else {}
    if values.get("do_sample") is not True:
        return Recommended()
    found = {name: values.get(name, default) for name, default in GENERATION.items()}
    for name, value in found.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise WorkbenchError(f"{path}: {name}={value!r:.60} is not accepted: a number")
    return Recommended(tuple((n, v) for n, v in found.items() if v is not None), MAKERS)


def _load(name: str, progress: Progress | None, empty: bool) -> tuple[Model, Path]:
    """The model, and the folder that it is in."""
    path = Path(name).expanduser()
    if name == "smollm2":
        folder = fetch_smollm2(progress)
    elif path.is_dir():
        folder = path
    elif path.is_file() and path.suffix == ".gguf":
        return _load_hub(name, progress, path), path.parent
    elif HUB_ID.fullmatch(name):
        folder = _hub_folder(name, progress)
    else:
        raise WorkbenchError(f"model {name!r} is unknown; {ACCEPTED}")
    if not (folder / "config.json").is_file():
        raise WorkbenchError(f"folder {name!r} has no config.json; {ACCEPTED}")
    with told(folder):
        return _load_folder(name, progress, folder, empty), folder


def _load_folder(name: str, progress: Progress | None, folder: Path, empty: bool) -> Model:
    check_folder(folder)
    if (folder / "adapter_config.json").is_file():
        raise WorkbenchError(f"{folder} holds an adapter; accepted are models with it merged in")
    content = read_json(folder / "config.json")
    if content.get("model_type") == FORMAT:
        return _load_x_transformers(name, folder, content)
    if content.get("model_type") == "llama":
        shapes = [one.shape for one in stored_tensors(weight_files(folder)).values()]
        check_sizes(content, folder / "config.json", shapes, bool(content.get(QUANTISED_BY)))
        if not empty:
            check_memory(folder, shapes)
    config = decoder_config(content)
    if config is None:
        return _load_hub(name, progress, folder, empty)
    policy = read_decoder(folder, config, progress, empty)
    return Model(name, policy, load_tokenizer(folder), config.max_length)


def _hub_folder(name: str, progress: Progress | None) -> Path:
    try:
        return hub_folder(name, progress)
    except WorkbenchError as error:
        raise WorkbenchError(f"no folder {name!r}, and {error}; {ACCEPTED}") from error


def _load_hub(name: str, progress: Progress | None, path: Path, empty: bool = False) -> Model:
    if progress:
        progress(f"loading {name}", 0.0)
    with told(path):
        policy = load_hub(path, empty) if path.is_dir() else load_gguf(path)
        return Model(name, policy, load_tokenizer(path), policy.max_length)


def _load_x_transformers(name: str, folder: Path, content: Mapping[str, Any]) -> Model:
    tokenizer, policy = Tokenizer.from_folder(folder), load_folder(folder, content)
    return Model(name, policy, tokenizer, policy.max_length)


def save_model(model: Model, folder: str | Path) -> None:
    """Write `model` to a folder that `load_model` reads; `transformers` too, if it has such models.

    Raises:
        WorkbenchError: the policy has adapters, or is of another kind.
    """
    folder, policy, tokenizer = Path(folder), model.policy, model.tokenizer
    if has_lora(policy):
        raise WorkbenchError("the policy has adapters; merge_lora(policy) makes plain weights")
    write = FORMATS.get(policy.checkpoint_format)
    if write is None:
        raise WorkbenchError(f"cannot save a {type(policy).__name__}; accepted: models of ours")
    write(policy, folder, {"eos_token_id": tokenizer.eos_id, "pad_token_id": tokenizer.pad_id})
    tokenizer.save(folder)


def shapes_hash(policy: nn.Module) -> str:
    """SHA-256, in hexadecimal, over names and shapes of the weights, which may be on no device."""
    named = sorted((name, tuple(weight.shape)) for name, weight in policy.named_parameters())
    return hashlib.sha256(repr(named).encode()).hexdigest()


def model_hash(policy: nn.Module) -> str:
    """SHA-256, in hexadecimal, over name, shape, type and bytes of every weight."""
    digest = hashlib.sha256()
    for name, tensor in sorted(policy.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().flatten()
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
