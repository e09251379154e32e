"""Completions that the policy wrote itself, with what was measured when it wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from workbench.core.batch import SequenceBatch
from workbench.core.collation import collate_sequences
from workbench.core.logps import ScoredLogps
from workbench.core.policy_gradient import gae, group_advantages, token_rewards, whiten

Sequences = Sequence[tuple[Sequence[int], Sequence[int]]]


@dataclass
class Rollout:
    """Completions of one policy; tables are (sequence, token), `mask` True on their tokens.

    Attributes:
        sequences: token ids of prompt and completion.
        prompts: (sequence,) indices of the prompts in their data set.
        groups: (sequence,) number of the prompt within the rollout; its completions are a group.
        scores: (sequence,) what the reward gave.
        policy_logps, reference_logps: of the completions' tokens.
        values: before each token; None without a value head.
        beta_scale: factor of the KL penalty, where a controller sets it.
    """

    sequences: Sequences
    prompts: Tensor
    groups: Tensor
    scores: Tensor
    mask: Tensor
    policy_logps: Tensor
    reference_logps: Tensor
    values: Tensor | None = None
    beta_scale: float = 1.0
    _known: dict[tuple[float, ...], tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def lengths(self) -> Tensor:
        """(sequence,) tokens of each completion."""
        return self.mask.sum(1)

    @property
    def kl(self) -> Tensor:
        """(sequence,) log-ratio of each completion, whose mean estimates the KL."""
        return (self.policy_logps - self.reference_logps).masked_fill(~self.mask, 0.0).sum(1)

    def group_advantages(self, beta: float, scale: bool, kl_in_reward: bool) -> Tensor:
        """(sequence,) against the completions of the same prompt, of the scores or, with
        `kl_in_reward`, of the scores minus the KL penalty."""
        penalty = self.beta_scale * beta * self.kl if kl_in_reward else 0.0
        return group_advantages(self.scores - penalty, self.groups, scale)

    def advantages(self, beta: float, discount: float, gae_lambda: float) -> tuple[Tensor, Tensor]:
        """Advantages by `gae`, with mean 0 and deviation 1 over the rollout, and returns."""
        key = beta, discount, gae_lambda
        if key not in self._known:
            assert self.values is not None
            tables = self.policy_logps, self.reference_logps, self.mask
            rewards = token_rewards(self.scores, *tables, self.beta_scale * beta)
            found, returns = gae(rewards, self.values, self.mask, discount, gae_lambda)
            self._known = {key: (whiten(found, self.mask), returns)}  # the newest alone
        return self._known[key]


@dataclass(frozen=True)
class RolloutBatch(SequenceBatch):
    """Some completions of a rollout; `rows` (item,) are their numbers in it."""

    rollout: Rollout | None = None
    rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))

    @classmethod
    def of(cls, rollout: Rollout, rows: Sequence[int], pad_id: int, layout: str) -> RolloutBatch:
        """The completions with these numbers, on the rollout's device."""
        chosen = [rollout.sequences[row] for row in rows]
        index = rollout.prompts[list(rows)].tolist()
        plain = collate_sequences(chosen, pad_id, layout, index)
        parts = {part.name: getattr(plain, part.name) for part in fields(plain)}
        return cls(**parts, rollout=rollout, rows=torch.tensor(rows))


@dataclass(frozen=True)
class RolloutLogps:
    """The policy as it is now on some completions of a rollout.

    Attributes:
        policy: (scored,) log-probabilities of the completions' tokens, with their gradient.
        owners, positions: (scored,) number of each token's completion, and its position in it.
        rows: (sequence,) the completions' numbers in the rollout.
        values: (scored,) as the policy's value head gives them now; None without one.
    """

    policy: Tensor
    owners: Tensor
    positions: Tensor
    rows: Tensor
    rollout: Rollout
    values: Tensor | None = None

    @classmethod
    def of(
        cls, batch: RolloutBatch, logps: ScoredLogps, values: Tensor | None = None
    ) -> RolloutLogps:
        """Of a batch, by its forward pass."""
        assert batch.rollout is not None
        rows = batch.rows.to(logps.owners.device)
        return cls(logps.values, logps.owners, logps.positions(), rows, batch.rollout, values)

    def at(self, table: Tensor) -> Tensor:
        """(scored,) the entries of a table (sequence, token), or (sequence,), of the rollout."""
        own = table[self.rows]
        return own[self.owners] if own.dim() == 1 else own[self.owners, self.positions]

    def sums(self, values: Tensor) -> Tensor:
        """(sequence,) the sum over each completion of values (scored,)."""
        return values.new_zeros(len(self.rows)).index_add(0, self.owners, values)

    @property
    def lengths(self) -> Tensor:
        """(sequence,) tokens of each completion."""
        return self.rollout.lengths[self.rows]


def table_of(logps: ScoredLogps, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Values (scored,) of a batch as a table (sequence, token), 0 elsewhere."""
    table = values.new_zeros(shape, dtype=torch.float32)
    table[logps.owners, logps.positions()] = values.float()
    return table
