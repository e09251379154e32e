"""A reward model: a language model that reads a whole text and gives one number.

The number is a weighted sum of the last hidden state at the completion's last scored token, which
has seen the prompt and all of the completion (Ouyang et al. 2022, section 3.5, who put it on a
model of 6 billion parameters). Only differences between answers to one prompt mean anything: the
loss, `train.objectives.bradley_terry`, leaves open where zero is.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.transformer import Transformer


class RewardModel(nn.Module):
    """A copy of a policy with a scalar head instead of the one over the vocabulary.

    The new head starts at 0, so that before the first step all texts are worth the same and the
    loss is log 2, and no random number is drawn.

    Args:
        policy: a `core.transformer.Policy`, ours or one from the hub. It is copied, in float32;
            what of it is trainable stays so, and of a frozen one all becomes trainable.
    """

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.body = copy.deepcopy(policy).float()
        if not any(weight.requires_grad for weight in self.body.parameters()):
            self.body.requires_grad_(True)
        if isinstance(self.body, Transformer):
            # Without the head its embedding is tied to nothing, and its gradient needn't be sparse,
            # which the optimiser would not take.
            self.body.config = replace(self.body.config, tie_embeddings=False)
        first = next(self.body.parameters())
        with torch.no_grad():
            token = torch.zeros(1, 1, dtype=torch.long, device=first.device)
            dim = self.body.hidden(token).shape[-1]  # type: ignore[operator]
        # No linear layer, because bf16 would round the rewards, and near ones would become ties.
        self.weight = nn.Parameter(torch.zeros(dim, device=first.device))

    def rewards(self, batch: SequenceBatch) -> Tensor:
        """(sequence,) the reward of every completion of a batch, in float32, in any layout."""
        mask = batch.packed or batch.attention_mask()
        hidden = self.body.hidden(batch.tokens, batch.positions, mask)  # type: ignore[operator]
        states = rearrange(hidden, "row pos dim -> (row pos) dim")[last_scored(batch)]
        return (states.float() * self.weight).sum(-1)


def last_scored(batch: SequenceBatch) -> Tensor:
    """(sequence,) the place of each completion's last scored token among (row pos).

    It comes from the mask, so padding may be any token.
    """
    places = batch.completion_mask.flatten().nonzero()[:, 0]
    owner = batch.sequence.flatten()[places]
    return places.new_zeros(batch.sequences).scatter_reduce(0, owner, places, "amax")
