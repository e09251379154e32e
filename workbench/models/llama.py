"""The small decoder on disk, in the Hugging Face layout of Llama: `config.json` and safetensors.

A Llama checkpoint whose configuration the small decoder supports runs natively, and what we save
loads in `transformers` as `LlamaForCausalLM`. Neither direction imports `transformers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench.core.fast.fast_kernels import FAST
from workbench.core.transformer import Transformer, TransformerConfig
from workbench.data.cache import atomic_write
from workbench.data.json_rows import write_json
from workbench.errors import WorkbenchError
from workbench.models.headers.tensor_headers import WEIGHTS, Stored, stored_tensors, weight_files

Progress = Callable[[str, float], None]

# Defaults of `LlamaConfig` for what `config.json` does not set; no other values are supported.
DEFAULTS = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "quantization_config": None,
}
# Our field: (name in config.json, default of `LlamaConfig`).
FIELDS: dict[str, tuple[str, Any]] = {
    "vocab_size": ("vocab_size", 32_000),
    "dim": ("hidden_size", 4096),
    "layers": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 32),
    "hidden_dim": ("intermediate_size", 11_008),
    "max_length": ("max_position_embeddings", 2048),
    "norm_eps": ("rms_norm_eps", 1e-6),
    "tie_embeddings": ("tie_word_embeddings", False),
}


def decoder_config(config: Mapping[str, Any]) -> TransformerConfig | None:
    """The shape in a `config.json`, or None where the small decoder does not support it."""
    if config.get("model_type") != "llama":
        return None
    if any(config.get(name, default) != default for name, default in DEFAULTS.items()):
        return None
    rope = {"rope_theta": config.get("rope_theta") or 10_000.0}
    for name in ("rope_scaling", "rope_parameters"):  # older and newer name
        rope |= config.get(name) or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return None
    if rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0)) != 1.0:
        return None
    values = {ours: config.get(name, default) for ours, (name, default) in FIELDS.items()}
    return TransformerConfig(
        **values,
        kv_heads=config.get("num_key_value_heads") or values["heads"],
        head_dim=config.get("head_dim") or 0,
        rope_theta=float(rope["rope_theta"]),
    )


def read_decoder(
    folder: Path, config: TransformerConfig, progress: Progress | None = None, empty: bool = False
) -> Transformer:
    """The decoder with the weights of `folder`, as its own float32 copies, ready for training.

    With `empty` it has no weights: they are on the meta device.

    Raises:
        WorkbenchError: a file is missing or broken, or its weights don't fit `config`.
    """
    policy = Transformer(config, seed=None, kernels=FAST)
    if empty:
        return policy
    shapes = {name: tensor.shape for name, tensor in policy.state_dict().items()}
    weights: dict[str, Tensor] = {}
    files = weight_files(folder)
    stored_tensors(files)  # each name once
    for number, path in enumerate(files):
        if progress:
            progress(f"reading {path.name}", number / len(files))
        weights |= _read_file(path, shapes)
    missing = shapes.keys() - weights.keys()
    if missing:
        raise WorkbenchError(
            f"{folder} has no weights for {min(missing)}, which its config.json needs"
        )
    policy.load_state_dict(weights, assign=True)
    refuse_not_finite(policy, folder)
    return policy


def _read_file(path: Path, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    weights = {}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a mapping
                name = key.removeprefix("model.")
                if name in weights:
                    raise WorkbenchError(f"{path} holds {name} twice, once with `model.` before it")
                if name in shapes:
                    shape = tuple(file.get_slice(key).get_shape())
                    if shape != tuple(shapes[name]):
                        raise WorkbenchError(
                            f"{path}: {name} is {shape}; config.json needs {tuple(shapes[name])}"
                        )
                    # A copy: otherwise the weights change when the file is overwritten.
                    weights[name] = as_float(file.get_tensor(key), path, key)
                elif name != "lm_head.weight" and not name.endswith("rotary_emb.inv_freq"):
                    raise WorkbenchError(f"{path} holds {key}, for which Llama has no parameter")
    except (OSError, SafetensorError) as error:
        raise WorkbenchError(f"cannot read {path}: {error}; fetch or make it again") from error
    return weights


def as_float(tensor: Tensor, path: Path, name: str) -> Tensor:
    """A copy in float32; what is no number of that kind, as quantised weights, is refused."""
    if not tensor.is_floating_point():
        raise WorkbenchError(
            f"{path}: {name} is {str(tensor.dtype).removeprefix('torch.')}; accepted are weights "
            "in floating point"
        )
    return tensor.to(torch.float32, copy=True)


def refuse_whole_numbers(model: nn.Module, found: Mapping[str, Stored]) -> None:
    """Raise where one that is no floating point is a weight of the model; buffers may be."""
    names = {name for name, _ in model.named_parameters()}
    endings = {ending for name in names for ending in _endings(name)}
    for key, stored in found.items():
        if stored.kind.startswith(("F", "BF")):
            continue
        if key in endings or not names.isdisjoint(_endings(key)):
            raise WorkbenchError(
                f"{stored.path}: {key} is {stored.kind}; accepted are weights in floating point"
            )


def _endings(name: str) -> list[str]:
    """A name without its first parts, as models and their files may differ by a prefix."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def refuse_not_finite(model: nn.Module, path: Path) -> None:
    """Raise where a weight is no number, or none that can be computed with."""
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights.detach().sum()) and not torch.isfinite(weights).all():
            raise WorkbenchError(
                f"{path}: {name} holds values that are not finite; fetch or make it again"
            )


def write_decoder(policy: Transformer, folder: Path, special_ids: Mapping[str, int]) -> None:
    """Write `config.json` and `model.safetensors`; `special_ids` such as {"eos_token_id": 2}."""
    config = policy.config
    content = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **DEFAULTS,
        **{name: getattr(config, ours) for ours, (name, _) in FIELDS.items()},
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "rope_theta": config.rope_theta,
        "dtype": str(policy.embed_tokens.weight.dtype).removeprefix("torch."),
        **special_ids,
    }
    weights = {
        name if name == "lm_head.weight" else f"model.{name}": tensor.contiguous()
        for name, tensor in policy.state_dict().items()
    }
    # transformers reads the format from the metadata.
    atomic_write(folder / WEIGHTS, lambda path: save_file(weights, path, {"format": "pt"}))
    write_json(folder / "config.json", content)
