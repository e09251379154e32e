"""The small decoder: RMSNorm, rotary positions, SwiGLU, grouped-query attention, key-value cache.

It has the shape of Llama and SmolLM2 and its modules carry the names of their checkpoints, so one
decoder serves from a hundred thousand parameters to real models. Unlike most decoders it keeps
*hidden states* and *head* apart: preference training scores few positions, and only those should
meet the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.core.attention import AttentionFn, KVCache
from workbench.core.batch import Packed
from workbench.core.policy import PLAIN, Kernels, Policy
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


class RMSNorm(nn.Module):
    """Scale to unit root mean square (Zhang & Sennrich 2019)."""

    kernels = PLAIN

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return self.kernels.rms_norm(x, self.weight, self.eps)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023); the caller brings the attention function."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner, kv_inner = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q_proj = nn.Linear(config.dim, inner, bias=False)
        self.k_proj = nn.Linear(config.dim, kv_inner, bias=False)
        self.v_proj = nn.Linear(config.dim, kv_inner, bias=False)
        self.o_proj = nn.Linear(inner, config.dim, bias=False)

    def forward(self, x: Tensor, attend: AttentionFn, layer: int) -> Tensor:
        return self.o_proj(attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), layer))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020, eq. 6)."""

    kernels = PLAIN

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.up_proj = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.down_proj = nn.Linear(config.hidden_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.kernels.swiglu(self.gate_proj(x), self.up_proj(x)))


class Block(nn.Module):
    """Attention and feed-forward, each on a normalised copy and added back."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.dim, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x: Tensor, attend: AttentionFn, layer: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), attend, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class Transformer(Policy):
    """The decoder, with its hidden states and its head apart.

    Weights are drawn from `seed` alone, so building a model never touches the global random state:
    normal with standard deviation 1 / (2 sqrt(dim)), which at dim 600 is GPT-2's 0.02 and gives
    narrow models logits as large as wide ones.

    Attributes:
        recompute: keep only what enters each block and compute the rest again in the backward pass
            (Chen et al. 2016): a third more work for a fraction of the memory.
        lookup: the table that tokens are looked up in, where that is another leaf than the
            embedding, so that the gradient of the few rows that are read stays apart from that of a
            tied head.
    """

    recompute = False
    rounds_embeddings = True
    checkpoint_format = "llama"
    can_be_parked = True
    lookup: Tensor | None = None

    def __init__(
        self, config: TransformerConfig, seed: int | None = 0, kernels: Kernels = PLAIN
    ) -> None:
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
        self.kernels = kernels
        if seed is not None:
            self.to_empty(device="cpu")
            self._initialise(torch.Generator().manual_seed(seed))

    @property
    def kernels(self) -> Kernels:
        """What all of its parts compute by."""
        return self.norm.kernels

    @kernels.setter
    def kernels(self, kernels: Kernels) -> None:
        for module in self.modules():
            if isinstance(module, RMSNorm | FeedForward):
                module.kernels = kernels

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.5 * self.config.dim**-0.5, generator=generator)

    @property
    def dim(self) -> int:
        """Size of a hidden state."""
        return self.config.dim

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Last hidden states (row, pos, dim) of `tokens` (row, pos); see `Policy.hidden`."""
        shape = self.config
        if positions is None:
            start = cache.length if cache is not None else 0
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
            positions = repeat(positions, "pos -> row pos", row=tokens.shape[0])
        table = self.embed_tokens.weight if self.lookup is None else self.lookup
        flat = rearrange(tokens, "row pos -> (row pos)")  # attention alone knows of rows
        x = self.kernels.embed(flat, table, shape.tie_embeddings)  # (token, dim)
        if x.dtype == torch.bfloat16:
            x = x.float()  # what is added up over the layers stays in float32
        attend = self.kernels.attention(
            positions, mask, cache, shape.kv_heads, shape.head_dim, shape.rope_theta
        )
        compute = self.kernels.block
        for number, block in enumerate(self.layers):
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(compute, block, x, attend, number, use_reentrant=False)
            else:
                x = compute(block, x, attend, number)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x).view(*tokens.shape, -1)

    @property
    def vocab_size(self) -> int:
        """Number of different tokens that the head distinguishes."""
        return self.config.vocab_size

    @property
    def max_length(self) -> int:  # type: ignore[override]
        """The most tokens that it takes at once."""
        return self.config.max_length

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        tied = self.config.tie_embeddings
        return F.linear(hidden, self.embed_tokens.weight if tied else self.lm_head.weight)

    def new_cache(self, rows: int, max_length: int) -> KVCache:
        """An empty cache for `rows` sequences of up to `max_length` tokens."""
        shape = self.config
        return KVCache(rows, shape.kv_heads, max_length, shape.head_dim)

    @property
    def tied_embedding(self) -> nn.Parameter | None:
        """The embedding's weight where the head shares it."""
        return self.embed_tokens.weight if self.config.tie_embeddings else None

    def untie_head(self) -> None:
        """Its embedding's gradient need not be sparse then, which optimisers would not take."""
        self.config = replace(self.config, tie_embeddings=False)
