"""Sampled completions of a prompt with their probabilities under policy and reference.

A completed sample is one event. A truncated sample is the event of all completions with that
prefix. The events are made mutually exclusive, so the probability of all other completions is known
as well.
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
from workbench.core.collation import collate_sequences
from workbench.core.metrics import mean_and_error
from workbench.errors import WorkbenchError
from workbench.generation.config import SamplingConfig
from workbench.generation.sampling import stream

ROWS = 16  # completions per forward pass


@dataclass(frozen=True)
class Continuation:
    """A completion of a prompt under both models.

    Attributes:
        name: "chosen", "rejected" (or both), or "" for one that was only sampled.
        ids: its tokens, the end of sequence included.
        ended: False where it was truncated, and stands for all completions with this prefix.
        drawn: how often it was sampled from the policy.
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
        """The log-ratio times the policy's probability, in nats: this completion's term of
        KL(policy || reference), which is the sum over all completions."""
        return math.exp(self.policy) * self.logratio


@dataclass(frozen=True)
class ProbabilityMass:
    """Completions of one prompt, the named ones first, then those with the largest gain.

    Attributes:
        rows: without duplicates.
        draws: how many were sampled.
        kl: KL(policy || reference) in nats per completion: the exact KL of the next-token
            distributions, summed over each sample's positions; the mean over the samples.
        error: its standard error; NaN for a single sample.
    """

    rows: tuple[Continuation, ...]
    draws: int
    kl: float
    error: float

    @property
    def exclusive(self) -> tuple[Continuation, ...]:
        """The rows that are not part of a truncated one."""
        prefixes = [row.ids for row in self.rows if not row.ended]
        return tuple(
            row
            for row in self.rows
            if not row.ended or not any(row.ids[: len(ids)] == ids for ids in prefixes)
        )


@dataclass(frozen=True)
class RemainingMass:
    """The summed probability of all completions that are not listed, and its change."""

    policy: float
    reference: float
    change: float


def remaining_mass(rows: Sequence[Continuation]) -> RemainingMass:
    """All completions except these, which have to be mutually exclusive.

    The change is a sum of its own, because it can be lost in the rounding of 1 minus a sum.
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
    """Sample completions from the policy and score them and those of a pair with both models.

    Args:
        reference, policy: with the same tokenizer.
        prompt, chosen, rejected: token ids.
        draws: how many are sampled, at temperature 1.
        sampling: only its seed and `max_new_tokens` are used: the estimates hold for samples from
            the policy itself, without temperature and filters.

    Raises:
        WorkbenchError: no tokens or draws, too many tokens, or different tokenizers, vocabularies
            or devices.
    """
    check_comparable(reference, policy, prompt, chosen, rejected)
    if policy.device != reference.device:
        raise WorkbenchError(
            f"{policy.name} is on device {policy.device} and {reference.name} on "
            f"{reference.device}; accepted: models on one device"
        )
    if draws < 1:
        raise WorkbenchError(f"draws={draws} is not accepted: at least 1")
    given = sampling or SamplingConfig()
    plain = SamplingConfig(seed=given.seed, max_new_tokens=given.max_new_tokens, temperature=1.0)
    counts = Counter(_draw(policy, prompt, draws, plain))
    names = ("chosen", "rejected") if chosen != rejected else ("chosen and rejected",)
    named = dict(zip((tuple(chosen), tuple(rejected)), names, strict=False))
    rows = [Continuation(name, ids, True, counts[ids, True]) for ids, name in named.items()]
    rows += [
        Continuation("", ids, ended, count)
        for (ids, ended), count in counts.items()
        if not (ended and ids in named)
    ]
    along, ours, theirs = _sums(reference, policy, prompt, rows)
    rows = [
        replace(row, policy=one, reference=other)
        for row, one, other in zip(rows, ours.tolist(), theirs.tolist(), strict=True)
    ]
    drawn = torch.tensor([row.drawn for row in rows])
    kl, error = mean_and_error(along.repeat_interleave(drawn))
    ranked = sorted(rows, key=lambda row: (not row.name, 0.0 if row.name else -row.gain))
    return ProbabilityMass(tuple(ranked), draws, kl, error)


def _draw(
    handle: ModelHandle, prompt: Ids, count: int, sampling: SamplingConfig
) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Token ids, end token included, and whether the completion ended."""
    tokenizer = handle.tokenizer
    with handle.active() as model:
        columns = list(
            stream(model, [prompt] * count, sampling, tokenizer.stop_ids, tokenizer.pad_id)
        )
    for row in torch.stack(columns, dim=1).tolist():
        # Rows of one prompt are truncated at the same length, so padding only follows an end token.
        end = next((i for i, token in enumerate(row) if token in tokenizer.stop_ids), None)
        yield tuple(row if end is None else row[: end + 1]), end is not None


def _sums(
    reference: ModelHandle, policy: ModelHandle, prompt: Ids, rows: list[Continuation]
) -> Tensor:
    """(3, row) KL along each completion, and its log-probability under policy and reference, in
    float64."""
    parts = []
    with policy.by_turns() as ours, reference.by_turns() as theirs:
        for start in range(0, len(rows), ROWS):
            sequences = [(prompt, row.ids) for row in rows[start : start + ROWS]]
            batch = collate_sequences(sequences, policy.tokenizer.pad_id).to(policy.device)
            sums = ours.kernels.scored_kl(ours, theirs, batch).sums(batch.sequences)
            parts.append(torch.stack(sums).double().cpu())
    return torch.cat(parts, dim=1)
