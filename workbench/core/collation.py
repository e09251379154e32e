"""From token ids to batches: padding, layouts and their masks; see `batch.py` for the layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from workbench.core.batch import (
    Completion,
    LabelledBatch,
    Lengths,
    Packed,
    Pair,
    PreferenceBatch,
    SequenceBatch,
)
from workbench.core.config import LAYOUTS
from workbench.errors import WorkbenchError


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def _stack(
    sequences: Sequence[tuple[Sequence[int], Sequence[int]]],
    pad_id: int,
    scored: Sequence[Sequence[bool]] = (),
) -> dict:
    """Fields of one row per (prompt, completion); `scored` as `collate_sequences` takes it."""
    tokens = _pad([[*prompt, *completion] for prompt, completion in sequences], pad_id)
    prompts = torch.tensor([len(prompt) for prompt, _ in sequences])
    ends = prompts + torch.tensor([len(completion) for _, completion in sequences])
    pos = torch.arange(tokens.shape[1])
    mask = (pos >= prompts[:, None]) & (pos < ends[:, None])
    for row, marks in enumerate(scored):
        if marks:
            mask[row, prompts[row] : ends[row]] = torch.tensor(marks)
    return {
        "tokens": tokens,
        "positions": pos.expand_as(tokens),
        "completion_mask": mask,
        "sequence": torch.arange(len(sequences))[:, None].expand_as(tokens),
        "sequences": len(sequences),
    }


def _share_prefix(pairs: Sequence[Pair], pad_id: int) -> dict:
    """Fields of one row per pair: prompt[:-1], prompt[-1] + chosen, prompt[-1] + rejected."""
    columns: list[list[list[int]]] = [[] for _ in range(5)]
    for number, pair in enumerate(pairs):
        *shared, last = pair.prompt
        row: list[int] = list(shared)
        pos, side_of = list(range(len(shared))), [0] * len(shared)
        mask, owner = [0] * len(shared), [2 * number] * len(shared)
        sides = (pair.chosen, pair.chosen_scored), (pair.rejected, pair.rejected_scored)
        for side, (completion, scored) in enumerate(sides):
            size = len(completion) + 1
            row += [last, *completion]
            pos += range(len(shared), len(shared) + size)
            side_of += [side + 1] * size
            mask += [0, *(scored or [1] * (size - 1))]
            owner += [2 * number + side] * size
        for column, values in zip(columns, (row, pos, side_of, mask, owner), strict=True):
            column.append(values)
    tokens, positions, branch, masks, sequence = columns
    return {
        "tokens": _pad(tokens, pad_id),
        "positions": _pad(positions, 0),
        "branch": _pad(branch, 0),
        "completion_mask": _pad(masks, 0).bool(),
        "sequence": _pad(sequence, 0),
        "sequences": 2 * len(pairs),
    }


def _pack(pairs: Sequence[Pair], pad_id: int) -> dict:
    """Fields of one row that holds the rows of `_share_prefix` one behind the other."""
    lengths: tuple[Lengths, ...] = tuple(
        (len(pair.prompt) - 1, len(pair.chosen) + 1, len(pair.rejected) + 1) for pair in pairs
    )
    return {**_pack_rows(_share_prefix(pairs, pad_id), lengths), "sequences": 2 * len(pairs)}


def _pack_rows(rows: dict, lengths: tuple[Lengths, ...]) -> dict:
    """Padded rows of these lengths as a single row without padding."""
    totals = torch.tensor([sum(parts) for parts in lengths])
    kept = torch.arange(rows["tokens"].shape[1]) < totals[:, None]
    names = ("tokens", "positions", "completion_mask", "sequence")
    return {**{name: rows[name][kept][None] for name in names}, "packed": Packed(lengths)}


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
        index: each pair's index in its data set; 0, 1, ... when left out.

    Raises:
        WorkbenchError: no pairs, or an unknown layout.
    """
    if not pairs:
        raise WorkbenchError("pairs is empty; a batch needs at least one")
    if layout not in LAYOUTS:
        raise WorkbenchError(f"layout={layout!r} is unknown; accepted: {', '.join(LAYOUTS)}")
    if layout == "stacked":
        sides = [(p.prompt, side) for p in pairs for side in (p.chosen, p.rejected)]
        parts = _stack(
            sides, pad_id, [m for p in pairs for m in (p.chosen_scored, p.rejected_scored)]
        )
    else:
        parts = (_pack if layout == "packed" else _share_prefix)(pairs, pad_id)
    return PreferenceBatch(**parts, index=_indices(len(pairs), index))


