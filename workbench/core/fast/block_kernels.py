"""The operations within a block, each equal to its definition and faster.

On a processor, PyTorch's fused attention is made for long rows: at the length of a preference pair
the products written out take a fifth of its time in bf16. And a normalisation or a gate made of
single operations keeps more for the backward pass than is needed, which for long pairs is most of
the memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from workbench.core import attention

SHORT = 160  # keys up to which the written-out products are faster on a processor


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """`attention.attend`, written out for short rows on a processor."""
    if queries.device.type == "cpu" and keys.shape[2] <= SHORT:
        return _written_out(queries, keys, values, mask)
    return attention.attend(queries, keys, values, mask)


def _written_out(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    count, heads = queries.shape[2], keys.shape[1]
    if mask is None and count > 1:
        mask = torch.ones(count, count, dtype=torch.bool, device=queries.device).tril()
        mask = mask[None, None]
    # The heads of a group become queries of one head, so keys and values are never copied.
    fold = "row (head group) query dim -> row head (group query) dim"
    folded = rearrange(queries * queries.shape[-1] ** -0.5, fold, head=heads)
    scores = folded @ keys.transpose(-1, -2)
    if mask is not None:
        apart = "row head (group query) key -> row head group query key"
        scores = rearrange(scores, apart, query=count).masked_fill(~mask[:, :, None], -torch.inf)
        scores = rearrange(scores, "row head group query key -> row head (group query) key")
    mixed = scores.softmax(-1) @ values  # summed in float32 inside, whatever its type
    return rearrange(mixed, "row head (group query) dim -> row (head group) query dim", query=count)


class _RMSNorm(torch.autograd.Function):
    """x * weight / rms(x); keeps x and one number per position."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (wide * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        gradient, normed = gradients[0].to(scale.dtype), x * scale
        both = gradient * normed
        for_weight = both.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        along = (both @ weight)[..., None].div_(x.shape[-1])
        for_x = (gradient * weight).sub_(normed.mul_(along)).mul_(scale).to(x.dtype)
        return for_x, for_weight, None, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`core.policy.rms_norm`.

    Computed in float32 at least. Under autocast the result has autocast's type, because the linear
    layers that read it would each cast it to that.
    """
    kind = x.device.type
    cast = torch.is_autocast_enabled(kind)
    return _RMSNorm.apply(x, weight, eps, torch.get_autocast_dtype(kind) if cast else x.dtype)


class _SwiGLU(torch.autograd.Function):
    """silu(gate) * up; keeps its two inputs and nothing between."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        for_up = F.silu(gate).mul_(gradients[0])
        for_gate = torch.ops.aten.silu_backward(gradients[0] * up, gate)
        return for_gate, for_up


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """`core.policy.swiglu`."""
    return _SwiGLU.apply(gate, up)
