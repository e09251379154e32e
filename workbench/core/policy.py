"""What every model is here: hidden states first, the head on whichever of them are wanted.

A model computes by the `Kernels` that it holds: `PLAIN` are the inner operations as they are
defined. `core.fast` has another set, `FAST`, equal to them and faster; a model that is built
without a choice computes by the definitions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from workbench.core.attention import AttentionFn, DenseAttention, KVCache, attend, rotary
from workbench.core.batch import LAYOUTS, Packed, SequenceBatch
from workbench.core.logps import (
    ScoredKL,
    ScoredLogps,
    scored_kl,
    scored_log_collision,
    scored_logps,
)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x * weight / sqrt(mean(x^2) + eps)` over the last axis (Zhang & Sennrich 2019, eq. 4)."""
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, both (..., dim) (Shazeer 2020, eq. 6)."""
    return F.silu(gate) * up


def embed(tokens: Tensor, table: Tensor, tied: bool) -> Tensor:
    """(token,) ids and (vocab, dim) -> (token, dim); `tied`: the head shares the table."""
    return F.embedding(tokens, table)


def dense_attention(
    positions: Tensor,
    mask: Tensor | Packed | None,
    cache: KVCache | None,
    kv_heads: int,
    head_dim: int,
    theta: float,
    attend: Callable[..., Tensor] = attend,
) -> AttentionFn:
    """Attention over rows at `positions` (row, pos); the arguments are those of `Policy.hidden`."""
    start, count = (cache.length if cache is not None else 0), positions.shape[1]
    if isinstance(mask, Packed):
        mask = mask.dense(positions.device)
    if mask is not None:
        mask = rearrange(mask, "row query key -> row 1 query key")
    elif start and count > 1:
        mask = torch.ones(count, start + count, device=positions.device)
        mask = mask.tril(start).bool()[None, None]
    cos, sin = rotary(positions, head_dim, theta)
    return DenseAttention(cos, sin, mask, cache, head_dim, attend)


def call_block(block: Any, x: Tensor, attend: AttentionFn, layer: int) -> Tensor:
    """(token, dim) -> (token, dim) by one block of the decoder, the `layer`-th."""
    return block(x, attend, layer)


def no_decode_step(policy: Any, cache: Any, rows: int) -> None:
    """Generation then takes its steps by `Policy.hidden` and `Policy.head`, as the first one."""


@dataclass(frozen=True)
class Kernels:
    """The operations that a model computes by; the functions of this module and, for `scored_*`, of
    `core.logps` tell what each does.

    `decode_step(policy, cache, rows)` gives a function (tokens, positions, visible) -> logits for
    one new token per row, or None where there is none for this model.
    """

    name: str
    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    swiglu: Callable[[Tensor, Tensor], Tensor]
    embed: Callable[[Tensor, Tensor, bool], Tensor]
    attention: Callable[..., AttentionFn]
    scored_logps: Callable[[Any, SequenceBatch], ScoredLogps]
    scored_kl: Callable[[Any, Any, SequenceBatch], ScoredKL]
    scored_log_collision: Callable[[Any, SequenceBatch], ScoredLogps]
    decode_step: Callable[[Any, Any, int], Callable[..., Tensor] | None]
    block: Callable[[Any, Tensor, AttentionFn, int], Tensor] = call_block

    @property
    def plain(self) -> bool:
        """Whether these are the definitions."""
        return self.name == "plain"


PLAIN = Kernels(
    "plain", rms_norm, swiglu, embed, dense_attention, scored_logps, scored_kl,
    scored_log_collision, no_decode_step,
)  # fmt: skip


MAKERS = "as its makers recommend"


class Recommended(NamedTuple):
    """How the answers of a model are drawn for people to read, and who says so.

    `settings` are fields of `SamplingConfig` with their values, as a tuple of pairs.
    """

    pairs: tuple[tuple[str, float], ...] = (("temperature", 0.0),)
    why: str = "as nothing else is recommended"

    @property
    def settings(self) -> dict[str, Any]:
        """Values by the names of fields of `SamplingConfig`."""
        return dict(self.pairs)


class Policy(nn.Module):
    """A causal language model that can be trained, scored and sampled from.

    Subclasses give `hidden`, `head`, `vocab_size` and `new_cache`. Training calls the module
    itself, `policy(batch)`, so that wrappers of modules (DDP, FSDP2) see a forward pass.

    Attributes:
        kernels: what it computes by.
        layouts: those of `core.batch` that it takes; the last one is the fastest.
        rounds_embeddings: whether bf16 covers its embedding besides its linear layers.
        checkpoint_format: how it is saved, a name in `models.load.FORMATS`.
        can_be_parked: whether its `state_dict` is all that it needs to be restored.
        recommended_sampling: how its answers are drawn for people to read; greedily, where its
            makers recommend nothing.
        generates: whether texts can be sampled from it; a reward model only reads them.
    """

    kernels: Kernels = PLAIN
    layouts: tuple[str, ...] = LAYOUTS
    rounds_embeddings = False
    checkpoint_format = ""
    can_be_parked = False
    generates = True
    recommended_sampling = Recommended()
    max_length: int
    recompute: bool

    @property
    def language_model(self) -> Policy:
        """What texts are sampled from: itself, or the model that it wraps."""
        return self

    @property
    def vocab_size(self) -> int:
        """Number of different tokens that the head distinguishes."""
        raise NotImplementedError

    @property
    @torch.no_grad()
    def dim(self) -> int:
        """Size of a hidden state; one is computed, where a subclass doesn't know it."""
        device = next(self.parameters()).device
        return self.hidden(torch.zeros(1, 1, dtype=torch.long, device=device)).shape[-1]

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Packed | None = None,
        cache: Any | None = None,
    ) -> Tensor:
        """Last hidden states (row, pos, dim) of `tokens` (row, pos).

        Args:
            positions: (row, pos); 0, 1, ... when left out.
            mask: (row, query, key), True where a query may attend; None means causal. A `Packed`
                describes the mask of one row that holds many items.
            cache: from `new_cache`; the tokens continue what it holds. A mask over all keys is
                needed then, unless a single new token may attend to all of them.
        """
        raise NotImplementedError

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., dim)."""
        raise NotImplementedError

    def new_cache(self, rows: int, max_length: int) -> Any:
        """An empty cache for `rows` sequences of up to `max_length` tokens; None: no cache."""
        raise NotImplementedError

    def forward(self, batch: SequenceBatch, collision: bool = False) -> ScoredLogps:
        """Log-probabilities of the scored tokens of a batch.

        With `collision`, `log_collision` at their positions instead, without gradient.
        """
        kernels = self.kernels
        return (kernels.scored_log_collision if collision else kernels.scored_logps)(self, batch)

    def logits(self, tokens: Tensor) -> Tensor:
        """(row, pos) -> (row, pos, vocab), plain causal rows."""
        return self.head(self.hidden(tokens))

    @property
    def tied_embedding(self) -> nn.Parameter | None:
        """The embedding's weight where the head shares it and `lookup` can stand in for it."""
        return None

    def untie_head(self) -> None:
        """Prepare for use without the head: a table that was shared with it is shared no more."""
