"""What a model computes by, chosen for its device: `FAST`, and on a GPU the paths of this folder.

`PATHS` is the one list of them. "fast" takes those whose gain was measured, which is said with
each; "unmeasured" takes all. `python run.py bench gpu` measures every one switched off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from torch import nn
from torch.utils._triton import has_triton

from workbench.core.fast.fast_kernels import BY_NAME, FAST
from workbench.core.fast.gpu import compiled_block, flex_rows, static_decode
from workbench.core.policy import Kernels, rms_norm, swiglu

NOT_MEASURED = "not measured"
COMPILED_FROM = 50_000_000  # parameters; compiling takes longer than a small model's whole run


@dataclass(frozen=True)
class GpuPath:
    """One other way of computing.

    Attributes:
        words: what it does.
        measured: what it gains, on which machine.
        fields: of `Kernels`, with what stands in them.
        compiled: whether it needs the compiler, and so a large model.
        needs: the path without which it isn't used.
    """

    words: str
    measured: str
    fields: Mapping[str, Any]
    compiled: bool = True
    needs: str = ""


PATHS: Mapping[str, GpuPath] = MappingProxyType(
    {
        "flex": GpuPath(
            "attention within packed rows by FlexAttention; without: their table at once, by "
            "PyTorch's own",
            NOT_MEASURED,
            {"attention": flex_rows.attention},
        ),
        "blocks": GpuPath(
            "blocks by torch.compile, from the definitions of normalisation and gate",
            NOT_MEASURED,
            {"block": compiled_block.block, "rms_norm": rms_norm, "swiglu": swiglu},
            needs="flex",
        ),
        "logps": GpuPath(
            "log-probabilities by torch.compile, 4 GB of logits kept for the backward pass",
            NOT_MEASURED,
            {"scored_logps": compiled_block.scored_logps},
        ),
        "decoding": GpuPath(
            "a new token per row by a CUDA graph over a cache that stays in place",
            NOT_MEASURED,
            {"decode_step": static_decode.decode_step},
            compiled=False,
        ),
    }
)


@cache
def _of(names: frozenset[str]) -> Kernels:
    found = {name: value for path in names for name, value in PATHS[path].fields.items()}
    return replace(FAST, **found) if found else FAST


def kernels_for(
    name: str, policy: nn.Module, device: str, without: Collection[str] = ()
) -> Kernels:
    """The kernels `name` for a model on `device`.

    Args:
        name: of `core.config.KERNELS`; "plain" are the definitions, wherever the model is.
        without: names of `PATHS` that are left out.
    """
    if name == "plain":
        return BY_NAME[name]
    measured = {key for key, path in PATHS.items() if path.measured != NOT_MEASURED}
    left_out = {*without, *(PATHS.keys() - measured if name == FAST.name else ())}
    return _of(paths_for(policy, device, left_out))


def paths_for(policy: nn.Module, device: str, without: Collection[str] = ()) -> frozenset[str]:
    """The names of `PATHS` that "unmeasured" uses for a model on `device`."""
    if device != "cuda":
        return frozenset()
    large = sum(weight.numel() for weight in policy.parameters()) >= COMPILED_FROM
    compiles = large and has_triton()
    used = {key for key, path in PATHS.items() if compiles or not path.compiled} - set(without)
    return frozenset(key for key in used if PATHS[key].needs in used | {""})
