"""Two models over the same completion, token by token: what each expected, what moved, by how much.

All numbers are natural logarithms and probabilities in float64. Of a whole vocabulary only those
tokens are kept that something can be said of; the rest is one number, so that nothing gets lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.compare.model_handles import Ids, ModelHandle
from workbench.errors import WorkbenchError

KEPT = 8  # most likely tokens of either model, and as many that gained and that lost most
LONGEST = 1024  # tokens of prompt and completion


@dataclass(frozen=True)
class Place:
    """What both models expect at one place of a completion.

    Attributes:
        token: the id that stands there.
        ids: (kept,) ids without repetition, the policy's most likely first; `token` is among them.
        policy, reference: (kept,) their log-probabilities.
        others: how many tokens of the vocabulary are not kept.
        rest: probability of all those together, under the policy and under the reference.
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
    def here(self) -> int:
        """Where in `ids` the token stands."""
        return int((self.ids == self.token).nonzero()[0])

    def likely(self, count: int = KEPT) -> list[int]:
        """Places in `ids` of either model's `count` most likely tokens and of `token` itself."""
        count = min(count, len(self.ids))
        found = {*self.policy.topk(count).indices.tolist(), self.here}
        return sorted(found | {*self.reference.topk(count).indices.tolist()})

    def moved(self, count: int = KEPT, sign: int = 1) -> list[int]:
        """Places in `ids` that gained most probability, or with sign -1 lost most, most first."""
        signed = sign * self.changes
        ranked = signed.argsort(descending=True)[:count].tolist()
        return [place for place in ranked if signed[place] > 0]


@dataclass(frozen=True)
class TokenLogps:
    """A completion under both models: (token,) log-probabilities, and what stood to choose from."""

    ids: tuple[int, ...]
    policy: Tensor
    reference: Tensor
    places: tuple[Place, ...]

    @property
    def logratios(self) -> Tensor:
        """(token,) policy minus reference."""
        return self.policy - self.reference

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
        """(token,) what each token of the chosen and of the rejected adds to the margin, in nats.

        A token of the rejected counts with the opposite sign; all together are the margin.
        """
        return self.chosen.logratios, -self.rejected.logratios


def compare_tokens(
    reference: ModelHandle, policy: ModelHandle, prompt: Ids, completion: Ids, kept: int = KEPT
) -> TokenLogps:
    """Ask both models for every token of a completion.

    Args:
        reference, policy: with one tokenizer.
        prompt, completion: token ids; the completion with its end of sequence, if it has one.
        kept: how many tokens a place keeps for each question, see `Place`.

    Raises:
        WorkbenchError: no tokens, more than LONGEST, or two tokenizers.
    """
    check_comparable(reference, policy, prompt, completion)
    ours, theirs = (handle.next_logps(prompt, completion) for handle in (policy, reference))
    # Row by row: float64 of all rows would take gigabytes for a long text and a large vocabulary.
    places = tuple(
        _place(token, one.double().log_softmax(-1), other.double().log_softmax(-1), kept)
        for token, one, other in zip(completion, ours, theirs, strict=True)
    )
    at = [(place, place.here) for place in places]
    return TokenLogps(
        tuple(completion),
        torch.stack([place.policy[here] for place, here in at]),
        torch.stack([place.reference[here] for place, here in at]),
        places,
    )


def compare_pair(
    reference: ModelHandle,
    policy: ModelHandle,
    prompt: Ids,
    chosen: Ids,
    rejected: Ids,
    kept: int = KEPT,
) -> PairTokens:
    """Both completions of a pair; see `compare_tokens`."""
    return PairTokens(
        *(
            compare_tokens(reference, policy, prompt, completion, kept)
            for completion in (chosen, rejected)
        )
    )


def check_comparable(
    reference: ModelHandle, policy: ModelHandle, prompt: Ids, *completions: Sequence[int]
) -> None:
    """Raise where these models or these ids can't be compared."""
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


def _place(token: int, policy: Tensor, reference: Tensor, kept: int) -> Place:
    """What is kept of two distributions (vocab,) in which `token` was written."""
    ours, theirs = policy.exp(), reference.exp()
    changes, count = ours - theirs, min(kept, len(policy))
    answers = [ours.topk(count), theirs.topk(count), changes.topk(count), (-changes).topk(count)]
    ids = torch.cat([torch.tensor([token]), *(answer.indices for answer in answers)]).unique()
    ids = ids[ours[ids].argsort(descending=True, stable=True)]
    left = torch.ones_like(ours, dtype=torch.bool)
    left[ids] = False
    ranks = [int((logps > logps[token]).sum()) + 1 for logps in (policy, reference)]
    return Place(
        token,
        ids,
        policy[ids],
        reference[ids],
        int(left.sum()),
        (ours[left].sum().item(), theirs[left].sum().item()),
        (ranks[0], ranks[1]),
    )
