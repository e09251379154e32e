"""Best-of-n as training: of each prompt's completions the best is learnt (Dong et al. 2023)."""

from __future__ import annotations

from workbench.core.rollouts import Rollout
from workbench.train.rollouts.rollout_method import RolloutMethod


class BestOfN(RolloutMethod):
    """Of equal scores the first counts as the best."""

    name = "best_of_n"

    def kept(self, rollout: Rollout) -> list[int]:
        best: dict[int, int] = {}
        scores = rollout.scores.tolist()
        for row, group in enumerate(rollout.groups.tolist()):
            if group not in best or scores[row] > scores[best[group]]:
                best[group] = row
        return list(best.values())

    def kept_of(self, size: int, group: int) -> int:
        return size // group


METHOD = BestOfN()
