"""Low-rank adapters on a policy, with `peft`: policy and reference share one set of weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import WorkbenchError
from workbench.models.optional import optional

DECODER_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def add_lora(
    policy: nn.Module,
    rank: int,
    alpha: float | None = None,
    targets: Sequence[str] | None = None,
    seed: int = 0,
) -> None:
    """Freeze the policy and add low-rank adapters to it (Hu et al. 2021).

    The policy's outputs stay the same until the adapters are trained.

    Args:
        policy: changed in place.
        rank: of each adapter, at least 1.
        alpha: the adapters' output is scaled by alpha / rank; twice the rank when left out.
        targets: names of the linear layers; all but the head when left out.
        seed: of the adapters' initial weights; the global random state stays as it is.
    """
    peft = optional("peft")
    if rank < 1:
        raise WorkbenchError(f"rank={rank} is not accepted: a whole number from 1")
    if has_lora(policy):
        raise WorkbenchError("the policy has adapters already; merge_lora first")
    inner = getattr(policy, "model", policy)  # `peft` searches the model that a policy wraps
    every: Any = list(DECODER_TARGETS) if inner is policy else "all-linear"
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha or 2 * rank, target_modules=list(targets) if targets else every
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about settings that it corrects for transposed layers
        torch.default_generator.manual_seed(seed)
        try:
            peft.inject_adapter_in_model(config, inner)
        except ValueError as error:
            raise WorkbenchError(f"targets={targets} is not accepted: {error}") from error


def has_lora(policy: nn.Module) -> bool:
    """Whether the policy has adapters."""
    return any("lora_" in name for name, _ in policy.named_parameters())


def _adapters(policy: nn.Module) -> list[tuple[nn.Module, str, Any]]:
    """Parent, name and layer of every adapter. Raises WorkbenchError where there is none."""
    kind = optional("peft.tuners.tuners_utils").BaseTunerLayer
    adapters = [
        (parent, name, layer)
        for parent in policy.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, kind)
    ]
    if not adapters:
        raise WorkbenchError("the policy has no adapters; add_lora adds them")
    return adapters


@contextmanager
def adapters_off(policy: nn.Module) -> Iterator[None]:
    """Within this context the policy is what it was before `add_lora`."""
    layers = [layer for _, _, layer in _adapters(policy) if not layer.disable_adapters]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def lora_state(policy: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights by name, sharing memory with the policy."""
    return {name: value for name, value in policy.state_dict().items() if "lora_" in name}


def merge_lora(policy: nn.Module) -> None:
    """Add the adapters to the weights they adapt and remove them; all weights become trainable."""
    for parent, name, layer in _adapters(policy):
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
    policy.requires_grad_(True)


def adapter_settings(policy: nn.Module) -> dict[str, Any]:
    """The adapters as `peft` names them in adapter_config.json: rank, alpha, layers."""
    found = [(name, layer) for _, name, layer in _adapters(policy)]
    first = found[0][1]
    rank = first.r["default"]
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": first.lora_alpha["default"],
        "target_modules": sorted({name for name, _ in found}),
        "fan_in_fan_out": bool(getattr(first, "fan_in_fan_out", False)),
        "lora_dropout": 0.0,
        "bias": "none",
    }