def collate_sequences(
    sequences: Sequence[tuple[Sequence[int], Sequence[int]]],
    pad_id: int,
    layout: str = "stacked",
    index: Sequence[int] | None = None,
    scored: Sequence[Sequence[bool]] = (),
) -> SequenceBatch:
    """One sequence per (prompt, completion), completions scored: for anything but pairs.

    Args:
        layout: "packed" for one row that holds all sequences; the others are one row each.
        index: each sequence's index in its data set; 0, 1, ... when left out.
        scored: for each sequence, which tokens of its completion are scored; empty: all.
    """
    if not sequences:
        raise WorkbenchError("sequences is empty; a batch needs at least one")
    rows = _stack(sequences, pad_id, scored)
    if layout == "packed":
        lengths = tuple((len(prompt) + len(completion), 0, 0) for prompt, completion in sequences)
        rows = {**_pack_rows(rows, lengths), "sequences": len(sequences)}
    return SequenceBatch(**rows, index=_indices(len(sequences), index))


def collate_completions(
    items: Sequence[Completion], pad_id: int, layout: str, index: Sequence[int]
) -> SequenceBatch:
    """Completions with what is scored of them; their labels are not looked at."""
    sequences, scored = [(i.prompt, i.completion) for i in items], [i.scored for i in items]
    return collate_sequences(sequences, pad_id, layout, index, scored)


def collate_labelled(
    items: Sequence[Completion], pad_id: int, layout: str, index: Sequence[int]
) -> LabelledBatch:
    """Completion completions, and in `mismatched` the same prompts with other completions."""
    rows = collate_completions(items, pad_id, layout, index)
    others = [replace(i, completion=i.mismatched, scored=i.mismatched_scored) for i in items]
    other = collate_completions(others, pad_id, layout, index)
    labels = torch.tensor([item.label for item in items])
    parts = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return LabelledBatch(**parts, labels=labels, mismatched=replace(other, columns=(1,)))


def _indices(count: int, index: Sequence[int] | None) -> Tensor:
    return torch.as_tensor(range(count) if index is None else list(index))


def pairs_from_prompt_mask(
    chosen: Tensor,
    rejected: Tensor,
    prompt_mask: Tensor,
    chosen_lengths: Tensor | None = None,
    rejected_lengths: Tensor | None = None,
) -> list[Pair]:
    """Pairs from whole sequences and one prompt mask for both sides, as x-transformers takes them.

    Its DPO is called with `preferred_seq`, `unpreferred_seq`, `prompt_mask`, `preferred_seq_mask`
    and `unpreferred_seq_mask`: the first three are the first three here, and the sums of the last
    two over the positions are the lengths.

    Args:
        chosen, rejected: (pair, pos) token ids, the prompt in front, padded on the right.
        prompt_mask: (pair, pos) True on prompt tokens.
        chosen_lengths, rejected_lengths: (pair,) tokens before the padding, prompt included; left
            out: no padding.

    Raises:
        WorkbenchError: the shapes differ; or naming the pair whose mask is not a prefix, or whose
            prompts differ.
    """
    if not chosen.shape == rejected.shape == prompt_mask.shape:
        shapes = ", ".join(str(tuple(part.shape)) for part in (chosen, rejected, prompt_mask))
        raise WorkbenchError(
            f"chosen, rejected and prompt_mask have shapes {shapes}; accepted: (pair, pos), thrice"
        )
    whole = torch.full(chosen.shape[:1], chosen.shape[1])
    lengths = [whole if given is None else given for given in (chosen_lengths, rejected_lengths)]
    pairs = []
    for row, mask in enumerate(prompt_mask.bool()):
        size = int(mask.sum())
        if not mask[:size].all():
            raise WorkbenchError(f"prompt_mask of pair {row} is not a prefix: True, then False")
        left, right = chosen[row], rejected[row]
        if not torch.equal(left[:size], right[:size]):
            raise WorkbenchError(f"pair {row}: chosen and rejected have different prompts")
        ends = [int(ends[row]) for ends in lengths]
        sides = [side[size:end].tolist() for side, end in zip((left, right), ends, strict=True)]
        pairs.append(Pair(tuple(left[:size].tolist()), tuple(sides[0]), tuple(sides[1])))
    return pairs
