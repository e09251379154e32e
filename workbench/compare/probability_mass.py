"""Where a prompt's probability went: completions that the policy draws, weighed by both models.

A completion that was drawn to its end is an event of its own. One that was cut stands for all that
begin like it. So the events of a table exclude each other, and what they leave of the whole is
known as well, although nobody can list it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.compare.model_handles import Ids, ModelHandle
from workbench.compare.tokens import check_comparable
from workbench.core.collate import collate_sequences
from workbench.core.logps import completion_logps
from workbench.core.metrics import sampled_kl
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import stream

ROWS = 16  # completions that are scored at once


@dataclass(frozen=True)
class Continuation:
    """A completion of a prompt under both models.

    Attributes:
        name: "chosen", "rejected" (or both), or "" for one that was only drawn.
        ids: its tokens, the end of sequence included.
        ended: False where it was cut, and stands for all completions that begin like it.
        drawn: how often the policy drew it.
        policy, reference: its log-probability, summed over the tokens.
    """

    name: str
    ids: tuple[int, ...]
    ended: bool
    drawn: int
    policy: float = math.nan
    reference: float = math.nan

    @property
    def logratio(self) -> float:
        """Policy minus reference, in nats."""
        return self.policy - self.reference

    @property
    def change(self) -> float:
        """The policy's probability minus the reference's."""
        return math.exp(self.policy) - math.exp(self.reference)

    @property
    def gain(self) -> float:
        """The log-ratio weighted by the policy's probability, in nats: what this completion adds
        to KL(policy || reference), which is the sum of this over all completions."""
        return math.exp(self.policy) * self.logratio


@dataclass(frozen=True)
class ProbabilityMass:
    """Completions of one prompt, the named ones first, then those that gained most.

    Attributes:
        rows: each once.
        draws: how many were drawn.
        kl: KL(policy || reference) estimated from the draws, in nats a completion.
        error: its standard error; NaN for a single draw.
    """

    rows: tuple[Continuation, ...]
    draws: int
    kl: float
    error: float

    @property
    def exclusive(self) -> tuple[Continuation, ...]:
        """The rows that are not already counted in one that was cut."""
        cut = [row.ids for row in self.rows if not row.ended]
        return tuple(
            row
            for row in self.rows
            if not row.ended or not any(row.ids[: len(start)] == start for start in cut)
        )


@dataclass(frozen=True)
class RemainingMass:
    """What completions that are not listed have together: probability, and how it changed."""

    policy: float
    reference: float
    change: float


def remaining_mass(rows: Sequence[Continuation]) -> RemainingMass:
    """All completions but these, which exclude each other.

    The change is summed up by itself, because against a whole of 1 it may be too small to be seen.
    """
    policy, reference = (
        max(0.0, 1 - math.fsum(math.exp(getattr(row, side)) for row in rows))
        for side in ("policy", "reference")
    )
    return RemainingMass(policy, reference, -math.fsum(row.change for row in rows))


def find_probability_mass(
    reference: ModelHandle,
    policy: ModelHandle,
    prompt: Ids,
    chosen: Ids,
    rejected: Ids,
    draws: int = 64,
    sampling: SamplingConfig | None = None,
) -> ProbabilityMass:
    """Draw completions from the policy and weigh them beside those of a pair.

    Args:
        reference, policy: with one tokenizer.
        prompt, chosen, rejected: token ids.
        draws: how many are drawn, at temperature 1.
        sampling: its seed and most new tokens; its temperature and filters are not used, because
            the estimates hold for draws from the policy itself.

    Raises:
        WorkbenchError: no tokens or draws, too many tokens, or two tokenizers.
    """
    check_comparable(reference, policy, prompt, chosen, rejected)
    if draws < 1:
        raise WorkbenchError(f"draws={draws} is not accepted: at least 1")
    asked = sampling or SamplingConfig()
    plain = SamplingConfig(seed=asked.seed, max_new_tokens=asked.max_new_tokens, temperature=1.0)
    found = Counter(_draw(policy, prompt, draws, plain))
    names = ("chosen", "rejected") if chosen != rejected else ("chosen and rejected",)
    named = dict(zip((tuple(chosen), tuple(rejected)), names, strict=False))
    rows = [Continuation(name, ids, True, found[ids, True]) for ids, name in named.items()]
    rows += [
        Continuation("", ids, ended, count)
        for (ids, ended), count in found.items()
        if not (ended and ids in named)
    ]
    ours, theirs = (_sums(handle, prompt, rows) for handle in (policy, reference))
    rows = [
        replace(row, policy=one, reference=other)
        for row, one, other in zip(rows, ours.tolist(), theirs.tolist(), strict=True)
    ]
    often = torch.tensor([row.drawn for row in rows])
    kl, error = sampled_kl(ours.repeat_interleave(often), theirs.repeat_interleave(often))
    ranked = sorted(rows, key=lambda row: (not row.name, 0.0 if row.name else -row.gain))
    return ProbabilityMass(tuple(ranked), draws, kl, error)


def _draw(
    handle: ModelHandle, prompt: Ids, count: int, sampling: SamplingConfig
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Token ids with the token that ended them, and whether one did."""
    tokenizer = handle.tokenizer
    with handle.active() as model:
        columns = list(
            stream(model, [prompt] * count, sampling, tokenizer.stop_ids, tokenizer.pad_id)
        )
    for row in torch.stack(columns, dim=1).tolist():
        # Rows of one prompt are cut at the same length, so padding only stands behind an end.
        end = next((place for place, token in enumerate(row) if token in tokenizer.stop_ids), None)
        yield tuple(row if end is None else row[: end + 1]), end is not None


def _sums(handle: ModelHandle, prompt: Ids, rows: list[Continuation]) -> Tensor:
    """(row,) log-probabilities in float64."""
    parts = []
    with handle.active() as model:
        for start in range(0, len(rows), ROWS):
            sequences = [(prompt, row.ids) for row in rows[start : start + ROWS]]
            batch = collate_sequences(sequences, handle.tokenizer.pad_id).to(handle.device)
            parts.append(completion_logps(model, batch).double().cpu())
    return torch.cat(parts)
