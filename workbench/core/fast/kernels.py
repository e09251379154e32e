"""The inner operations of the decoder in the form that runs fastest, equal to their definition.

On a processor, PyTorch's fused attention is made for long rows: at the length of a preference pair
the products written out take a fifth of its time in bf16. And a normalisation or a gate made of
single operations keeps more for the backward pass than is needed, which for long pairs is most of
the memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

SHORT = 160  # keys up to which the written-out products are faster on a processor


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, plain: bool = False
) -> Tensor:
    """Softmax attention with grouped queries (Vaswani et al. 2017, eq. 1; Ainslie et al. 2023).

    Args:
        queries: (row, head, query, dim); keys, values: (row, kv_head, key, dim), where consecutive
            heads share a kv_head.
        mask: (row, 1, query, key) True where a query may look; None means causal, with as many
            queries as keys, or a single query that sees all of them.
        plain: PyTorch's own attention, whatever the length.

    Returns:
        (row, head, query, dim).
    """
    if queries.device.type == "cpu" and keys.shape[2] <= SHORT and not plain:
        return _written_out(queries, keys, values, mask)
    group = queries.shape[1] // keys.shape[1]
    if group > 1:
        spread = "row head key dim -> row (head group) key dim"
        keys, values = (repeat(part, spread, group=group) for part in (keys, values))
    causal = mask is None and queries.shape[2] > 1
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=causal)


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


def rotary(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine (row, 1, pos, head_dim) of rotary positions (Su et al. 2021, eq. 15)."""
    steps = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    frequencies = theta ** (-steps / head_dim)
    angles = repeat(positions[..., None] * frequencies, "row pos half -> row 1 pos (2 half)")
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (first half, second half) of (row, head, pos, dim) by its angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class _RMSNorm(torch.autograd.Function):
    """x * weight / rms(x); keeps x and one number a position."""

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
    """`x * weight / sqrt(mean(x^2) + eps)` over the last axis (Zhang & Sennrich 2019, eq. 4).

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
    """`silu(gate) * up`, both (..., dim) (Shazeer 2020, eq. 6)."""
    return _SwiGLU.apply(gate, up)
