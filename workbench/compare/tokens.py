"""Two models on the same completion, token by token: both distributions, and how they differ.

All numbers are natural logarithms and probabilities in float64. Of the vocabulary only the most
likely and the most changed tokens are kept; the probability of the rest is one number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.compare.model_handles import Ids, ModelHandle
from workbench.errors import WorkbenchError

KEPT = 8  # most likely tokens of either model, and as many with the largest gain and loss
LONGEST = 1024  # tokens of prompt and completion


@dataclass(frozen=True)
class Position:
    """Both models' next-token distributions at one position of a completion.

    Attributes:
        token: the id at this position of the completion.
        ids: (kept,) ids without repetition, the policy's most likely first; `token` is among them.
        policy, reference: (kept,) their log-probabilities.
        others: how many tokens of the vocabulary are not kept.
        rest: their summed probability, under the policy and under the reference.
        ranks: of `token` under the policy and the reference; 1 is the most likely.
    """

    token: int
    ids: Tensor
    policy: Tensor
    reference: Tensor
    others: int
    rest: tuple[float, float]
    ranks: tuple[int, int]

    @property
    def changes(self) -> Tensor:
        """(kept,) the policy's probability minus the reference's; with `rest` they sum to 0."""
        return self.policy.exp() - self.reference.exp()

    @property
    def token_index(self) -> int:
        """Index of `token` in `ids`."""
        return int((self.ids == self.token).nonzero()[0])

    def likely(self, count: int = KEPT) -> list[int]:
        """Indices in `ids` of either model's `count` most likely tokens and of `token` itself."""
        count = min(count, len(self.ids))
        likely = {*self.policy.topk(count).indices.tolist(), self.token_index}
        return sorted(likely | {*self.reference.topk(count).indices.tolist()})

    def moved(self, count: int = KEPT, sign: int = 1) -> list[int]:
        """Indices in `ids` of the largest gains in probability, with sign -1 losses."""
        signed = sign * self.changes
        ranked = signed.argsort(descending=True)[:count].tolist()
        return [index for index in ranked if signed[index] > 0]


@dataclass(frozen=True)
class TokenLogps:
    """A completion under both models: (token,) log-probabilities, and all positions.

    `scored` marks the tokens that count, as in `core.Pair`; empty: all.
    """

    ids: tuple[int, ...]
    policy: Tensor
    reference: Tensor
    positions: tuple[Position, ...]
    scored: tuple[bool, ...] = ()

    @property
    def logratios(self) -> Tensor:
        """(token,) policy minus reference; 0 for tokens that are not scored."""
        found = self.policy - self.reference
        return found * torch.tensor(self.scored) if self.scored else found

    @property
    def total(self) -> float:
        """The completion's log-ratio: the sum over its tokens."""
        return self.logratios.sum().item()


@dataclass(frozen=True)
class PairTokens:
    """Both completions of a pair, token by token."""

    chosen: TokenLogps
    rejected: TokenLogps

    @property
    def margin(self) -> float:
        """Chosen minus rejected log-ratio."""
        return self.chosen.total - self.rejected.total

    @property
    def shares(self) -> tuple[Tensor, Tensor]:
        """(token,) the contribution of each chosen and each rejected token to the margin, in nats.

        Rejected tokens count with the opposite sign; all contributions add up to the margin.
        """
        return self.chosen.logratios, -self.rejected.logratios


def compare_tokens(
    reference: ModelHandle, policy: ModelHandle, prompt: Ids, completion: Ids, kept: int = KEPT
) -> TokenLogps:
    """Compare both models at every position of a completion.

    Args:
        reference, policy: with the same tokenizer.
        prompt, completion: token ids; the completion with its end of sequence, if it has one.
        kept: how many most likely, gaining and losing tokens a `Position` keeps.

    Raises:
        WorkbenchError: no tokens, more than LONGEST, or different tokenizers.
    """
    check_comparable(reference, policy, prompt, completion)
    ours, theirs = (handle.next_logps(prompt, completion) for handle in (policy, reference))
    # Row by row: float64 of all rows would take gigabytes for a long text and a large vocabulary.
    positions = tuple(
        _position(token, one.double().log_softmax(-1), other.double().log_softmax(-1), kept)
        for token, one, other in zip(completion, ours, theirs, strict=True)
    )
    return TokenLogps(
        tuple(completion),
        torch.stack([position.policy[position.token_index] for position in positions]),
        torch.stack([position.reference[position.token_index] for position in positions]),
        positions,
    )


def compare_pair(
    reference: ModelHandle,
    policy: ModelHandle,
    prompt: Ids,
    chosen: Ids,
    rejected: Ids,
    kept: int = KEPT,
    scored: tuple[tuple[bool, ...], tuple[bool, ...]] = ((), ()),
) -> PairTokens:
    """Both completions of a pair; see `compare_tokens`. `scored` marks what counts of each."""
    sides = (
        replace(compare_tokens(reference, policy, prompt, ids, kept), scored=marks)
        for ids, marks in zip((chosen, rejected), scored, strict=True)
    )
    return PairTokens(*sides)


def check_comparable(
    reference: ModelHandle, policy: ModelHandle, prompt: Ids, *completions: Sequence[int]
) -> None:
    """Raise WorkbenchError where these models or these ids can't be compared."""
    ours, theirs = policy.tokenizer, reference.tokenizer
    if ours is not theirs and ours.digest != theirs.digest:
        raise WorkbenchError(
            f"{policy.name} and {reference.name} have different tokenizers; tokens can be compared "
            "between models that share one"
        )
    for part, ids in (("prompt", prompt), *(("completion", ids) for ids in completions)):
        if not ids:
            raise WorkbenchError(f"the {part} has no tokens; at least one is needed")
    for completion in completions:
        if (length := len(prompt) + len(completion)) > LONGEST:
            raise WorkbenchError(
                f"prompt and completion make {length} tokens; at most {LONGEST} are compared"
            )


def _position(token: int, policy: Tensor, reference: Tensor, kept: int) -> Position:
    """What is kept of two distributions (vocab,), given as log-probabilities."""
    ours, theirs = policy.exp(), reference.exp()
    changes, count = ours - theirs, min(kept, len(policy))
    ranked = [ours.topk(count), theirs.topk(count), changes.topk(count), (-changes).topk(count)]
    ids = torch.cat([torch.tensor([token]), *(top.indices for top in ranked)]).unique()
    ids = ids[ours[ids].argsort(descending=True, stable=True)]
    others = torch.ones_like(ours, dtype=torch.bool)
    others[ids] = False
    ranks = [int((logps > logps[token]).sum()) + 1 for logps in (policy, reference)]
    return Position(
        token,
        ids,
        policy[ids],
        reference[ids],
        int(others.sum()),
        (ours[others].sum().item(), theirs[others].sum().item()),
        (ranks[0], ranks[1]),
    )
