"""Why a chosen answer may become less likely, in worlds small enough to enumerate.

Two causes, and neither needs a network (for networks see Razin et al. 2024, "Unintentional
Unalignment: Likelihood Displacement in Direct Preference Optimization"):

* `pair_logratios`: a chosen answer has beaten one other answer. At the optimum it competes with all
  of them, and loses to the better ones.
* `LogLinearWorld`: answers share weights. A pair moves every answer by its features, so that a
  third answer may gain more than the chosen one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.core.losses import check_parameter
from workbench.core.tabular import TabularWorld
from workbench.errors import WorkbenchError


def pair_probabilities(world: TabularWorld) -> Tensor:
    """(prompt, response, response): how often a pair of the prompt prefers the first to the second.

    Both sides are drawn from the reference until they differ, and labelled by Bradley-Terry on the
    true reward. Each prompt's table sums to 1.
    """
    reference = world.reference_logps.exp()
    chances = reference[:, :, None] * reference[:, None, :] * world.preferences
    chances.diagonal(dim1=-2, dim2=-1).zero_()
    return chances / chances.sum((-2, -1), keepdim=True)


def pair_logratios(world: TabularWorld, beta: float) -> Tensor:
    """(prompt, side): mean log-ratio of chosen and rejected at the optimum pi*, in nats; exact.

    The mean is over the pairs of `pair_probabilities`. It may be negative for the chosen side,
    which is drawn from the answers that won a comparison, and not from pi*.
    """
    logratios = world.optimum(beta) - world.reference_logps  # (prompt, response)
    pairs = pair_probabilities(world)
    shares = torch.stack([pairs.sum(-1), pairs.sum(-2)], 1)  # (prompt, side, response)
    return (shares * logratios[:, None]).sum(-1)


@dataclass(frozen=True)
class LogLinearWorld:
    """The answers to one prompt, a policy whose answers share weights, and one preference pair.

    log pi(y) = log pi_ref(y) + features(y) . weights - log Z. The weights begin at 0, where the
    policy is the reference. With the identity as features it is a softmax over free logits.

    Attributes:
        responses: texts.
        features: (response, feature).
        reference_logps: (response,) log-probabilities; they are normalised here.
        chosen, rejected: indices of the pair's responses.
    """

    responses: tuple[str, ...]
    features: Tensor
    reference_logps: Tensor
    chosen: int = 0
    rejected: int = 1

    def __post_init__(self) -> None:
        count = len(self.responses)
        features = torch.as_tensor(self.features, dtype=torch.float64)
        reference = torch.as_tensor(self.reference_logps, dtype=torch.float64)
        if features.ndim != 2 or len(features) != count or reference.shape != (count,):
            raise WorkbenchError(
                f"features {tuple(features.shape)} and reference_logps {tuple(reference.shape)} "
                f"do not fit {count} responses; accepted: (response, feature) and (response,)"
            )
        if not {self.chosen, self.rejected} <= set(range(count)) or self.chosen == self.rejected:
            raise WorkbenchError(
                f"chosen={self.chosen} and rejected={self.rejected} are not accepted: two "
                f"different indices from 0 to {count - 1}"
            )
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "reference_logps", reference.log_softmax(-1))

    @classmethod
    def example(cls, mildness: float = 0.1) -> LogLinearWorld:
        """Four answers described by two features: how much each denies, and how mild it is.

        "No" is preferred to "Never". Both deny alike, so the pair teaches mildness and nothing
        else. "Yes" is the mildest answer as long as the `mildness` of "No" is below 1.
        """
        answers = {
            "No": (0.45, 1.0, mildness),
            "Never": (0.40, 1.0, 0.0),
            "Perhaps": (0.14, 0.0, 0.5),
            "Yes": (0.01, -1.0, 1.0),
        }
        table = torch.tensor(list(answers.values()), dtype=torch.float64)
        return cls(tuple(answers), table[:, 1:], table[:, 0].log())

    @property
    def direction(self) -> Tensor:
        """(feature,) chosen minus rejected features: the direction of every step of DPO."""
        return self.features[self.chosen] - self.features[self.rejected]

    def logps(self, weights: Tensor) -> Tensor:
        """(..., feature) weights -> (..., response) log-probabilities."""
        return (self.reference_logps + weights @ self.features.T).log_softmax(-1)

    def slopes(self, logps: Tensor) -> Tensor:
        """(response,) -> (response,): how each log-probability begins to change in a step of DPO.

        (phi_y - E_pi phi) . (phi_w - phi_l), the gradient of log pi(y) times the direction of the
        step. The chosen answer falls where its own slope is negative. With free logits it can't be:
        the slope is then 1 - pi(y_w) + pi(y_l).
        """
        mean = logps.exp() @ self.features
        return (self.features - mean) @ self.direction

    def descend(
        self, beta: float = 0.1, lr: float = 10.0, steps: int = 200
    ) -> tuple[Tensor, Tensor]:
        """Plain gradient descent on the pair's DPO loss, step 0 included.

        Returns:
            (step, response) log-probabilities and (step,) losses.
        """
        check_parameter("beta", beta)
        path = [torch.zeros_like(self.direction)]
        for _ in range(steps):
            margin = path[-1] @ self.direction
            # The loss's gradient (Rafailov et al. 2023, section 4); Z cancels in the pair.
            force = beta * torch.sigmoid(-beta * margin)
            path.append(path[-1] + lr * force * self.direction)
        weights = torch.stack(path)  # (step, feature)
        return self.logps(weights), -F.logsigmoid(beta * weights @ self.direction)
