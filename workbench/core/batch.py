"""Preference pairs as tensors: padding, masks and layouts.

Masks come from lengths, never from token ids, so a padding id may equal the end-of-sequence id.
Three layouts hold the same pairs:

* ``stacked``: one row a completion, prompt in front. The plain definition.
* ``shared_prefix``: one row a pair. The prompt stands once and both completions follow; each starts
  with a copy of the prompt's last token, so that every scored token is predicted by the position
  before it, as everywhere else. ``branch`` keeps the completions from seeing each other.
* ``packed``: the rows of ``shared_prefix`` one behind the other in a single row, without padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from einops import rearrange
from torch import Tensor

from workbench.core.config import LAYOUTS
from workbench.core.fast.packed_rows import Lengths, Packed
from workbench.errors import WorkbenchError


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and two completions; completions end with their end-of-sequence id."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    def __post_init__(self) -> None:
        for part in fields(self):
            ids = tuple(getattr(self, part.name))
            if not ids:
                raise WorkbenchError(f"{part.name} has no tokens; at least one is needed")
            object.__setattr__(self, part.name, ids)


@dataclass(frozen=True)
class SequenceBatch:
    """Rows of tokens with the completions in them that are scored.

    Attributes:
        tokens: (row, pos) token ids, padded on the right.
        positions: (row, pos) place of each token in its own sequence.
        completion_mask: (row, pos) True on scored tokens.
        sequence: (row, pos) which completion a scored token belongs to.
        sequences: number of completions.
        branch: (row, pos) 0 on what all may see, 1 and 2 on the two sides; None: plain causal rows.
        packed: which tokens belong together where one row holds all pairs.
    """

    tokens: Tensor
    positions: Tensor
    completion_mask: Tensor
    sequence: Tensor
    sequences: int
    branch: Tensor | None = None
    packed: Packed | None = None

    def attention_mask(self) -> Tensor | None:
        """(row, query, key) True where a query may look; None where plain causal order does."""
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
    """Pairs: completion `2 * pair` is the chosen one, `2 * pair + 1` the rejected one.

    `index` holds each pair's place in its data set, which is where its cached reference stands.
    """

    index: Tensor | None = None

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.sequences // 2


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _stack(sequences: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int) -> dict:
    """Fields of one row a (prompt, completion)."""
    tokens = _pad([[*prompt, *completion] for prompt, completion in sequences], pad_id)
    prompts = torch.tensor([len(prompt) for prompt, _ in sequences])
    ends = prompts + torch.tensor([len(completion) for _, completion in sequences])
    pos = torch.arange(tokens.shape[1])
    return {
        "tokens": tokens,
        "positions": pos.expand_as(tokens),
        "completion_mask": (pos >= prompts[:, None]) & (pos < ends[:, None]),
        "sequence": torch.arange(len(sequences))[:, None].expand_as(tokens),
        "sequences": len(sequences),
    }


def _share_prefix(pairs: Sequence[Pair], pad_id: int) -> dict:
    """Fields of one row a pair: prompt[:-1], prompt[-1] + chosen, prompt[-1] + rejected."""
    columns: list[list[list[int]]] = [[] for _ in range(5)]
    for number, pair in enumerate(pairs):
        *shared, last = pair.prompt
        row: list[int] = list(shared)
        place, side_of = list(range(len(shared))), [0] * len(shared)
        mask, owner = [0] * len(shared), [2 * number] * len(shared)
        for side, completion in enumerate((pair.chosen, pair.rejected)):
            size = len(completion) + 1
            row += [last, *completion]
            place += range(len(shared), len(shared) + size)
            side_of += [side + 1] * size
            mask += [0] + [1] * (size - 1)
            owner += [2 * number + side] * size
        for column, values in zip(columns, (row, place, side_of, mask, owner), strict=True):
            column.append(values)
    tokens, positions, branch, scored, sequence = columns
    return {
        "tokens": _pad(tokens, pad_id),
        "positions": _pad(positions, 0),
        "branch": _pad(branch, 0),
        "completion_mask": _pad(scored, 0).bool(),
        "sequence": _pad(sequence, 0),
        "sequences": 2 * len(pairs),
    }


def _pack(pairs: Sequence[Pair], pad_id: int) -> dict:
    """Fields of one row that holds the rows of `_share_prefix` one behind the other."""
    lengths: tuple[Lengths, ...] = tuple(
        (len(pair.prompt) - 1, len(pair.chosen) + 1, len(pair.rejected) + 1) for pair in pairs
    )
    rows = _share_prefix(pairs, pad_id)
    totals = torch.tensor([sum(parts) for parts in lengths])
    kept = torch.arange(rows["tokens"].shape[1]) < totals[:, None]
    names = ("tokens", "positions", "completion_mask", "sequence")
    flat = {name: rows[name][kept][None] for name in names}
    return {**flat, "packed": Packed(lengths), "sequences": rows["sequences"]}


def collate(
    pairs: Sequence[Pair],
    pad_id: int,
    layout: str = "stacked",
    index: Sequence[int] | None = None,
) -> PreferenceBatch:
    """Put `pairs` into one batch, in the given order.

    Args:
        pairs: at least one pair.
        pad_id: any token id; padded positions are never scored and never seen.
        layout: "stacked" (row = 2 * pair + side), "shared_prefix" (row = pair) or "packed" (one
            row for all).
        index: each pair's place in its data set; 0, 1, ... when left out.

    Raises:
        WorkbenchError: no pairs, or an unknown layout.
    """
    if not pairs:
        raise WorkbenchError("pairs is empty; a batch needs at least one")
    if layout not in LAYOUTS:
        raise WorkbenchError(f"layout={layout!r} is unknown; accepted: {', '.join(LAYOUTS)}")
    if layout == "stacked":
        sides = [(p.prompt, side) for p in pairs for side in (p.chosen, p.rejected)]
        parts = _stack(sides, pad_id)
    else:
        parts = (_pack if layout == "packed" else _share_prefix)(pairs, pad_id)
    places = torch.as_tensor(range(len(pairs)) if index is None else list(index))
    return PreferenceBatch(**parts, index=places)


def collate_sequences(
    sequences: Sequence[tuple[Sequence[int], Sequence[int]]], pad_id: int
) -> SequenceBatch:
    """One row a (prompt, completion), completions scored: for pretraining and for samples."""
    if not sequences:
        raise WorkbenchError("sequences is empty; a batch needs at least one")
    return SequenceBatch(**_stack(sequences, pad_id))


def pairs_from_prompt_mask(
    chosen: Tensor,
    rejected: Tensor,
    prompt_mask: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
) -> list[Pair]:
    """Pairs from whole sequences and one prompt mask for both sides, as x-transformers takes them.

    Args:
        chosen, rejected: (pair, pos) token ids, the prompt in front, padded on the right.
        prompt_mask: (pair, pos) True on prompt tokens.
        chosen_lengths, rejected_lengths: (pair,) tokens before the padding, prompt included.

    Raises:
        WorkbenchError: naming the pair whose mask is not a prefix or whose prompts differ.
    """
    pairs = []
    for row, mask in enumerate(prompt_mask.bool()):
        size = int(mask.sum())
        if not mask[:size].all():
            raise WorkbenchError(f"prompt_mask of pair {row} is not a prefix: True, then False")
        left, right = chosen[row], rejected[row]
        if not torch.equal(left[:size], right[:size]):
            raise WorkbenchError(f"pair {row}: chosen and rejected have different prompts")
        ends = int(chosen_lengths[row]), int(rejected_lengths[row])
        sides = [side[size:end].tolist() for side, end in zip((left, right), ends, strict=True)]
        pairs.append(Pair(tuple(left[:size].tolist()), tuple(sides[0]), tuple(sides[1])))
    return pairs
