"""Scalar heads: a reward model reads a whole text and gives one number; a value head gives one
before every token.

A reward is a weighted sum of the last hidden state at the completion's last scored token, which
has seen the prompt and all of the completion (Ouyang et al. 2022, section 3.5, who put it on a
model of 6 billion parameters). Only differences between answers to one prompt mean anything: the
loss, `LOSSES["bradley_terry"]`, leaves open where zero is.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.logps import next_token
from workbench.core.policy import Kernels, Policy


class RewardModel(Policy):
    """A copy of a policy with a scalar head instead of the one over the vocabulary.

    The new head starts at 0, so that before the first step all texts have the same reward and the
    loss is log 2, and no random number is drawn.

    Args:
        policy: ours or one from the hub. It is copied, in float32; what of it is trainable stays
            so, and of a frozen one all becomes trainable.
    """

    generates = False

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.body = copy.deepcopy(policy).float()
        if not any(weight.requires_grad for weight in self.body.parameters()):
            self.body.requires_grad_(True)
        self.body.untie_head()
        self.layouts, self.max_length = self.body.layouts, self.body.max_length
        # No linear layer, because bf16 would round the rewards, and near ones would become ties.
        self.weight = nn.Parameter(_zeros(self.body))

    @property
    def kernels(self) -> Kernels:  # type: ignore[override]
        """Those of the policy that was copied."""
        return self.body.kernels

    def head(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (...), one reward per position, in float32."""
        return (hidden.float() * self.weight).sum(-1)

    def forward(self, batch: SequenceBatch) -> Tensor:  # type: ignore[override]
        """(sequence,) the reward of every completion of a batch, in any layout."""
        mask = batch.packed or batch.attention_mask()
        hidden = self.body.hidden(batch.tokens, batch.positions, mask)
        return self.head(rearrange(hidden, "row pos dim -> (row pos) dim")[last_scored(batch)])


class ActorCritic(Policy):
    """A language model with a value head: what reward to expect from here, before every token.

    Both share all layers. The head starts at 0 and draws no random number.

    Args:
        policy: is trained in place, not copied.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.body = policy
        self.layouts, self.max_length = policy.layouts, policy.max_length
        self.value_weight = nn.Parameter(_zeros(policy))
        self.value_bias = nn.Parameter(torch.zeros(1, device=self.value_weight.device))

    def hidden(self, *inputs: Any, **more: Any) -> Tensor:
        """That of the language model."""
        return self.body.hidden(*inputs, **more)

    def head(self, hidden: Tensor) -> Tensor:
        """That of the language model."""
        return self.body.head(hidden)

    def new_cache(self, rows: int, max_length: int) -> Any:
        """That of the language model."""
        return self.body.new_cache(rows, max_length)

    @property
    def language_model(self) -> Policy:
        """See `Policy.language_model`."""
        return self.body.language_model

    @property
    def kernels(self) -> Kernels:  # type: ignore[override]
        """Those of the language model."""
        return self.body.kernels

    @property
    def rounds_embeddings(self) -> bool:  # type: ignore[override]
        """That of the language model."""
        return self.body.rounds_embeddings

    @property
    def vocab_size(self) -> int:
        """That of the language model."""
        return self.body.vocab_size

    def forward(self, batch: SequenceBatch, collision: bool = False, values: bool = False) -> Any:
        """As `Policy.forward`; with `values` also the value before each scored token, (scored,)."""
        if not values:
            return super().forward(batch, collision)
        hidden = self.body.hidden(
            batch.tokens, batch.positions, batch.packed or batch.attention_mask()
        )
        logps = self.kernels.scored_logps(_Computed(hidden, self.body), batch)
        states, scored = next_token(hidden, batch.completion_mask)
        return logps, (states[scored].float() * self.value_weight).sum(-1) + self.value_bias


def _zeros(policy: Policy) -> Tensor:
    """(dim,) zeros, one for each number of a hidden state."""
    return torch.zeros(policy.dim, device=next(policy.parameters()).device)


class _Computed(NamedTuple):
    """A language model whose hidden states of a batch are known already."""

    states: Tensor
    policy: Policy

    @property
    def vocab_size(self) -> int:
        return self.policy.vocab_size

    def hidden(self, *batch: Any) -> Tensor:
        return self.states

    def head(self, hidden: Tensor) -> Tensor:
        return self.policy.head(hidden)


def last_scored(batch: SequenceBatch) -> Tensor:
    """(sequence,) the position of each completion's last scored token among (row pos).

    It comes from the mask, so padding may be any token.
    """
    positions = batch.completion_mask.flatten().nonzero()[:, 0]
    owner = batch.sequence.flatten()[positions]
    return positions.new_zeros(batch.sequences).scatter_reduce(0, owner, positions, "amax")
