"""Models and tokenizers of `transformers` on disk: read, converted and saved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from workbench.data.foreign.own_files import check_folder, told
from workbench.data.json_rows import read_json, write_json
from workbench.data.tokenizer import Tokenizer
from workbench.data.tokenizer_files import backend_of
from workbench.errors import WorkbenchError
from workbench.models.headers.gguf_headers import gguf_head
from workbench.models.headers.sizes import check_memory, check_model, check_sizes
from workbench.models.headers.tensor_headers import stored_tensors, weight_files
from workbench.models.hub import HubPolicy
from workbench.models.llama import refuse_not_finite, refuse_whole_numbers
from workbench.models.optional import optional

# What in a configuration names code, files or other models; none of it is needed to read weights.
NOT_DATA = frozenset((
    "auto_map", "transformers_weights", "custom_pipelines", "use_kernels", "kernel_config",
    "init_inputs", "fast_tokenizer_files", "name_or_path", "_name_or_path",
    "base_model_name_or_path",
))  # fmt: skip


def load_hub(folder: Path, empty: bool = False) -> HubPolicy:
    """The causal LM in a folder, in float32, from safetensors.

    With `empty` it has no weights (they are on the meta device), unless those are quantised, or
    their values tell whether embeddings and head are one.

    Raises:
        WorkbenchError: `transformers` is missing, or rejects the files.
    """
    path = folder / "config.json"
    content = _data_alone(read_json(path))
    stored = stored_tensors(weight_files(folder))
    shapes = [one.shape for one in stored.values()]
    packed = bool(content.get("quantization_config"))
    check_sizes(content, path, shapes, packed)
    with TemporaryDirectory() as name:
        write_json(Path(name) / "config.json", content)
        options = {"use_safetensors": True}
        if empty and not packed:
            model = _loaded(folder, Path(name), shapes, config_from=name, empty=True)
            tied = getattr(model, "all_tied_weights_keys", {})  # not of all versions
            if not any({*pair} <= stored.keys() for pair in tied.items()):
                return HubPolicy(model)
        check_memory(folder, shapes)
        model = _loaded(folder, Path(name), shapes, packed, config_from=name, **options)
    if not packed:
        refuse_whole_numbers(model, stored)
    refuse_not_finite(model, folder)
    return HubPolicy(model)


def load_gguf(path: Path) -> HubPolicy:
    """The causal LM in a GGUF file, in float32.

    Raises:
        WorkbenchError: as `load_hub`; or the file is broken.
    """
    head = gguf_head(path)
    shapes = list(head.shapes.values())
    check_sizes({n.rpartition(".")[2]: v for n, v in head.settings.items()}, path, shapes)
    check_memory(path, shapes)
    with TemporaryDirectory() as name:
        staged = _alone(path, Path(name))
        model = _loaded(path, staged.parent, shapes, gguf_file=staged.name)
    model.hf_quantizer = None  # the weights are float32 now, and are saved as such
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    refuse_not_finite(model, path)
    return HubPolicy(model)


def _loaded(
    path: Path,
    staged: Path,
    shapes: list[tuple[int, ...]],
    packed: bool = False,
    config_from: str | None = None,
    empty: bool = False,
    **options: Any,
) -> Any:
    """The model of `transformers`, once one without memory is as large as its weights; or that."""
    transformers = optional("transformers")
    local = {"local_files_only": True, "trust_remote_code": False}
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        try:
            given = {} if config_from else options
            config = transformers.AutoConfig.from_pretrained(staged, **local, **given)
            with torch.device("meta"):
                built = transformers.AutoModelForCausalLM.from_config(config)
            check_model(built, path, shapes, packed)
            if empty:
                return built.float()
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                path if config_from else staged,
                dtype=torch.float32,
                output_loading_info=True,
                **local,
                **options,
                **({"config": config} if config_from else {}),
            )
        except WorkbenchError:
            raise
        except Exception as error:  # its errors share no narrower class
            raise _rejected(path, error, staged) from error
    if report["missing_keys"]:
        first = min(report["missing_keys"])
        raise WorkbenchError(f"{path} has no weights for {first}, which its config.json needs")
    return model


def _data_alone(value: Any) -> Any:
    """A configuration without what names code, other files or other models."""
    if isinstance(value, list):
        return [_data_alone(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _data_alone(one)
        for name, one in value.items()
        if name not in NOT_DATA and not name.endswith(("_implementation", "_file"))
    }


def _alone(path: Path, folder: Path) -> Path:
    """The file under its own name in an empty folder, so that nothing beside it is read."""
    staged = folder / path.name
    for place in (os.symlink, os.link, shutil.copy):
        with suppress(OSError):
            place(path.resolve(), staged)
            return staged
    raise WorkbenchError(f"cannot read {path}: no link to it can be made")


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a folder or GGUF file, converted by `transformers` where it has to be."""
    if (path / "tokenizer.json").is_file():
        return Tokenizer.from_folder(path)
    if path.is_file() and (whole := _embedded_tokenizer(path)):
        return whole
    transformers = optional("transformers")
    with TemporaryDirectory() as given, TemporaryDirectory() as name, _quiet(transformers):
        if path.is_file():
            options = {"gguf_file": _alone(path, Path(given)).name}
        else:
            options = {}
            _copy_tokenizer(path, Path(given))
            for special in ("generation_config.json", "config.json"):
                if (path / special).is_file():
                    shutil.copy(path / special, name)
        try:
            converted = transformers.AutoTokenizer.from_pretrained(
                given, local_files_only=True, trust_remote_code=False, use_fast=True, **options
            )
            converted.save_pretrained(name)
        except Exception as error:
            raise _rejected(path, error, Path(given)) from error
        try:
            return Tokenizer.from_folder(name)
        except WorkbenchError as error:
            raise WorkbenchError(str(error).replace(name, str(path))) from error


