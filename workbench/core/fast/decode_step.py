"""`Transformer.hidden` and `head` for one new token per row, as generation needs after the prompt.

A step reads every weight for a handful of rows, so memory and the number of operations bound it.
Here products that read the same input are one, and the weights of large models are laid out once as
the processor's library wants them, which for sixteen rows more than halves a product's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.core.attention import KVCache, rotary
from workbench.core.transformer import Block, RMSNorm, Transformer

Product = Callable[[Tensor], Tensor]
LAID_OUT = 1 << 18  # numbers in a matrix from which laying it out pays


def decode_step(policy: Any, cache: Any, rows: int) -> DecodeStep | None:
    """One for this model; None unless it is our decoder, on a processor and without adapters."""
    if not decodes_by_steps(policy, cache) or policy.embed_tokens.weight.device.type != "cpu":
        return None
    return DecodeStep(policy, cache, rows)


def decodes_by_steps(policy: Any, cache: Any) -> bool:
    """Whether it is our decoder with its own cache, without adapters."""
    return (
        isinstance(policy, Transformer)
        and isinstance(cache, KVCache)
        and all(type(part) is nn.Linear for part in _projections(policy))
    )


class DecodeStep:
    """Computes the logits after one new token per row; keeps no gradient.

    It copies the weights as they are when it is made: make a new one when they have changed.
    """

    def __init__(self, policy: Transformer, cache: KVCache, rows: int) -> None:
        self._policy, self._cache = policy, cache
        weight = policy.embed_tokens.weight
        kind = weight.device.type
        cast = torch.is_autocast_enabled(kind)
        self._type = torch.get_autocast_dtype(kind) if cast else weight.dtype
        self._layers = [(block, *self._products(block, rows)) for block in _blocks(policy)]
        tied = policy.config.tie_embeddings
        self._head = self._product([weight if tied else policy.lm_head.weight], rows)

    def _products(self, block: Block, rows: int) -> tuple[Product, Product, Product, Product]:
        attention, mlp = block.self_attn, block.mlp
        qkv = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
        return (
            self._product(qkv, rows),
            self._product([attention.o_proj.weight], rows),
            self._product([mlp.gate_proj.weight, mlp.up_proj.weight], rows),
            self._product([mlp.down_proj.weight], rows),
        )

    def _product(self, weights: list[Tensor], rows: int) -> Product:
        """x -> x @ all weights, side by side."""
        whole = torch.cat([weight.detach().to(self._type) for weight in weights])
        fits = self._type in (torch.float32, torch.bfloat16) and whole.numel() >= LAID_OUT
        if not (fits and whole.device.type == "cpu" and torch.backends.mkldnn.is_available()):
            return lambda x: F.linear(x, whole)
        laid_out = torch.ops.mkldnn._reorder_linear_weight(whole, rows)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")

    @torch.no_grad()
    def __call__(self, tokens: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        """Logits (row, vocab) of what follows `tokens` (row,) at `positions` (row,).

        `visible` (row, key) is True on the keys that a row may attend to; None: all of them.
        """
        with torch.autocast("cpu", enabled=False):
            logits = self._step(tokens, positions, visible)
        self._cache.length += 1
        return logits

    def _step(self, tokens: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        policy, shape, rows = self._policy, self._policy.config, len(tokens)
        x = F.embedding(tokens, policy.embed_tokens.weight)  # (row, dim)
        x = x.float() if x.dtype == torch.bfloat16 else x
        cos, sin = rotary(positions[:, None], shape.head_dim, shape.rope_theta)
        turned = shape.heads + shape.kv_heads  # queries and keys
        half = shape.head_dim // 2
        # Row, head, dim; the sign of the half that is swapped in stands in the sine.
        cos, sin = cos[:, 0].to(self._type), sin[:, 0].to(self._type)
        sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)
        mask = None if visible is None else visible[:, None, None]
        for number, (block, attend, out, gate, down) in enumerate(self._layers):
            parts = attend(self._normed(block.input_layernorm, x))
            parts = parts.view(rows, turned + shape.kv_heads, shape.head_dim)
            both = parts[:, :turned]
            both = torch.addcmul(both * cos, both.roll(half, -1), sin)
            keys, values = self._store(
                number, both[:, shape.heads :, None], parts[:, turned:, None]
            )
            # The heads of a group are queries of one head, so keys and values are never copied.
            queries = both[:, : shape.heads].view(rows, shape.kv_heads, -1, shape.head_dim)
            mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
            x = x + out(mixed.reshape(rows, -1))
            gated, up = gate(self._normed(block.post_attention_layernorm, x)).chunk(2, -1)
            x = x + down(F.silu(gated).mul_(up))
        return self._head(self._normed(policy.norm, x)).float()

    def _store(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (row, kv_head, 1, dim) to the cache; the keys and values that are attended to."""
        return self._cache.update(layer, keys, values)

    def _normed(self, norm: RMSNorm, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], norm.weight, norm.eps).to(self._type)


def _blocks(policy: Transformer) -> list[Block]:
    return list(policy.layers)  # type: ignore[arg-type]


def _projections(policy: Transformer) -> list[nn.Module]:
    halves = [half for block in _blocks(policy) for half in (block.self_attn, block.mlp)]
    return [part for half in halves for part in half.children()]
