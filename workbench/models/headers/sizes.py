"""Whether a configuration fits the weights that it comes with, before anything is built by it.

A configuration of a few bytes may ask for a hundred thousand layers, or for more memory than there
is. What it asks for is bounded by the shapes in the files.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from workbench.errors import WorkbenchError

LAYERS = frozenset((
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks", "block_count",
    "decoder_layers", "encoder_layers", "num_decoder_layers", "depth",
))  # fmt: skip
WIDTHS = frozenset((
    "vocab_size", "hidden_size", "n_embd", "d_model", "dim", "num_tokens", "intermediate_size",
    "n_inner", "ffn_dim", "num_attention_heads", "n_head", "heads", "num_key_value_heads",
    "head_dim", "embedding_length", "feed_forward_length", "head_count", "head_count_kv",
))  # fmt: skip
LENGTHS = frozenset((
    "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_seq_length",
    "context_length", "sliding_window",
))  # fmt: skip
UNLIMITED = frozenset(("max_seq_len", "sliding_window"))  # where they are 0
SWITCHES = frozenset(("tie_word_embeddings", "attention_bias", "mlp_bias"))
POSITIVE = frozenset(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "rope_theta"))
SECTIONS = frozenset(("rope_scaling", "rope_parameters", "text_config", "quantization_config"))
FREE = 2**13  # what other whole numbers may be, however small the model is
LONGEST = 2**31  # positions
HIGHEST = 1e12  # what a setting that is no size may be
SPARE = 2**20  # numbers that a model may need beside its weights


def check_sizes(
    config: Mapping[str, Any],
    path: Path,
    shapes: Sequence[tuple[int, ...]],
    packed: bool = False,
    every: bool = False,
) -> None:
    """Raise WorkbenchError where a setting is no size, or larger than the weights allow.

    Args:
        config: as in the file; sections in it are looked through, too.
        path: of the file, for errors.
        shapes: of all weights.
        packed: whether weights are quantised, several in one number.
        every: whether all whole numbers are bounded, not only those whose names are known.
    """
    widest = max((axis for shape in shapes for axis in shape), default=0) * (16 if packed else 1)
    free = max(widest, len(shapes), FREE)
    for name, value in _settings(config):
        if name in SECTIONS:
            if not isinstance(value, dict | None):
                raise _refused(path, name, value, "an object with settings")
        elif name in POSITIVE:
            if value is not None and not (_is_number(value) and 0 < value <= HIGHEST):
                raise _refused(path, name, value, f"a number above 0, up to {HIGHEST:g}")
        elif name in SWITCHES:
            if not isinstance(value, bool | None):
                raise _refused(path, name, value, "true or false")
        elif name in LAYERS | WIDTHS | LENGTHS:
            most = len(shapes) if name in LAYERS else LONGEST if name in LENGTHS else widest
            least = 0 if name in UNLIMITED else 1
            each = value if isinstance(value, list) and name in WIDTHS else [value]  # one a layer
            fits = all(type(one) is int and least <= one <= most for one in each)
            if value is not None and not (fits and each):
                accepted = f"whole numbers from {least} to {most:,}, by the weights"
                raise _refused(path, name, value, accepted)
        elif type(value) is int and (every or _counts(name)) and abs(value) > free:
            raise _refused(path, name, value, f"at most {free:,}")


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    found = [config]
    while found:
        for name, value in found.pop().items():
            yield name, value
            if isinstance(value, dict):
                found.append(value)


def _counts(name: str) -> bool:
    """Whether a setting may be a number of parts, each of which is built."""
    return name.startswith(("num_", "n_")) or name.endswith(
        ("_layers", "_experts", "_heads", "_size", "_dim")
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refused(path: Path, name: str, value: Any, accepted: str) -> WorkbenchError:
    return WorkbenchError(f"{path}: {name}={value!r:.60} is not accepted: {accepted}")


def check_model(
    model: nn.Module, path: Path, shapes: Iterable[tuple[int, ...]], packed: bool = False
) -> None:
    """Raise WorkbenchError where a model, built without memory, needs more than its files hold."""
    held = sum(map(math.prod, shapes)) * (16 if packed else 1)
    needed = sum(part.numel() for part in [*model.parameters(), *model.buffers()])
    if needed > 2 * held + SPARE:  # embeddings and head may be one in the file
        raise WorkbenchError(
            f"{path} describes a model of {needed:,} numbers; its weights are {held:,}"
        )


def check_memory(path: Path, shapes: Iterable[tuple[int, ...]]) -> None:
    """Raise WorkbenchError where weights in float32 are more than the memory of this machine."""
    needed = 4 * sum(map(math.prod, shapes))
    there = _memory()
    if needed > there:
        raise WorkbenchError(
            f"{path} needs {needed / 2**30:,.1f} GB in float32; this machine has "
            f"{there / 2**30:,.1f}"
        )


def _memory() -> float:
    """Bytes of memory; infinite where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return math.inf
