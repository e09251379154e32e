"""Prompts on their way to answers: what a model has been shown, and what it says comes next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import WorkbenchError


class Rows:
    """Prompts padded on the left, growing on the right; knows what each position may see.

    Attributes:
        tokens: (row, pos) with room for the answers; `end` is where the next token goes.
    """

    def __init__(
        self, policy: Any, prompts: Sequence[Sequence[int]], pad_id: int, room: int, cached: bool
    ) -> None:
        device = next(policy.parameters()).device
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        blank, after = [pad_id], [pad_id] * room
        rows = [[*blank * (width - len(prompt)), *prompt, *after] for prompt in prompts]
        place = torch.arange(width + room, device=device)
        first = torch.tensor(padding, device=device)[:, None]
        self.tokens = torch.tensor(rows, device=device)  # (row, pos)
        self.positions = (place - first).clamp(min=0)
        self.visible = place >= first  # (row, key)
        self.padded = any(padding)
        self.seen, self.end = 0, width
        self.policy = policy
        self.decode_step: Any = None  # from the second token on, where the model has one
        self.cache: Any = policy.new_cache(len(prompts), width + room) if cached else None

    def logits(self) -> Tensor:
        """(row, vocab) what follows the last token, in float32."""
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
        """The same for one new token a row, the quick way."""
        last, self.seen = self.seen, self.end
        visible = self.visible[:, : self.end] if self.padded else None
        return self.decode_step(self.tokens[:, last], self.positions[:, last], visible)

    def append(self, column: Sequence[int]) -> None:
        """Add one token to every row."""
        self.tokens[:, self.end] = torch.tensor(column, device=self.tokens.device)
        self.end += 1

    def reorder(self, rows: Sequence[int]) -> None:
        """Row i becomes a copy of what row `rows[i]` was; there may be more or fewer than before.

        What was copied is what the model has seen, so its cache goes along.
        """
        if list(rows) == list(range(len(self.tokens))):
            return
        index = torch.tensor(rows, device=self.tokens.device)
        self.tokens, self.positions = self.tokens[index], self.positions[index]
        self.visible = self.visible[index]
        if self.cache is not None:
            self.cache.reorder(index)

    def own_tokens(self) -> Tensor:
        """(row, pos) prompt and answer; in the place of padding, a token that is there anyway."""
        now = slice(self.end)
        last = self.tokens[:, self.end - 1 : self.end]
        return torch.where(self.visible[:, now], self.tokens[:, now], last)

    def _mask(self) -> Tensor | None:
        if not self.padded:
            return None
        visible = self.visible[:, None, : self.end]  # (row, 1, key)
        if self.end - self.seen == 1:
            return visible
        # Padding sees itself: a position that sees nothing would turn into NaN.
        square = visible.new_ones(self.end, self.end)
        return square.tril() & (visible | square.tril().triu())


def room_for(models: Sequence[Any], prompts: Sequence[Sequence[int]], wanted: int) -> list[int]:
    """New tokens for each row: as many as wanted, or fewer where a model's length ends before."""
    if not prompts:
        raise WorkbenchError("prompts is empty; at least one is needed")
    longest = min(map(_max_length, models))
    for number, prompt in enumerate(prompts):
        if not 1 <= len(prompt) < longest:
            raise WorkbenchError(
                f"prompt {number} has {len(prompt)} tokens; accepted: 1 to {longest - 1}, "
                f"because the model takes {longest} with the answer"
            )
    return [min(wanted, longest - len(prompt)) for prompt in prompts]


def _max_length(policy: Any) -> int:
    owner = policy if hasattr(policy, "max_length") else getattr(policy, "config", None)
    return getattr(owner, "max_length", sys.maxsize)
