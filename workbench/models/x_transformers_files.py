"""Decoders of the library x-transformers on disk: the arguments of their constructor, and weights.

The library saves no arguments, so they are given, or stand in `config.json`. Weights come from
safetensors, or from a state dict that `torch.save` wrote and `weights_only=True` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.data.cache import atomic_write
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.models.headers.sizes import check_model, check_sizes
from workbench.models.headers.tensor_headers import WEIGHTS, stored_tensors, weight_files
from workbench.models.llama import as_float, refuse_not_finite
from workbench.models.optional import optional
from workbench.models.x_transformers import XTransformersPolicy, one_line

FORMAT = XTransformersPolicy.checkpoint_format  # the `model_type` in config.json
ARGUMENTS = "transformer_wrapper"  # the key in config.json
GENERATOR = "net."  # before the names in the state dict of an `AutoregressiveWrapper`


def load_x_transformers(path: str | Path, arguments: Mapping[str, Any]) -> XTransformersPolicy:
    """The policy with the weights in `path`, ready for training.

    Args:
        path: a `.safetensors` file, or a state dict written by `torch.save`: of the wrapper, or of
            an `AutoregressiveWrapper` around it.
        arguments: of the `TransformerWrapper`; `attn_layers` are those of its `Decoder`, such as
            {"num_tokens": 256, "max_seq_len": 128, "attn_layers": {"dim": 64, "depth": 2}}.

    Raises:
        WorkbenchError: the library is missing or refuses the arguments; the file is missing, holds
            other objects than tensors, or does not fit.
    """
    wrapper, state = _build(arguments), _read(Path(path))
    for name, _ in wrapper.named_parameters():
        if name in state:
            state[name] = as_float(state[name], Path(path), name)
    try:
        wrapper.load_state_dict(state)
    except RuntimeError as error:
        raise WorkbenchError(f"{path} does not fit the arguments: {one_line(error)}") from error
    refuse_not_finite(wrapper, Path(path))
    return XTransformersPolicy(wrapper, arguments)


def load_folder(folder: Path, config: Mapping[str, Any]) -> XTransformersPolicy:
    """The policy in a folder; `config` is its `config.json`."""
    if ARGUMENTS not in config:
        raise WorkbenchError(f"{folder}/config.json has no {ARGUMENTS}: the arguments are needed")
    arguments, path = config[ARGUMENTS], folder / "config.json"
    if not isinstance(arguments, dict):
        raise WorkbenchError(f"{path}: {ARGUMENTS} is no object with the wrapper's arguments")
    file, *others = weight_files(folder)
    if others:
        raise WorkbenchError(f"{folder} has several files of weights; accepted is {WEIGHTS}")
    shapes = [stored.shape for stored in stored_tensors([file]).values()]
    check_sizes(arguments, path, shapes, every=True)
    with torch.device("meta"):
        check_model(_build(arguments), path, shapes)
    return load_x_transformers(file, arguments)


def save_x_transformers(
    policy: XTransformersPolicy, folder: Path, special_ids: Mapping[str, int]
) -> None:
    """Write `config.json` and `model.safetensors`; the library's own names for the weights."""
    if policy.arguments is None:
        raise WorkbenchError(
            "the wrapper's arguments are not known; give them: XTransformersPolicy(wrapper, "
            "arguments)"
        )
    weights = {name: value.contiguous() for name, value in policy.model.state_dict().items()}
    atomic_write(folder / WEIGHTS, lambda path: save_file(weights, path, {"format": "pt"}))
    content = {"model_type": FORMAT, ARGUMENTS: dict(policy.arguments), **special_ids}
    write_json(folder / "config.json", content)


def _build(arguments: Mapping[str, Any]) -> Any:
    library = optional("x_transformers", extra="x_transformers")
    try:
        wrapper = dict(arguments)
        with torch.random.fork_rng(devices=[]):  # its weights are replaced at once
            layers = library.Decoder(**wrapper.pop("attn_layers"))
            return library.TransformerWrapper(**wrapper, attn_layers=layers)
    except Exception as error:  # assertions, mostly
        name = type(error).__name__
        raise WorkbenchError(
            f"x-transformers does not take the arguments ({name}: {one_line(error)}); accepted: "
            "those of TransformerWrapper, with attn_layers those of Decoder"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no weights at all fails in any way
        raise WorkbenchError(
            f"cannot read {path}: {one_line(error)}; accepted: safetensors, or a state dict of "
            "torch.save that weights_only=True reads"
        ) from error
    named = isinstance(state, dict) and all(isinstance(name, str) for name in state)
    if not named or not all(map(torch.is_tensor, state.values())):
        raise WorkbenchError(f"{path} is no state dict; accepted: names with tensors, nothing else")
    prefix = GENERATOR if all(name.startswith(GENERATOR) for name in state) else ""
    return {name.removeprefix(prefix): value for name, value in state.items()}
