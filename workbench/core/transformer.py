"""The small decoder: RMSNorm, rotary positions, SwiGLU, grouped-query attention, key-value cache.

It has the shape of Llama and SmolLM2 and its modules carry the names of their checkpoints, so one
decoder serves from a hundred thousand parameters to real models. Unlike most decoders it keeps
*hidden states* and *head* apart: preference training scores few positions, and only those should
meet the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.core.attention import AttentionFn, DenseAttention, KVCache, PackedAttention
from workbench.core.fast.kernels import rms_norm, rotary, swiglu
from workbench.core.fast.packed_attention import LONGEST
from workbench.core.fast.packed_rows import Packed
from workbench.errors import WorkbenchError


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a decoder. Sizes are counts; `rope_theta` is the base of the rotary frequencies."""

    vocab_size: int
    dim: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    hidden_dim: int = 352
    max_length: int = 256
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    tie_embeddings: bool = True
    head_dim: int = 0  # 0: dim // heads

    def __post_init__(self) -> None:
        if not self.head_dim:
            if self.dim % self.heads:
                raise WorkbenchError(f"dim={self.dim} is not a multiple of heads={self.heads}")
            object.__setattr__(self, "head_dim", self.dim // self.heads)
        if self.heads % self.kv_heads:
            raise WorkbenchError(
                f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}"
            )
        if self.head_dim % 2:
            raise WorkbenchError(f"head_dim={self.head_dim} is odd; rotary positions need pairs")


@runtime_checkable
class Policy(Protocol):
    """What every model is here: hidden states first, the head on whichever of them are wanted.

    `mask` is (row, query, key), True where a query may look; None means causal. A `Packed` says the
    same of one row that holds many pairs.
    """

    @property
    def vocab_size(self) -> int: ...

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: object | None = None,
    ) -> Tensor: ...

    def head(self, hidden: Tensor) -> Tensor: ...

    def new_cache(self, rows: int, max_length: int) -> object: ...


