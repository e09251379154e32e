"""One GGUF file, as llama.cpp and what is built on it read: names, shapes and metadata are theirs.

What the format has no place for is refused before anything is written: a model that silently lost
a setting would still load, and be another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor

from workbench.data.json_rows import read_json
from workbench.errors import WorkbenchError
from workbench.models.headers.tensor_headers import weight_files
from workbench.models.llama import decoder_config
from workbench.models.load import Model
from workbench.models.optional import optional
from workbench.runs.export.gguf_tokenizer import add_tokenizer
from workbench.runs.export.hf_folder import write_hf

NAME = "model.gguf"
DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32}  # llama.cpp's numbers
Config = Mapping[str, Any]


def _pairs_side_by_side(name: str, weight: Tensor, config: Config) -> Tensor:
    """Llama's checkpoints store the first numbers of all rotated pairs, then the second ones; GGUF
    stores the two numbers of a pair next to each other."""
    for part, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads")):
        if f".{part}." in name:
            pattern = "(head two pair) ... -> (head pair two) ..."
            return rearrange(
                weight, pattern, head=config.get(heads) or config["num_attention_heads"], two=2
            )
    return weight


def _linear_layers_transposed(name: str, weight: Tensor, config: Config) -> Tensor:
    """GPT-2's checkpoints hold (in, out)."""
    transposed = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return weight.T if name.endswith(transposed) else weight


def _norms_plus_one(name: str, weight: Tensor, config: Config) -> Tensor:
    """Gemma multiplies by 1 + weight; GGUF holds what is multiplied by."""
    return weight + 1 if name.endswith("norm.weight") else weight


@dataclass(frozen=True)
class Architecture:
    """What is known of one of llama.cpp's architectures.

    Attributes:
        change: (name, weight, config) -> the weight as GGUF holds it.
        numbers: our name in GGUF -> the name in config.json.
        required: settings that GGUF has no place for, with the only value that can be written.
    """

    change: Callable[[str, Tensor, Config], Tensor]
    numbers: Mapping[str, str]
    required: Mapping[str, Any] = field(default_factory=dict)


COMMON = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "head_count": "num_attention_heads",
    "head_count_kv": "num_key_value_heads",
    "layer_norm_rms_eps": "rms_norm_eps",
    "vocab_size": "vocab_size",
}
ARCHITECTURES = {
    "llama": Architecture(_pairs_side_by_side, COMMON),
    "qwen2": Architecture(
        lambda name, weight, config: weight,
        COMMON,
        {"hidden_act": "silu", "use_sliding_window": False},
    ),
    "gpt2": Architecture(
        _linear_layers_transposed,
        {
            "context_length": "n_positions",
            "embedding_length": "n_embd",
            "block_count": "n_layer",
            "head_count": "n_head",
            "layer_norm_eps": "layer_norm_epsilon",
        },
        # transformers takes these for granted where it reads GGUF.
        {
            "n_positions": 1024,
            "activation_function": "gelu_new",
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "n_inner": None,
        },
    ),
    "gemma2": Architecture(
        _norms_plus_one,
        COMMON
        | {
            "key_length": "head_dim",
            "value_length": "head_dim",
            "sliding_window": "sliding_window",
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        # transformers takes these for granted where it reads GGUF.
        {
            "hidden_activation": "gelu_pytorch_tanh",
            "head_dim": 256,
            "query_pre_attn_scalar": 256,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "attention_bias": False,
        },
    ),
}


def check_gguf(config: Config) -> Architecture:
    """Raise WorkbenchError for a model that GGUF can't hold; `config` is its config.json."""
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        accepted = ", ".join(ARCHITECTURES)
        raise WorkbenchError(
            f"a model of type {kind} can't be written as GGUF; accepted: {accepted}"
        )
    architecture = ARCHITECTURES[kind]
    required = dict(architecture.required)
    if kind == "llama" and decoder_config(config) is None:
        raise WorkbenchError(
            "this Llama has settings that GGUF is not written with here (scaled or partial rotary "
            "positions, biases, another activation); accepted: the plain form, or export to hf"
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if kind != "gpt2":
        required["rope_type"] = "default"
    found = {"rope_type": rope.get("rope_type", "default"), **config}
    for name, value in required.items():
        if found.get(name, value) != value:
            raise WorkbenchError(
                f"{name}={found[name]!r} has no place in GGUF; accepted: {value!r}, or export to hf"
            )
    return architecture


def write_gguf(model: Model, folder: Path, dtype: str = "f32") -> list[str]:
    """Write FOLDER/model.gguf; returns what a person should know of it.

    Args:
        dtype: of the matrices: f32, f16 or bf16. What is no matrix stays in float32.

    Raises:
        WorkbenchError: the format has no place for a setting of the model.
    """
    gguf = optional("gguf")
    with TemporaryDirectory(dir=folder) as name:
        plain = Path(name)
        write_hf(model, plain)
        config, files = read_json(plain / "config.json"), weight_files(plain)
        architecture, kind = check_gguf(config), str(config["model_type"])
        writer = gguf.GGUFWriter(folder / NAME, kind)
        _add_numbers(writer, architecture, config)
        writer.add_name(f"{model.name} after training")
        writer.add_file_type(FILE_TYPES[dtype])
        notes = add_tokenizer(writer, model.tokenizer, model.policy.vocab_size)
        blocks = config.get("num_hidden_layers") or config["n_layer"]
        names = gguf.get_tensor_name_map(_number_of(gguf, kind), blocks)
        for path in files:
            for key, weight in load_file(path).items():
                _add_weight(
                    gguf, writer, names, key, architecture.change(key, weight, config), dtype
                )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return notes


def _number_of(gguf: Any, kind: str) -> Any:
    return next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)


def _add_numbers(writer: Any, architecture: Architecture, config: Config) -> None:
    for name, key in architecture.numbers.items():
        if (value := config.get(key)) is not None:
            getattr(writer, f"add_{name}")(value)
    if "n_embd" in config:
        writer.add_feed_forward_length(4 * config["n_embd"])
        return
    heads = config["num_attention_heads"]
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    rope = config.get("rope_parameters") or {}
    theta = config.get("rope_theta") or rope.get("rope_theta") or 10_000.0
    writer.add_rope_freq_base(float(theta))
    if not config.get("num_key_value_heads"):
        writer.add_head_count_kv(heads)


def _add_weight(gguf: Any, writer: Any, names: Any, key: str, weight: Tensor, dtype: str) -> None:
    name = names.get_name(key, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise WorkbenchError(f"{key} has no name in GGUF; export to hf keeps it")
    array = weight.to(torch.float32).contiguous().numpy()
    if dtype == "f32" or array.ndim < 2:
        writer.add_tensor(name, array)
    else:
        kind = gguf.GGMLQuantizationType[dtype.upper()]
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
