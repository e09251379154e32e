"""What every model is here: hidden states first, the head on whichever of them are wanted."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from workbench.core.batch import LAYOUTS, Packed, SequenceBatch
from workbench.core.kernels import PLAIN, Kernels
from workbench.core.logps import ScoredLogps


class Policy(nn.Module):
    """A causal language model that can be trained, scored and sampled from.

    Subclasses give `hidden`, `head`, `vocab_size` and `new_cache`. Training calls the module
    itself, `policy(batch)`, so that wrappers of modules (DDP, FSDP2) see a forward pass.

    Attributes:
        kernels: what it computes by, see `core.kernels`.
        layouts: those of `core.batch` that it takes; the last one is the fastest.
        rounds_embeddings: whether bf16 covers its embedding besides its linear layers.
        checkpoint_format: how it is saved, a name in `models.load.FORMATS`.
        can_be_parked: whether its `state_dict` is all that it needs to be restored.
        generates: whether texts can be sampled from it; a reward model only reads them.
    """

    kernels: Kernels = PLAIN
    layouts: tuple[str, ...] = LAYOUTS
    rounds_embeddings = False
    checkpoint_format = ""
    can_be_parked = False
    generates = True
    max_length: int
    recompute: bool

    @property
    def vocab_size(self) -> int:
        """Number of different tokens that the head distinguishes."""
        raise NotImplementedError

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

    def forward(self, batch: SequenceBatch) -> ScoredLogps:
        """Log-probabilities of the scored tokens of a batch."""
        return self.kernels.scored_logps(self, batch)

    def logits(self, tokens: Tensor) -> Tensor:
        """(row, pos) -> (row, pos, vocab), plain causal rows."""
        return self.head(self.hidden(tokens))

    @property
    def tied_embedding(self) -> nn.Parameter | None:
        """The embedding's weight where the head shares it and `lookup` can stand in for it."""
        return None

    def untie_head(self) -> None:
        """Prepare for use without the head: a table that was shared with it is shared no more."""