def _embedded_tokenizer(path: Path) -> Tokenizer | None:
    """The tokenizer that a GGUF file holds whole, under the format's `tokenizer.huggingface.json`;
    None where it holds llama.cpp's form alone.

    Raises:
        WorkbenchError: what it holds is no tokenizer, or names no end of sequence.
    """
    settings = gguf_head(path).settings

    def read(name: str) -> Any:
        return settings.get(f"tokenizer.{name}")

    if read("huggingface.json") is None:
        return None
    with told(f"{path}: tokenizer.huggingface.json"):
        backend = backend_of(json.loads(read("huggingface.json")), path)
        ids = {name: read(f"ggml.{name}_token_id") for name in ("bos", "unknown", "eot")}
        special = {"bos_token": ids["bos"], "unk_token": ids["unknown"]}
        return Tokenizer(
            backend,
            read("ggml.eos_token_id"),
            read("ggml.padding_token_id"),
            chat_template=read("chat_template"),
            stop_ids=[] if ids["eot"] is None else [ids["eot"]],
            special_names={
                n: str(backend.id_to_token(i)) for n, i in special.items() if i is not None
            },
        )


def _copy_tokenizer(folder: Path, target: Path) -> None:
    """Copy what a tokenizer of the older kind may be made of: text and vocabularies."""
    check_folder(folder)
    for path in folder.iterdir():
        if path.suffix in (".json", ".txt", ".model", ".tiktoken", ".jinja") and path.is_file():
            shutil.copy(path, target)
    for name in ("config.json", "tokenizer_config.json"):
        if (target / name).is_file():
            write_json(target / name, _data_alone(read_json(target / name)))


def save_hub(policy: HubPolicy, folder: Path, _special_ids: Mapping[str, int]) -> None:
    """Write config and weights as `transformers` does; every file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name, _quiet(optional("transformers")):
        policy.model.save_pretrained(name)
        for file in Path(name).iterdir():
            os.replace(file, folder / file.name)


def _rejected(path: Path, error: Exception, staged: Path) -> WorkbenchError:
    reason = " ".join(str(error).replace(str(staged), str(path)).split())[:300]
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
