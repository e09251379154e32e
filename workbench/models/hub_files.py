"""Models and tokenizers of `transformers` on disk: read, converted and saved."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tokenizers
import torch

from workbench.data.tokenizer import Tokenizer
from workbench.errors import WorkbenchError
from workbench.models.hub import HubPolicy
from workbench.models.llama import (
    refuse_not_finite,
    refuse_whole_numbers,
    weight_files,
    whole_numbers,
)
from workbench.models.optional import optional


def load_hub(folder: Path, gguf: str | None = None) -> HubPolicy:
    """The causal LM in a folder, in float32: from safetensors, or from one GGUF file.

    Raises:
        WorkbenchError: `transformers` is missing, or rejects the files.
    """
    transformers = optional("transformers")
    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {"use_safetensors": True}
    whole = {} if gguf else whole_numbers(weight_files(folder))
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        try:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # its errors share no narrower class
            raise _rejected(folder / (gguf or ""), error) from error
    if report["missing_keys"]:
        first = min(report["missing_keys"])
        raise WorkbenchError(f"{folder} has no weights for {first}, which its config.json needs")
    if gguf:  # the weights are float32 now, and are saved as such
        model.hf_quantizer = None
        del model.config.quantization_config
    if getattr(model.config, "quantization_config", None) is None:
        refuse_whole_numbers(model, whole)
    refuse_not_finite(model, folder / (gguf or ""))
    return HubPolicy(model)


def load_tokenizer(folder: Path, gguf: str | None = None) -> Tokenizer:
    """The tokenizer in a folder, converted by `transformers` where there is no `tokenizer.json`."""
    if gguf is None and (folder / "tokenizer.json").is_file():
        return Tokenizer.from_folder(folder)
    if gguf and (whole := _embedded_tokenizer(folder / gguf)):
        return whole
    transformers = optional("transformers")
    options = {"gguf_file": gguf} if gguf else {}
    with TemporaryDirectory() as name, _quiet(transformers):
        for special in ("generation_config.json", "config.json"):
            if gguf is None and (folder / special).is_file():
                shutil.copy(folder / special, name)
        try:
            converted = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_fast=True, **options
            )
            converted.save_pretrained(name)
        except Exception as error:
            raise _rejected(folder / (gguf or ""), error) from error
        return Tokenizer.from_folder(name)


def _embedded_tokenizer(path: Path) -> Tokenizer | None:
    """The tokenizer that a GGUF file holds whole, under the format's `tokenizer.huggingface.json`;
    None where it holds llama.cpp's form alone.

    Raises:
        WorkbenchError: what it holds is no tokenizer, or names no end of sequence.
    """
    try:
        fields = optional("gguf").GGUFReader(path).fields
    except (OSError, ValueError, IndexError, KeyError):  # the model's reader says what is wrong
        return None

    def read(name: str) -> Any:
        return fields[f"tokenizer.{name}"].contents() if f"tokenizer.{name}" in fields else None

    text, eos = read("huggingface.json"), read("ggml.eos_token_id")
    if text is None:
        return None
    try:
        backend = tokenizers.Tokenizer.from_str(text)
        ids = {name: read(f"ggml.{name}_token_id") for name in ("bos", "unknown", "eot")}
        special = {"bos_token": ids["bos"], "unk_token": ids["unknown"]}
        names = {n: str(backend.id_to_token(i)) for n, i in special.items() if i is not None}
        return Tokenizer(
            backend,
            eos,
            read("ggml.padding_token_id"),
            chat_template=read("chat_template"),
            stop_ids=[] if ids["eot"] is None else [ids["eot"]],
            special_names=names,
        )
    except Exception as error:  # the library raises nothing narrower
        raise WorkbenchError(f"{path}: tokenizer.huggingface.json is not one: {error}") from error


def save_hub(policy: HubPolicy, folder: Path, _special_ids: Mapping[str, int]) -> None:
    """Write config and weights as `transformers` does; every file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name, _quiet(optional("transformers")):
        policy.model.save_pretrained(name)
        for file in Path(name).iterdir():
            os.replace(file, folder / file.name)


def _rejected(path: Path, error: Exception) -> WorkbenchError:
    reason = " ".join(str(error).split())[:300]
    return WorkbenchError(f"transformers does not take {path}: {reason}")


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and messages of the library: errors are raised all the same."""
    log = transformers.utils.logging
    bars, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
