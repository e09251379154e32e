"""From logits to log-probabilities of tokens and of completions, and to the KL of two models.

The logits at a position predict the *next* token. Only `next_token` shifts by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.errors import WorkbenchError

REDUCTIONS = ("sum", "mean")


def next_token(outputs: Tensor, *aligned: Tensor) -> tuple[Tensor, ...]:
    """Line up outputs (..., pos, dim) with what they predict: (..., pos) -> (..., pos-1)."""
    return outputs[..., :-1, :], *(values[..., 1:] for values in aligned)


def token_logps(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability of each token but the first, given those before it.

    Args:
        logits: (..., pos, vocab).
        tokens: (..., pos).

    Returns:
        (..., pos-1), entry `t` belonging to token `t + 1`.
    """
    if logits.shape[:-1] != tokens.shape:
        raise WorkbenchError(
            f"logits {tuple(logits.shape)} and tokens {tuple(tokens.shape)} do not fit; "
            "accepted: (..., pos, vocab) and (..., pos)"
        )
    outputs, targets = next_token(logits, tokens)
    wide = _at_least_float32(outputs)
    return wide.gather(-1, targets[..., None])[..., 0] - wide.logsumexp(-1)


def _at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def next_token_kl(policy_logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Exact KL(policy || reference) of two next-token distributions, nats, never below 0.

    Args:
        policy_logits, reference_logits: (..., vocab).

    Returns:
        (...). Summed over the positions of completions drawn from the policy at temperature 1, its
        mean is the KL of the two distributions of completions, by the chain rule (Cover & Thomas
        2006, theorem 2.5.3); the log-ratio of the drawn tokens has the same mean and a larger
        variance, because it replaces each position's mean by one draw (Rao-Blackwell).
    """
    ours, theirs = (
        _at_least_float32(one).log_softmax(-1) for one in (policy_logits, reference_logits)
    )
    return (ours.exp() * (ours - theirs)).sum(-1).clamp(min=0)  # rounding may fall below 0


def log_collision(logits: Tensor) -> Tensor:
    """log of the sum of squared next-token probabilities, (..., vocab) -> (...), at most 0.

    The sum is the probability that two draws are the same token; WPO divides a token's probability
    by it (Zhou et al. 2024, WPO: Enhancing RLHF with weighted preference optimization).
    """
    wide = _at_least_float32(logits)
    return (2 * wide.log_softmax(-1)).logsumexp(-1)


def sequence_logps(token_logps: Tensor, completion_mask: Tensor, reduction: str = "sum") -> Tensor:
    """Log-probability of each completion: (..., pos-1), (..., pos) -> (...).

    Args:
        token_logps: (..., pos-1) from `token_logps`.
        completion_mask: (..., pos), True on scored tokens; the first position can't be scored. A
            mask of (..., pos-1) is taken as already in line with `token_logps`.
        reduction: "sum" (Rafailov et al. 2023), or "mean" over the scored tokens.
    """
    if reduction not in REDUCTIONS:
        raise WorkbenchError(f"reduction={reduction!r} is unknown; accepted: sum, mean")
    if completion_mask.shape[-1] == token_logps.shape[-1] + 1:
        completion_mask = completion_mask[..., 1:]
    if completion_mask.shape != token_logps.shape:
        raise WorkbenchError(
            f"completion_mask {tuple(completion_mask.shape)} does not fit token_logps "
            f"{tuple(token_logps.shape)}; accepted: (..., pos) with (..., pos-1)"
        )
    # Selected, not multiplied: an unscored -inf must not turn into NaN.
    total = token_logps.masked_fill(~completion_mask.bool(), 0.0).sum(-1)
    return total if reduction == "sum" else total / completion_mask.sum(-1).clamp(min=1)


class ScoredLogps(NamedTuple):
    """Log-probabilities of a batch's scored tokens, and the completion that each belongs to.

    `values` and `owners` are (scored,); owners are numbers of completions, as in
    `SequenceBatch.sequence`.
    """

    values: Tensor
    owners: Tensor

    def sums(self, sequences: int, beyond: Tensor | None = None) -> Tensor:
        """(sequence,) the sum over each completion's tokens.

        `beyond` (sequence,) leaves out that many of its first tokens.
        """
        values, owners = self
        if beyond is not None:
            kept = self.positions() >= beyond[owners]
            values, owners = values[kept], owners[kept]
        return values.new_zeros(sequences).index_add(0, owners, values)

    def positions(self) -> Tensor:
        """(scored,) how many tokens of its completion stand before each token."""
        order = self.owners.argsort(stable=True)
        counts = self.owners.bincount()
        before = (counts.cumsum(0) - counts).repeat_interleave(counts)
        numbers = torch.arange(len(order), device=order.device)
        return torch.empty_like(order).scatter_(0, order, numbers - before)


def scored_logps(policy: Any, batch: SequenceBatch) -> ScoredLogps:
    """The definition of `Policy.forward`: logits at all positions, then the scored ones."""
    values = token_logps(_all_logits(policy, batch), batch.tokens)
    scored, owners = batch.completion_mask[..., 1:], batch.sequence[..., 1:]
    return ScoredLogps(values[scored], owners[scored])


def _all_logits(policy: Any, batch: SequenceBatch) -> Tensor:
    """(row, pos, vocab)"""
    mask = batch.packed or batch.attention_mask()
    return policy.head(policy.hidden(batch.tokens, batch.positions, mask))


class ScoredKL(NamedTuple):
    """Two models at the scored positions of a batch: `next_token_kl`, and the log-probabilities of
    the scored tokens under both. All are (scored,), and have no gradient; see `ScoredLogps`.
    """

    kl: Tensor
    policy: Tensor
    reference: Tensor
    owners: Tensor

    def sums(self, sequences: int) -> tuple[Tensor, ...]:
        """KL and both log-probabilities, (sequence,) each, summed over each completion."""
        return tuple(ScoredLogps(values, self.owners).sums(sequences) for values in self[:3])


def check_vocabularies(policy: Any, reference: Any) -> None:
    """Raise WorkbenchError where two models have no common vocabulary."""
    if policy.vocab_size != reference.vocab_size:
        raise WorkbenchError(
            f"policy and reference have logits for {policy.vocab_size} and {reference.vocab_size} "
            "tokens; accepted: the same number"
        )


@torch.no_grad()
def scored_kl(policy: Any, reference: Any, batch: SequenceBatch) -> ScoredKL:
    """The definition of `Kernels.scored_kl`: logits at all positions, then the scored ones.

    Raises WorkbenchError where the vocabularies have different sizes.
    """
    check_vocabularies(policy, reference)
    ours, theirs = (_all_logits(one, batch) for one in (policy, reference))
    scored, owners = batch.completion_mask[..., 1:], batch.sequence[..., 1:]
    return ScoredKL(
        next_token_kl(ours[..., :-1, :], theirs[..., :-1, :])[scored],
        token_logps(ours, batch.tokens)[scored],
        token_logps(theirs, batch.tokens)[scored],
        owners[scored],
    )


@torch.no_grad()
def scored_log_collision(policy: Any, batch: SequenceBatch) -> ScoredLogps:
    """`log_collision` at the scored positions: the definition of `Kernels.scored_log_collision`."""
    logits, scored, owners = next_token(
        _all_logits(policy, batch), batch.completion_mask, batch.sequence
    )
    return ScoredLogps(log_collision(logits[scored]), owners[scored])


def completion_logps(
    policy: Callable[[SequenceBatch], ScoredLogps], batch: SequenceBatch
) -> Tensor:
    """Summed log-probability of every completion of a batch, (sequence,), by one forward pass.

    On stacked rows it is `sequence_logps(token_logps(...))`.
    """
    return policy(batch).sums(batch.sequences)
