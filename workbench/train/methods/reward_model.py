"""A reward model from pairs: which of two completions gets the higher number (Bradley-Terry)."""

from __future__ import annotations

from typing import Any

from einops import rearrange
from torch import nn

from workbench.core.batch import SequenceBatch
from workbench.core.metrics import reward_metrics
from workbench.core.policy import Policy
from workbench.models.heads import RewardModel
from workbench.train.method import Outcome, Reference, Settings
from workbench.train.methods.preference import PairMethod


class RewardModelMethod(PairMethod):
    """More than an epoch or two makes a large model learn the pairs by heart (Ouyang et al. 2022,
    appendix C.2)."""

    name = "reward_model"

    def trained(self, policy: Policy) -> Policy:
        return policy if isinstance(policy, RewardModel) else RewardModel(policy)

    def losses(
        self,
        policy: nn.Module,
        batch: SequenceBatch,
        settings: Settings,
        reference: Reference | None = None,
        statistics: Any = None,
    ) -> Outcome:
        chosen, rejected = rearrange(policy(batch), "(pair side) -> side pair", side=2)
        values = self.loss(settings)(chosen, rejected)
        return Outcome(values, reward_metrics(chosen, rejected, values))


METHOD = RewardModelMethod()
