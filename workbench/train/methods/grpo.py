"""GRPO: the scores of a prompt's completions are each other's baseline (Shao et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.core.rollouts import RolloutLogps
from workbench.train.rollouts.rollout_method import RolloutMethod, clip_fraction


class GRPO(RolloutMethod):
    """Every completion counts the same, whatever its length."""

    name = "grpo"

    def _divisors(self, lengths: Tensor) -> Tensor:
        return torch.ones_like(lengths)

    def metrics(
        self, logps: RolloutLogps, parameters: dict[str, Any], losses: Tensor
    ) -> dict[str, Tensor]:
        """Also `clip_fraction`."""
        names = "beta", "scale_scores", "kl_in_reward"
        found = logps.rollout.group_advantages(*(parameters[name] for name in names))
        return super().metrics(logps, parameters, losses) | {
            "clip_fraction": clip_fraction(logps, logps.at(found), parameters["clip"])
        }


METHOD = GRPO()
