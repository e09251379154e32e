"""A world small enough to enumerate: every step from the RLHF objective to the DPO loss, exactly.

A policy is a table of log-probabilities, one row per prompt, one column per response. Nothing is
sampled: expectations are sums, so what is derived on paper can be checked to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.losses import PairLogps, check_parameter, find_loss
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


def objective(
    policy_logps: Tensor, reference_logps: Tensor, rewards: Tensor, beta: float
) -> Tensor:
    """Expected reward minus beta times KL, (..., response) each -> (...); the RLHF objective
    (Rafailov et al. 2023, eq. 3)."""
    check_parameter("beta", beta)
    return expected(policy_logps, rewards) - beta * kl(policy_logps, reference_logps)


def expected(policy_logps: Tensor, values: Tensor) -> Tensor:
    """Mean of `values` under the policy, (..., response) each -> (...)."""
    return (policy_logps.exp() * values).sum(-1)


def kl(policy_logps: Tensor, reference_logps: Tensor) -> Tensor:
    """KL(policy || reference) in nats, (..., response) each -> (...); exact."""
    # A response of probability 0 counts nothing, although its log-ratio is minus infinity.
    logratios = (policy_logps - reference_logps).masked_fill(policy_logps == -math.inf, 0.0)
    return expected(policy_logps, logratios)


def log_partition(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log Z(x) = log sum_y pi_ref(y|x) exp(r(x, y) / beta), (..., response) each -> (...)
    (Rafailov et al. 2023, below eq. 4)."""
    check_parameter("beta", beta)
    return (reference_logps + rewards / beta).logsumexp(-1)


def optimal_logps(reference_logps: Tensor, rewards: Tensor, beta: float) -> Tensor:
    """log pi*(y|x) = log pi_ref + r / beta - log Z(x), (..., response) each -> (..., response)
    (Rafailov et al. 2023, eq. 4)."""
    check_parameter("beta", beta)
    return (reference_logps + rewards / beta).log_softmax(-1)


def implied_rewards(policy_logps: Tensor, reference_logps: Tensor, beta: float) -> Tensor:
    """beta * log(pi / pi_ref), (..., response): the reward that the policy is optimal for, up to
    beta * log Z(x), which no comparison sees (Rafailov et al. 2023, eq. 5)."""
    check_parameter("beta", beta)
    return beta * (policy_logps - reference_logps)


def preferences(rewards: Tensor) -> Tensor:
    """(..., response) -> (..., response, response): entry [i, j] is the probability that i is
    preferred to j, sigmoid(r_i - r_j) (Bradley & Terry 1952)."""
    return (rewards[..., :, None] - rewards[..., None, :]).sigmoid()


def expected_loss(
    policy_logps: Tensor,
    reference_logps: Tensor,
    preferences: Tensor,
    loss: str = "dpo",
    **parameters: float,
) -> Tensor:
    """The mean of a preference loss over all pairs of different responses, ().

    Args:
        policy_logps, reference_logps: (..., response).
        preferences: (..., response, response) weight of the pair that prefers i to j: probabilities
            for the whole population, counts for a finite sample of labels.
        loss: a name in LOSSES; `parameters` are passed on to it.

    Raises:
        WorkbenchError: an unknown loss, or one that needs lengths or a batch; here are none.
    """
    function = find_loss(loss, "preference")
    if function.needs_step:
        raise WorkbenchError(f"loss={loss!r} sorts the pairs of a batch; here are all pairs")
    count = policy_logps.shape[-1]
    i, j = (~torch.eye(count, dtype=torch.bool, device=policy_logps.device)).nonzero().T
    logps = PairLogps(
        policy_logps[..., i], policy_logps[..., j], reference_logps[..., i], reference_logps[..., j]
    )
    weights = preferences[..., i, j]
    return (weights * function(logps, **parameters)).sum() / weights.sum()


@dataclass(frozen=True)
class Descent:
    """Where gradient descent stands: after `step` steps, log-probabilities (prompt, response),
    the loss, and `kl`, the mean over prompts of KL(policy || optimum)."""

    step: int
    logps: Tensor
    loss: float
    kl: float


def descend(
    world: TabularWorld,
    beta: float,
    loss: str = "dpo",
    steps: int = 200,
    lr: float | None = None,
    seed: int | None = None,
    preferences: Tensor | None = None,
) -> Iterator[Descent]:
    """Plain gradient descent on `expected_loss`, step 0 included.

    Args:
        beta: of the loss and of the optimum that `kl` is measured to.
        lr: step length on the logits. Left open: the inverse of the loss's largest curvature, with
            which dpo, cdpo and ipo cannot overshoot.
        seed: of random logits to start from; None starts at the reference.
        preferences: see `expected_loss`; left open: the world's own.
    """
    weights = world.preferences if preferences is None else preferences
    lr = _inverse_curvature(weights, beta, loss) if lr is None else lr
    logits = world.reference_logps.clone()
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(logits.shape, generator=generator, dtype=logits.dtype)
    optimum = world.optimum(beta)
    for step in range(steps + 1):
        with torch.enable_grad():
            logits.requires_grad_()
            logps = logits.log_softmax(-1)
            value = expected_loss(logps, world.reference_logps, weights, loss, beta=beta)
            (gradient,) = torch.autograd.grad(value, logits)
        logps = logps.detach()
        yield Descent(step, logps, value.item(), kl(logps, optimum).mean().item())
        logits = logits.detach() - lr * gradient


def _inverse_curvature(preferences: Tensor, beta: float, loss: str) -> float:
    """A bound on the loss's second derivative by the logits, inverted.

    A pair's loss bends by c with its margin; c is largest where the margin is 0 for losses of the
    logistic kind, and the same everywhere for ipo. Margins are differences of logits, so the
    Hessian is at most c times the Laplacian of the graph that the weighted pairs make.
    """
    margin = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(margin)
    with torch.enable_grad():
        value = find_loss(loss, "preference")(PairLogps(margin, zero, zero, zero), beta=beta).sum()
        (slope,) = torch.autograd.grad(value, margin, create_graph=True)
        bend = torch.autograd.grad(slope, margin)[0].item() if slope.requires_grad else 0.0
    pairs = preferences.clone()
    pairs.diagonal(dim1=-2, dim2=-1).zero_()
    weights = (pairs + pairs.mT) / pairs.sum()
    laplacian = torch.diag_embed(weights.sum(-1)) - weights
    return 1 / ((bend or beta**2 / 4) * torch.linalg.eigvalsh(laplacian).max().item())
