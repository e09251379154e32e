"""Rows of tokens while they are decoded: what the model has read, and its next-token logits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import WorkbenchError


class DecodingRows:
    """Prompts padded on the left, extended on the right, with positions, masks and cache.

    Attributes:
        tokens: (row, pos) ids, with space for `max_new` more per row.
        end: index at which the next token is written.
        seen: how many positions the cache holds.
    """

    def __init__(
        self, policy: Any, prompts: Sequence[Sequence[int]], pad_id: int, max_new: int, cached: bool
    ) -> None:
        device = next(policy.parameters()).device
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        space = [pad_id] * max_new
        rows = [[*[pad_id] * (width - len(prompt)), *prompt, *space] for prompt in prompts]
        index = torch.arange(width + max_new, device=device)
        first = torch.tensor(padding, device=device)[:, None]
        self.tokens = torch.tensor(rows, device=device)  # (row, pos)
        # A row that has ended goes on beside longer ones, past the last position of the model.
        last = getattr(policy, "max_length", len(index)) - 1
        self.positions = (index - first).clamp(min=0, max=last)
        self.visible = index >= first  # (row, key)
        self.padded = any(padding)
        self.seen, self.end = 0, width
        self.policy = policy
        self.decode_step: Any = None  # from the second token on, where the model has one
        self.cache: Any = policy.new_cache(len(prompts), width + max_new) if cached else None

    def logits(self) -> Tensor:
        """(row, vocab) next-token logits after the last token, in float32."""
        if self.seen and self.end - self.seen == 1 and self._has_decode_step():
            return self._step()
        new = slice(self.seen, self.end)
        tokens, positions = self.tokens[:, new], self.positions[:, new]
        hidden = self.policy.hidden(tokens, positions, self._mask(), self.cache)
        if self.cache is not None:
            self.seen = self.end
        return self.policy.head(hidden[:, -1]).float()

    def _has_decode_step(self) -> bool:
        if self.decode_step is None:
            make = self.policy.kernels.decode_step
            self.decode_step = make(self.policy, self.cache, len(self.tokens)) or False
        return self.decode_step is not False

    def _step(self) -> Tensor:
        """The same for one new token per row, by the fast path."""
        last, self.seen = self.seen, self.end
        visible = self.visible[:, : self.end] if self.padded else None
        return self.decode_step(self.tokens[:, last], self.positions[:, last], visible)

    def append(self, column: Sequence[int]) -> None:
        """Add one token to every row."""
        self.tokens[:, self.end] = torch.tensor(column, device=self.tokens.device)
        self.end += 1

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i becomes a copy of the old row `rows[i]`; the number of rows may change.

        The cache is reordered in the same way.
        """
        if list(rows) == list(range(len(self.tokens))):
            return
        index = torch.tensor(rows, device=self.tokens.device)
        self.tokens, self.positions = self.tokens[index], self.positions[index]
        self.visible = self.visible[index]
        if self.cache is not None:
            self.cache.reorder(index)

    def own_tokens(self) -> Tensor:
        """(row, pos) prompt and answer so far; padding is replaced by the row's last token."""
        filled = slice(self.end)
        last = self.tokens[:, self.end - 1 : self.end]
        return torch.where(self.visible[:, filled], self.tokens[:, filled], last)

    def _mask(self) -> Tensor | None:
        if not self.padded:
            return None
        visible = self.visible[:, None, : self.end]  # (row, 1, key)
        if self.end - self.seen == 1:
            return visible
        # Padding attends to itself: a query without any key would give NaN.
        square = visible.new_ones(self.end, self.end)
        return square.tril() & (visible | square.tril().triu())


def max_new_per_row(
    models: Sequence[Any], prompts: Sequence[Sequence[int]], wanted: int
) -> list[int]:
    """Most new tokens of each row: `wanted`, or fewer where they would not fit a model's length."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    longest = min(map(max_length_of, models))
    for number, prompt in enumerate(prompts):
        if not 1 <= len(prompt) < longest:
            raise WorkbenchError(
                f"prompt {number} has {len(prompt)} tokens; accepted: 1 to {longest - 1}, "
                f"because the model takes {longest} with the answer"
            )
    return [min(wanted, longest - len(prompt)) for prompt in prompts]


def max_length_of(policy: Any) -> int:
    """Most tokens that a policy takes at once; without a limit of its own, `sys.maxsize`."""
    owner = policy if hasattr(policy, "max_length") else getattr(policy, "config", None)
    return getattr(owner, "max_length", sys.maxsize)
