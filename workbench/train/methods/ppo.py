"""PPO with a value head (Schulman et al. 2017), as RLHF uses it (Ouyang et al. 2022)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from workbench.core.batch import SequenceBatch
from workbench.core.logps import ScoredLogps
from workbench.core.policy import Policy
from workbench.core.rollouts import RolloutLogps
from workbench.models.heads import ActorCritic
from workbench.train.rollouts.rollout_method import RolloutMethod, clip_fraction


class PPO(RolloutMethod):
    """The mean over all tokens of a step."""

    name = "ppo"
    grouped = False

    def trained(self, policy: Policy) -> Policy:
        return policy if isinstance(policy, ActorCritic) else ActorCritic(policy)

    def scored(self, policy: nn.Module, batch: SequenceBatch) -> tuple[ScoredLogps, Tensor | None]:
        logps, values = policy(batch, values=True)
        return logps, values

    def metrics(
        self, logps: RolloutLogps, parameters: dict[str, Any], losses: Tensor
    ) -> dict[str, Tensor]:
        """Also `clip_fraction`, and `value_loss`, the mean squared error of the values."""
        names = "beta", "discount", "gae_lambda"
        advantages, returns = logps.rollout.advantages(*(parameters[name] for name in names))
        assert logps.values is not None
        error = (logps.values.detach() - logps.at(returns)).square()
        return super().metrics(logps, parameters, losses) | {
            "clip_fraction": clip_fraction(logps, logps.at(advantages), parameters["clip"]),
            "value_loss": logps.sums(error) / logps.lengths,
        }


METHOD = PPO()
