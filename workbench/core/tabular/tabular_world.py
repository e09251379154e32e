"""A world small enough to enumerate: prompts, responses, a reference policy and a true reward.

A policy is a table of log-probabilities, one row per prompt, one column per response. Nothing is
sampled: expectations are sums, so what is derived on paper can be checked to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.tabular.closed_forms import optimal_logps, preferences
from workbench.errors import WorkbenchError


@dataclass(frozen=True)
class TabularWorld:
    """Prompts with a handful of responses each, a reference policy and a true reward.

    Attributes:
        prompts: texts.
        responses: for each prompt its responses, as many for each.
        reference_logps: (prompt, response) log-probabilities; rows are normalised here.
        rewards: (prompt, response) true rewards.
    """

    prompts: tuple[str, ...]
    responses: tuple[tuple[str, ...], ...]
    reference_logps: Tensor
    rewards: Tensor

    def __post_init__(self) -> None:
        counts = {len(row) for row in self.responses}
        if len(counts) != 1 or min(counts) < 2 or len(self.responses) != len(self.prompts):
            raise WorkbenchError(
                f"{len(self.prompts)} prompts with {sorted(counts)} responses do not fit; "
                "accepted: as many responses for each prompt, two at least"
            )
        shape = (len(self.prompts), counts.pop())
        for name in ("reference_logps", "rewards"):
            table = torch.as_tensor(getattr(self, name), dtype=torch.float64)
            if table.shape != shape:
                raise WorkbenchError(
                    f"{name} has shape {tuple(table.shape)}; accepted: {shape} (prompt, response)"
                )
            if not table.isfinite().all():
                found = table[~table.isfinite()][0].item()
                raise WorkbenchError(f"{name} holds {found}; accepted: finite numbers")
            object.__setattr__(self, name, table)
        object.__setattr__(self, "reference_logps", self.reference_logps.log_softmax(-1))

    @classmethod
    def example(cls) -> TabularWorld:
        """Three questions with four answers each; the reference often prefers a poor one."""
        answers = {
            "How do I descale a kettle?": {
                "Boil water with vinegar in it.": (0.20, 2.0),
                "Boil some water.": (0.35, 0.5),
                "It depends on the kettle.": (0.40, 0.0),
                "Why would you?": (0.05, -1.0),
            },
            "Is the robot charging?": {
                "Yes: its lamp is green.": (0.10, 1.5),
                "Yes.": (0.50, 1.0),
                "Probably.": (0.30, -0.5),
                "Ask somebody else.": (0.10, -1.5),
            },
            "When does the shop open?": {
                "At nine, on Sundays at eleven.": (0.05, 2.0),
                "At nine.": (0.60, 1.0),
                "In the morning.": (0.25, 0.0),
                "Soon!": (0.10, -0.5),
            },
        }
        table = torch.tensor([list(row.values()) for row in answers.values()], dtype=torch.float64)
        responses = tuple(tuple(row) for row in answers.values())
        return cls(tuple(answers), responses, table[..., 0].log(), table[..., 1])

    @classmethod
    def random(cls, prompts: int, responses: int, seed: int) -> TabularWorld:
        """Standard normal logits and rewards, for checks on many worlds."""
        generator = torch.Generator().manual_seed(seed)
        logits, rewards = torch.randn(
            2, prompts, responses, generator=generator, dtype=torch.float64
        )
        names = tuple(f"prompt {row + 1}" for row in range(prompts))
        letters = tuple(f"response {column + 1}" for column in range(responses))
        return cls(names, (letters,) * prompts, logits, rewards)

    @property
    def preferences(self) -> Tensor:
        """(prompt, response, response) how often Bradley-Terry prefers the first to the second."""
        return preferences(self.rewards)

    def optimum(self, beta: float) -> Tensor:
        """(prompt, response) log-probabilities of the policy that maximises the objective."""
        return optimal_logps(self.reference_logps, self.rewards, beta)