class RMSNorm(nn.Module):
    """Scale to unit root mean square, in float32 whatever comes in (Zhang & Sennrich 2019)."""

    plain = False

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight
        return rms_norm(x, self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023); who looks where is the caller's."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner, kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.dim, inner, bias=False)
        self.k_proj = nn.Linear(config.dim, kv_inner, bias=False)
        self.v_proj = nn.Linear(config.dim, kv_inner, bias=False)
        self.o_proj = nn.Linear(inner, config.dim, bias=False)

    def forward(self, x: Tensor, look: AttentionFn, layer: int) -> Tensor:
        return self.o_proj(look(self.q_proj(x), self.k_proj(x), self.v_proj(x), layer))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, eq. 6)."""

    plain = False

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.up_proj = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.down_proj = nn.Linear(config.hidden_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))


class Block(nn.Module):
    """Attention and feed-forward, each on a normalised copy and added back."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, look: AttentionFn, layer: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), look, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class Transformer(nn.Module):
    """The decoder. `policy(tokens)` gives logits; `hidden` and `head` are its two halves.

    Weights are drawn from `seed` alone, so building a model never touches the global random state:
    normal with standard deviation 1 / (2 sqrt(dim)), which at dim 600 is GPT-2's 0.02 and lets
    narrow models start as lively as wide ones.

    Attributes:
        plain: compute as the definitions are written, without the forms that are faster.
        recompute: keep only what enters each block and compute the rest again in the backward pass
            (Chen et al. 2016): a third more work for a fraction of the memory.
        lookup: what tokens are looked up in, where that is another leaf than the embedding, so that
            the gradient of the few rows that are read stays apart from that of a tied head.
    """

    recompute = False
    lookup: Tensor | None = None

    def __init__(self, config: TransformerConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        # Built without memory first: the usual initialisation would draw from the global state
        # (and an embedding's, which takes a second to import what it needs, is left out).
        with torch.device("meta"):
            table = torch.empty(config.vocab_size, config.dim)
            self.embed_tokens = nn.Embedding.from_pretrained(table, freeze=False)
            self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.norm = RMSNorm(config.dim, config.norm_eps)
            if not config.tie_embeddings:
                self.lm_head = nn.Linear(config.dim, config.vocab_size, bias=False)
        if seed is not None:
            self.to_empty(device="cpu")
            self._initialise(torch.Generator().manual_seed(seed))

    @property
    def plain(self) -> bool:
        """Whether all parts compute as they are defined."""
        return self.norm.plain

    @plain.setter
    def plain(self, on: bool) -> None:
        for module in self.modules():
            if isinstance(module, RMSNorm | FeedForward):
                module.plain = on

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.5 * self.config.dim**-0.5, generator=generator)

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Last hidden states (row, pos, dim) of `tokens` (row, pos).

        `positions` (row, pos) defaults to 0, 1, ...; `mask` (row, pos, key) is True where a
        position may look, None means causal. With a cache, tokens continue what it holds and a
        mask over all keys is needed unless a single new token may see everything.
        """
        start = cache.length if cache is not None else 0
        if positions is None:
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
            positions = repeat(positions, "pos -> row pos", row=tokens.shape[0])
        # A tied head's gradient is as large as the table; the few rows read here are added to it
        # instead of making another one that is nearly all zeros.
        few_rows = self.config.tie_embeddings and tokens.device.type == "cpu"
        table = self.embed_tokens.weight if self.lookup is None else self.lookup
        x = F.embedding(tokens, table, sparse=few_rows)
        if x.dtype == torch.bfloat16:
            x = x.float()  # what is added up over the layers stays in float32
        look: AttentionFn
        if packed := self._packed(tokens, mask, cache):
            x = rearrange(x, "row pos dim -> (row pos) dim")
            shape = self.config
            look = PackedAttention(
                packed, positions.flatten(), shape.kv_heads, shape.head_dim, shape.rope_theta
            )
        else:
            look = self._dense(tokens, positions, mask, cache)
        for number, block in enumerate(self.layers):
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, look, number, use_reentrant=False)
            else:
                x = block(x, look, number)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x).view(*tokens.shape, -1)

    def _packed(
        self, tokens: Tensor, mask: Tensor | Packed | None, cache: KVCache | None
    ) -> Packed | None:
        """What attends pair by pair: packed rows, and plain causal ones where that is faster."""
        if self.plain or cache is not None or isinstance(mask, Tensor):
            return None
        if mask is None and tokens.device.type == "cpu" and tokens.shape[1] <= LONGEST:
            return Packed(((tokens.shape[1], 0, 0),) * tokens.shape[0])
        return mask

    def _dense(
        self,
        tokens: Tensor,
        positions: Tensor,
        mask: Tensor | Packed | None,
        cache: KVCache | None,
    ) -> DenseAttention:
        start = cache.length if cache is not None else 0
        if isinstance(mask, Packed):
            mask = mask.dense(tokens.device)
        if mask is not None:
            mask = rearrange(mask, "row query key -> row 1 query key")
        elif start and tokens.shape[1] > 1:
            mask = torch.ones(tokens.shape[1], start + tokens.shape[1], device=tokens.device)
            mask = mask.tril(start).bool()[None, None]
        cos, sin = rotary(positions, self.config.head_dim, self.config.rope_theta)
        return DenseAttention(cos, sin, mask, cache, self.config.head_dim, self.plain)

    @property
    def vocab_size(self) -> int:
        """Tokens that the head tells apart."""
        return self.config.vocab_size

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        tied = self.config.tie_embeddings
        return F.linear(hidden, self.embed_tokens.weight if tied else self.lm_head.weight)

    def forward(
        self, tokens: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Logits (row, pos, vocab) of `tokens` (row, pos)."""
        return self.head(self.hidden(tokens, positions, mask))

    def new_cache(self, rows: int, max_length: int) -> KVCache:
        """An empty cache for `rows` sequences of up to `max_length` tokens."""
        shape = self.config
        return KVCache(rows, shape.kv_heads, max_length, shape.head_dim)
