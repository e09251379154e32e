"""Preference pairs as tensors: padding, masks and layouts.

Masks come from lengths, never from token ids, so a padding id may equal the end-of-sequence id.
Three layouts hold the same pairs:

* ``stacked``: one row per completion, prompt in front. The plain definition.
* ``shared_prefix``: one row per pair. The prompt stands once and both completions follow; each
  starts with a copy of the prompt's last token, so that every scored token is predicted by the
  position before it, as everywhere else. ``branch`` keeps the completions apart in attention.
* ``packed``: the rows of ``shared_prefix`` one behind the other in a single row, without padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from einops import rearrange
from torch import Tensor

from workbench.core.config import LAYOUTS as LAYOUTS
from workbench.errors import WorkbenchError

Lengths = tuple[int, int, int]


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and two completions; completions end with their end-of-sequence id.

    `chosen_scored` and `rejected_scored` tell which tokens of a completion are scored, where it
    holds what others say in between; empty: all.
    """

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    chosen_scored: tuple[bool, ...] = ()
    rejected_scored: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        for name in ("prompt", "chosen", "rejected"):
            ids = tuple(getattr(self, name))
            if not ids:
                raise WorkbenchError(f"{name} has no tokens; at least one is needed")
            object.__setattr__(self, name, ids)
        for name in ("chosen", "rejected"):
            scored = getattr(self, f"{name}_scored")
            if scored and (len(scored) != len(getattr(self, name)) or not any(scored)):
                raise WorkbenchError(
                    f"{name}_scored has {len(scored)} values, {sum(scored)} of them true; accepted "
                    f"are {len(getattr(self, name))}, at least one of them true, or none at all"
                )


@dataclass(frozen=True)
class Completion:
    """Token ids of a prompt and a completion, which is desirable or not.

    `mismatched` is a completion of another prompt, as KTO compares with. `scored` and
    `mismatched_scored` tell which tokens are scored, as in `Pair`.
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    label: bool = True
    mismatched: tuple[int, ...] = ()
    scored: tuple[bool, ...] = ()
    mismatched_scored: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Packed:
    """The attention mask of one long row that holds many items one behind the other.

    Attributes:
        lengths: of prompt, chosen and rejected of each pair, in the order of the row; a single
            sequence is (length, 0, 0).
    """

    lengths: tuple[Lengths, ...]

    def dense(self, device: torch.device | str = "cpu") -> Tensor:
        """(1, query, key), True where a query may attend."""
        parts = torch.tensor(self.lengths).flatten()  # (pair part)
        owner = torch.arange(len(parts)).repeat_interleave(parts)
        pair, part = owner // 3, owner % 3
        seen = (pair[:, None] == pair) & ((part == 0) | (part[:, None] == part))
        return seen.tril()[None].to(device)


@dataclass(frozen=True)
class SequenceBatch:
    """Rows of tokens with the completions in them that are scored.

    Attributes:
        tokens: (row, pos) token ids, padded on the right.
        positions: (row, pos) position of each token in its own sequence.
        completion_mask: (row, pos) True on scored tokens.
        sequence: (row, pos) which completion a scored token belongs to.
        sequences: number of completions.
        branch: (row, pos) 0 on shared tokens, 1 and 2 on the two sides; None: plain causal rows.
        packed: the mask where one row holds all items.
        index: (item,) each item's index in its data set, where its cached reference is found.
        columns: which of an item's completions the batch holds.
        counts: False where it stands in for a batch that a process lacks, while others have one:
            it is computed, and nothing of it counts.
    """

    tokens: Tensor
    positions: Tensor
    completion_mask: Tensor
    sequence: Tensor
    sequences: int
    branch: Tensor | None = None
    packed: Packed | None = None
    index: Tensor | None = None
    columns: tuple[int, ...] = (0,)
    counts: bool = True

    @property
    def parts(self) -> tuple[SequenceBatch, ...]:
        """The batches that hold all completions of the items."""
        return (self,)

    @property
    def items(self) -> int:
        """Number of rows of the data set that the batch was made of."""
        return self.sequences // len(self.columns)

    def counted(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values (item,) of the batch; none of them where it does not count."""
        return {name: value[: None if self.counts else 0] for name, value in values.items()}

    def attention_mask(self) -> Tensor | None:
        """(row, query, key), True where a query may attend; None where plain causal order does."""
        if self.packed is not None:
            return self.packed.dense(self.tokens.device)
        if self.branch is None:
            return None
        query = rearrange(self.branch, "row query -> row query 1")
        key = rearrange(self.branch, "row key -> row 1 key")
        return ((key == 0) | (key == query)).tril()

    def lengths(self) -> Tensor:
        """(sequence,) number of scored tokens of each completion."""
        return torch.bincount(self.sequence[self.completion_mask], minlength=self.sequences)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`; a GPU reads it from pinned memory while it computes."""
        pinned = torch.device(device).type == "cuda"
        moved: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in moved.items():
            if torch.is_tensor(value):
                value = value.pin_memory() if pinned and not value.is_cuda else value
                moved[name] = value.to(device, non_blocking=True)
        return type(self)(**moved)


@dataclass(frozen=True)
class PreferenceBatch(SequenceBatch):
    """Pairs: completion `2 * pair` is the chosen one, `2 * pair + 1` the rejected one."""

    columns: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class LabelledBatch(SequenceBatch):
    """Completions with a label each, and the same prompts with completions of other prompts.

    Attributes:
        labels: (item,) True where the completion is desirable.
        mismatched: the prompts with the other completions, in the same order.
    """

    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.bool))
    mismatched: SequenceBatch | None = None

    @property
    def parts(self) -> tuple[SequenceBatch, ...]:
        """The completions, then the mismatched ones."""
        return (self, self.mismatched) if self.mismatched is not None else (self,)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on `device`, the mismatched completions included."""
        moved = super().to(device)
        other = None if self.mismatched is None else self.mismatched.to(device)
        return replace(moved, mismatched=other)
